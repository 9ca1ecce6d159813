/** The main view: what is looked for, filters, and the products found, alone or beside another encoder's. */
import { labelOf, lessLike, loadJudgements, moreLike, setLabel, setRule } from "./actions.js";
import { mayChange, product as productOf } from "./api.js";
import { answerable, asked, asking } from "./ask.js";
import { besideBar, compare, compareHead, otherSide } from "./beside.js";
import { button, fill, h, icon, say } from "./dom.js";
import { filterChips, filterCount, filterPanel } from "./filters.js";
import { columns, grid } from "./grid.js";
import { answerPanel } from "./panel.js";
import { queryBar } from "./query_bar.js";
import { rulesStrip } from "./strip.js";
import { alter, heldBefore, holding, kindOf, now, sameQuestion, sameSubject, subject } from "./state.js";
import { brief, recent } from "./store.js";
import { notice } from "./toast.js";
import { count } from "./words.js";
import { answered, showProblem } from "./trouble.js";

const FIRST_ROW = 6;

/** Build the view in `place`; returns `{update(view, before, how), refresh(), leave()}`. */
export function results(place) {
  const bar = queryBar();
  const filters = filterPanel();
  const does = { like: moreLike, unlike: lessLike, rule: setRule, judge: setLabel, why: (item) => alter({ panel: "why", about: item.id }) };
  const here = grid(does);
  const there = grid(does, { label: "The other list", small: true });
  const head = h("div.results-head");
  const strip = h("div");
  const body = h("div.grids");
  const foot = h("div.foot");
  const side = h("div.side", {}, filters.node);
  const products = h("section.results", { "aria-label": "Products found" }, head, strip, body, foot);
  const watch = new IntersectionObserver((seen) => { if (seen.some((s) => s.isIntersecting)) more(); }, { rootMargin: "600px" });
  let running = null; // AbortController of what is being asked
  let list = null;
  let other = null;
  let alone = null; // why there is nothing to compare with
  let product;
  fill(place, h("div.find", {}, bar.node, h("div.columns", {}, side, products)));

  async function update(view, before, how) {
    const same = before && sameQuestion(view, before) && list;
    const about = before && sameSubject(view, before) && list;
    if (!about) product = view.id === null ? null : undefined;
    bar.update(view, list?.state.answer, product);
    filters.update(view);
    if (same) { drawAll(view); return; }
    if (!about) {
      if (how !== "back") scrollTo(0, 0);
      list = other = null;
      here.wait();
      fill(body, here.node);
      fill(foot);
      fill(strip);
      fill(head, h("h2", {}, "Looking …"));
    } else body.classList.add("stale");
    await ask(view, { count: how === "back" ? heldBefore().count : 0, y: how === "back" ? heldBefore().y : null });
  }

  async function ask(view, { count: held = 0, y = null, fresh = false } = {}) {
    running?.abort();
    side.hidden = false;
    if (view.id !== null && !product) bar.update(view, null, product = undefined);
    const turn = running = new AbortController();
    const options = { signal: turn.signal, fresh };
    try {
      const [mine, theirs] = await Promise.all([asked(view), view.beside ? asked(view, view.beside) : null]);
      if (turn.signal.aborted) return;
      if (!answerable(mine)) { bar.update(view, null, null); fill(body); fill(foot); fill(strip); fill(head); return; }
      const [a, b] = [asking(mine), theirs && asking(theirs)];
      const shown = view.id === null ? null : productOf(view.id).catch(() => null);
      const judged = loadJudgements(subject(view)).catch(() => null);
      const [, failed] = await Promise.all([a.first(held, options), b?.first(held, options).then(() => null, (problem) => problem)]);
      if (turn.signal.aborted) return;
      [list, other, alone] = [a, failed ? null : b, failed ?? null];
      answered();
      body.classList.remove("stale");
      drawAll(now());
      if (y !== null) scrollTo(0, y);
      say(`${count(list.state.items.length, "product")} shown.`);
      product = await shown;
      if (turn.signal.aborted) return;
      if (product) { recent.first(brief(product)); document.title = `${product.title ?? product.id}: similar products`; }
      bar.update(now(), list.state.answer, product);
      filters.learn(now(), product);
      await judged;
      if (!turn.signal.aborted) drawGrids(now());
    } catch (problem) {
      if (problem.name === "AbortError" || turn.signal.aborted) return;
      body.classList.remove("stale");
      list = other = null;
      fill(foot);
      fill(strip);
      fill(head);
      side.hidden = true;
      if (!product) bar.update(view, null, null);
      showProblem(body, problem, view, () => ask(now(), { fresh: true }));
    }
  }

  async function more() {
    const turn = running;
    if (!list || list.state.done || list.growing) return;
    list.growing = true;
    try {
      await Promise.all([list.more({ signal: turn.signal }), other && !other.state.done ? other.more({ signal: turn.signal }) : null]);
      if (!turn.signal.aborted) { drawGrids(now()); drawFoot(); say(`${count(list.state.items.length, "product")} shown.`); }
    } catch (problem) {
      if (problem.name !== "AbortError") fill(foot, h("p.hint", {}, `${problem.message} `, button("Try again", more, { kind: "ghost" })));
    } finally {
      if (list) list.growing = false;
    }
  }

  function drawAll(view) {
    if (!list) return;
    bar.update(view, list.state.answer, product);
    drawHead(view);
    filters.learn(view, product);
    fill(strip, rulesStrip(view, list.state.answer), view.beside && besideBar(view, list.state.answer, other?.state.answer, alone));
    drawGrids(view);
    drawFoot();
  }

  function drawGrids(view) {
    const items = list.state.items;
    holding(items.length);
    if (!items.length) { drawNothing(view); return; }
    const eager = Math.max(FIRST_ROW, columns([...here.node.children]));
    const { image_weight: weight } = list.state.answer;
    const best = Math.max(...items.map((i) => i.score));
    const plain = (item, index) => ({ kind: kindOf(view), weight, best, subject: subject(view), label: labelOf(item.id), mayChange: mayChange(), eager: index < eager });
    const pair = other && [otherSide(items, other.state.items), otherSide(other.state.items, items)];
    here.show(items, (item, i) => ({ ...plain(item, i), ...pair?.[0](item, i) }));
    if (other) there.show(other.state.items, (item, i) => ({ ...plain(item, i), ...pair[1](item, i) }));
    const wanted = other ? [h("div.sides", {}, h("div", {}, compareHead(list.state.answer, true), here.node), h("div", {}, compareHead(other.state.answer, false), there.node))] : [here.node];
    here.node.classList.toggle("small", Boolean(other));
    if (other || body.firstChild !== here.node) fill(body, wanted);
    answerPanel(list.state.answer, [...items, ...(other?.state.items ?? [])]);
  }

  function drawNothing(view) {
    const narrowed = filterCount(view) > 0;
    notice(body, {
      icon: icon("filter"), title: narrowed ? "Nothing passes these filters" : "Nothing was found",
      words: [narrowed ? "Take one off, or start again with all products." : "Try other words, or another product."],
      actions: narrowed ? [button("Clear all filters", () => alter({ filter: {} }), { kind: "button main" })] : [],
    });
  }

  function drawHead(view) {
    const { items, done } = list.state;
    const chips = filterChips(view, items.map((i) => i.product));
    fill(head,
      h("h2", {}, done ? count(items.length, "product") : `The ${items.length} closest`, !done && h("span.quiet", {}, " and more below")),
      h("div.results-tools", {},
        button(filterCount(view) ? `Filters (${filterCount(view)})` : "Filters", openFilters, { icon: "filter", kind: "button open-filters" }),
        h("label.switch", {}, h("input", { type: "checkbox", role: "switch", checked: view.collapse, on: { change: (e) => alter({ collapse: e.target.checked }) } }), "Collapse variants"),
        button(h("span", {}, "Compare"), compare, { icon: "compare", kind: "button compare", "aria-label": "Compare with an earlier version", "aria-pressed": String(Boolean(view.beside)) })),
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
    /** Ask again: a rule was changed; `quiet` only draws anew, for judgements. */
    async refresh({ quiet = false } = {}) {
      if (!list) return;
      if (quiet) { drawGrids(now()); return; }
      body.classList.add("stale");
      await ask(now(), { count: list.state.items.length, fresh: true });
    },
    question: () => asked(now()),
    leave() { running?.abort(); watch.disconnect(); },
  };
}

