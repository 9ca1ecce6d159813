/** A line above the products: which rules changed the list, and a link to the list without them. */
import { button, h, icon } from "./dom.js";
import { changeView } from "./state.js";
import { count } from "./format.js";

/** Build the line; null if no rule changed the list. */
export function rulesSummary(view, response) {
  if (!view.rules) {
    return h("div.strip.warn", {}, icon("rules"), h("p", {}, "Rules are off in this view. Everybody else sees the list with them."), button("Turn rules on", () => changeView({ rules: true }), { kind: "ghost" }));
  }
  const rules = response.explain?.rules ?? [];
  if (!rules.length) return null;
  const by = (action) => rules.filter((r) => r.action === action).length;
  const words = [["pin", "pin", "pins"], ["boost", "boost", "boosts"], ["bury", "bury", "buries"], ["block", "block", "blocks"]]
    .map(([action, one, many]) => by(action) && count(by(action), one, many)).filter(Boolean).join(", ");
  return h("div.strip", {}, icon("rules"), h("p", {}, `${count(rules.length, "rule")} changed this list: ${words}.`),
    button("Show rules", () => changeView({ panel: "rules", about: null }), { kind: "ghost" }),
    button("See it without", () => changeView({ rules: false }), { kind: "ghost" }));
}
