/** The panel at the side: why, rules, one rule, the shelf. One at a time, named in the address. */
import { fill, h, iconButton } from "./dom.js";
import { alter } from "./state.js";

const TITLES = { why: "Why is it here?", rules: "Rules", rule: "Rule", shelf: "Shelf" };
const makers = new Map();
let drawn = "";
let opener = null;
let current = { answer: null, items: [] };

/** Say how a panel is drawn: `make(body, view, head)`; it may return `{follow()}` to hear of new answers. */
export const definePanel = (name, make) => makers.set(name, make);
export const isPanel = (name) => makers.has(name);

/** What the main view shows, for panels that speak of it. */
export function answerPanel(answer, items) {
  current = { answer, items };
  shown?.follow?.();
}
export const shownAnswer = () => current;

let shown = null;

/** On narrow screens the panel lies over the page: what is under it is out of reach until it is closed. */
const overlays = matchMedia("(max-width: 1199px)");
function shutOff() {
  const over = overlays.matches && !document.getElementById("panel").hidden;
  for (const node of document.querySelectorAll("#main, .top")) node.inert = over;
}
overlays.addEventListener("change", shutOff);

/** Follow the address. */
export function panelFor(view) {
  const node = document.getElementById("panel");
  const name = makers.has(view.panel) ? view.panel : "";
  const key = `${name}:${view.about ?? ""}`;
  document.documentElement.classList.toggle("with-panel", Boolean(name));
  if (key === drawn && name) return;
  const was = drawn.split(":")[0];
  drawn = key;
  shown = null;
  if (!name) {
    const inside = node.contains(document.activeElement);
    node.hidden = true;
    fill(node);
    shutOff();
    if (inside && opener?.isConnected) opener.focus();
    opener = null;
    return;
  }
  if (!was) opener = document.activeElement;
  const title = h("h2", { id: "panel-title", tabindex: "-1" }, TITLES[name]);
  const head = h("div.panel-head", {}, title, iconButton("close", "Close", closePanel, { class: "tip-below tip-left" }));
  const body = h("div.panel-body");
  fill(node, head, body);
  node.setAttribute("aria-labelledby", "panel-title");
  node.hidden = false;
  shutOff();
  shown = makers.get(name)(body, view, head) ?? null;
  if (was !== name || name === "rule") title.focus({ preventScroll: true });
}

export function closePanel() {
  alter({ panel: "", about: null });
}

export const togglePanel = (view, name) => alter(view.panel === name ? { panel: "", about: null } : { panel: name, about: null });
