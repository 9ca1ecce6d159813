/** The history of a rule: who changed what, and when. */
import { ruleHistory } from "./api.js";
import { fill, h } from "./dom.js";
import { ACTIONS, day, lastDay, moment, strengthWords } from "./format.js";

const DID = { "rule.add": "created it", "rule.change": "changed it", "rule.retire": "ended it", "rule.restore": "restored it" };
const FIELDS = {
  action: ["action", (v) => ACTIONS[v]?.name.toLowerCase() ?? v], strength: ["strength", strengthWords], reason: ["reason", (v) => (v ? `“${v}”` : "none")],
  starts_at: ["start", (v) => (v ? day(v) : "at once")], expires_at: ["end", (v) => (v ? lastDay(v) : "none")], position: ["place among the pins", (v) => String(v + 1)],
  target_value: ["what it moves", (v) => v], scope: ["where", (v) => v], scope_value: ["where", (v) => v || "everywhere"],
};

/** Draw the history of rule `id` into `place`. */
export async function history(place, id) {
  fill(place, h("i.skeleton.line"), h("i.skeleton.line.short"));
  try {
    const { entries } = await ruleHistory(id);
    fill(place, h("ol.timeline", {}, entries.map((e) => h("li", {}, h("p", {}, h("b", {}, e.author), ` ${DID[e.action] ?? e.action}`), h("small.quiet", {}, moment(e.at)), e.note && h("p.reason", {}, `“${e.note}”`),
      e.action === "rule.change" && h("ul.changes", {}, changes(e).map((words) => h("li", {}, words)))))));
  } catch (problem) {
    fill(place, h("p.hint", {}, `The history cannot be loaded: ${problem.message}`));
  }
}

function changes({ before, after }) {
  return Object.entries(FIELDS).filter(([name]) => before && after && before[name] !== after[name])
    .map(([name, [words, show]]) => `${words}: ${show(before[name])} → ${show(after[name])}`);
}
