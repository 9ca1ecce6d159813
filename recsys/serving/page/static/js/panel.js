/** The side panel: why, rules, one rule or the shelf; which one is in the URL. */
import { fill, h, iconButton } from "./dom.js";
import { changeView } from "./state.js";

const TITLES = { why: "Why is it here?", rules: "Rules", rule: "Rule", shelf: "Shelf" };
const makers = new Map();
let drawn = "";
let opener = null;
let current = { response: null, items: [] };

/** Define a panel: `make(body, view, head)` draws it and may return `{follow()}`, called for new results. */
export const definePanel = (name, make) => makers.set(name, make);
export const isPanel = (name) => makers.has(name);

/** Tell the panel what the main view shows. */
export function updatePanel(response, items) {
  current = { response, items };
  shown?.follow?.();
}
export const shownResults = () => current;

let shown = null;

/** On narrow screens the panel covers the page, which is inert until the panel is closed. */
const overlays = matchMedia("(max-width: 1199px)");
function blockPage() {
  const over = overlays.matches && !document.getElementById("panel").hidden;
  for (const node of document.querySelectorAll("#main, .top")) node.inert = over;
}
overlays.addEventListener("change", blockPage);

/** Show the panel of a view. */
export function showPanel(view) {
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
    blockPage();
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
  blockPage();
  shown = makers.get(name)(body, view, head) ?? null;
  if (was !== name || name === "rule") title.focus({ preventScroll: true });
}

export function closePanel() {
  changeView({ panel: "", about: null });
}

export const togglePanel = (view, name) => changeView(view.panel === name ? { panel: "", about: null } : { panel: name, about: null });
