/** Short messages with undo. The last action can also be undone by a key. */
import { fill, h, announce } from "./dom.js";

const SHOWN_MS = 9000;
const MOST = 2;
const undoable = [];

/** Show a message; `undo` adds an undo button, `more` another button `[label, act]`. */
export function toast(words, { undo = null, more = null, tone = "" } = {}) {
  const place = document.getElementById("toasts");
  const gone = () => { node.remove(); };
  const entry = undo && { words, undo: async () => { take(entry); gone(); await undo(); } };
  const node = h("div.toast", { class: tone ? `toast ${tone}` : "toast" },
    h("p", {}, words),
    more && h("button", { type: "button", on: { click: () => { gone(); more[1](); } } }, more[0]),
    entry && h("button", { type: "button", on: { click: () => run(entry) } }, "Undo"),
    !entry && !more && h("button", { type: "button", "aria-label": "Dismiss", on: { click: gone } }, "✕"));
  if (entry) undoable.push(entry);
  place.append(node);
  while (place.children.length > MOST) place.firstChild.remove();
  announce(undo ? `${words}. Press Z to undo.` : words, tone === "bad");
  let timer = setTimeout(gone, SHOWN_MS);
  for (const [event, act] of [["pointerenter", () => clearTimeout(timer)], ["focusin", () => clearTimeout(timer)],
    ["pointerleave", () => { timer = setTimeout(gone, SHOWN_MS); }], ["focusout", () => { timer = setTimeout(gone, SHOWN_MS); }]]) node.addEventListener(event, act);
}

/** Show a problem and what to do about it. */
export const showError = (problem) => toast(problem.fix ? `${problem.message} ${problem.fix}` : problem.message, { tone: "bad" });

const take = (entry) => { const i = undoable.indexOf(entry); if (i >= 0) undoable.splice(i, 1); };
const run = (entry) => entry.undo().catch(showError);

/** Undo the last action; false if there is none. */
export function undoLast() {
  const last = undoable.at(-1);
  if (!last) { announce("Nothing to undo."); return false; }
  run(last);
  return true;
}

/** Fill `node` with a problem or an empty result and what can be done about it. */
export function notice(node, { icon, title, words, actions = [], tone = "" }) {
  return fill(node, h("div.notice", { class: tone ? `notice ${tone}` : "notice", role: tone === "error" ? "alert" : null },
    icon, h("h2", {}, title), words.filter(Boolean).map((w) => h("p.quiet", {}, w)), actions.length > 0 && h("div.row", {}, actions)));
}
