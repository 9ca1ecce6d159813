/** The list of rules: for a product, its categories and everywhere. */
import { endRuleFrom } from "./actions.js";
import { session, mayChange, product as getProduct, rules, loadSession } from "./api.js";
import { addressOf } from "./card.js";
import { button, fill, h, icon, image } from "./dom.js";
import { definePanel } from "./panel.js";
import { changeView, currentView, subject } from "./state.js";
import { ACTIONS, ruleTime, ruleWords, titleOf } from "./format.js";

const GROUPS = [["product", "For this product, or about it"], ["category", "For its category"], ["everywhere", "Everywhere"]];

definePanel("rules", (body) => rulesList(body, currentView().page === "find" ? subject(currentView()) : null));

/** The page of all rules. */
export function rulesPage(place) {
  const body = h("div.panel-body");
  fill(place, h("div.sheet-page", {}, h("h1", {}, "Rules"), h("p.quiet", {}, "What you and others decided about the order of similar products. Rules apply at once and end on their last day, if they have one."), h("div.surface", {}, body)));
  rulesList(body, null);
}

/** Draw the list into `body`; `about` is the product that is shown, if any. */
export function rulesList(body, about) {
  let past = false;
  const list = h("div.rule-groups", { "aria-busy": "true" }, [1, 2].map(() => h("div.rule", { "aria-hidden": "true" }, h("i.skeleton.line"), h("i.skeleton.line.short"))));
  const ended = h("input", { type: "checkbox", role: "switch", on: { change: (e) => { past = e.target.checked; load(); } } });
  const tools = h("div.shelf-tools", {}, h("label.switch", {}, ended, "Show ended rules"));
  fill(body, tools, list);

  let turn = 0; // when responses arrive out of order, the last request wins

  async function load() {
    const mine = ++turn;
    try {
      await loadSession();
      if (!mayChange()) { fill(tools); fill(list, h("div.notice", {}, icon("rules"), h("p.strong", {}, "You can view lists but not their rules"), h("p.quiet", {}, "Your key is read-only. What rules did to a list is shown above it and under “Why?”."))); return; }
      if (tools.children.length < 2) tools.prepend(button("New rule", () => changeView({ panel: "rule", about: "new" }), { icon: "plus", kind: "button main" }));
      const all = await rules({ include_past: past, limit: 500 });
      const [names, categories] = await namesOf(all, about);
      if (mine !== turn) return;
      draw(all.filter((r) => about === null || applies(r, about, categories)), names);
    } catch (problem) {
      if (mine !== turn) return;
      fill(list, h("div.notice.error", { role: "alert" }, icon("warning"), h("p.strong", {}, problem.title), h("p.quiet", {}, `${problem.message} ${problem.fix}`), button("Try again", load)));
    }
    list.setAttribute("aria-busy", "false");
  }

  function draw(all, names) {
    if (!all.length) {
      fill(list, h("div.notice", {}, icon("rules"), h("p.strong", {}, past ? "There have been no rules yet" : "There are no active rules"), h("p.quiet", {}, "Products are ordered by similarity. Pin, boost, bury or block one on its card, or make a rule for a whole category or brand.")));
      return;
    }
    const groups = about === null ? [[null, ""]] : GROUPS;
    fill(list, groups.map(([scope, title]) => {
      const some = all.filter((r) => scope === null || r.scope === scope);
      return some.length > 0 && h("section", {}, title && h("h3", {}, title), h("ul", {}, some.map((r) => ruleRow(r, names, load, about))));
    }));
  }
  load();
  return { follow: () => { if (body.isConnected) load(); } };
}

/** Whether a rule applies to the list of `about`, or moves `about` in other lists. */
const applies = (rule, about, categories) => rule.scope === "everywhere" || rule.scope_value === about || rule.target_value === about || (rule.scope === "category" && categories.includes(rule.scope_value));

/** Titles of the products that rules name, and the categories of `about`. */
export async function namesOf(all, about = null) {
  const ids = new Set(all.flatMap((r) => [r.target === "product" && r.target_value, r.scope === "product" && r.scope_value]).filter(Boolean));
  if (about !== null) ids.add(about);
  const found = await Promise.all([...ids].slice(0, 120).map((id) => getProduct(id).catch(() => null)));
  const own = about === null ? null : found.find((p) => p?.id === about);
  return [new Map(found.filter(Boolean).map((p) => [p.id, titleOf(p)])), own?.product_type ?? []];
}

function ruleRow(rule, names, reload, about) {
  const { does, where } = ruleWords(rule, names, about);
  const time = ruleTime(rule);
  const mine = session().role === "admin" || rule.author === session().author;
  const thumb = h("span.thumb.tiny.rule-thumb", {}, icon(ACTIONS[rule.action].icon));
  if (rule.target === "product") getProduct(rule.target_value).then((p) => p && fill(thumb, h("a", { href: addressOf(p.id), tabindex: "-1", "aria-hidden": "true" }, image(p, { side: 96, sizes: "52px" })), h("span.corner", {}, icon(ACTIONS[rule.action].icon)))).catch(() => null);
  return h("li.rule", { class: `rule ${time.state}`, data: { rule: String(rule.id) } }, thumb,
    h("div.what", {}, h("p", {}, h("b", {}, does), ` ${where}`), rule.reason && h("p.reason", {}, `“${rule.reason}”`), h("small.quiet", {}, `${rule.author} · ${time.words}`)),
    h("div.row-tools", {}, mine && time.state !== "ended" && button("End", () => endRuleFrom(rule, `${does} ${where}`, reload), { kind: "ghost plain", "aria-label": `End: ${does} ${where}` }),
      button(mine && time.state !== "ended" ? "Edit" : "Open", () => changeView({ panel: "rule", about: String(rule.id) }), { kind: "ghost", "aria-label": `Open: ${does} ${where}` })));
}
