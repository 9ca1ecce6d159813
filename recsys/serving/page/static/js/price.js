/** The price filter: two fields and a slider with two handles. */
import { h } from "./dom.js";
import { changeView } from "./state.js";

/** Draw it; `range` is the `{min, max}` under the other filters. */
export function priceRange(range, view) {
  const at = view.filter.price ?? {};
  const low = Math.floor(range.min);
  const high = Math.ceil(range.max);
  const field = (label, value, placeholder) => h("input.input.narrow.number", { type: "number", inputmode: "decimal", min: "0", step: "any", "aria-label": label, placeholder: String(placeholder), value: value ?? "" });
  const from = field("Lowest price", at.gte, low);
  const to = field("Highest price", at.lte, high);
  const apply = () => {
    const number = (input) => (input.value === "" || !Number.isFinite(Number(input.value)) ? undefined : Math.max(0, Number(input.value)));
    let [gte, lte] = [number(from), number(to)];
    if (gte !== undefined && lte !== undefined && gte > lte) [gte, lte] = [lte, gte];
    const price = { ...(gte > 0 && { gte }), ...(lte !== undefined && { lte }) };
    changeView((v) => {
      const { price: _, ...rest } = v.filter;
      return { filter: Object.keys(price).length ? { ...rest, price } : rest };
    });
  };
  from.addEventListener("change", apply);
  to.addEventListener("change", apply);
  return h("div.price-range", {}, high > low && handles(low, high, at, from, to, apply), h("div.price-fields", {}, from, h("span.quiet", { "aria-hidden": "true" }, "to"), to));
}

function handles(low, high, at, from, to, apply) {
  const step = String(high - low > 60 ? 1 : 0.5);
  const handle = (label, value) => h("input.range", { type: "range", min: String(low), max: String(high), step, value: String(value), "aria-label": label });
  const left = handle("Lowest price, slider", Math.max(low, at.gte ?? low));
  const right = handle("Highest price, slider", Math.min(high, at.lte ?? high));
  const node = h("div.handles", {}, left, right);
  const show = () => {
    const share = (input) => `${(100 * (Number(input.value) - low)) / (high - low)}%`;
    node.style.setProperty("--low", share(left));
    node.style.setProperty("--high", share(right));
  };
  left.addEventListener("input", () => { if (Number(left.value) > Number(right.value)) left.value = right.value; from.value = Number(left.value) > low ? left.value : ""; show(); });
  right.addEventListener("input", () => { if (Number(right.value) < Number(left.value)) right.value = left.value; to.value = Number(right.value) < high ? right.value : ""; show(); });
  left.addEventListener("change", apply);
  right.addEventListener("change", apply);
  show();
  return node;
}
