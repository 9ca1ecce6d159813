/** From a view to its answer, page by page. */
import { learn, search } from "./api.js";
import { photoData } from "./photos.js";
import { question } from "./state.js";

export const PAGE = 36;
const MOST = 200;
const DEPTH = 1000;

/** The body of a search for a view, photographs included. */
export async function asked(view, collection = null) {
  const images = await photoData(view.photos);
  return { ...question(view), ...(images.length && { images }), ...(collection && { collection }) };
}

/** Whether a view has something to look for: a shared link's photograph may be on another device. */
export const answerable = (body) => body.like.length > 0 || Boolean(body.text) || Boolean(body.images?.length);

/** An answer that grows: `first(n)` and then `more()` until `done`. */
export function asking(body) {
  const state = { answer: null, items: [], next: 0, done: false };
  const take = (answer, items) => {
    state.answer ??= answer;
    state.items = items;
    state.next = answer.next_offset;
    state.done = answer.next_offset === null || answer.next_offset >= DEPTH;
    learn(answer.items.map((i) => i.product));
    return state;
  };
  return {
    state,
    async first(count = PAGE, options = {}) {
      const answer = await search({ ...body, limit: Math.min(MOST, Math.max(PAGE, count)), offset: 0 }, options);
      state.answer = null;
      return take(answer, answer.items);
    },
    async more(options = {}) {
      const answer = await search({ ...body, limit: Math.min(PAGE, DEPTH - state.next), offset: state.next }, options);
      const known = new Set(state.items.map((i) => i.id));
      return take(answer, [...state.items, ...answer.items.filter((i) => !known.has(i.id))]);
    },
  };
}
