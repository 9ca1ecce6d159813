/** Two encoders side by side: what is live, and a collection that was kept from before. */
import { status } from "./api.js";
import { button, h, icon } from "./dom.js";
import { alter, now } from "./state.js";
import { complain, toast } from "./toast.js";
import { count, moment } from "./words.js";

let known = null;

/** The collections that can be asked, the live one first. */
export async function collections({ fresh = false } = {}) {
  if (!known || fresh) known = (await status()).collections ?? [];
  return known;
}

/** Start or end the comparison. */
export async function compare() {
  if (now().beside) { alter({ beside: null }); return; }
  try {
    const kept = (await collections({ fresh: true })).filter((c) => !c.live);
    if (!kept.length) { toast("There is nothing to compare with yet: the earlier version is kept from the next training on."); return; }
    const other = kept.find((c) => c.encoder !== known[0]?.encoder) ?? kept[0];
    alter({ beside: other.collection });
  } catch (problem) {
    complain(problem);
  }
}

const nameOf = (c) => (c.published_at ? `in service from ${moment(c.published_at)}` : "never in service");

/** Which two are compared, how much they agree, and a choice where several are kept. */
export function besideBar(view, mine, theirs, problem) {
  if (problem) return h("div.strip.warn", { role: "alert" }, icon("warning"), h("p", {}, `The comparison cannot be shown. ${problem.message}`), button("End comparison", () => alter({ beside: null }), { kind: "ghost" }));
  if (!theirs) return null;
  const [a, b] = [mine, theirs].map((x) => new Set(x.items.slice(0, 12).map((i) => i.id)));
  const common = [...a].filter((id) => b.has(id)).length;
  const bar = h("div.strip", {}, icon("compare"), h("p", {}, `Of the first ${Math.max(a.size, b.size)}, ${count(common, "product")} ${common === 1 ? "is" : "are"} on both sides. A dotted frame marks what only one side shows.`),
    h("span.which"), button("End comparison", () => alter({ beside: null }), { kind: "ghost" }));
  collections().then((all) => {
    const kept = all.filter((c) => !c.live);
    if (kept.length < 2) return;
    bar.querySelector(".which").append(h("label.field.inline", {}, h("span", {}, "Compare with"), h("select.input", { value: view.beside, on: { change: (e) => alter({ beside: e.target.value }) } },
      kept.map((c) => h("option", { value: c.collection, selected: c.collection === view.beside }, `${nameOf(c)} (${c.encoder.split("/")[1].slice(0, 6)})`)))));
  }).catch(() => null);
  return bar;
}

/** The heading of one side. */
export function compareHead(answer, live) {
  const node = h("h3.side-head", {}, live ? "Live now" : "Earlier");
  collections().then((all) => {
    const at = all.find((c) => c.collection === answer.collection);
    if (!at) return;
    node.append(h("small.quiet", {}, ` ${live && at.published_at ? `since ${moment(at.published_at)}` : nameOf(at)}`));
  }).catch(() => null);
  return node;
}

/** What a card says against the other side: that only this side has it, or how far it moved. */
export function otherSide(items, others) {
  const place = new Map(others.map((item, i) => [item.id, i]));
  return (item, index) => (place.has(item.id) ? { moved: place.get(item.id) - index } : { only: true });
}
