/** The main view: the query, filters and the products found, alone or beside an earlier version's. */
import { labelOf, lessLike, loadJudgements, moreLike, setLabel, setRule } from "./actions.js";
import { mayChange, product as getProduct } from "./api.js";
import { hasQuery, requestBody, pagedSearch } from "./paged_search.js";
import { comparisonBar, compare, compareHead, differences } from "./compare.js";
import { button, fill, h, icon, announce } from "./dom.js";
import { filterChips, filterCount, filterPanel } from "./filters.js";
import { columns, grid } from "./grid.js";
import { updatePanel } from "./panel.js";
import { queryBar } from "./query_bar.js";
import { rulesSummary } from "./rules_summary.js";
import { changeView, savedPosition, rememberCount, kindOf, currentView, sameQuery, sameSubject, subject } from "./state.js";
import { summary, recent } from "./storage.js";
import { notice } from "./toast.js";
import { count } from "./format.js";
import { resetRetries, showProblem } from "./errors.js";

const FIRST_ROW = 6;

/** What the response had to do without, such as rules that cannot be read. */
const notes = (response) => (response.notes ?? []).map((note) => h("div.strip.warn", { role: "status" }, icon("warning"), h("p", {}, note)));

/** Build the view in `place`; returns `{update(view, before, how), refresh(), leave()}`. */
export function results(place) {
  const bar = queryBar();
  const filters = filterPanel();
  const handlers = { like: moreLike, unlike: lessLike, rule: setRule, judge: setLabel, why: (item) => changeView({ panel: "why", about: item.id }) };
  const here = grid(handlers);
  const there = grid(handlers, { label: "The other list", small: true });
  const head = h("div.results-head");
  const strip = h("div");
  const body = h("div.grids");
  const foot = h("div.foot");
  const side = h("div.side", {}, filters.node);
  const products = h("section.results", { "aria-label": "Products found" }, head, strip, body, foot);
  const watch = new IntersectionObserver((seen) => { if (seen.some((s) => s.isIntersecting)) more(); }, { rootMargin: "600px" });
  let running = null; // AbortController of the requests in flight
  let list = null;
  let other = null;
  let failure = null; // why the other side cannot be shown
  let product;
  fill(place, h("div.find", {}, bar.node, h("div.columns", {}, side, products)));

  async function update(view, before, how) {
    const same = before && sameQuery(view, before) && list;
    const about = before && sameSubject(view, before) && list;
    if (!about) product = view.id === null ? null : undefined;
    bar.update(view, list?.state.response, product);
    filters.update(view);
    if (same) { drawAll(view); return; }
    if (!about) {
      if (how !== "back") scrollTo(0, 0);
      list = other = null;
      here.wait();
      fill(body, here.node);
      fill(foot);
      fill(strip);
      fill(head, h("h2", {}, "Searching …"));
    } else body.classList.add("stale");
    await load(view, { count: how === "back" ? savedPosition().count : 0, y: how === "back" ? savedPosition().y : null });
  }

  async function load(view, { count: held = 0, y = null, fresh = false } = {}) {
    running?.abort();
    side.hidden = false;
    if (view.id !== null && !product) bar.update(view, null, product = undefined);
    const turn = running = new AbortController();
    const options = { signal: turn.signal, fresh };
    try {
      const [mine, theirs] = await Promise.all([requestBody(view), view.compare ? requestBody(view, view.compare) : null]);
      if (turn.signal.aborted) return;
      if (!hasQuery(mine)) { bar.update(view, null, null); fill(body); fill(foot); fill(strip); fill(head); return; }
      const [a, b] = [pagedSearch(mine), theirs && pagedSearch(theirs)];
      const shown = view.id === null ? null : getProduct(view.id).catch(() => null);
      const judged = loadJudgements(subject(view)).catch(() => null);
      const [, failed] = await Promise.all([a.first(held, options), b?.first(held, options).then(() => null, (problem) => problem)]);
      if (turn.signal.aborted) return;
      [list, other, failure] = [a, failed ? null : b, failed ?? null];
      resetRetries();
      body.classList.remove("stale");
      drawAll(currentView());
      if (y !== null) scrollTo(0, y);
      announce(`${count(list.state.items.length, "product")} shown.`);
      product = await shown;
      if (turn.signal.aborted) return;
      if (product) { recent.first(summary(product)); document.title = `${product.title ?? product.id}: similar products`; }
      bar.update(currentView(), list.state.response, product);
      filters.setProduct(currentView(), product);
      await judged;
      if (!turn.signal.aborted) drawGrids(currentView());
    } catch (problem) {
      if (problem.name === "AbortError" || turn.signal.aborted) return;
      body.classList.remove("stale");
      list = other = null;
      fill(foot);
      fill(strip);
      fill(head);
      side.hidden = true;
      if (!product) bar.update(view, null, null);
      showProblem(body, problem, view, () => load(currentView(), { fresh: true }));
    }
  }

  async function more() {
    const turn = running;
    if (!list || list.state.done || list.growing) return;
    list.growing = true;
    try {
      await Promise.all([list.more({ signal: turn.signal }), other && !other.state.done ? other.more({ signal: turn.signal }) : null]);
      if (!turn.signal.aborted) { drawGrids(currentView()); drawFoot(); announce(`${count(list.state.items.length, "product")} shown.`); }
    } catch (problem) {
      if (problem.name !== "AbortError") fill(foot, h("p.hint", {}, `${problem.message} `, button("Try again", more, { kind: "ghost" })));
    } finally {
      if (list) list.growing = false;
    }
  }

  function drawAll(view) {
    if (!list) return;
    bar.update(view, list.state.response, product);
    drawHead(view);
    filters.setProduct(view, product);
    fill(strip, notes(list.state.response), rulesSummary(view, list.state.response), view.compare && comparisonBar(view, list.state.response, other?.state.response, failure));
    drawGrids(view);
    drawFoot();
  }

  function drawGrids(view) {
    const items = list.state.items;
    rememberCount(items.length);
    if (!items.length) { drawNothing(view); return; }
    const eager = Math.max(FIRST_ROW, columns([...here.node.children]));
    const { image_weight: weight } = list.state.response;
    const best = Math.max(...items.map((i) => i.score));
    const plain = (item, index) => ({ kind: kindOf(view), weight, best, subject: subject(view), label: labelOf(item.id), mayChange: mayChange(), eager: index < eager });
    const pair = other && [differences(items, other.state.items), differences(other.state.items, items)];
    here.show(items, (item, i) => ({ ...plain(item, i), ...pair?.[0](item, i) }));
    if (other) there.show(other.state.items, (item, i) => ({ ...plain(item, i), ...pair[1](item, i) }));
    const wanted = other ? [h("div.sides", {}, h("div", {}, compareHead(list.state.response, true), here.node), h("div", {}, compareHead(other.state.response, false), there.node))] : [here.node];
    here.node.classList.toggle("small", Boolean(other));
    if (other || body.firstChild !== here.node) fill(body, wanted);
    updatePanel(list.state.response, [...items, ...(other?.state.items ?? [])]);
  }

  function drawNothing(view) {
    const narrowed = filterCount(view) > 0;
    notice(body, {
      icon: icon("filter"), title: narrowed ? "No products match these filters" : "No products found",
      words: [narrowed ? "Remove one, or clear them all." : "Try other words, or another product."],
      actions: narrowed ? [button("Clear all filters", () => changeView({ filter: {} }), { kind: "button main" })] : [],
    });
  }

  function drawHead(view) {
    const { items, done } = list.state;
    const chips = filterChips(view, items.map((i) => i.product));
    fill(head,
      h("h2", {}, done ? count(items.length, "product") : `The ${items.length} closest`, !done && h("span.quiet", {}, " and more below")),
      h("div.results-tools", {},
        button(filterCount(view) ? `Filters (${filterCount(view)})` : "Filters", openFilters, { icon: "filter", kind: "button open-filters" }),
        h("label.switch", {}, h("input", { type: "checkbox", role: "switch", checked: view.collapse, on: { change: (e) => changeView({ collapse: e.target.checked }) } }), "Group variants"),
        button(h("span", {}, "Compare"), compare, { icon: "compare", kind: "button compare", "aria-label": "Compare with an earlier version", "aria-pressed": String(Boolean(view.compare)) })),
      chips.length > 0 && h("div.chips", { role: "group", "aria-label": "Filters that are on" }, chips));
  }

  function drawFoot() {
    const { items, done } = list.state;
    watch.disconnect();
    if (!items.length) { fill(foot); return; }
    if (done) { fill(foot, h("p.hint", {}, items.length >= 100 ? "Further on, products are similar in name only." : "That is all.")); return; }
    const next = button("Show more", more);
    fill(foot, next);
    watch.observe(next);
  }

  function openFilters() {
    const dialog = h("dialog.sheet", { "aria-label": "Filters", on: { close: () => { side.append(filters.node); dialog.remove(); }, click: (e) => { if (e.target === dialog) dialog.close(); } } },
      h("div.panel-head", {}, h("h2", {}, "Filters"), button("Show products", () => dialog.close(), { kind: "button main" })), h("div.panel-body", {}, filters.node));
    document.body.append(dialog);
    dialog.showModal();
  }

  return {
    update,
    /** Load the list again after a rule changed; `quiet` only redraws it, after a judgement. */
    async refresh({ quiet = false } = {}) {
      if (!list) return;
      if (quiet) { drawGrids(currentView()); return; }
      body.classList.add("stale");
      await load(currentView(), { count: list.state.items.length, fresh: true });
    },
    leave() { running?.abort(); watch.disconnect(); },
  };
}

