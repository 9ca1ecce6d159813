/** What a person can do with a product in one click, each with undo. */
import { addRule, endRule, judge, judgements, mayChange, session, restoreRule, loadSession, withdraw } from "./api.js";
import { announce } from "./dom.js";
import { changeView, currentView, subject } from "./state.js";
import { showError, toast } from "./toast.js";
import { ACTIONS, LABELS, titleOf } from "./format.js";

const STRENGTH = 0.1;
let changed = () => {};

/** Register what to call when the list has to be loaded again. */
export const onChange = (act) => { changed = act; };

/** Actions in progress: a second click on a button that does not show the first yet is ignored. */
const inProgress = new Set();

async function once(key, work) {
  if (inProgress.has(key)) return;
  inProgress.add(key);
  try {
    await work();
  } catch (problem) {
    showError(problem);
  } finally {
    inProgress.delete(key);
  }
}

/** Pin, boost, bury or block a product in this list; if that rule exists, end it. */
export function setRule(action, item) {
  const acting = (item.explain?.rules ?? []).find((r) => r.action === action);
  return once(`${action} ${item.id}`, () => (acting ? unset(action, item, acting.rule_id) : set(action, item)));
}

async function set(action, item) {
  const about = subject(currentView());
  if (about === null) { changeView({ panel: "rule", about: `new:${action}:${item.id}` }); return; }
  const stored = await addRule({ action, target: "product", target_value: item.id, scope: "product", scope_value: about, strength: STRENGTH, reason: "" });
  const shown = changed();
  toast(`${ACTIONS[action].done}: ${titleOf(item.product)}`, {
    undo: () => runUndo(() => endRule(stored.id)),
    more: ["Dates, reason", () => changeView({ panel: "rule", about: String(stored.id) })],
  });
  await shown;
}

async function unset(action, item, id) {
  await endRule(id);
  const shown = changed();
  toast(`${ACTIONS[action].undone}: ${titleOf(item.product)}`, { undo: () => runUndo(() => restoreRule(id)) });
  await shown;
}

/** End a rule from the list of rules. */
export function endRuleFrom(rule, words, after = () => {}) {
  return once(`end ${rule.id}`, async () => {
    await endRule(rule.id);
    changed();
    const listed = after();
    toast(`Ended: ${words}`, { undo: () => runUndo(async () => { await restoreRule(rule.id); after(); }) });
    await listed;
  });
}

async function runUndo(act) {
  await act();
  changed();
  announce("Undone.");
}

// -- judgements -----------------------------------------------------------------------------------

/** My judgements of pairs with the product `about`: other id → {id, label}. */
let judged = { about: null, labels: new Map() };
export const labelOf = (id) => judged.labels.get(id)?.label ?? null;

/** Load my judgements of pairs with `about`. */
export async function loadJudgements(about) {
  if (about === null) { judged = { about, labels: new Map() }; return; }
  if (judged.about !== about) judged = { about, labels: new Map() };
  await loadSession();
  if (!mayChange()) return;
  const list = await judgements(about);
  const labels = new Map();
  for (const one of list) {
    if (one.author !== session().author) continue;
    labels.set(one.left_id === about ? one.right_id : one.left_id, { id: one.id, label: one.label });
  }
  if (judged.about === about) judged = { about, labels };
}

/** Judge two products as similar, not similar or duplicates; the same judgement again withdraws it. */
export function setLabel(label, item) {
  const about = subject(currentView());
  if (about === null) return Promise.resolve();
  return once(`judge ${item.id}`, () => toggleLabel(about, label, item));
}

async function toggleLabel(about, label, item) {
  const before = judged.labels.get(item.id) ?? null;
  if (before?.label === label) {
    await withdrawLabel(about, item.id, before.id);
    toast(`Withdrawn: ${LABELS[label].name.toLowerCase()}`, { undo: () => runUndo(() => sendLabel(about, item.id, label)) });
    return;
  }
  const id = await sendLabel(about, item.id, label);
  toast(`${LABELS[label].done}. The nightly training learns from it.`, {
    undo: () => runUndo(() => (before ? sendLabel(about, item.id, before.label) : withdrawLabel(about, item.id, id))),
  });
}

async function sendLabel(about, other, label) {
  const { id } = await judge(about, other, label);
  if (judged.about === about) judged.labels.set(other, { id, label });
  changed({ quiet: true });
  return id;
}

async function withdrawLabel(about, other, id) {
  await withdraw(id);
  if (judged.about === about) judged.labels.delete(other);
  changed({ quiet: true });
}

// -- the query ------------------------------------------------------------------------------------

/** Search for more like this as well. */
export const moreLike = (item) => steer(item, "like", "unlike", "Looking for more like");

/** Steer the search away from this. */
export const lessLike = (item) => steer(item, "unlike", "like", "Looking for less like");

function steer(item, to, from, words) {
  const view = currentView();
  const without = (list) => list.filter((id) => id !== item.id);
  const closed = view.panel === "why" ? { panel: "", about: null } : {};
  changeView({ [to]: [...without(view[to]), item.id], [from]: without(view[from]), ...closed });
  toast(`${words} ${titleOf(item.product)}`, {
    undo: async () => { const at = currentView(); changeView({ [to]: at[to].filter((id) => id !== item.id) }); },
  });
}
