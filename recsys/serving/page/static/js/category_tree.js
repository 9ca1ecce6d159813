/** The category tree: one branch open at a time, with counts. */
import { h, icon } from "./dom.js";
import { changeView } from "./state.js";
import { leaf } from "./format.js";

const JOIN = " > ";
const FIRST = 12;

/** Draw the tree from the counted paths; open down to the chosen category, or to that of the product. */
export function categoryTree(values, view, about = null) {
  const chosen = view.filter.product_type?.[0] ?? null;
  const paths = new Map(values.map((v) => [v.value, v.count]));
  if (chosen !== null && !paths.has(chosen)) paths.set(chosen, 0);
  const children = new Map();
  for (const path of paths.keys()) {
    const above = path.split(JOIN).slice(0, -1).join(JOIN);
    const place = paths.has(above) ? above : "";
    if (!children.has(place)) children.set(place, []);
    children.get(place).push(path);
  }
  return branch("", { children, paths, chosen, open: chosen ?? about ?? "" });
}

function branch(above, tree) {
  const list = tree.children.get(above) ?? [];
  const shown = above === "" ? list.slice(0, Math.max(FIRST, list.indexOf(tree.chosen) + 1)) : list;
  return h("ul.tree", {}, shown.map((path) => {
    const on = path === tree.chosen;
    const within = path === tree.open || tree.open.startsWith(path + JOIN);
    const node = h("button.value", { type: "button", data: { value: path }, "aria-pressed": String(on), on: { click: () => toggle(path) } },
      h("span", {}, tree.children.has(path) ? icon(within ? "down" : "right") : h("i.twig"), leaf(path)), h("span.quiet.number", {}, tree.paths.get(path).toLocaleString("en")));
    return h("li", {}, node, within && tree.children.has(path) && branch(path, tree));
  }));
}

function toggle(path) {
  changeView(({ filter }) => {
    const { product_type: chosen, ...rest } = filter;
    return { filter: chosen?.[0] === path ? rest : { product_type: [path], ...rest } };
  });
}
