/** The service, as the page talks to it. Errors come as {@link Problem}, which says what to do. */

export class Problem extends Error {
  constructor({ title, detail, fix, status = 0, retryAfter = null }) {
    super(detail || title);
    Object.assign(this, { title, detail, fix, status, retryAfter });
  }
}

const unreachable = () => new Problem({
  title: "The service does not answer",
  detail: navigator.onLine ? "Nobody answered at this address." : "This device is not connected to a network.",
  fix: "Check that it is running and that you are connected, then try again.",
});

let session = { author: "", role: "read", auth: false };
let going = 0;

/** Who is signed in, once {@link signOn} has answered: `{author, role, auth}`. */
export const me = () => session;
export const mayChange = () => session.role !== "read";

let signing = null;

/** Ask who one is; those who only want to know it share one question. */
export function signOn() {
  if (!signing) {
    signing = get("/v1/session").then((found) => { session = found; return session; });
    signing.catch(() => { signing = null; });
  }
  return signing;
}

function busy(by) {
  going += by;
  document.documentElement.classList.toggle("busy", going > 0);
}

async function send(method, path, { body, signal } = {}) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  busy(1);
  try {
    answer = await fetch(path, { method, headers, signal, credentials: "same-origin", body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw unreachable();
  } finally {
    busy(-1);
  }
  if (answer.ok) return answer.status === 204 ? null : answer.json().catch(() => { throw unreachable(); });
  const problem = await asProblem(answer);
  if (answer.status === 401) {
    location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
    return new Promise(() => {});
  }
  throw problem;
}

async function asProblem(answer) {
  const said = await answer.json().catch(() => ({}));
  const wait = Number.parseFloat(answer.headers.get("Retry-After") ?? "");
  return new Problem({
    title: said.title ?? "The service failed",
    detail: said.detail ?? `It answered with the status ${answer.status}.`,
    fix: said.fix ?? "Try again; if it goes on, tell whoever runs the service.",
    status: answer.status,
    retryAfter: Number.isFinite(wait) ? wait : null,
  });
}

const get = (path, options) => send("GET", path, options);

function query(values) {
  const all = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const v of Array.isArray(value) ? value : [value]) if (v !== null && v !== undefined) all.append(name, v);
  }
  return all.toString();
}

const at = (id) => encodeURIComponent(id);

// -- asking ---------------------------------------------------------------------------------------

/** Answers by question, so that going back is instant; forgotten when a rule changes. */
const known = new Map();
const KNOWN = 24;

export async function search(question, { signal, fresh = false } = {}) {
  const key = JSON.stringify(question);
  if (!fresh && known.has(key)) return known.get(key);
  const answer = await send("POST", "/v1/search", { body: question, signal });
  known.set(key, answer);
  if (known.size > KNOWN) known.delete(known.keys().next().value);
  return answer;
}

export const forget = () => known.clear();
export const lookUp = (words, { signal, limit = 8 } = {}) => get(`/v1/products?${query({ q: words, limit })}`, { signal }).then((a) => a.products);
export const some = (limit) => lookUp("", { limit });
export const facets = (filter, { columns = [], limit = 20, signal } = {}) =>
  get(`/v1/facets?${query({ columns, limit, filter: Object.keys(filter).length ? JSON.stringify(filter) : null })}`, { signal });
export const status = () => get("/v1/status");

const products = new Map();

/** A product's columns, asked for once; `null` where it is not in the shop any more. */
export function product(id) {
  if (!products.has(id)) {
    const asked = get(`/v1/products/${at(id)}`).then((a) => a.product).catch((problem) => {
      if (problem.status === 404) return null;
      products.delete(id);
      throw problem;
    });
    products.set(id, asked);
  }
  return products.get(id);
}

export const learn = (found) => { for (const p of found) products.set(p.id, Promise.resolve(p)); };

// -- changing -------------------------------------------------------------------------------------

const changing = (method, path, body) => { forget(); return send(method, path, { body }).finally(forget); };

export const rules = (values = {}) => get(`/v1/rules?${query(values)}`).then((a) => a.rules);
export const rule = (id) => get(`/v1/rules/${at(id)}`);
export const ruleHistory = (id) => get(`/v1/rules/${at(id)}/history`);
export const addRule = (values) => changing("POST", "/v1/rules", values);
export const changeRule = (id, values) => changing("PATCH", `/v1/rules/${at(id)}`, values);
export const endRule = (id) => changing("DELETE", `/v1/rules/${at(id)}`);
export const restoreRule = (id) => changing("POST", `/v1/rules/${at(id)}/restore`);
export const previewRule = (rule, question, signal) => send("POST", "/v1/rules/preview", { body: { rule, query: question }, signal });
export const judge = (left, right, label) => send("POST", "/v1/judgements", { body: { left_id: left, right_id: right, label } });
export const withdraw = (id) => send("DELETE", `/v1/judgements/${at(id)}`);
export const judgements = (id) => get(`/v1/judgements?${query({ product_id: id, limit: 200 })}`).then((a) => a.judgements);
