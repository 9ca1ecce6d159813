/** The live collection beside an earlier one, each with its own encoder. */
import { status } from "./api.js";
import { button, h, icon } from "./dom.js";
import { changeView, currentView } from "./state.js";
import { showError, toast } from "./toast.js";
import { count, moment } from "./format.js";

let cached = null;

/** The collections that can be searched, the live one first. */
export async function collections({ fresh = false } = {}) {
  if (!cached || fresh) cached = (await status()).collections ?? [];
  return cached;
}

/** Start or end the comparison. */
export async function compare() {
  if (currentView().compare) { changeView({ compare: null }); return; }
  try {
    const kept = (await collections({ fresh: true })).filter((c) => !c.live);
    if (!kept.length) { toast("There is nothing to compare with yet: earlier versions are kept from the next training on."); return; }
    const other = kept.find((c) => c.encoder !== cached[0]?.encoder) ?? kept[0];
    changeView({ compare: other.collection });
  } catch (problem) {
    showError(problem);
  }
}

const nameOf = (c) => (c.published_at ? `live from ${moment(c.published_at)}` : "never live");

/** What is compared, how much both sides agree, and a choice between several earlier versions. */
export function comparisonBar(view, mine, theirs, problem) {
  if (problem) return h("div.strip.warn", { role: "alert" }, icon("warning"), h("p", {}, `The comparison cannot be shown. ${problem.message}`), button("End comparison", () => changeView({ compare: null }), { kind: "ghost" }));
  if (!theirs) return null;
  const [a, b] = [mine, theirs].map((x) => new Set(x.items.slice(0, 12).map((i) => i.id)));
  const common = [...a].filter((id) => b.has(id)).length;
  const bar = h("div.strip", {}, icon("compare"), h("p", {}, `Of the first ${Math.max(a.size, b.size)}, ${count(common, "product")} ${common === 1 ? "is" : "are"} on both sides. A dotted frame marks what only one side shows.`),
    h("span.which"), button("End comparison", () => changeView({ compare: null }), { kind: "ghost" }));
  collections().then((all) => {
    const kept = all.filter((c) => !c.live);
    if (kept.length < 2) return;
    bar.querySelector(".which").append(h("label.field.inline", {}, h("span", {}, "Compare with"), h("select.input", { value: view.compare, on: { change: (e) => changeView({ compare: e.target.value }) } },
      kept.map((c) => h("option", { value: c.collection, selected: c.collection === view.compare }, `${nameOf(c)} (${c.encoder.split("/")[1].slice(0, 6)})`)))));
  }).catch(() => null);
  return bar;
}

/** The heading of one side. */
export function compareHead(response, live) {
  const node = h("h3.side-head", {}, live ? "Live now" : "Earlier");
  collections().then((all) => {
    const at = all.find((c) => c.collection === response.collection);
    if (!at) return;
    node.append(h("small.quiet", {}, ` ${live && at.published_at ? `since ${moment(at.published_at)}` : nameOf(at)}`));
  }).catch(() => null);
  return node;
}

/** How each item differs from the other side: it is missing there, or this many places off. */
export function differences(items, others) {
  const place = new Map(others.map((item, i) => [item.id, i]));
  return (item, index) => (place.has(item.id) ? { moved: place.get(item.id) - index } : { only: true });
}
