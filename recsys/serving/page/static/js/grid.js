/** A grid of cards: unchanged cards stay in place and keep the focus. */
import { card, animateMoves, skeletons } from "./card.js";
import { fill, h } from "./dom.js";

/** Build a grid; `handlers` are those of its cards. */
export function grid(handlers, { label = "Similar products", small = false } = {}) {
  const node = h("ul.grid", { "aria-label": label });
  node.classList.toggle("small", small);
  let shown = new Map(); // id → {node, print, item}
  node.addEventListener("keydown", (event) => onKey(event, node, shown, handlers));

  return {
    node,
    wait(n = 12) {
      shown = new Map();
      node.classList.add("waiting");
      fill(node, skeletons(n));
    },
    /** Show items; `stateOf(item, index)` returns the state of a card. */
    show(items, stateOf) {
      node.classList.remove("waiting");
      const before = new Map([...shown.values()].map((s) => [s.node, s.node.getBoundingClientRect()]));
      const focus = focused(node);
      const next = new Map();
      items.forEach((item, index) => {
        const state = stateOf(item, index);
        const print = JSON.stringify([item, { ...state, eager: null }]);
        const old = shown.get(item.id);
        if (old?.print === print) next.set(item.id, old);
        else {
          const made = card(item, state, handlers);
          if (old) before.set(made, before.get(old.node));
          next.set(item.id, { node: made, print, item });
        }
      });
      place(node, [...next.values()].map((s) => s.node));
      shown = next;
      if (focus) restoreFocus(node, next, focus);
      animateMoves(node, before);
    },
    items: () => [...shown.values()].map((s) => s.item),
  };
}

/** Put children in order and move as few as possible: a moved node loses the focus. */
function place(list, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...list.children]) if (!wanted.has(child)) child.remove();
  nodes.forEach((child, i) => { if (list.children[i] !== child) list.insertBefore(child, list.children[i] ?? null); });
}

function focused(list) {
  const at = document.activeElement;
  const of = at?.closest?.(".card");
  return of && list.contains(of) ? { id: of.dataset.id, act: at.dataset.act, index: [...list.children].indexOf(of) } : null;
}

function restoreFocus(list, shown, { id, act, index }) {
  if (list.contains(document.activeElement)) return;
  const of = shown.get(id)?.node ?? list.children[Math.min(index, list.children.length - 1)];
  const target = (act && of?.querySelector(`[data-act="${act}"]`)) || of?.querySelector(".title a");
  target?.focus({ preventScroll: true });
}

const ACTS = { p: ["rule", "pin"], u: ["rule", "boost"], d: ["rule", "bury"], b: ["rule", "block"], y: ["judge", "similar"], n: ["judge", "not_similar"], "=": ["judge", "duplicate"] };
const PLAIN = { m: "like", l: "unlike", w: "why" };

function onKey(event, list, shown, handlers) {
  const of = event.target.closest(".card");
  if (!of || event.altKey || event.ctrlKey || event.metaKey) return;
  const cards = [...list.children];
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(cards), ArrowUp: -columns(cards), Home: -Infinity, End: Infinity }[event.key];
  if (step !== undefined) {
    const to = cards[Math.max(0, Math.min(cards.length - 1, cards.indexOf(of) + step))];
    to.querySelector(".title a")?.focus();
    to.scrollIntoView({ block: "nearest" });
    event.preventDefault();
    return;
  }
  const item = shown.get(of.dataset.id)?.item;
  const key = event.key.toLowerCase();
  if (!item || document.documentElement.dataset.keys === "off") return;
  if (ACTS[key]) handlers[ACTS[key][0]](ACTS[key][1], item);
  else if (PLAIN[key]) handlers[PLAIN[key]](item);
  else if (key === "a") of.querySelector("[data-act=shelf]").click();
  else return;
  event.preventDefault();
  event.stopPropagation();
}

/** Number of cards in the first row. */
export function columns(cards) {
  const top = cards[0]?.offsetTop;
  const second = cards.findIndex((c) => c.offsetTop > top + 4);
  return second > 0 ? second : Math.max(1, cards.length);
}
