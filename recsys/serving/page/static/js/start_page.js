/** The start view: ways to search, recently viewed products, some products of the shop. */
import { facets, someProducts, status } from "./api.js";
import { addressOf } from "./card.js";
import { focusSearch } from "./combobox.js";
import { button, fill, h, icon, image } from "./dom.js";
import { choosePhoto } from "./photo_input.js";
import { EMPTY, addressOfView } from "./state.js";
import { recent } from "./storage.js";
import { notice } from "./toast.js";
import { ago, leaf, titleOf } from "./format.js";

const SOME = 24;
const CATEGORIES = 12;

/** Draw the view into `place`. */
export function start(place) {
  const fresh = h("p.quiet.freshness");
  const seen = h("section.rows");
  const begin = h("section.rows", { "aria-label": "Some products of the shop" });
  const within = h("nav.chips.categories", { "aria-label": "Categories" });
  fill(place, h("div.start", {},
    h("div.hero", {}, h("h1", {}, "Find similar products"), h("p.lead.quiet", {}, "Choose a product to see what looks alike or is described alike, and why. Adjust the order to the season; the nightly training learns from your judgements."), fresh),
    h("div.ways", {},
      way("search", "By name, id or words", "Anything: “blue table lamp”", focusSearch),
      way("camera", "By a photograph", "Drop it here, paste it, or choose it", () => choosePhoto()),
      matchMedia("(pointer: coarse)").matches && way("image", "Take a photograph", "With this device’s camera", () => choosePhoto({ take: true }))),
    within, seen, begin));
  drawRecent(seen);
  drawSome(begin);
  status().then((s) => { if (s.ready) fill(fresh, `${(s.num_products ?? 0).toLocaleString("en")} products`, s.updated_at ?? s.age_s ? `, updated ${ago(s.updated_at ?? new Date(Date.now() - s.age_s * 1000).toISOString())}` : "", "."); }).catch(() => null);
  facets({}, { columns: ["product_type"], limit: 60 }).then((a) => {
    const paths = (a.facets.product_type ?? []).map((v) => v.value);
    const leaves = paths.filter((p) => !paths.some((q) => q.startsWith(`${p} > `))).slice(0, CATEGORIES);
    fill(within, leaves.map((p) => h("a.chip", { href: addressOfView({ ...EMPTY, page: "find", text: leaf(p), filter: { product_type: [p] } }) }, h("span", {}, leaf(p)))));
  }).catch(() => null);
}

function way(name, title, words, act) {
  return h("button.way.surface", { type: "button", on: { click: act } }, icon(name), h("span", {}, h("b", {}, title), h("small.quiet", {}, words)));
}

function drawRecent(place) {
  const list = recent.all().slice(0, 12);
  if (!list.length) { place.hidden = true; return; }
  place.hidden = false;
  place.setAttribute("aria-label", "Recently viewed");
  fill(place, h("div.rows-head", {}, h("h2", {}, "Recently viewed"), button("Forget", () => { recent.set([]); drawRecent(place); }, { kind: "ghost plain" })),
    h("ul.mini-row", {}, list.map((p) => h("li.tiny", {}, h("a", { href: addressOf(p.id) }, image(p, { side: 160, sizes: "112px", eager: true }), h("span", {}, titleOf(p)))))));
}

async function drawSome(place) {
  fill(place, h("h2", {}, "Some products"), h("ul.tiles", {}, Array.from({ length: 12 }, () => h("li.tile", { "aria-hidden": "true" }, h("div.product-image.skeleton"), h("i.skeleton.line.short")))));
  try {
    const products = await someProducts(SOME);
    fill(place, h("h2", {}, "Some products"), h("ul.tiles", {}, products.map((p, i) => h("li.tile", {}, h("a", { href: addressOf(p.id) },
      h("span.product-image", {}, image(p, { side: 320, sizes: "(max-width: 640px) 30vw, 190px", eager: i < 8 })), h("span.title", {}, titleOf(p)), h("small.quiet", {}, p.brand ?? ""))))));
  } catch (problem) {
    notice(place, { tone: "error", icon: icon("warning"), title: problem.title, words: [problem.message, problem.fix], actions: [button("Try again", () => drawSome(place), { kind: "button main" })] });
  }
}
