/** Filters with counts, each counted under all the others, and the chips of the active ones. */
import { facets } from "./api.js";
import { button, fill, h, icon } from "./dom.js";
import { changeView } from "./state.js";
import { categoryTree } from "./category_tree.js";
import { priceRange } from "./price.js";
import { categoryOf, columnName, money, valueName } from "./format.js";

/** Of the products shown last: the chips need it even when nothing is found. */
let currency;

const FIRST = 8;
const MOST = 200;
const ORDER = ["product_type", "price", "availability", "brand", "color"];
const FEW = 25;

/** Build the filters; `update(view)` counts again. */
export function filterPanel() {
  const body = h("div.filter-list");
  const node = h("section.filters", { "aria-label": "Filters" }, body);
  const sections = new Map(); // column → {node, draw}
  const wide = new Set();
  let requested = "";
  let running = null;
  let found = null;
  let about = null; // category of the query product

  async function update(view, { fresh = false } = {}) {
    const key = JSON.stringify(view.filter);
    if (key === requested && !fresh) return;
    requested = key;
    running?.abort();
    running = new AbortController();
    if (!sections.size) fill(body, [5, 3, 6].map((n) => h("div.filter", { "aria-hidden": "true" }, Array.from({ length: n }, () => h("i.skeleton.line")))));
    try {
      found = await counts(view.filter, running.signal);
      draw(view, found);
    } catch (problem) {
      if (problem.name === "AbortError") return;
      requested = "";
      if (!sections.size) fill(body, h("p.hint", {}, "The filters cannot be loaded now. ", button("Try again", () => update(view), { kind: "ghost" })));
    }
  }

  function draw(view, { columns, price }) {
    const names = Object.keys(columns).filter((c) => columns[c].length > 1 || view.filter[c]);
    const order = [...ORDER.filter((c) => names.includes(c) || (c === "price" && price)), ...names.filter((c) => !ORDER.includes(c))];
    const nodes = order.map((column) => {
      let section = sections.get(column);
      if (!section) {
        section = makeSection(column, wide);
        sections.set(column, section);
      }
      section.draw(column === "price" ? price : columns[column], view, about);
      return section.node;
    });
    for (const child of [...body.children]) if (!nodes.includes(child)) child.remove();
    nodes.forEach((n, i) => { if (body.children[i] !== n) body.insertBefore(n, body.children[i] ?? null); });
  }

  /** Open the category tree at the query product. */
  function setProduct(view, product) {
    const same = about === categoryOf(product);
    about = categoryOf(product);
    if (found && !same) draw(view, found);
  }


  return { node, update, setProduct };
}

/** Count each column under all filters but its own, so that more of its values can be added. */
async function counts(filter, signal) {
  const own = Object.keys(filter).filter((c) => c !== "price");
  const all = facets(filter, { limit: MOST, signal });
  const others = own.map((column) => {
    const rest = Object.fromEntries(Object.entries(filter).filter(([c]) => c !== column));
    return facets(rest, { columns: [column], limit: MOST, signal }).then((a) => [column, a.facets[column] ?? []]);
  });
  const unpriced = filter.price ? facets(Object.fromEntries(Object.entries(filter).filter(([c]) => c !== "price")), { columns: ["price"], signal }) : all;
  const [base, free, ...rest] = await Promise.all([all, unpriced, ...others]);
  return { columns: { ...base.facets, ...Object.fromEntries(rest) }, price: free.ranges.price };
}

function makeSection(column, wide) {
  const body = h("div.values");
  const node = h("details.filter", { open: true, data: { column } }, h("summary", {}, h("span", {}, columnName(column)), icon("down")), body);
  const draw = (values, view, about) => {
    if (column === "price") fill(body, priceRange(values, view));
    else if (column === "product_type") fill(body, categoryTree(values, view, about));
    else drawValues(body, column, values, view, wide);
  };
  if (!["product_type", "price", "availability", "brand", "color"].includes(column)) node.open = false;
  return { node, draw };
}

function drawValues(body, column, values, view, wide) {
  const chosen = view.filter[column] ?? [];
  const absent = chosen.filter((v) => !values.some((x) => x.value === v)).map((value) => ({ value, count: 0 }));
  const all = [...absent, ...values].sort((a, b) => chosen.includes(b.value) - chosen.includes(a.value)); // stable: then by count
  const few = wide.has(column) ? all : all.slice(0, Math.max(FIRST, chosen.length));
  const list = h("ul", {}, few.map((v) => h("li", {}, valueRow(column, v, chosen))));
  const searchField = wide.has(column) && all.length > FEW && h("input.input.narrow", { type: "search", placeholder: `Find a ${columnName(column).toLowerCase()}`, "aria-label": `Find a ${columnName(column).toLowerCase()}`,
    on: { input: (e) => { const typed = e.target.value.trim().toLowerCase(); for (const li of list.children) li.hidden = !li.textContent.toLowerCase().includes(typed); } } });
  fill(body, searchField, list, all.length > FIRST && button(wide.has(column) ? "Show fewer" : `Show all ${all.length}`, () => {
    if (!wide.delete(column)) wide.add(column);
    drawValues(body, column, values, view, wide);
  }, { kind: "ghost" }));
}

function valueRow(column, { value, count }, chosen) {
  const box = h("input", { type: "checkbox", checked: chosen.includes(value), data: { value }, on: { change: () => toggle(column, value, box.checked) } });
  return h("label.value", {}, box, h("span", {}, valueName(column, value)), h("span.quiet.number", {}, count.toLocaleString("en")));
}

/** Turn one value of a column on or off. */
export function toggle(column, value, on) {
  changeView((view) => {
    const rest = (view.filter[column] ?? []).filter((v) => v !== value);
    return { filter: without(view.filter, column, on ? [...rest, value] : rest) };
  });
}

function without(filter, column, values) {
  const next = { ...filter, [column]: values };
  if (!values.length) delete next[column];
  return next;
}

/** Chips of the active filters; each removes its filter. */
export function filterChips(view, products) {
  currency ??= products.find((p) => p.currency)?.currency;
  const off = (column, value) => changeView((v) => ({ filter: without(v.filter, column, value === null ? [] : (v.filter[column] ?? []).filter((x) => x !== value)) }));
  const chip = (words, label, drop) => h("span.chip", {}, h("span", { title: words }, words), removeButton(label, drop));
  const chips = Object.entries(view.filter).flatMap(([column, value]) => {
    if (column === "price") {
      const words = value.gte !== undefined && value.lte !== undefined ? `${money(value.gte, currency)} to ${money(value.lte, currency)}` : value.lte !== undefined ? `Up to ${money(value.lte, currency)}` : `From ${money(value.gte, currency)}`;
      return [chip(words, "Any price", () => off("price", null))];
    }
    return value.map((v) => chip(valueName(column, v), `Remove the filter ${valueName(column, v)}`, () => off(column, v)));
  });
  if (chips.length > 1) chips.push(button("Clear all", () => changeView({ filter: {} }), { kind: "ghost" }));
  return chips;
}

const removeButton = (label, drop) => h("button", { type: "button", "aria-label": label, on: { click: drop } }, icon("close"));

export const filterCount = (view) => Object.values(view.filter).reduce((n, v) => n + (Array.isArray(v) ? v.length : 1), 0);
