/** What a rule would do: the list before and after, with the moved products marked. */
import { previewRule } from "./api.js";
import { fill, h, debounce, image } from "./dom.js";
import { titleOf } from "./format.js";

const SHOWN = 12;

/** Build a preview; `show(rule, query)` draws it after a pause; only the last call counts. */
export function preview() {
  const node = h("div.preview", { "aria-live": "polite" });
  let running = null;
  const show = debounce(250, async (rule, query, words) => {
    running?.abort();
    running = new AbortController();
    if (!query) { fill(node, h("p.hint", {}, "Open a product to see what the rule would do there.")); return; }
    node.classList.add("stale");
    try {
      const { before, after, rank_changes: changes } = await previewRule(rule, { ...query, limit: SHOWN, offset: 0, explain: false }, running.signal);
      draw(node, before, after, changes, words);
    } catch (problem) {
      if (problem.name === "AbortError") return;
      fill(node, h("p.hint.bad", {}, `${problem.message} ${problem.fix ?? ""}`));
    }
    node.classList.remove("stale");
  });
  return { node, show, clear: (words) => { show.cancel(); running?.abort(); fill(node, h("p.hint", {}, words)); } };
}

function draw(node, before, after, changes, words) {
  const marks = new Map(changes.map((m) => [m.id, m]));
  const n = changes.filter((m) => m.before === null || m.after === null || m.before < SHOWN || m.after < SHOWN).length;
  const row = (title, items, side) => h("div", {}, h("h4", {}, title), h("ol.preview-row", { "aria-label": title }, items.slice(0, SHOWN).map((item) => {
    const mark = marks.get(item.id);
    const leaves = side === "before" && mark && (mark.after === null || mark.after >= SHOWN);
    const label = !mark ? "" : side === "before" ? (leaves ? "leaves" : "") : mark.before === null ? "new" : mark.after < mark.before ? `▲ ${mark.before - mark.after}` : `▼ ${mark.after - mark.before}`;
    return h("li.tiny", { class: leaves || (side === "after" && mark && !label.startsWith("▼")) ? "tiny marked" : "tiny", title: titleOf(item.product) }, image(item.product, { side: 96, sizes: "64px", alt: titleOf(item.product) }), label && h("span.mark", {}, label));
  })));
  fill(node, h("p.hint", {}, n ? `${words} ${n === 1 ? "One product moves" : `${n} products move`}.` : `${words} Nothing moves among the first ${SHOWN}.`), row("Now", before.items, "before"), row("With this rule", after.items, "after"));
}
