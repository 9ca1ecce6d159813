/** What is shown, as an address and back: every view can be shared, and back and forward work. */

/** @typedef {{page: string, id: string|null, text: string, like: string[], unlike: string[], photos: string[],
 *   weight: number|null, variety: number, collapse: boolean, rules: boolean, filter: object, beside: string|null,
 *   panel: string, about: string|null, items: string[]}} View */

export const EMPTY = Object.freeze({
  page: "start", id: null, text: "", like: [], unlike: [], photos: [], weight: null, variety: 0, collapse: true,
  rules: true, filter: {}, beside: null, panel: "", about: null, items: [],
});

const SIMILAR = "/similar/";
const share = (text) => {
  const n = Number.parseFloat(text ?? "");
  return Number.isFinite(n) ? Math.min(100, Math.max(0, n)) / 100 : null;
};
const whole = (n) => String(Math.round(n * 100));

/** Read an address. Anything odd in it is left out rather than believed. */
export function read(url) {
  const at = new URL(url, location.origin);
  const all = at.searchParams;
  const view = {
    ...EMPTY,
    text: (all.get("q") ?? "").slice(0, 500),
    like: all.getAll("like"), unlike: all.getAll("unlike"), photos: all.getAll("photo").slice(0, 8),
    weight: share(all.get("looks")), variety: share(all.get("variety")) ?? 0,
    collapse: all.get("variants") !== "all", rules: all.get("rules") !== "off",
    filter: readFilter(all), beside: all.get("beside"),
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

/** Write the address of a view. */
export function write(view) {
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
  if (view.beside) all.set("beside", view.beside);
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
 * The question of a view, as the service takes it; photographs are added by who has them. The whole slider of
 * variety spans 0 to 0.5: above that what is listed is no longer like what was asked for.
 */
export function question(view) {
  return {
    like: view.id === null ? view.like : [view.id, ...view.like.filter((id) => id !== view.id)],
    unlike: view.unlike,
    ...(view.text && { text: view.text }),
    image_weight: view.weight, filter: view.filter, diversity: Math.round(500 * view.variety ** 0.6) / 1000, collapse_variants: view.collapse,
    explain: true, rules: view.rules,
  };
}

/** The one product that is asked about, if it is that kind of question: rules and judgements are about it. */
export function subject(view) {
  const liked = question(view).like;
  return liked.length === 1 && !view.text && !view.photos.length ? liked[0] : null;
}

/** What is asked with: products, a photograph, or words alone. */
export const kindOf = (view) => (question(view).like.length ? "product" : view.photos.length ? "photo" : "words");

/** Whether two views ask for the same products. */
export const sameQuestion = (a, b) =>
  a.page === b.page && JSON.stringify([question(a), a.photos, a.beside]) === JSON.stringify([question(b), b.photos, b.beside]);

/** Whether two views are about the same thing, apart from how it is narrowed. */
export const sameSubject = (a, b) =>
  a.page === b.page && a.id === b.id && a.text === b.text && a.photos.join() === b.photos.join();

let current = read(location.href);
let listener = () => {};
const held = { count: 0 };

export const now = () => current;

/** Be told of every change: `act(view, before, how)` where how is push, replace or back. */
export function follow(act) {
  listener = act;
  history.scrollRestoration = "manual";
  addEventListener("popstate", () => change(read(location.href), "back"));
  addEventListener("pagehide", note);
}

/** How many products are shown, so that going back shows as many. */
export const holding = (count) => { held.count = count; };
export const heldBefore = () => history.state ?? {};

function note() {
  history.replaceState({ count: held.count, y: scrollY }, "");
}

/** Show a view; `replace` leaves no step to go back to. */
export function go(view, { replace = false } = {}) {
  const address = write(view);
  if (address === location.pathname + location.search) { change(view, "replace"); return; }
  if (!replace) note();
  history[replace ? "replaceState" : "pushState"](replace ? history.state : null, "", address);
  change(view, replace ? "replace" : "push");
}

/** Change parts of the present view; `parts` may be worked out from it. */
export const alter = (parts, options) => go({ ...current, ...(typeof parts === "function" ? parts(current) : parts) }, options);

function change(view, how) {
  const before = current;
  current = view;
  listener(view, before, how);
}
