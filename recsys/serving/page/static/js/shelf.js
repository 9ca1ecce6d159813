/** The shelf: products collected across searches, ordered by hand, exported as CSV, shared by a link. */
import { product as getProduct } from "./api.js";
import { addressOf, prices } from "./card.js";
import { download, toCsv } from "./csv.js";
import { button, fill, h, icon, iconButton, image, announce } from "./dom.js";
import { definePanel } from "./panel.js";
import { copy } from "./query_bar.js";
import { EMPTY, showView, addressOfView } from "./state.js";
import { summary, shelf } from "./storage.js";
import { toast } from "./toast.js";
import { count, titleOf } from "./format.js";

const LINKED = 60;

definePanel("shelf", (body) => { shelfList(body); });

/** The page of the shelf: mine, or that of a link. */
export function shelfPage(place, view) {
  if (view.items.length) { linked(place, view.items); return; }
  const body = h("div.panel-body");
  fill(place, h("div.sheet-page", {}, h("h1", {}, "Shelf"), h("p.quiet", {}, "Products you collected. They stay in this browser until you take them off."), h("div.surface", {}, body)));
  shelfList(body);
}

function shelfList(body) {
  const tools = h("div.shelf-tools");
  const list = h("ol.shelf-list", { "aria-label": "Shelf" });
  fill(body, tools, list);
  const draw = () => {
    const products = shelf.all();
    fill(tools, products.length > 0 && [
      h("b", {}, count(products.length, "product")),
      button("CSV", () => exportCsv(products), { icon: "download", "aria-label": "Export as CSV" }),
      button("Copy link", () => copy(location.origin + addressOfView({ ...EMPTY, page: "shelf", items: products.slice(0, LINKED).map((p) => p.id) }), "The link"), { icon: "link", kind: "ghost" }),
      button("Search from these", () => showView({ ...EMPTY, page: "find", like: products.slice(0, 12).map((p) => p.id) }), { icon: "search", kind: "ghost" }),
      button("Empty", () => { shelf.set([]); toast(`${count(products.length, "product")} taken off the shelf`, { undo: async () => shelf.set(products) }); }, { icon: "trash", kind: "ghost plain" })]);
    if (!products.length) { fill(list, h("li.notice", {}, icon("shelf"), h("p.strong", {}, "The shelf is empty"), h("p.quiet", {}, "Put products here with the bookmark on their image. They stay while you search on."))); return; }
    fill(list, products.map((p, i) => row(p, i, products.length)));
  };
  draw();
  const stop = shelf.follow(() => { if (list.isConnected) draw(); else stop(); });
  dragging(list);
}

function row(product, index, many) {
  const title = titleOf(product);
  const move = (to, words) => { shelf.move(product.id, to); announce(`${title}, ${words}: place ${to + 1} of ${many}.`); };
  return h("li.shelf-row", { data: { id: product.id }, draggable: "true" },
    h("span.grip", { "aria-hidden": "true", title: "Drag to reorder" }, icon("grip")),
    h("a.thumb.tiny", { href: addressOf(product.id), tabindex: "-1", "aria-hidden": "true", draggable: "false" }, image(product, { side: 96, sizes: "56px" })),
    h("div.what", {}, h("a.title", { href: addressOf(product.id), draggable: "false" }, title), h("small.quiet", {}, [product.brand, product.id].filter(Boolean).join(" · ")), prices(product)),
    h("div.row-tools", {},
      iconButton("boost", `Move ${title} up`, () => move(index - 1, "moved up"), { class: "small", tip: "Up", disabled: index === 0, data: { act: "up" } }),
      iconButton("bury", `Move ${title} down`, () => move(index + 1, "moved down"), { class: "small", tip: "Down", disabled: index === many - 1, data: { act: "down" } }),
      iconButton("close", `Take ${title} off the shelf`, () => { shelf.drop(product.id); toast(`Taken off: ${title}`, { undo: async () => { shelf.add(product); shelf.move(product.id, index); } }); }, { class: "small tip-left", tip: "Take off", data: { act: "drop" } })));
}

function dragging(list) {
  let held = null;
  list.addEventListener("dragstart", (event) => {
    held = event.target.closest?.("li");
    if (!held) return;
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", held.dataset.id);
    requestAnimationFrame(() => held?.classList.add("held"));
  });
  list.addEventListener("dragover", (event) => {
    const over = event.target.closest("li");
    if (!held || !over) return;
    event.preventDefault();
    if (over === held) return;
    const box = over.getBoundingClientRect();
    list.insertBefore(held, event.clientY < box.top + box.height / 2 ? over : over.nextSibling);
  });
  list.addEventListener("drop", (event) => { if (held) event.preventDefault(); });
  list.addEventListener("dragend", () => {
    if (!held) return;
    held.classList.remove("held");
    const [id, to] = [held.dataset.id, [...list.children].indexOf(held)];
    held = null;
    shelf.move(id, to);
  });
}

function exportCsv(products) {
  download(`shelf-${new Date().toISOString().slice(0, 10)}.csv`, toCsv(products));
  announce(`${count(products.length, "product")} exported.`);
}

/** A shelf that somebody shared. */
function linked(place, ids) {
  const list = h("ol.shelf-list", { "aria-label": "Shared shelf" }, ids.slice(0, 3).map(() => h("li.skeleton.line")));
  const head = h("div.shelf-tools");
  fill(place, h("div.sheet-page", {}, h("h1", {}, "A shelf that was shared"), h("p.quiet", {}, "Yours is not changed until you add these."), h("div.surface", {}, h("div.panel-body", {}, head, list))));
  Promise.all(ids.slice(0, LINKED).map((id) => getProduct(id).catch(() => null))).then((found) => {
    const products = found.filter(Boolean).map(summary);
    const gone = ids.length - products.length;
    fill(head, h("b", {}, count(products.length, "product")), gone > 0 && h("span.quiet", {}, `${gone} no longer in the shop`),
      button("Add to my shelf", () => { shelf.add(...products); showView({ ...EMPTY, page: "shelf" }); }, { icon: "shelf", kind: "button main" }),
      button("CSV", () => exportCsv(products), { icon: "download", "aria-label": "Export as CSV" }));
    fill(list, products.map((p) => h("li.shelf-row", {}, h("a.thumb.tiny", { href: addressOf(p.id), tabindex: "-1", "aria-hidden": "true" }, image(p, { side: 96, sizes: "56px" })),
      h("div.what", {}, h("a.title", { href: addressOf(p.id) }, titleOf(p)), h("small.quiet", {}, [p.brand, p.id].filter(Boolean).join(" · ")), prices(p)))));
  });
}
