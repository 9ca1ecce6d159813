/** The search box: words, ids and photographs, with suggestions while typing. */
import { autocomplete } from "./api.js";
import { fill, h, icon, iconButton, debounce, image, announce } from "./dom.js";
import { EMPTY, showView } from "./state.js";
import { recent } from "./storage.js";
import { titleOf } from "./format.js";

let box = null;

/** Build the box in `place`; `choosePhoto` opens the file chooser. */
export function searchBox(place, choosePhoto) {
  const input = h("input", {
    id: "q", type: "search", role: "combobox", autocomplete: "off", autocapitalize: "off", spellcheck: "false", enterkeyhint: "search",
    placeholder: "Find by words, product id or image", "aria-label": "Find products by words or id", "aria-expanded": "false",
    "aria-controls": "found", "aria-autocomplete": "list", maxlength: "500",
  });
  const list = h("ul.options", { id: "found", role: "listbox", "aria-label": "Products", hidden: true });
  const form = h("form.search-box", { role: "search", on: { submit: (e) => { e.preventDefault(); submit(); } } },
    icon("search"), input, h("kbd.optional", { "aria-hidden": "true" }, "/"),
    iconButton("camera", "Search by a photograph", choosePhoto, { class: "tip-below" }), list);
  let options = [];
  let active = -1;
  let request = null;

  const open = (yes) => {
    list.hidden = !yes;
    input.setAttribute("aria-expanded", String(yes));
    if (!yes) activate(-1);
  };
  const activate = (index) => {
    options[active]?.node.setAttribute("aria-selected", "false");
    active = index;
    const option = options[active];
    option?.node.setAttribute("aria-selected", "true");
    option?.node.scrollIntoView({ block: "nearest" });
    if (option) input.setAttribute("aria-activedescendant", option.node.id);
    else input.removeAttribute("aria-activedescendant");
  };
  const show = (entries, heading) => {
    options = entries.map((entry, i) => ({ ...entry, node: optionNode(entry, i, () => choose(entry)) }));
    fill(list, heading && h("li.heading", { role: "presentation" }, heading), options.map((o) => o.node));
    activate(-1);
    open(options.length > 0);
  };
  const choose = (entry) => {
    refresh.cancel();
    request?.abort();
    open(false);
    input.blur();
    if (entry.product) showView({ ...EMPTY, page: "find", id: entry.product.id });
    else showView({ ...EMPTY, page: "find", text: entry.words });
  };
  const submit = () => {
    const words = input.value.trim();
    if (options[active]) { choose(options[active]); return; }
    if (!words) return;
    const exact = options.find((o) => o.product?.id.toLowerCase() === words.toLowerCase());
    choose(exact ?? { words });
  };
  const refresh = debounce(90, async () => {
    const words = input.value.trim();
    request?.abort();
    if (!words) { begin(); return; }
    request = new AbortController();
    try {
      const found = await autocomplete(words, { signal: request.signal });
      if (document.activeElement !== input) return;
      show([{ words }, ...found.map((product) => ({ product, typed: words }))]);
      announce(found.length ? `${found.length} products found. Use the arrow keys.` : "No product has these words in its name. Press Enter to search by meaning.");
    } catch (problem) {
      if (problem.name !== "AbortError") show([{ words }]);
    }
  });
  const begin = () => {
    const seen = recent.all().slice(0, 6);
    if (seen.length) show(seen.map((product) => ({ product, typed: "" })), "Recently viewed");
    else open(false);
  };

  input.addEventListener("input", refresh);
  input.addEventListener("focus", () => { input.select(); if (input.value.trim()) refresh(); else begin(); });
  input.addEventListener("blur", () => setTimeout(() => open(false), 120));
  input.addEventListener("keydown", (event) => {
    const last = options.length - 1;
    if (event.key === "ArrowDown" && options.length) { if (list.hidden) open(true); activate(active >= last ? 0 : active + 1); event.preventDefault(); }
    else if (event.key === "ArrowUp" && options.length) { activate(active <= 0 ? last : active - 1); event.preventDefault(); }
    else if (event.key === "Escape") { if (list.hidden) { input.value = ""; input.blur(); } else open(false); event.preventDefault(); }
  });
  fill(place, form);
  box = { input };
}

/** Show the words of the current search. */
export function showWords(words) {
  if (box && document.activeElement !== box.input) box.input.value = words;
}

export function focusSearch() {
  box?.input.focus();
}

function optionNode(entry, index, act) {
  const props = { role: "option", id: `found-${index}`, "aria-selected": "false", on: { pointerdown: (e) => e.preventDefault(), click: act } };
  if (!entry.product) {
    return h("li.option.by-words", props, h("span.thumb", {}, icon("search")), h("span.what", {}, h("b", {}, `Search for “${entry.words}”`), h("small.quiet", {}, "by meaning, in images and descriptions")));
  }
  const { product, typed } = entry;
  return h("li.option", props,
    h("span.thumb.tiny", {}, image(product, { side: 96, sizes: "44px" })),
    h("span.what", {}, h("b", {}, marked(titleOf(product), typed)), h("small.quiet", {}, [product.brand, product.title && product.id].filter(Boolean).join(" · "))));
}

/** The text, with the typed parts marked. */
function marked(text, typed) {
  const terms = typed.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  if (!terms.length) return text;
  const pattern = new RegExp(`(${terms.map((t) => t.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")})`, "giu");
  return text.split(pattern).map((part, i) => (i % 2 ? h("mark", {}, part) : part));
}
