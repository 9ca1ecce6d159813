/** What a person does to products, in one click, each with a way back. */
import { addRule, endRule, judge, judgements, mayChange, me, restoreRule, signOn, withdraw } from "./api.js";
import { say } from "./dom.js";
import { alter, now, subject } from "./state.js";
import { complain, toast } from "./toast.js";
import { ACTIONS, LABELS, titleOf } from "./words.js";

const STRENGTH = 0.1;
let changed = () => {};

/** Be told when an answer has to be asked for again. */
export const onChange = (act) => { changed = act; };

/** Clicks that have not shown yet: a second one on the same thing, seen as it was before, is not meant. */
const under = new Set();

async function once(key, work) {
  if (under.has(key)) return;
  under.add(key);
  try {
    await work();
  } catch (problem) {
    complain(problem);
  } finally {
    under.delete(key);
  }
}

/** Pin, boost, bury or block a product here; where it already is, end that. */
export function setRule(action, item) {
  const acting = (item.explain?.rules ?? []).find((r) => r.action === action);
  return once(`${action} ${item.id}`, () => (acting ? unset(action, item, acting.rule_id) : set(action, item)));
}

async function set(action, item) {
  const about = subject(now());
  if (about === null) { alter({ panel: "rule", about: `new:${action}:${item.id}` }); return; }
  const stored = await addRule({ action, target: "product", target_value: item.id, scope: "product", scope_value: about, strength: STRENGTH, reason: "" });
  const shown = changed();
  toast(`${ACTIONS[action].done}: ${titleOf(item.product)}`, {
    undo: () => undoing(() => endRule(stored.id)),
    more: ["Dates, reason", () => alter({ panel: "rule", about: String(stored.id) })],
  });
  await shown;
}

async function unset(action, item, id) {
  await endRule(id);
  const shown = changed();
  toast(`${ACTIONS[action].undone}: ${titleOf(item.product)}`, { undo: () => undoing(() => restoreRule(id)) });
  await shown;
}

/** End a rule from its list. */
export function endOne(rule, words, after = () => {}) {
  return once(`end ${rule.id}`, async () => {
    await endRule(rule.id);
    changed();
    const listed = after();
    toast(`Ended: ${words}`, { undo: () => undoing(async () => { await restoreRule(rule.id); after(); }) });
    await listed;
  });
}

async function undoing(act) {
  await act();
  changed();
  say("Undone.");
}

// -- judgements -----------------------------------------------------------------------------------

/** What was said about pairs with one product: other id → {id, label}, mine before others'. */
let said = { about: null, by: new Map() };
export const labelOf = (id) => said.by.get(id)?.label ?? null;

/** Load what was said about pairs with `about`; tells whether anything is new. */
export async function loadJudgements(about) {
  if (about === null) { said = { about, by: new Map() }; return; }
  if (said.about !== about) said = { about, by: new Map() };
  await signOn();
  if (!mayChange()) return;
  const list = await judgements(about);
  const by = new Map();
  for (const one of list) {
    if (one.author !== me().author) continue;
    by.set(one.left_id === about ? one.right_id : one.left_id, { id: one.id, label: one.label });
  }
  if (said.about === about) said = { about, by };
}

/** Say that two products are similar, not similar or duplicates; saying it again takes it back. */
export function setLabel(label, item) {
  const about = subject(now());
  if (about === null) return Promise.resolve();
  return once(`judge ${item.id}`, () => labelled(about, label, item));
}

async function labelled(about, label, item) {
  const before = said.by.get(item.id) ?? null;
  if (before?.label === label) {
    await unsay(about, item.id, before.id);
    toast(`Taken back: ${LABELS[label].name.toLowerCase()}`, { undo: () => undoing(() => tell(about, item.id, label)) });
    return;
  }
  const id = await tell(about, item.id, label);
  toast(`${LABELS[label].done}. The nightly training learns from it.`, {
    undo: () => undoing(() => (before ? tell(about, item.id, before.label) : unsay(about, item.id, id))),
  });
}

async function tell(about, other, label) {
  const { id } = await judge(about, other, label);
  if (said.about === about) said.by.set(other, { id, label });
  changed({ quiet: true });
  return id;
}

async function unsay(about, other, id) {
  await withdraw(id);
  if (said.about === about) said.by.delete(other);
  changed({ quiet: true });
}

// -- the question ---------------------------------------------------------------------------------

/** Look for more like this too. */
export const moreLike = (item) => lean(item, "like", "unlike", "Looking for more like");

/** Look away from this. */
export const lessLike = (item) => lean(item, "unlike", "like", "Looking for less like");

function lean(item, to, from, words) {
  const view = now();
  const without = (list) => list.filter((id) => id !== item.id);
  const closed = view.panel === "why" ? { panel: "", about: null } : {};
  alter({ [to]: [...without(view[to]), item.id], [from]: without(view[from]), ...closed });
  toast(`${words} ${titleOf(item.product)}`, {
    undo: async () => { const at = now(); alter({ [to]: at[to].filter((id) => id !== item.id) }); },
  });
}
