/** A dialog with a large image of a product and all its columns. */
import { h, iconButton, image } from "./dom.js";
import { categoryOf, columnName, money, stock, titleOf } from "./format.js";

const ORDER = ["id", "brand", "product_type", "google_product_category", "color", "size", "material", "pattern", "gender", "age_group", "price", "sale_price", "availability", "item_group_id"];

/** Open the dialog. */
export function showDetails(product) {
  const dialog = h("dialog.details", { "aria-labelledby": "details-title", on: { close: () => dialog.remove(), click: (e) => { if (e.target === dialog) dialog.close(); } } },
    h("div.panel-head", {}, h("h2", { id: "details-title" }, titleOf(product)), iconButton("close", "Close", () => dialog.close(), { class: "tip-below tip-left" })),
    h("div.details-body", {}, h("div.large", {}, image(product, { sizes: "(max-width: 640px) 90vw, 480px", side: 640, eager: true, alt: titleOf(product) })),
      h("dl.columns-list", {}, rows(product).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))))));
  document.body.append(dialog);
  dialog.showModal();
}

function rows(product) {
  const own = ORDER.filter((c) => product[c] !== undefined && product[c] !== null).map((c) => [c === "id" ? "Id" : columnName(c), shown(product, c)]);
  return [...own, ...Object.entries(product.attributes ?? {}).map(([name, value]) => [columnName(`attributes.${name}`), value])];
}

function shown(product, column) {
  const value = product[column];
  if (column === "price" || column === "sale_price") return money(value, product.currency);
  if (column === "availability") return stock(value)[0];
  return Array.isArray(value) ? value.at(-1) ?? categoryOf(product) ?? "" : String(value);
}
