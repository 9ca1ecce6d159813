/** The two sliders: looks against words, and variety. */
import { h, iconButton, debounce } from "./dom.js";
import { changeView } from "./state.js";
import { percent } from "./format.js";

/** Build both; `update(view, response)` sets them. */
export function sliders() {
  const weight = slider({
    id: "looks", label: "What counts", ends: [h("span.key.image", {}, "Looks"), h("span.key.text", {}, "Words")], classes: "weight",
    words: (v) => `${percent(1 - v)} looks, ${percent(v)} words`,
    change: (v, replace) => changeView({ weight: 1 - v }, { replace }),
  });
  const variety = slider({
    id: "variety", label: "Variety", ends: ["Closest", "Most varied"], classes: "variety",
    words: (v) => (v === 0 ? "closest first" : `${percent(v)} variety`),
    change: (v, replace) => changeView({ variety: v }, { replace }),
  });
  const reset = iconButton("undo", "Reset sliders", () => changeView({ weight: null, variety: 0 }), { class: "reset tip-right" });
  const node = h("div.sliders", {}, weight.node, variety.node);
  return {
    node,
    reset,
    update(view, response) {
      weight.set(1 - (view.weight ?? response?.image_weight ?? 0.5));
      variety.set(view.variety);
      reset.disabled = view.weight === null && view.variety === 0;
    },
  };
}

function slider({ id, label, ends, words, change, classes }) {
  const input = h("input.range", { id, type: "range", min: "0", max: "1", step: "0.05", value: "0" });
  const output = h("output.number", { for: id });
  let moving = false;
  let moved = false;
  const show = () => {
    const v = Number(input.value);
    input.style.setProperty("--at", `${v * 100}%`);
    input.setAttribute("aria-valuetext", words(v));
    output.textContent = words(v);
  };
  // The list follows while a slider moves; one whole movement is one step in the history.
  const settled = debounce(1500, () => { moved = false; });
  const apply = () => { change(Number(input.value), moved); moved = true; settled(); };
  const during = debounce(110, apply);
  input.addEventListener("input", () => { moving = true; show(); during(); });
  input.addEventListener("change", () => { during.cancel(); moving = false; apply(); });
  return {
    node: h("div.slider", { class: `slider ${classes}` }, h("label", { for: id }, label), output, input, h("span.ends", { "aria-hidden": "true" }, h("span", {}, ends[0]), h("span", {}, ends[1]))),
    set(v) { if (!moving) { input.value = String(v); show(); } },
  };
}
