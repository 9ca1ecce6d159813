/** The card of one product found: image, title, price, similarity and its actions. */
import { product as getProduct } from "./api.js";
import { prefersReducedMotion, fill, h, icon, iconButton, image } from "./dom.js";
import { EMPTY, addressOfView } from "./state.js";
import { summary, shelf } from "./storage.js";
import { ACTIONS, LABELS, similarityInWords, categoryOf, count, fitInWords, leaf, money, partNames, percent, stock, titleOf } from "./format.js";

export const addressOf = (id) => addressOfView({ ...EMPTY, page: "find", id });
const SIZES = "(max-width: 640px) 46vw, (max-width: 1199px) 28vw, 240px";

/**
 * Build a card. `handlers` are `why, like, unlike, rule, judge`; `state` holds `kind, weight, best` of the query,
 * `subject, label, mayChange, eager` and, in a comparison, `only` (on this side alone) and `moved`.
 */
export function card(item, state, handlers) {
  const { product } = item;
  const title = titleOf(product);
  const href = addressOf(item.id);
  const node = h("li.card", { data: { id: item.id } });
  fill(node,
    h("div.shot", {},
      h("a.product-image", { href, tabindex: "-1", "aria-hidden": "true" }, image(product, { sizes: SIZES, side: 320, eager: state.eager })),
      badges(item, state),
      shelfButton(product),
      quick(item, state, handlers)),
    h("div.about", {},
      h("h3.title", {}, h("a", { href, title }, title)),
      h("p.meta.quiet", {}, [product.brand, product.color, !product.brand && leaf(categoryOf(product) ?? "")].filter(Boolean).join(" · ")),
      prices(product),
      similarity(item, state, handlers)),
    variants(item));
  node.classList.toggle("only", Boolean(state.only));
  return node;
}

export function prices(product) {
  const available = stock(product.availability);
  const reduced = typeof product.sale_price === "number" && product.sale_price < product.price;
  if (typeof product.price !== "number" && !available) return null;
  return h("p.price", {},
    typeof product.price === "number" && (reduced
      ? [h("span.hidden", {}, "Now "), h("ins", {}, money(product.sale_price, product.currency)), " ", h("span.hidden", {}, "before "), h("s.quiet", {}, money(product.price, product.currency))]
      : h("span", {}, money(product.price, product.currency))),
    available && h("span.stock", { class: `stock ${available[1]}` }, available[0]));
}

function similarity(item, { kind, weight, best }, handlers) {
  return h("div.likeness", {},
    h("p", {}, h("b.number", {}, percent(item.score)), " ", h("span.quiet", {}, kind === "words" ? fitInWords(item.score, best) : similarityInWords(item.score))),
    h("button.ghost.why", { type: "button", data: { act: "why" }, "aria-label": `Why is ${titleOf(item.product)} here?`, on: { click: () => handlers.why(item) } }, "Why?"),
    parts(item, kind, weight));
}

/** Two thin bars: blue for looks, amber for words. */
function parts(item, kind, weight) {
  const [looks, text] = partNames(kind);
  const words = `${looks} ${percent(item.image_score)}, ${text.toLowerCase()} ${percent(item.text_score)}`;
  return h("div.parts", { role: "img", "aria-label": words, title: words }, bar("image", item.image_score, weight), bar("text", item.text_score, 1 - weight));
}

function bar(kind, score, weight) {
  const node = h(weight > 0 ? `i.${kind}` : `i.${kind}.off`);
  node.style.width = percent(score);
  return node;
}

function badges(item, { moved = 0, label }) {
  const acts = (item.explain?.rules ?? []).map((r) => r.action);
  const list = [];
  if (item.pinned) list.push(h("span.badge.pin", {}, icon("pin"), "Pinned"));
  else if (acts.includes("boost")) list.push(h("span.badge", {}, icon("boost"), "Boosted"));
  else if (acts.includes("bury")) list.push(h("span.badge", {}, icon("bury"), "Buried"));
  if (label) list.push(h("span.badge", { class: `badge ${label}` }, icon(LABELS[label].icon), LABELS[label].name));
  if (moved) list.push(h("span.badge", { title: "Against the other list" }, `${moved > 0 ? "▲" : "▼"} ${Math.abs(moved)}`));
  return list.length > 0 && h("div.badges", {}, list);
}

/** A button that puts a product on the shelf or takes it off; it follows changes made elsewhere. */
export function shelfButton(product, classes = "on-image", { words = false } = {}) {
  const node = iconButton("shelf", "", () => {
    if (shelf.has(product.id)) shelf.drop(product.id);
    else shelf.add(summary(product));
  }, { class: `${classes} shelf-toggle tip-left`, data: { act: "shelf" } });
  if (words) {
    node.classList.replace("round", "button");
    node.append(h("span"));
  }
  const show = () => {
    const on = shelf.has(product.id);
    node.setAttribute("aria-pressed", String(on));
    node.setAttribute("aria-label", `${on ? "Take" : "Put"} ${titleOf(product)} ${on ? "off" : "on"} the shelf`);
    const tip = on ? "Take off the shelf" : "Put on the shelf";
    if (words) { node.lastChild.textContent = on ? "On the shelf" : tip; delete node.dataset.tip; } else node.dataset.tip = tip;
  };
  show();
  const stop = shelf.follow(() => { if (node.isConnected) show(); else stop(); });
  return node;
}

function quick(item, state, handlers) {
  const title = titleOf(item.product);
  const one = (name, label, act, on = false) => iconButton(name, `${label}: ${title}`, act, { tip: label, class: "small", data: { act: name }, "aria-pressed": String(on) });
  const rules = new Set((item.explain?.rules ?? []).map((r) => r.action));
  const rows = [
    [one("more", "More like this", () => handlers.like(item)), one("less", "Less like this", () => handlers.unlike(item)),
      state.mayChange && state.subject && Object.entries(LABELS).map(([label, { icon: name, name: words }]) => one(name, words, () => handlers.judge(label, item), state.label === label))],
    state.mayChange && Object.entries(ACTIONS).map(([action, { icon: name, name: words, does: what }]) => one(name, `${words}: ${what}`, () => handlers.rule(action, item), rules.has(action))),
  ].filter(Boolean);
  return [
    h("div.quick", { role: "group", "aria-label": `Act on ${title}` }, rows.map((row) => h("div", {}, row))),
    iconButton("dots", `What can be done with ${title}`, () => handlers.why(item), { class: "on-image open-actions", tip: "Actions" }),
  ];
}

function variants(item) {
  if (!item.variants?.length) return null;
  const list = h("ul.variants", { hidden: true, "aria-label": "Variants" });
  const words = `${count(item.variants.length, "more variant")}`;
  const toggle = h("button.ghost.plain.expand", { type: "button", "aria-expanded": "false", data: { act: "variants" }, on: { click: () => toggleVariants(item, toggle, list) } }, icon("down"), words);
  return [toggle, list];
}

async function toggleVariants(item, toggle, list) {
  const open = list.hidden;
  toggle.setAttribute("aria-expanded", String(open));
  list.hidden = !open;
  if (!open || list.childElementCount) return;
  fill(list, item.variants.map(() => h("li.tiny.skeleton")));
  const found = await Promise.all(item.variants.slice(0, 30).map((id) => getProduct(id).catch(() => null)));
  fill(list, found.filter(Boolean).map((p) => h("li.tiny", {}, variantLink(p))));
}

/** A small image that links to a variant, labelled with its colour and size. */
export function variantLink(product) {
  const what = [product.color, product.size, product.material].filter(Boolean).join(", ");
  return h("a", { href: addressOf(product.id), title: titleOf(product), "aria-label": what ? `${titleOf(product)} (${what})` : titleOf(product) }, image(product, { side: 96, sizes: "52px" }));
}

/** Placeholders of the size of cards, while a response is loading. */
export function skeletons(n) {
  return Array.from({ length: n }, () => h("li.card.waiting", { "aria-hidden": "true" }, h("div.shot", {}, h("div.product-image.skeleton")),
    h("div.about", {}, h("i.skeleton.line"), h("i.skeleton.line.short"), h("i.skeleton.line.shorter"))));
}

/** Animate cards from their rectangles in `before` to their new places. */
export function animateMoves(list, before) {
  if (prefersReducedMotion()) return;
  for (const node of list.children) {
    const was = before.get(node);
    if (!was) { if (before.size) node.animate([{ opacity: 0 }, { opacity: 1 }], { duration: 220 }); continue; }
    const is = node.getBoundingClientRect();
    const [x, y] = [was.left - is.left, was.top - is.top];
    if ((x || y) && is.top < innerHeight && is.bottom > 0) {
      node.animate([{ transform: `translate(${x}px, ${y}px)` }, { transform: "none" }], { duration: 260, easing: "cubic-bezier(.2, .7, .3, 1)" });
    }
  }
}
