/** Entry point: the session, the view of the URL, and what is drawn where. */
import { onChange } from "./actions.js";
import { session, loadSession } from "./api.js";
import { searchBox, showWords } from "./combobox.js";
import { fill, h, iconButton } from "./dom.js";
import { choosePhoto, listenForPhotos } from "./photo_input.js";
import { listenForKeys, showKeys } from "./keyboard.js";
import { closePanel, showPanel, togglePanel } from "./panel.js";
import { photosFromLink } from "./photos.js";
import { results } from "./results.js";
import { onRuleChange } from "./rule_editor.js";
import { rulesPage } from "./rules_list.js";
import { shelfPage } from "./shelf.js";
import { start } from "./start_page.js";
import { changeView, onViewChange, showView, currentView, parseAddress } from "./state.js";
import { recall, remember, shelf } from "./storage.js";
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
  showPanel(view);
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
  const onShelf = iconButton("shelf", "Shelf", () => togglePanel(currentView(), "shelf"), { class: "wide tip-below tip-left", tip: "Shelf (S)", id: "shelf-button" });
  onShelf.append(h("b", {}, "Shelf"), held);
  const counted = () => {
    const n = shelf.all().length;
    held.textContent = String(n);
    held.hidden = n === 0;
    onShelf.setAttribute("aria-label", `Shelf, ${n} ${n === 1 ? "product" : "products"}`);
  };
  shelf.follow(counted);
  counted();
  fill(document.getElementById("tools"), iconButton("rules", "Rules", () => togglePanel(currentView(), "rules"), { class: "tip-below", tip: "Rules (R)" }), theme,
    iconButton("help", "Keys", showKeys, { class: "optional tip-below", tip: "Keys (?)" }), onShelf, h("span", { id: "me" }));
}

/** Show who is signed in and a way to sign out, if the service has keys. */
function showMe() {
  const { auth, author, role } = session();
  if (!auth) return;
  const form = h("form", { method: "post", action: "/logout" }, h("button.button", { type: "submit" }, "Sign out"));
  const sheet = h("div.me-sheet.surface", { id: "me-sheet", popover: "auto" }, h("p", {}, h("b", {}, author)), h("p.hint", {}, { read: "You can search; rules and judgements need another key.", merchandise: "You can make rules and judge.", admin: "You can change everybody’s rules." }[role]), form);
  const open = iconButton("user", `Signed in as ${author}`, () => {}, { tip: null, popovertarget: "me-sheet" });
  fill(document.getElementById("me"), open, sheet);
}

// -- begin ----------------------------------------------------------------------------------------

/** Links within the page change the URL without loading the page again. */
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || link.target) return;
  const url = new URL(link.href);
  if (url.origin !== location.origin || url.hash || !/^\/($|search$|similar\/|shelf$|rules$)/.test(url.pathname)) return;
  event.preventDefault();
  showView(parseAddress(url.href));
});
document.getElementById("shade").addEventListener("click", closePanel);

async function begin() {
  tools();
  searchBox(document.getElementById("find"), () => choosePhoto());
  listenForKeys();
  listenForPhotos();
  onViewChange(show);
  const refresh = (options) => finding?.refresh(options);
  onChange(refresh);
  onRuleChange(() => { refresh(); });
  const signed = loadSession().catch(() => null);
  const brought = await photosFromLink();
  if (brought.length) changeView({ page: "find", photos: brought }, { replace: true });
  else show(currentView(), null, performance.getEntriesByType("navigation")[0]?.type === "navigate" ? "first" : "back");
  await signed;
  showMe();
  refresh({ quiet: true });
}

begin();
