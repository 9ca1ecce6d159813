/** The view as a URL and back: every view can be shared, and back and forward work. */

/** @typedef {{page: string, id: string|null, text: string, like: string[], unlike: string[], photos: string[],
 *   weight: number|null, variety: number, collapse: boolean, rules: boolean, filter: object, compare: string|null,
 *   panel: string, about: string|null, items: string[]}} View */

export const EMPTY = Object.freeze({
  page: "start", id: null, text: "", like: [], unlike: [], photos: [], weight: null, variety: 0, collapse: true,
  rules: true, filter: {}, compare: null, panel: "", about: null, items: [],
});

const SIMILAR = "/similar/";
const share = (text) => {
  const n = Number.parseFloat(text ?? "");
  return Number.isFinite(n) ? Math.min(100, Math.max(0, n)) / 100 : null;
};
const whole = (n) => String(Math.round(n * 100));

/** Parse a URL into a view; malformed parts are ignored. */
export function parseAddress(url) {
  const at = new URL(url, location.origin);
  const all = at.searchParams;
  const view = {
    ...EMPTY,
    text: (all.get("q") ?? "").slice(0, 500),
    like: all.getAll("like"), unlike: all.getAll("unlike"), photos: all.getAll("photo").slice(0, 8),
    weight: share(all.get("looks")), variety: share(all.get("variety")) ?? 0,
    collapse: all.get("variants") !== "all", rules: all.get("rules") !== "off",
    filter: readFilter(all), compare: all.get("compare"),
    panel: all.get("panel") ?? "", about: all.get("about"), items: all.getAll("item"),
  };
  if (at.pathname.startsWith(SIMILAR)) {
    try {
      view.id = decodeURIComponent(at.pathname.slice(SIMILAR.length)) || null;
    } catch { /* a broken escape names nothing */ }
  }
  if (at.pathname === "/shelf" || at.pathname === "/rules") view.page = at.pathname.slice(1);
  else if (view.id !== null || view.text || view.like.length || view.photos.length) view.page = "find";
  return view;
}

/** Return the URL of a view. */
export function addressOfView(view) {
  const all = new URLSearchParams();
  if (view.text) all.set("q", view.text);
  for (const id of view.like) all.append("like", id);
  for (const id of view.unlike) all.append("unlike", id);
  for (const key of view.photos) all.append("photo", key);
  if (view.weight !== null) all.set("looks", whole(view.weight));
  if (view.variety) all.set("variety", whole(view.variety));
  if (!view.collapse) all.set("variants", "all");
  if (!view.rules) all.set("rules", "off");
  writeFilter(view.filter, all);
  if (view.compare) all.set("compare", view.compare);
  if (view.panel) all.set("panel", view.panel);
  if (view.about) all.set("about", view.about);
  for (const id of view.items) all.append("item", id);
  const path = view.page === "find" ? (view.id === null ? "/search" : SIMILAR + encodeURIComponent(view.id))
    : view.page === "start" ? "/" : `/${view.page}`;
  const query = all.toString();
  return query ? `${path}?${query}` : path;
}

function readFilter(all) {
  const filter = {};
  for (const [name, value] of all) {
    if (name === "price") {
      const [low, high] = value.split("-").map((n) => (n === "" ? null : Number(n)));
      const range = { ...(low > 0 && { gte: low }), ...(Number.isFinite(high) && high !== null && { lte: high }) };
      if (Object.keys(range).length) filter.price = range;
    } else if (name.startsWith("in.") && value) {
      (filter[name.slice(3)] ??= []).push(value);
    }
  }
  return filter;
}

function writeFilter(filter, all) {
  for (const [column, value] of Object.entries(filter)) {
    if (column === "price") all.set("price", `${value.gte ?? ""}-${value.lte ?? ""}`);
    else for (const v of value) all.append(`in.${column}`, v);
  }
}

/**
 * Return the search query of a view, without its photographs. The variety slider spans diversities of 0 to 0.5:
 * above that the products are no longer similar to the query.
 */
export function queryOf(view) {
  return {
    like: view.id === null ? view.like : [view.id, ...view.like.filter((id) => id !== view.id)],
    unlike: view.unlike,
    ...(view.text && { text: view.text }),
    image_weight: view.weight, filter: view.filter, diversity: Math.round(500 * view.variety ** 0.6) / 1000, collapse_variants: view.collapse,
    explain: true, rules: view.rules,
  };
}

/** The query product, if the query is one product: rules and judgements are about it. */
export function subject(view) {
  const liked = queryOf(view).like;
  return liked.length === 1 && !view.text && !view.photos.length ? liked[0] : null;
}

/** The kind of query: product, photo or words. */
export const kindOf = (view) => (queryOf(view).like.length ? "product" : view.photos.length ? "photo" : "words");

/** Whether two views show the same list. */
export const sameQuery = (a, b) =>
  a.page === b.page && JSON.stringify([queryOf(a), a.photos, a.compare]) === JSON.stringify([queryOf(b), b.photos, b.compare]);

/** Whether two views have the same subject, whatever their filters and sliders. */
export const sameSubject = (a, b) =>
  a.page === b.page && a.id === b.id && a.text === b.text && a.photos.join() === b.photos.join();

let current = parseAddress(location.href);
let listener = () => {};
const held = { count: 0 };

export const currentView = () => current;

/** Register the listener of view changes: `act(view, before, how)` with how push, replace or back. */
export function onViewChange(act) {
  listener = act;
  history.scrollRestoration = "manual";
  addEventListener("popstate", () => change(parseAddress(location.href), "back"));
  addEventListener("pagehide", note);
}

/** Remember how many products are shown, so that going back shows as many. */
export const rememberCount = (count) => { held.count = count; };
export const savedPosition = () => history.state ?? {};

function note() {
  history.replaceState({ count: held.count, y: scrollY }, "");
}

/** Show a view; `replace` adds no history entry. */
export function showView(view, { replace = false } = {}) {
  const address = addressOfView(view);
  if (address === location.pathname + location.search) { change(view, "replace"); return; }
  if (!replace) note();
  history[replace ? "replaceState" : "pushState"](replace ? history.state : null, "", address);
  change(view, replace ? "replace" : "push");
}

/** Change parts of the current view; `parts` may be a function of it. */
export const changeView = (parts, options) => showView({ ...current, ...(typeof parts === "function" ? parts(current) : parts) }, options);

function change(view, how) {
  const before = current;
  current = view;
  listener(view, before, how);
}
