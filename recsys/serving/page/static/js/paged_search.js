/** The search request of a view, and its results page by page. */
import { cacheProducts, search } from "./api.js";
import { photoData } from "./photos.js";
import { queryOf } from "./state.js";

export const PAGE = 36;
const MOST = 200;
const DEPTH = 1000;

/** Return the request body of a view, photographs included. */
export async function requestBody(view, collection = null) {
  const images = await photoData(view.photos);
  return { ...queryOf(view), ...(images.length && { images }), ...(collection && { collection }) };
}

/** Whether there is anything to search for: the photograph of a link may be on another device. */
export const hasQuery = (body) => body.like.length > 0 || Boolean(body.text) || Boolean(body.images?.length);

/** A list of results that grows: `first(n)`, then `more()` until `done`. */
export function pagedSearch(body) {
  const state = { response: null, items: [], next: 0, done: false };
  const take = (response, items) => {
    state.response ??= response;
    state.items = items;
    state.next = response.next_offset;
    state.done = response.next_offset === null || response.next_offset >= DEPTH;
    cacheProducts(response.items.map((i) => i.product));
    return state;
  };
  return {
    state,
    async first(count = PAGE, options = {}) {
      const response = await search({ ...body, limit: Math.min(MOST, Math.max(PAGE, count)), offset: 0 }, options);
      state.response = null;
      return take(response, response.items);
    },
    async more(options = {}) {
      const response = await search({ ...body, limit: Math.min(PAGE, DEPTH - state.next), offset: state.next }, options);
      const known = new Set(state.items.map((i) => i.id));
      return take(response, [...state.items, ...response.items.filter((i) => !known.has(i.id))]);
    },
  };
}
