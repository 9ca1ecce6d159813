/** Numbers, prices, times and rules in plain words. */

/** A share as a percentage; only equal things are 100%. */
export const percent = (score) => `${score > 0.99999 ? 100 : Math.max(0, Math.min(99, Math.round(score * 100)))}%`;

/** A similarity score in words. */
export function similarityInWords(score) {
  if (score >= 0.96) return "nearly equal";
  if (score >= 0.85) return "very alike";
  if (score >= 0.7) return "alike";
  if (score >= 0.5) return "somewhat alike";
  return "loosely alike";
}

/** Names of the two parts of a score, by kind of query: product, photo or words. */
export function partNames(kind) {
  if (kind === "words") return ["Image fits the words", "Description fits the words"];
  return kind === "photo" ? ["Looks alike", "Description fits the image"] : ["Looks alike", "Described alike"];
}

/** How well a product fits a text query, relative to the best hit: text and products never score 100%. */
export function fitInWords(score, best) {
  const share = best > 0 ? score / best : 0;
  if (share >= 0.9) return "fits best";
  if (share >= 0.75) return "fits well";
  return share >= 0.55 ? "fits" : "fits loosely";
}

export const count = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

/** 1 → 1st. */
export function ordinal(n) {
  const tail = n % 100 > 10 && n % 100 < 14 ? "th" : { 1: "st", 2: "nd", 3: "rd" }[n % 10] ?? "th";
  return `${n}${tail}`;
}

export function money(value, currency) {
  if (typeof value !== "number") return "";
  try {
    return new Intl.NumberFormat("en", { style: "currency", currency }).format(value);
  } catch {
    return `${value.toFixed(2)}${currency ? ` ${currency}` : ""}`;
  }
}

const STOCK = { in_stock: ["In stock", "good"], out_of_stock: ["Sold out", "bad"], preorder: ["Pre-order", "quiet"], backorder: ["Back-order", "quiet"] };

/** `[words, tone]` of an availability; null where the feed says nothing. */
export const stock = (availability) => (availability ? STOCK[availability] ?? [tidy(availability), "quiet"] : null);

const NAMES = {
  product_type: "Category", google_product_category: "Google category", availability: "Availability", age_group: "Age group",
  item_group_id: "Product family", color: "Colour", sale_price: "Sale price", modalities: "Has",
};

/** A column's name for people: `attributes.base_colour` is Base colour. */
export function columnName(column) {
  return NAMES[column] ?? tidy(column.replace(/^attributes\./, "").replaceAll('"', ""));
}

export const valueName = (column, value) => (column === "availability" ? stock(value)[0] : column === "product_type" ? leaf(value) : value);
export const leaf = (path) => path.split(" > ").at(-1);

function tidy(text) {
  const spaced = text.replace(/([a-z])([A-Z])/g, "$1 $2").replaceAll("_", " ").trim().toLowerCase();
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}

export const titleOf = (product) => product?.title || product?.id || "";
export const categoryOf = (product) => (Array.isArray(product?.product_type) ? product.product_type.at(-1) : product?.product_type) ?? null;

const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const MOMENT = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
export const day = (iso) => (iso ? DAY.format(new Date(iso)) : "");
/** The last day of a rule that ends at this time: midnight belongs to the day before. */
export const lastDay = (iso) => day(new Date(Date.parse(iso) - 1).toISOString());
export const moment = (iso) => (iso ? MOMENT.format(new Date(iso)) : "");

/** "3 hours ago", "in 2 days". */
export function ago(iso, from = Date.now()) {
  const s = (new Date(iso).getTime() - from) / 1000;
  const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(s) >= size) return words.format(Math.round(s / size), unit);
  }
  return "just now";
}

// -- rules ----------------------------------------------------------------------------------------

export const ACTIONS = {
  pin: { icon: "pin", name: "Pin", does: "always first", done: "Pinned", undone: "No longer pinned" },
  boost: { icon: "boost", name: "Boost", does: "shown earlier", done: "Boosted", undone: "No longer boosted" },
  bury: { icon: "bury", name: "Bury", does: "shown later", done: "Buried", undone: "No longer buried" },
  block: { icon: "block", name: "Block", does: "never shown", done: "Blocked", undone: "No longer blocked" },
};
export const LABELS = {
  similar: { icon: "similar", name: "Similar", done: "Noted: similar" },
  not_similar: { icon: "not_similar", name: "Not similar", done: "Noted: not similar" },
  duplicate: { icon: "duplicate", name: "Duplicate", done: "Noted: duplicate" },
};

export function strengthWords(strength) {
  if (strength < 0.06) return "a little";
  return strength < 0.2 ? "clearly" : "strongly";
}

/**
 * A rule in words: what it does, and where. `names` maps product ids to titles; `about` is the product that is shown.
 */
export function ruleWords(rule, names = new Map(), about = null) {
  const name = (id) => `“${names.get(id) ?? id}”`;
  const what = { product: () => name(rule.target_value), category: () => `everything in ${leaf(rule.target_value)}`, brand: () => `everything by ${rule.target_value}` }[rule.target]();
  const does = {
    pin: `Put ${what} first`, block: `Never show ${what}`,
    boost: `Show ${what} ${strengthWords(rule.strength)} earlier`, bury: `Show ${what} ${strengthWords(rule.strength)} later`,
  }[rule.action];
  const where = { product: () => (rule.scope_value === about ? "here" : `next to ${name(rule.scope_value)}`), category: () => `next to products in ${leaf(rule.scope_value)}`, everywhere: () => "everywhere" }[rule.scope]();
  return { does, where };
}

/** The period of a rule in words, and whether it is active, planned or ended. */
export function ruleTime(rule, now = Date.now()) {
  if (rule.retired_at) return { words: `ended ${day(rule.retired_at)}${rule.retired_by ? ` by ${rule.retired_by}` : ""}`, state: "ended" };
  if (rule.expires_at && Date.parse(rule.expires_at) <= now) return { words: `ended ${lastDay(rule.expires_at)}`, state: "ended" };
  if (rule.starts_at && Date.parse(rule.starts_at) > now) {
    return { words: `starts ${day(rule.starts_at)}${rule.expires_at ? `, until ${lastDay(rule.expires_at)}` : ""}`, state: "waiting" };
  }
  return { words: rule.expires_at ? `until ${lastDay(rule.expires_at)}` : "no end date", state: "on" };
}
