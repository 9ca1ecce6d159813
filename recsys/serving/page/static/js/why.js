/** The panel that explains why a product is in the list, with its actions. */
import { labelOf, lessLike, moreLike, setLabel, setRule } from "./actions.js";
import { mayChange, product as getProduct } from "./api.js";
import { addressOf, prices, shelfButton, variantLink } from "./card.js";
import { button, fill, h, icon, image } from "./dom.js";
import { photoImage } from "./photos.js";
import { definePanel, shownResults } from "./panel.js";
import { changeView, kindOf, currentView, queryOf, subject } from "./state.js";
import { ACTIONS, LABELS, similarityInWords, columnName, count, fitInWords, ordinal, partNames, percent, titleOf, valueName } from "./format.js";

definePanel("why", (body) => {
  let drawn = "";
  let gone = null;
  const follow = () => {
    const { response, items } = shownResults();
    const at = currentView();
    const place = items.findIndex((i) => i.id === at.about);
    const item = items[place];
    const print = JSON.stringify([item, at.about, labelOf(at.about), response?.image_weight]);
    if (print === drawn) return;
    drawn = print;
    if (item) { gone = null; draw(body, item, response, place); }
    else if (!response) fill(body, h("p.hint", {}, "Searching …"));
    else if (!gone) { // keep the explanation, and say that it is outdated
      gone = h("p.strip", { role: "status" }, "It is not in the list any more.");
      if (body.querySelector(".pair")) body.prepend(gone); else fill(body, gone);
    }
  };
  fill(body, h("i.skeleton.line"), h("i.skeleton.line.short"));
  follow();
  return { follow };
});

function draw(body, item, response, place) {
  fill(body, pair(item), meters(item, response), shared(item), rulesOf(item, place), acts(item), variantsOf(item));
}

function pair(item) {
  const view = currentView();
  const liked = queryOf(view).like;
  const queried = h("div.pair-side");
  if (liked.length) {
    fill(queried, h("div.frame-image.skeleton"));
    getProduct(liked[0]).then((p) => fill(queried, h("div.frame-image", {}, image(p, { side: 320, sizes: "170px", alt: titleOf(p) })), h("p.title", {}, titleOf(p)), liked.length > 1 && h("p.quiet", {}, `and ${count(liked.length - 1, "more product")}`))).catch(() => null);
  } else if (view.photos.length) fill(queried, h("div.frame-image", {}, photoImage(view.photos[0])), h("p.title", {}, "Your photograph"));
  else fill(queried, h("div.frame-image.quote", {}, `“${view.text}”`), h("p.title", {}, "Your words"));
  return h("div.pair", {}, queried, h("div.pair-side", {},
    h("a.frame-image", { href: addressOf(item.id), "aria-label": `Open ${titleOf(item.product)}` }, image(item.product, { side: 320, sizes: "170px", alt: titleOf(item.product) })),
    h("p.title", {}, h("a", { href: addressOf(item.id) }, titleOf(item.product))), prices(item.product)));
}

function meters(item, response) {
  const w = response.image_weight;
  const kind = kindOf(currentView());
  const [looks, text] = partNames(kind);
  const best = Math.max(...shownResults().items.map((i) => i.score));
  const standIn = item.product.has_image === false ? "It has no image; its words are used instead." : item.product.has_text === false ? "It has no text; its image is used instead." : "";
  return h("section.why-part", {},
    h("p.verdict", {}, h("b.number", {}, percent(item.score)), " ", kind === "words" ? fitInWords(item.score, best) : similarityInWords(item.score)),
    meter("image", looks, item.image_score, w), meter("text", text, item.text_score, 1 - w),
    h("p.hint", {}, [standIn, w === 1 ? "Only looks count now." : w === 0 ? "Only words count now." : `Together: looks count ${percent(w)}, words ${percent(1 - w)}.`, currentView().variety > 0 ? "Variety may move it further down." : ""].filter(Boolean).join(" ")));
}

function meter(kind, label, score, weight) {
  const fillBar = h(`i.${kind}`);
  fillBar.style.width = percent(score);
  return h("div.meter", { class: weight === 0 ? "meter off" : "meter", role: "meter", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": String(Math.max(0, Math.min(100, Math.round(score * 100)))) },
    h("span", {}, label), h("b.number", {}, percent(score)), h("div.track", {}, fillBar));
}

const CHIPS = 8;

function shared(item) {
  const names = new Set();
  const list = (item.explain?.shared ?? []).filter(({ column, value }) => {
    const name = `${columnName(column)}:${value}`.toLowerCase(); // a column and a custom attribute may say the same
    return !names.has(name) && names.add(name);
  });
  if (!list.length) return h("section.why-part", {}, h("h3", {}, "In common"), h("p.hint", {}, "They share no brand, category or other column; only looks and words count."));
  return h("section.why-part", {}, h("h3", {}, "In common"), h("div.chips", {}, list.slice(0, CHIPS).map(({ column, value }) =>
    h("span.chip", { title: `${columnName(column)}: ${value}` }, h("small.quiet", {}, columnName(column)), h("span", {}, valueName(column, value)))), list.length > CHIPS && h("span.hint", {}, `and ${list.length - CHIPS} more`)));
}

function rulesOf(item, place) {
  const rules = item.explain?.rules ?? [];
  if (!rules.length) return null;
  const before = item.explain.rank_without_rules;
  const moved = before === null ? "Without rules it would not be in this list." : before === place ? "It would be here without rules too." : `Without rules it would be ${ordinal(before + 1)}; now it is ${ordinal(place + 1)}.`;
  return h("section.why-part", {}, h("h3", {}, "Rules that apply"), h("p", {}, moved), h("ul.applied", {}, rules.map((r) => h("li", {}, icon(ACTIONS[r.action].icon),
    h("p", {}, h("b", {}, ACTIONS[r.action].done), ` by ${r.author}`, r.reason && h("span.quiet", {}, `: ${r.reason}`)), mayChange() && button("Open", () => changeView({ panel: "rule", about: String(r.rule_id) }), { kind: "ghost" })))));
}

function acts(item) {
  const about = subject(currentView());
  const active = new Set((item.explain?.rules ?? []).map((r) => r.action));
  const one = (name, words, act, on) => button(words, act, { icon: name, "aria-pressed": on === undefined ? null : String(on), data: { act: name } });
  return [
    h("section.why-part", {}, h("h3", {}, "Continue the search"), h("div.act-grid", {}, one("more", "More like this", () => moreLike(item)), one("less", "Less like this", () => lessLike(item)),
      h("a.button", { href: addressOf(item.id) }, icon("search"), "Start from it"), shelfButton(item.product, "wide-shelf", { words: true }))),
    mayChange() && about !== null && h("section.why-part", {}, h("h3", {}, "Is it right?"), h("div.act-grid.three", {},
      Object.entries(LABELS).map(([label, { icon: name, name: words }]) => one(name, words, () => setLabel(label, item), labelOf(item.id) === label))), h("p.hint", {}, "The nightly training learns from your judgements.")),
    mayChange() && h("section.why-part", {}, h("h3", {}, about !== null ? "Its place in this list" : "Its place in lists"), h("div.act-grid", {},
      Object.entries(ACTIONS).map(([action, { icon: name, name: words, does }]) => one(name, [h("span", {}, words, h("small.quiet", {}, does))], () => setRule(action, item), active.has(action))))),
  ];
}

function variantsOf(item) {
  if (!item.variants?.length) return null;
  const list = h("ul.variants", {}, item.variants.slice(0, 24).map(() => h("li.tiny.skeleton")));
  Promise.all(item.variants.slice(0, 24).map((id) => getProduct(id).catch(() => null))).then((found) => fill(list, found.filter(Boolean).map((p) => h("li.tiny", {}, variantLink(p)))));
  return h("section.why-part", {}, h("h3", {}, `${count(item.variants.length, "more variant")} grouped under it`), list);
}
