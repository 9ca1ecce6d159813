/** The query: a product, words or photographs, and what steers the search. */
import { product as getProduct } from "./api.js";
import { prices, shelfButton } from "./card.js";
import { showDetails } from "./details.js";
import { button, fill, h, icon, iconButton, image, webLink } from "./dom.js";
import { photo, photoFragment, photoImage } from "./photos.js";
import { sliders } from "./sliders.js";
import { changeView, currentView, addressOfView } from "./state.js";
import { toast } from "./toast.js";
import { leaf, titleOf } from "./format.js";

/** Build the bar; `update(view, response, product)` redraws it. */
export function queryBar() {
  const main = h("div.query-main");
  const steering = h("div.chips", { role: "group", "aria-label": "What steers the search" });
  const controls = sliders();
  const words = wordsField();
  const steer = h("div.steer", { id: "steer" }, controls.node, h("div.steer-foot", {}, controls.reset, words.node));
  const tune = button("Fine-tune", () => {
    const open = steer.classList.toggle("open");
    tune.setAttribute("aria-expanded", String(open));
  }, { icon: "rules", kind: "button fine-tune", "aria-expanded": "false", "aria-controls": "steer" });
  const node = h("section.query.surface", { "aria-label": "What you look for" }, main, tune, steer, steering);
  let drawn = "";
  return {
    node,
    update(view, response, product) {
      node.hidden = view.id !== null && product === null;
      const print = JSON.stringify([view.id, view.id === null && view.text, view.photos, product === undefined ? "?" : product, view.like.length]);
      if (print !== drawn) { drawn = print; draw(main, view, product); }
      drawSteering(steering, view);
      words.update(view);
      controls.update(view, response);
    },
  };
}

function draw(main, view, product) {
  main.className = "query-main";
  if (view.id !== null && product === null) fill(main);
  else if (view.id !== null) drawProduct(main, view, product);
  else if (view.photos.length) drawPhotos(main, view);
  else drawWords(main, view);
}

function drawProduct(main, view, product) {
  if (product === undefined) {
    fill(main, h("div.portrait.skeleton"), h("div.facts", { "aria-hidden": "true" }, h("i.skeleton.line.shorter"), h("i.skeleton.line.tall"), h("i.skeleton.line.short")));
    return;
  }
  const link = webLink(product.link);
  const path = Array.isArray(product.product_type) ? product.product_type : [];
  fill(main,
    h("button.portrait", { type: "button", "aria-label": "All details, and the image in large", on: { click: () => showDetails(product) } }, image(product, { sizes: "(max-width: 640px) 34vw, 190px", side: 320, eager: true })),
    h("div.facts", {},
      h("p.kicker", {}, "Similar to"),
      h("h1", {}, titleOf(product)),
      path.length > 0 && h("nav.trail", { "aria-label": "Category" }, path.map((p, i) => [i > 0 && h("span", { "aria-hidden": "true" }, "›"), h("a", { href: addressOfView({ ...view, filter: { ...view.filter, product_type: [p] } }), title: `Show only ${leaf(p)}` }, leaf(p))])),
      h("p.meta", {}, [product.brand, product.color, product.material, product.size].filter(Boolean).join(" · ")),
      prices(product),
      h("div.tools", {},
        h("span.id", {}, h("code", {}, product.id), iconButton("duplicate", `Copy the id ${product.id}`, () => copy(product.id, "The id"), { class: "small", tip: "Copy the id" })),
        shelfButton(product, "small"),
        iconButton("rules", "Rules for this product", () => changeView({ panel: currentView().panel === "rules" ? "" : "rules", about: null }), { class: "small", tip: "Rules" }),
        iconButton("link", "Copy a link to this view", copyLink, { class: "small", tip: "Copy link" }),
        link && h("a.round.small", { href: link, target: "_blank", rel: "noopener noreferrer", "aria-label": "Open in the shop (new tab)", "data-tip": "Open in the shop" }, icon("out")))));
}

function drawPhotos(main, view) {
  const many = view.photos.length > 1;
  fill(main, h("div.portrait.photos", {}, view.photos.slice(0, 4).map((key) => photoImage(key, "Your photograph"))),
    h("div.facts", {}, h("p.kicker", {}, many ? "Looks like your photographs" : "Looks like your photograph"),
      h("h1", {}, view.text ? `and “${view.text}”` : "What looks alike"),
      h("p.quiet", {}, "Turned upright and made smaller on this device; the place where it was taken is not sent."),
      h("div.tools", {}, button("Copy link", copyLink, { icon: "link", kind: "ghost" }))));
  Promise.all(view.photos.map(photo)).then((all) => {
    if (all.every(Boolean)) return;
    fill(main, h("div.portrait", {}, h("span.empty-image", {}, icon("camera"))), h("div.facts", {}, h("p.kicker", {}, "A photograph"),
      h("h1", {}, "The photograph is not on this device"), h("p.quiet", {}, "It is only on the device where it was chosen. Choose it again, or ask for a link made with “Copy link”, which includes the photograph.")));
  });
}

function drawWords(main, view) {
  main.classList.add("plain");
  fill(main, h("div.facts", {}, h("p.kicker", {}, view.text ? "What fits these words" : "Similar to what you chose"),
    h("h1", {}, view.text ? `“${view.text}”` : view.like.length === 1 ? "One product" : `${view.like.length} products together`),
    h("div.tools", {}, button("Copy link", copyLink, { icon: "link", kind: "ghost" }))));
}

function drawSteering(place, view) {
  const chips = [
    view.id !== null && view.text && chip("search", `“${view.text}”`, "", () => changeView({ text: "" }), `Remove the words ${view.text}`),
    ...view.like.filter((id) => id !== view.id).map((id) => productChip(id, "more", () => changeView({ like: view.like.filter((x) => x !== id) }))),
    ...view.unlike.map((id) => productChip(id, "less", () => changeView({ unlike: view.unlike.filter((x) => x !== id) }))),
    view.photos.length > 0 && view.id !== null && chip("camera", "Your photograph", "", () => changeView({ photos: [] }), "Remove the photograph"),
  ];
  const key = JSON.stringify([view.text, view.like, view.unlike, view.photos, view.id]);
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  fill(place, chips);
  place.hidden = !place.childElementCount;
}

function chip(name, words, kind, drop, label) {
  return h(kind ? `span.chip.${kind}` : "span.chip", {}, name && icon(name), h("span", {}, words), h("button", { type: "button", "aria-label": label, on: { click: drop } }, icon("close")));
}

function productChip(id, kind, drop) {
  const words = h("span", { title: id }, id);
  const node = h(`span.chip.tiny.${kind}`, {}, icon(kind), h("span.hidden", {}, kind === "more" ? "More like " : "Less like "), words, h("button", { type: "button", "aria-label": `Remove “${kind} like” ${id}`, on: { click: drop } }, icon("close")));
  getProduct(id).then((p) => {
    if (!p) return;
    words.textContent = titleOf(p);
    words.title = titleOf(p);
    node.querySelector(".icon").after(image(p, { side: 96, sizes: "24px" }));
    node.lastChild.setAttribute("aria-label", `Remove “${kind} like” ${titleOf(p)}`);
  }).catch(() => null);
  return node;
}

/** "… but in blue": words added to a product or a photograph. */
function wordsField() {
  const input = h("input.input", { type: "text", maxlength: "200", placeholder: "Add words: “in blue”", "aria-label": "Add words to this search", enterkeyhint: "search" });
  const node = h("form.add-words", { on: { submit: (e) => { e.preventDefault(); const text = input.value.trim(); if (text) { input.value = ""; changeView({ text }); } } } }, input,
    h("button.button", { type: "submit" }, "Add"));
  return { node, update(view) { node.hidden = view.id === null && !view.photos.length; } };
}

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`${what} was copied`);
  } catch {
    toast(`Copying is not allowed here. ${what}: ${text}`);
  }
}

/** Copy the URL of the view, with small versions of its photographs. */
export async function copyLink() {
  const view = currentView();
  await copy(location.origin + addressOfView(view) + await photoFragment(view.photos), "The link");
}

