"""Rules: made, changed, taken back, tried out; and the trail of who did what.

Does not know: how rules move products.
"""

from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import Path, Query
from starlette.requests import Request
from starlette.responses import Response

from recsys.feedback.rules import StoredRule
from recsys.search.query import SearchResult
from recsys.serving import parameters, serialization
from recsys.serving.bodies import described, read
from recsys.serving.dependencies import Service, identity, service
from recsys.serving.problems import CONFLICT, FORBIDDEN, Problem
from recsys.serving.requests import AuditPage, PreviewBody, RowId, RuleBody, RuleChanges, RulesPage
from recsys.serving.responses import AuditAnswer, PreviewAnswer, RuleOut, RulesAnswer, entry_of, fields_of
from recsys.serving.routes import problems, router

T = TypeVar("T")

routes = router("rules", "merchandise", changes=True)
trail = router("rules", "admin")

RuleId = Annotated[RowId, Path()]


@routes.get(
    "/v1/rules",
    response_model=RulesAnswer,
    openapi_extra=parameters.described(RulesPage),
    summary="Rules in force and to come",
)
async def rules(request: Request) -> Response:
    """List rules, newest first."""
    parts, asked = service(request), parameters.read(request, RulesPage)

    def work() -> list[StoredRule]:
        return parts.store.rules(
            include_past=asked.include_past,
            product_id=asked.product_id,
            limit=asked.limit,
            offset=asked.offset,
        )

    return serialization.reply({"rules": [fields_of(rule) for rule in await parts.threads.run(work)]})


@routes.post(
    "/v1/rules",
    status_code=201,
    response_model=RuleOut,
    responses=problems(413, 415),
    openapi_extra=described(RuleBody),
    summary="Make a rule",
)
async def make(request: Request) -> Response:
    """Make a rule in the name of whoever asks; it acts on the next answer."""
    body = await read(request, RuleBody)
    parts, author = service(request), identity(request).name
    made = await parts.threads.run(lambda: parts.store.add_rule(body.rule(author), author))
    return serialization.reply(fields_of(made), status=201, headers={"Location": f"/v1/rules/{made.id}"})


@routes.post(
    "/v1/rules/preview",
    response_model=PreviewAnswer,
    responses=problems(404, 413, 415),
    openapi_extra=described(PreviewBody),
    summary="Try a rule on a question",
)
async def preview(request: Request) -> Response:
    """Answer a question without and with a rule; nothing is kept."""
    body = await read(request, PreviewBody)
    parts, author = service(request), identity(request).name

    def work() -> tuple[SearchResult, SearchResult]:
        query, rule, others = body.query.query(), body.rule.rule(author), parts.rules()
        return parts.finder.search(query, others), parts.finder.search(query, (*others, rule))

    before, after = await parts.threads.run(work)
    explain = body.query.explain
    both = {
        "before": serialization.answer(before, explain=explain),
        "after": serialization.answer(after, explain=explain),
    }
    return serialization.reply({**both, "moved": _moved(before, after)})


@routes.get("/v1/rules/{id}", response_model=RuleOut, responses=problems(404), summary="One rule")
async def rule(request: Request, id: RuleId) -> Response:
    """Return a rule, whatever became of it."""
    parts = service(request)
    return serialization.reply(fields_of(await parts.threads.run(lambda: parts.store.rule(id))))


@routes.patch(
    "/v1/rules/{id}",
    response_model=RuleOut,
    responses=problems(404, 409, 413, 415),
    openapi_extra=described(RuleChanges),
    summary="Change a rule",
)
async def change(request: Request, id: RuleId) -> Response:
    """Change some of a rule; what is left out stays, and so does its author."""
    body = await read(request, RuleChanges)

    def work(parts: Service, before: StoredRule, author: str) -> StoredRule:
        if before.retired_at is not None:
            raise Problem(
                CONFLICT,
                f"Rule {id} was retired by {before.retired_by}.",
                fix=f"Restore it first: POST /v1/rules/{id}/restore.",
            )
        return parts.store.change_rule(id, author, **body.changes())

    return await _on_own(request, id, work)


@routes.delete("/v1/rules/{id}", response_model=RuleOut, responses=problems(404), summary="Retire a rule")
async def retire(
    request: Request, id: RuleId, reason: Annotated[str, Query(max_length=500, pattern=r"^[^\x00]*$")] = ""
) -> Response:
    """Take a rule out of force; it can be restored."""
    return await _on_own(request, id, lambda parts, _, author: parts.store.retire_rule(id, author, reason))


@routes.post(
    "/v1/rules/{id}/restore", response_model=RuleOut, responses=problems(404), summary="Restore a rule"
)
async def restore(request: Request, id: RuleId) -> Response:
    """Undo the retirement of a rule."""
    return await _on_own(request, id, lambda parts, _, author: parts.store.restore_rule(id, author))


@routes.get(
    "/v1/rules/{id}/history",
    response_model=AuditAnswer,
    responses=problems(404),
    openapi_extra=parameters.described(AuditPage),
    summary="A rule's trail",
)
async def history(request: Request, id: RuleId) -> Response:
    """List who did what to a rule, newest first."""
    parts, asked = service(request), parameters.read(request, AuditPage)

    def work() -> Response:
        parts.store.rule(id)
        found = parts.store.audit(rule_id=id, limit=asked.limit, before_id=asked.before_id)
        return serialization.reply({"entries": [entry_of(entry) for entry in found]})

    return await parts.threads.run(work)


@trail.get(
    "/v1/audit",
    response_model=AuditAnswer,
    openapi_extra=parameters.described(AuditPage),
    summary="The whole trail",
)
async def audit(request: Request) -> Response:
    """List every change of rules and judgements, newest first."""
    parts, asked = service(request), parameters.read(request, AuditPage)
    found = await parts.threads.run(lambda: parts.store.audit(limit=asked.limit, before_id=asked.before_id))
    return serialization.reply({"entries": [entry_of(entry) for entry in found]})


async def _on_own(
    request: Request, id: int, work: Callable[[Service, StoredRule, str], StoredRule]
) -> Response:
    """Change a rule that is one's own, or anybody's as an admin; raises :class:`Problem` (403)."""
    parts, who = service(request), identity(request)

    def checked() -> StoredRule:
        before = parts.store.rule(id)
        if before.author != who.name and not who.may("admin"):
            raise Problem(
                FORBIDDEN,
                f"Rule {id} is {before.author}'s.",
                fix=f"Ask {before.author} or an admin to change it, or make a rule of your own.",
            )
        return work(parts, before, who.name)

    return serialization.reply(fields_of(await parts.threads.run(checked)))


def _moved(before: SearchResult, after: SearchResult) -> list[dict[str, object]]:
    """Return the products that stand elsewhere, those shown afterwards first."""
    old = {item.id: place for place, item in enumerate(before.items)}
    new = {item.id: place for place, item in enumerate(after.items)}
    return [
        {"id": id, "before": old.get(id), "after": new.get(id)}
        for id in dict.fromkeys([*new, *old])
        if old.get(id) != new.get(id)
    ]
