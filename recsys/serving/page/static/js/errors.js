/** What to show when a search fails: what happened, what to do, and a retry where waiting helps. */
import { autocomplete } from "./api.js";
import { addressOf } from "./card.js";
import { button, h, icon, image } from "./dom.js";
import { changeView } from "./state.js";
import { notice } from "./toast.js";
import { titleOf } from "./format.js";

const TRIES = 30;
let tries = 0;

/** Show a problem instead of the products. */
export function showProblem(place, problem, view, again) {
  if (problem.status === 503 && problem.retryAfter !== null && tries < TRIES) { waitFor(place, problem, again); return; }
  tries = 0;
  const unknown = problem.status === 404 && view.id !== null;
  notice(place, {
    tone: "error", icon: icon("warning"),
    title: unknown ? "This product is not in the shop" : problem.title,
    words: [problem.message, problem.fix],
    actions: [
      !unknown && button("Try again", again, { kind: "button main" }),
      !unknown && Object.keys(view.filter).length > 0 && button("Clear all filters", () => changeView({ filter: {} })),
      h("a.button", { href: "/" }, "Start again"),
    ].filter(Boolean),
  });
  if (unknown) suggest(place, view.id);
}

function waitFor(place, problem, again) {
  tries += 1;
  notice(place, { icon: h("span.spinner", { "aria-hidden": "true" }), title: "One moment", words: ["The service is getting ready to read words and images. This page continues by itself.", problem.message] });
  const node = place.firstChild;
  setTimeout(() => { if (node.isConnected) again(); }, Math.min(10, Math.max(1, problem.retryAfter)) * 1000);
}

export const resetRetries = () => { tries = 0; };

/** Suggest products with a similar id or title. */
async function suggest(place, id) {
  const found = await autocomplete(id.slice(0, Math.max(3, id.length - 2)), { limit: 6 }).catch(() => []);
  if (!found.length) return;
  place.firstChild?.append(h("p.quiet", {}, "Did you mean one of these?"),
    h("ul.mini-row", {}, found.map((p) => h("li.tiny", {}, h("a", { href: addressOf(p.id) }, image(p, { side: 96, sizes: "72px" }), h("span", {}, titleOf(p)))))));
}
