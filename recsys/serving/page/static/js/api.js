/** The HTTP API. Errors are {@link Problem}s, which say what to do. */

export class Problem extends Error {
  constructor({ title, detail, fix, status = 0, retryAfter = null }) {
    super(detail || title);
    Object.assign(this, { title, detail, fix, status, retryAfter });
  }
}

const unreachable = () => new Problem({
  title: "The service does not respond",
  detail: navigator.onLine ? "There was no response from this address." : "This device is not connected to a network.",
  fix: "Check that it is running and that you are connected, then try again.",
});

let current = { author: "", role: "read", auth: false };
let pending = 0;

/** Who is signed in, after {@link loadSession}: `{author, role, auth}`. */
export const session = () => current;
export const mayChange = () => current.role !== "read";

let sessionRequest = null;

/** Load the session; callers at the same time share one request. */
export function loadSession() {
  if (!sessionRequest) {
    sessionRequest = get("/v1/session").then((found) => { current = found; return current; });
    sessionRequest.catch(() => { sessionRequest = null; });
  }
  return sessionRequest;
}

function busy(by) {
  pending += by;
  document.documentElement.classList.toggle("busy", pending > 0);
}

async function send(method, path, { body, signal } = {}) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  busy(1);
  try {
    response = await fetch(path, { method, headers, signal, credentials: "same-origin", body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw unreachable();
  } finally {
    busy(-1);
  }
  if (response.ok) return response.status === 204 ? null : response.json().catch(() => { throw unreachable(); });
  const problem = await readProblem(response);
  if (response.status === 401) {
    location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
    return new Promise(() => {});
  }
  throw problem;
}

async function readProblem(response) {
  const body = await response.json().catch(() => ({}));
  const wait = Number.parseFloat(response.headers.get("Retry-After") ?? "");
  return new Problem({
    title: body.title ?? "The service failed",
    detail: body.detail ?? `It responded with the status ${response.status}.`,
    fix: body.fix ?? "Try again. If it keeps failing, tell the people who run the service.",
    status: response.status,
    retryAfter: Number.isFinite(wait) ? wait : null,
  });
}

const get = (path, options) => send("GET", path, options);

function queryString(values) {
  const all = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const v of Array.isArray(value) ? value : [value]) if (v !== null && v !== undefined) all.append(name, v);
  }
  return all.toString();
}

const at = (id) => encodeURIComponent(id);

// -- reading --------------------------------------------------------------------------------------

/** Answers by query, so that going back is instant; forgotten when a rule changes. */
const cache = new Map();
const CACHE_SIZE = 24;

export async function search(query, { signal, fresh = false } = {}) {
  const key = JSON.stringify(query);
  if (!fresh && cache.has(key)) return cache.get(key);
  const response = await send("POST", "/v1/search", { body: query, signal });
  cache.set(key, response);
  if (cache.size > CACHE_SIZE) cache.delete(cache.keys().next().value);
  return response;
}

export const clearCache = () => cache.clear();
export const autocomplete = (words, { signal, limit = 8 } = {}) => get(`/v1/products?${queryString({ q: words, limit })}`, { signal }).then((a) => a.products);
export const someProducts = (limit) => autocomplete("", { limit });
export const facets = (filter, { columns = [], limit = 20, signal } = {}) =>
  get(`/v1/facets?${queryString({ columns, limit, filter: Object.keys(filter).length ? JSON.stringify(filter) : null })}`, { signal });
export const status = () => get("/v1/status");

const products = new Map();

/** Return a product's columns, cached; `null` if it has left the shop. */
export function product(id) {
  if (!products.has(id)) {
    const request = get(`/v1/products/${at(id)}`).then((a) => a.product).catch((problem) => {
      if (problem.status === 404) return null;
      products.delete(id);
      throw problem;
    });
    products.set(id, request);
  }
  return products.get(id);
}

export const cacheProducts = (found) => { for (const p of found) products.set(p.id, Promise.resolve(p)); };

// -- changing -------------------------------------------------------------------------------------

const changing = (method, path, body) => { clearCache(); return send(method, path, { body }).finally(clearCache); };

export const rules = (values = {}) => get(`/v1/rules?${queryString(values)}`).then((a) => a.rules);
export const rule = (id) => get(`/v1/rules/${at(id)}`);
export const ruleHistory = (id) => get(`/v1/rules/${at(id)}/history`);
export const addRule = (values) => changing("POST", "/v1/rules", values);
export const changeRule = (id, values) => changing("PATCH", `/v1/rules/${at(id)}`, values);
export const endRule = (id) => changing("DELETE", `/v1/rules/${at(id)}`);
export const restoreRule = (id) => changing("POST", `/v1/rules/${at(id)}/restore`);
export const previewRule = (rule, query, signal) => send("POST", "/v1/rules/preview", { body: { rule, query: query }, signal });
export const judge = (left, right, label) => send("POST", "/v1/judgements", { body: { left_id: left, right_id: right, label } });
export const withdraw = (id) => send("DELETE", `/v1/judgements/${at(id)}`);
export const judgements = (id) => get(`/v1/judgements?${queryString({ product_id: id, limit: 200 })}`).then((a) => a.judgements);
