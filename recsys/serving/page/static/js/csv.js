/** Lists as CSV that spreadsheets read as text and numbers, never as formulas. */

const COLUMNS = [
  ["id", (p) => p.id], ["title", (p) => p.title], ["brand", (p) => p.brand], ["category", (p) => (Array.isArray(p.product_type) ? p.product_type.at(-1) : p.product_type)],
  ["color", (p) => p.color], ["price", (p) => p.price], ["sale_price", (p) => p.sale_price], ["currency", (p) => p.currency],
  ["availability", (p) => p.availability], ["link", (p) => p.link],
];

/** One cell; text that a spreadsheet would run as a formula gets a leading apostrophe. */
export function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  let text = String(value);
  if (/^[=+\-@\t\r\n\uFF1D\uFF0B\uFF0D\uFF20]/.test(text)) text = `'${text}`;
  return /[",\r\n;]/.test(text) || text !== text.trim() ? `"${text.replaceAll('"', '""')}"` : text;
}

export function toCsv(products) {
  const rows = [COLUMNS.map(([name]) => name), ...products.map((p) => COLUMNS.map(([, read]) => cell(read(p))))];
  return `\uFEFF${rows.map((r) => r.join(",")).join("\r\n")}\r\n`; // the mark tells Excel that it is UTF-8
}

/** Download a text as a file. */
export function download(name, text, kind = "text/csv;charset=utf-8") {
  const address = URL.createObjectURL(new Blob([text], { type: kind }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
