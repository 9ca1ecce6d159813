/** The form of one rule, with a preview of what it would do. */
import { requestBody } from "./paged_search.js";
import { addRule, changeRule, session, mayChange, product as getProduct, rule as getRule, loadSession } from "./api.js";
import { endRuleFrom } from "./actions.js";
import { button, fill, h, icon, announce } from "./dom.js";
import { definePanel } from "./panel.js";
import { history } from "./rule_history.js";
import { preview } from "./rule_preview.js";
import { chooser, choices, dateField, fromDay, toDay, untilDay } from "./rule_fields.js";
import { changeView, currentView, subject } from "./state.js";
import { recent } from "./storage.js";
import { showError, toast } from "./toast.js";
import { ACTIONS, categoryOf, ruleTime, ruleWords, strengthWords, titleOf } from "./format.js";

let changed = () => {};
/** Register what to call when a rule was created or changed. */
export const onRuleChange = (act) => { changed = act; };

definePanel("rule", (body, view, head) => {
  const [, action, id] = view.about?.startsWith("new") ? view.about.split(/:(\w+):/) : [];
  head.querySelector("h2").textContent = view.about?.startsWith("new") ? "New rule" : "Rule";
  fill(body, h("i.skeleton.line"), h("i.skeleton.line.short"));
  open(body, view.about, action, id).catch((problem) => fill(body, h("div.notice.error", { role: "alert" }, icon("warning"), h("h3", {}, problem.title ?? "Something failed"), h("p.quiet", {}, problem.message))));
});

async function open(body, about, action = "pin", id = "") {
  await loadSession();
  if (!about?.startsWith("new")) { edit(body, await getRule(about)); return; }
  const place = subject(currentView());
  const scope = place !== null ? { scope: "product", scope_value: place } : { scope: "everywhere", scope_value: "" };
  edit(body, { id: 0, action, target: "product", target_value: id, ...scope, strength: 0.1, position: 0, starts_at: null, expires_at: null, reason: "", author: session().author });
}

function edit(body, stored) {
  const isNew = stored.id === 0;
  const may = mayChange() && (isNew || session().role === "admin" || stored.author === session().author) && ruleTime(stored).state !== "ended";
  const draft = { ...stored };
  const trial = preview();
  const sentence = h("p.sentence");
  const strength = strengthField(draft, touch);
  const target = chooser({ name: "target", legend: "What it moves", kinds: [["product", "A product"], ["category", "A category"], ["brand", "A brand"]], kind: draft.target, value: draft.target_value, set: (kind, value) => { draft.target = kind; draft.target_value = value; touch(); } });
  const where = chooser({ name: "scope", legend: "Where", kinds: [["product", "One product"], ["category", "A category"], ["everywhere", "Everywhere"]], kind: draft.scope, value: draft.scope_value, set: (kind, value) => { draft.scope = kind; draft.scope_value = kind === "everywhere" ? "" : value; touch(); }, usual: defaultScope });
  const problem = h("p.message", { role: "alert", hidden: true });
  const form = h("form.rule-form", { novalidate: true, on: { submit: (e) => { e.preventDefault(); save(); } } },
    sentence,
    h("fieldset", { disabled: !may },
      choices("action", "What it does", Object.entries(ACTIONS).map(([value, { name, icon: i }]) => [value, name, i]), draft.action, (v) => { draft.action = v; touch(); }),
      strength.node, target.node, where.node,
      h("div.dates", {}, dateField("Starts", toDay(draft.starts_at), (v) => { draft.starts_at = fromDay(v); touch(); }), dateField("Last day", toDay(draft.expires_at, -1), (v) => { draft.expires_at = untilDay(v); touch(); }, ["A week", "A month"])),
      h("label.field", {}, h("span", {}, "Why"), h("textarea.input", { rows: "2", maxlength: "500", placeholder: "So that others know in three months", value: draft.reason, on: { input: (e) => { draft.reason = e.target.value; } } }))),
    may && h("section.why-part", {}, h("h3", {}, "What it would do"), trial.node),
    problem,
    may && h("div.row.stay", {}, h("button.button.main", { type: "submit" }, isNew ? "Create rule" : "Save changes"),
      !isNew && button("End rule", () => endRuleFrom(stored, words().does, () => { changeView({ panel: "rules", about: null }); changed(); }), { kind: "ghost plain" })),
    !may && h("p.hint", {}, ruleTime(stored).state === "ended" ? "This rule has ended." : `Only ${stored.author} or an administrator can change this rule.`));
  const past = h("div");
  fill(body, form, !isNew && h("section.why-part", {}, h("h3", {}, "History"), past));
  if (!isNew) history(past, stored.id);

  const names = new Map();
  function words() { return ruleWords({ ...draft, target_value: draft.target_value || "…", scope_value: draft.scope_value || "…" }, names); }
  function speak() {
    const { does, where: at } = words();
    fill(sentence, icon(ACTIONS[draft.action].icon), h("span", {}, h("b", {}, does), ` ${at}`, `, ${ruleTime(draft).words}`, !isNew && h("small.quiet", {}, ` by ${stored.author}`)));
  }
  function touch() {
    const pin = draft.action === "pin";
    target.allow(pin ? ["product"] : ["product", "category", "brand"]);
    strength.node.hidden = draft.action !== "boost" && draft.action !== "bury";
    problem.hidden = true;
    speak();
    for (const id of [draft.target === "product" && draft.target_value, draft.scope === "product" && draft.scope_value]) {
      if (id && !names.has(id)) getProduct(id).then((p) => { if (p) { names.set(id, titleOf(p)); speak(); } }).catch(() => null);
    }
    if (may) tryOut();
  }
  function complete() { return draft.target_value.trim() && (draft.scope === "everywhere" || draft.scope_value.trim()); }
  async function tryOut() {
    if (!complete()) { trial.clear("Fill in what it moves and where to see what it would do."); return; }
    const [query, at] = await queryForRule(draft);
    trial.show(sent(draft), query, at);
  }
  async function save() {
    if (!complete()) { problem.textContent = "Say what the rule moves, and where."; problem.hidden = false; return; }
    try {
      const { does, where: at } = words();
      const kept = isNew ? await addRule(sent(draft)) : await changeRule(stored.id, sent(draft));
      changed();
      toast(isNew ? `Created: ${does} ${at}` : "The rule was changed", isNew ? {} : { undo: async () => { await changeRule(stored.id, sent(stored)); changed(); announce("Undone."); } });
      changeView({ panel: "rules", about: null });
      return kept;
    } catch (error) {
      if (!error.fix) { showError(error); return; }
      problem.textContent = `${error.message} ${error.fix}`;
      problem.hidden = false;
    }
  }
  touch();
}

const FIELDS = ["action", "target", "target_value", "scope", "scope_value", "strength", "position", "starts_at", "expires_at", "reason"];
const sent = (draft) => Object.fromEntries(FIELDS.map((name) => [name, draft[name]]));

/** A query that shows what the rule does: the current one if the rule applies to it. */
async function queryForRule(draft) {
  const view = currentView();
  const about = view.page === "find" ? subject(view) : null;
  if (draft.scope === "product") {
    if (about === draft.scope_value) return [await requestBody(view), ""];
    return [{ like: [draft.scope_value] }, ""];
  }
  if (view.page === "find" && (draft.scope === "everywhere" || (about !== null && (await getProduct(about))?.product_type?.includes(draft.scope_value)))) return [await requestBody(view), "In the list that is shown:"];
  const fits = recent.all().find((p) => draft.scope === "everywhere" || [p.product_type].flat().includes(draft.scope_value));
  return fits ? [{ like: [fits.id] }, `Next to ${titleOf(fits)}:`] : [null, ""];
}

/** The default of a scope: the current product or its category. */
async function defaultScope(kind) {
  const about = subject(currentView()) ?? recent.all()[0]?.id ?? "";
  if (kind === "product") return about;
  return kind === "category" && about ? categoryOf(await getProduct(about).catch(() => null)) ?? "" : "";
}

function strengthField(draft, touch) {
  const output = h("output", {}, strengthWords(draft.strength));
  const input = h("input.range", { type: "range", min: "0.02", max: "0.4", step: "0.02", value: String(draft.strength), "aria-label": "How strongly", on: { input: () => { draft.strength = Number(input.value); show(); touch(); } } });
  const show = () => {
    output.textContent = strengthWords(Number(input.value));
    input.setAttribute("aria-valuetext", output.textContent);
    input.style.setProperty("--at", `${(100 * (Number(input.value) - 0.02)) / 0.38}%`);
  };
  show();
  return { node: h("div.slider", {}, h("span.label", {}, "How strongly"), output, input, h("span.ends", { "aria-hidden": "true" }, h("span", {}, "A little"), h("span", {}, "Strongly"))) };
}
