/** A line above the products that says what rules did to them, and shows them without. */
import { button, h, icon } from "./dom.js";
import { alter } from "./state.js";
import { count } from "./words.js";

/** What rules did to this answer; null where they did nothing. */
export function rulesStrip(view, answer) {
  if (!view.rules) {
    return h("div.strip.warn", {}, icon("rules"), h("p", {}, "Rules are off in this view. Everybody else sees the list with them."), button("Turn rules on", () => alter({ rules: true }), { kind: "ghost" }));
  }
  const rules = answer.explain?.rules ?? [];
  if (!rules.length) return null;
  const by = (action) => rules.filter((r) => r.action === action).length;
  const words = [["pin", "pin", "pins"], ["boost", "boost", "boosts"], ["bury", "bury", "buries"], ["block", "block", "blocks"]]
    .map(([action, one, many]) => by(action) && count(by(action), one, many)).filter(Boolean).join(", ");
  return h("div.strip", {}, icon("rules"), h("p", {}, `${count(rules.length, "rule")} shaped this list: ${words}.`),
    button("Show rules", () => alter({ panel: "rules", about: null }), { kind: "ghost" }),
    button("See it without", () => alter({ rules: false }), { kind: "ghost" }));
}
