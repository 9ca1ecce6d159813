/** The fields of a rule's form: choices as buttons, a product, category or brand to pick, dates. */
import { facets, autocomplete, product as getProduct } from "./api.js";
import { fill, h, icon, debounce, image } from "./dom.js";
import { leaf, titleOf } from "./format.js";

/** Radio buttons that look like a row of buttons: `options` are `[value, name, icon]`. */
export function choices(name, legend, options, chosen, set) {
  return h("fieldset.choices", {}, h("legend", {}, legend), h("div.segments", {}, options.map(([value, words, i]) =>
    h("label.segment", {}, h("input", { type: "radio", name, value, checked: value === chosen, on: { change: () => set(value) } }), i && icon(i), h("span", {}, words)))));
}

/** A kind (product, category, brand, everywhere) and which one; `usual(kind)` suggests one. */
export function chooser({ name, legend, kinds, kind, value, set, usual = null }) {
  const at = { kind, value };
  const which = h("div");
  const radios = choices(name, legend, kinds, kind, async (next) => {
    at.kind = next;
    at.value = usual ? await usual(next) : "";
    draw();
    set(at.kind, at.value);
  });
  const node = h("div.chooser", {}, radios, which);
  const pick = (next) => { at.value = next; set(at.kind, next); };
  function draw() {
    if (at.kind === "everywhere") fill(which);
    else if (at.kind === "product") fill(which, productField(`${legend}: product`, at.value, pick));
    else fill(which, listField(`${legend}: ${at.kind}`, at.kind === "brand" ? "brand" : "product_type", at.value, pick));
  }
  draw();
  return {
    node,
    allow(allowed) {
      for (const input of radios.querySelectorAll("input")) {
        input.disabled = !allowed.includes(input.value);
        if (input.checked && input.disabled) {
          const first = radios.querySelector(`input[value="${allowed[0]}"]`);
          first.checked = true;
          at.kind = allowed[0];
          at.value = "";
          draw();
          set(at.kind, "");
        }
      }
    },
  };
}

function productField(label, value, pick) {
  const thumb = h("span.thumb.tiny");
  const options = h("ul.options.inline", { role: "listbox", "aria-label": "Products", hidden: true });
  const input = h("input.input", { type: "text", value, "aria-label": label, placeholder: "Name or id", autocomplete: "off", spellcheck: "false" });
  const show = async (id) => {
    const product = id ? await getProduct(id).catch(() => null) : null;
    fill(thumb, product ? image(product, { side: 96, sizes: "44px" }) : icon("image"));
    if (product && document.activeElement !== input) { input.value = titleOf(product); input.title = product.id; }
  };
  const choose = (product) => { options.hidden = true; input.value = titleOf(product); pick(product.id); show(product.id); };
  const look = debounce(120, async () => {
    const words = input.value.trim();
    const found = words ? await autocomplete(words, { limit: 6 }).catch(() => []) : [];
    fill(options, found.map((p) => h("li", { role: "option", "aria-selected": "false" }, h("button.option", { type: "button", on: { click: () => choose(p) } }, h("span.thumb.tiny", {}, image(p, { side: 96, sizes: "36px" })), h("span.what", {}, h("b", {}, titleOf(p)), h("small.quiet", {}, p.id))))));
    options.hidden = !found.length;
    const exact = found.find((p) => p.id === words);
    if (exact) { pick(exact.id); show(exact.id); }
  });
  input.addEventListener("input", look);
  input.addEventListener("keydown", (e) => { if (e.key === "Escape" && !options.hidden) { options.hidden = true; e.stopPropagation(); } });
  show(value);
  return h("div.product-field", {}, thumb, input, options);
}

let listId = 0;
function listField(label, column, value, pick) {
  const id = `list-${(listId += 1)}`;
  const list = h("datalist", { id });
  facets({}, { columns: [column], limit: 200 }).then((a) => fill(list, (a.facets[column] ?? []).map((v) => h("option", { value: v.value }, `${leaf(v.value)} (${v.count})`)))).catch(() => null);
  return h("div", {}, h("input.input", { type: "text", value, list: id, "aria-label": label, placeholder: column === "brand" ? "A brand" : "A category", autocomplete: "off", on: { input: (e) => pick(e.target.value.trim()) } }), list);
}

/** A day; `quick` are spans to choose from at once. */
export function dateField(words, value, set, quick = []) {
  const input = h("input.input", { type: "date", value, on: { change: () => set(input.value) } });
  const spans = { "A week": 7, "A month": 30 };
  return h("div.field", {}, h("label", {}, h("span", {}, words), input), quick.length > 0 && h("div.quick-dates", {}, quick.map((q) => h("button.ghost", { type: "button", on: { click: () => { input.value = toDay(new Date(Date.now() + spans[q] * 864e5).toISOString()); set(input.value); } } }, q))));
}

const two = (n) => String(n).padStart(2, "0");

/** The local day of a time; `shift` -1 for the end of a rule, which is the midnight after its last day. */
export function toDay(iso, shift = 0) {
  if (!iso) return "";
  const at = new Date(Date.parse(iso) + (shift < 0 ? -1 : 0));
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

const midnight = (day, plus) => {
  const [y, m, d] = day.split("-").map(Number);
  return new Date(y, m - 1, d + plus).toISOString();
};
export const fromDay = (day) => (day ? midnight(day, 0) : null);
export const untilDay = (day) => (day ? midnight(day, 1) : null);
