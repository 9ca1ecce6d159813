/** Keyboard shortcuts and the dialog that lists them. Single-key shortcuts can be turned off. */
import { h, iconButton } from "./dom.js";
import { focusSearch } from "./combobox.js";
import { closePanel, togglePanel } from "./panel.js";
import { EMPTY, showView, currentView } from "./state.js";
import { recall, remember } from "./storage.js";
import { undoLast } from "./toast.js";

const SHEET = [
  ["Everywhere", [["/", "Search"], ["Z", "Undo"], ["S", "Shelf"], ["R", "Rules"], ["G", "Start"], ["Esc", "Close what is open"], ["?", "This sheet"]]],
  ["Among the products", [["← → ↑ ↓", "Move"], ["Enter", "What is similar to it"], ["W", "Why is it here?"], ["A", "On or off the shelf"], ["M", "More like this"], ["L", "Less like this"]]],
  ["Order", [["P", "Pin"], ["U", "Boost (up)"], ["D", "Bury (down)"], ["B", "Block"]]],
  ["Judge", [["Y", "Similar"], ["N", "Not similar"], ["=", "Duplicate"]]],
];

/** Listen for keys. */
export function listenForKeys() {
  if (recall("keys", true) === false) document.documentElement.dataset.keys = "off";
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.altKey) return;
    const typing = event.target.closest?.("input:not([type=checkbox], [type=radio], [type=range]), textarea, select, [contenteditable]");
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !typing) { if (undoLast()) event.preventDefault(); return; }
    if (event.ctrlKey || event.metaKey || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape" && currentView().panel) { closePanel(); event.preventDefault(); return; }
    if (typing || document.documentElement.dataset.keys === "off") return;
    const act = { "/": focusSearch, "?": showKeys, z: undoLast, s: () => togglePanel(currentView(), "shelf"), r: () => togglePanel(currentView(), "rules"), g: () => showView(EMPTY) }[event.key.toLowerCase()];
    if (!act) return;
    act();
    event.preventDefault();
  });
}

/** Show the dialog. */
export function showKeys() {
  const on = h("input", { type: "checkbox", role: "switch", checked: document.documentElement.dataset.keys !== "off", on: { change: () => {
    document.documentElement.dataset.keys = on.checked ? "on" : "off";
    remember("keys", on.checked);
  } } });
  const dialog = h("dialog", { "aria-labelledby": "keys-title", on: { close: () => dialog.remove(), click: (e) => { if (e.target === dialog) dialog.close(); } } },
    h("div.panel-head", {}, h("h2", { id: "keys-title" }, "Keys"), iconButton("close", "Close", () => dialog.close(), { class: "tip-below tip-left" })),
    h("div.panel-body", {}, SHEET.map(([title, rows]) => h("section", {}, h("h3", {}, title), h("dl.keys", {}, rows.map(([keys, words]) => h("div", {}, h("dt", {}, words), h("dd", {}, keys.split(" ").map((k) => h("kbd", {}, k)))))))),
      h("label.switch", {}, on, "Single keys are on")));
  document.body.append(dialog);
  dialog.showModal();
}
