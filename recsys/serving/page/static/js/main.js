/** The page begins here: who is signed in, what the address says, and what is drawn where. */
import { onChange } from "./actions.js";
import { me, signOn } from "./api.js";
import { searchBox, showWords } from "./combobox.js";
import { fill, h, iconButton } from "./dom.js";
import { choosePhoto, listenForPhotos } from "./drop.js";
import { listenForKeys, showKeys } from "./keys.js";
import { closePanel, panelFor, togglePanel } from "./panel.js";
import { photosOfLink } from "./photos.js";
import { results } from "./results.js";
import { onRule } from "./rule_editor.js";
import { rulesPage } from "./rules_list.js";
import { shelfPage } from "./shelf.js";
import { start } from "./start.js";
import { alter, follow, go, now, read } from "./state.js";
import { recall, remember, shelf } from "./store.js";
import "./why.js";

const main = document.getElementById("main");
const NAME = document.title;
const TITLES = { start: NAME, find: `Similar products: ${NAME}`, shelf: `Shelf: ${NAME}`, rules: `Rules: ${NAME}` };
let finding = null;
let drawn = null;

function show(view, before = null, how = "push") {
  const again = drawn === view.page && view.page === "find";
  if (!again) document.title = TITLES[view.page];
  showWords(view.text);
  if (view.page === "find") {
    if (!again) { drawn = "find"; finding = results(main); }
    finding.update(view, again ? before : null, how);
  } else if (drawn !== view.page || JSON.stringify(view.items) !== JSON.stringify(before?.items)) {
    finding?.leave();
    finding = null;
    drawn = view.page;
    ({ start, shelf: shelfPage, rules: rulesPage })[view.page](main, view);
    if (how === "push") scrollTo(0, 0);
  }
  panelFor(view);
  if (how === "push" && before && (before.page !== view.page || before.id !== view.id)) main.focus({ preventScroll: true });
}

// -- tools at the top -----------------------------------------------------------------------------

const THEMES = ["system", "light", "dark"];
const THEME_WORDS = { system: "as the device", light: "light", dark: "dark" };

function tools() {
  const theme = iconButton("system", "", () => {
    const next = THEMES[(THEMES.indexOf(recall("theme", "system")) + 1) % 3];
    remember("theme", next);
    showTheme();
  }, { class: "optional tip-below", id: "theme" });
  const showTheme = () => {
    const at = THEMES.includes(recall("theme", "system")) ? recall("theme", "system") : "system";
    if (at === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = at;
    theme.setAttribute("aria-label", `Colours: ${THEME_WORDS[at]}. Change`);
    theme.dataset.tip = `Colours: ${THEME_WORDS[at]}`;
    theme.querySelector("use").setAttribute("href", `#i-${at}`);
  };
  showTheme();
  const held = h("span.count", { hidden: true });
  const onShelf = iconButton("shelf", "Shelf", () => togglePanel(now(), "shelf"), { class: "wide tip-below tip-left", tip: "Shelf (S)", id: "shelf-button" });
  onShelf.append(h("b", {}, "Shelf"), held);
  const counted = () => {
    const n = shelf.all().length;
    held.textContent = String(n);
    held.hidden = n === 0;
    onShelf.setAttribute("aria-label", `Shelf, ${n} ${n === 1 ? "product" : "products"}`);
  };
  shelf.follow(counted);
  counted();
  fill(document.getElementById("tools"), iconButton("rules", "Rules", () => togglePanel(now(), "rules"), { class: "tip-below", tip: "Rules (R)" }), theme,
    iconButton("help", "Keys", showKeys, { class: "optional tip-below", tip: "Keys (?)" }), onShelf, h("span", { id: "me" }));
}

/** Who is signed in, and the way out, where keys are on. */
function showMe() {
  const { auth, author, role } = me();
  if (!auth) return;
  const form = h("form", { method: "post", action: "/logout" }, h("button.button", { type: "submit" }, "Sign out"));
  const sheet = h("div.me-sheet.surface", { id: "me-sheet", popover: "auto" }, h("p", {}, h("b", {}, author)), h("p.hint", {}, { read: "You can look; rules and judgements need another key.", merchandise: "You can make rules and judge.", admin: "You can change everybody’s rules." }[role]), form);
  const open = iconButton("user", `Signed in as ${author}`, () => {}, { tip: null, popovertarget: "me-sheet" });
  fill(document.getElementById("me"), open, sheet);
}

// -- begin ----------------------------------------------------------------------------------------

/** Links of this page change the address and nothing is loaded anew. */
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || link.target) return;
  const url = new URL(link.href);
  if (url.origin !== location.origin || url.hash || !/^\/($|search$|similar\/|shelf$|rules$)/.test(url.pathname)) return;
  event.preventDefault();
  go(read(url.href));
});
document.getElementById("shade").addEventListener("click", closePanel);

async function begin() {
  tools();
  searchBox(document.getElementById("find"), () => choosePhoto());
  listenForKeys();
  listenForPhotos();
  follow(show);
  const refresh = (options) => finding?.refresh(options);
  onChange(refresh);
  onRule(() => { refresh(); });
  const signed = signOn().catch(() => null);
  const brought = await photosOfLink();
  if (brought.length) alter({ page: "find", photos: brought }, { replace: true });
  else show(now(), null, performance.getEntriesByType("navigation")[0]?.type === "navigate" ? "first" : "back");
  await signed;
  showMe();
  refresh({ quiet: true });
}

begin();
