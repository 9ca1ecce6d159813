"""Rules, judgements, and the audit trail of who did what."""

from typing import Annotated

from fastapi import Depends, Query
from starlette.responses import Response

from recsys.feedback.judgements import Judgement
from recsys.feedback.rules import Rule, StoredRule
from recsys.search.query import SearchResult
from recsys.serving.auth import CurrentIdentity, Identity
from recsys.serving.dependencies import IN_THREAD, Services, ServicesDep
from recsys.serving.problems import CONFLICT, FORBIDDEN, Problem
from recsys.serving.requests import (
    AuditParams,
    JudgementCreate,
    JudgementsParams,
    PreviewRequest,
    RowIdPath,
    RuleCreate,
    RulesParams,
    RuleUpdate,
    Text,
    preview_request,
)
from recsys.serving.responses import (
    AuditResponse,
    JudgementsResponse,
    PreviewResponse,
    RulesResponse,
    json_response,
    search_response,
)
from recsys.serving.routes import make_router, problems

rules = make_router("rules", "merchandise")
judgements = make_router("judgements", "merchandise")
audit_trail = make_router("audit", "admin")


@rules.get("/v1/rules", dependencies=[IN_THREAD], summary="Active rules and those to come")
def list_rules(services: ServicesDep, params: Annotated[RulesParams, Query()]) -> RulesResponse:
    """List rules, newest first."""
    found = services.store.rules(
        include_past=params.include_past,
        product_id=params.product_id,
        limit=params.limit,
        offset=params.offset,
    )
    return RulesResponse(rules=found)


@rules.post(
    "/v1/rules",
    status_code=201,
    responses=problems(413, 415),
    dependencies=[IN_THREAD],
    summary="Make a rule",
)
def create_rule(
    services: ServicesDep, identity: CurrentIdentity, body: RuleCreate, response: Response
) -> StoredRule:
    """Make a rule in the name of whoever asks; it acts on the next search."""
    made = services.store.add_rule(Rule(**dict(body), author=identity.name), identity.name)
    response.headers["Location"] = f"/v1/rules/{made.id}"
    return made


@rules.post(
    "/v1/rules/preview",
    response_model=PreviewResponse,
    responses=problems(404, 413, 415),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/PreviewRequest"}}},
        }
    },
    dependencies=[IN_THREAD],
    summary="Try a rule on a search",
)
def preview_rule(
    services: ServicesDep,
    identity: CurrentIdentity,
    body: Annotated[PreviewRequest, Depends(preview_request)],
) -> Response:
    """Search without and with a rule; nothing is kept."""
    query, active = body.query.search_query(), services.active_rules()
    rule = Rule(**dict(body.rule), author=identity.name)
    before = services.finder.search(query, active)
    after = services.finder.search(query, (*active, rule))
    return json_response(
        {
            "before": search_response(before, explain=query.explain, notes=services.notes()),
            "after": search_response(after, explain=query.explain, notes=services.notes()),
            "rank_changes": _rank_changes(before, after),
        }
    )


def _rank_changes(before: SearchResult, after: SearchResult) -> list[dict[str, object]]:
    """Return the products that stand elsewhere, those shown afterwards first."""
    old = {item.id: place for place, item in enumerate(before.items)}
    new = {item.id: place for place, item in enumerate(after.items)}
    return [
        {"id": id, "before": old.get(id), "after": new.get(id)}
        for id in dict.fromkeys([*new, *old])
        if old.get(id) != new.get(id)
    ]


@rules.get("/v1/rules/{id}", responses=problems(404), dependencies=[IN_THREAD], summary="One rule")
def get_rule(services: ServicesDep, id: RowIdPath) -> StoredRule:
    """Return a rule, whatever became of it."""
    return services.store.rule(id)


@rules.patch(
    "/v1/rules/{id}",
    responses=problems(404, 409, 413, 415),
    dependencies=[IN_THREAD],
    summary="Change a rule",
)
def update_rule(
    services: ServicesDep, identity: CurrentIdentity, id: RowIdPath, body: RuleUpdate
) -> StoredRule:
    """Change some of a rule; what is left out stays, and so does its author."""
    before = _own_rule(services, id, identity)
    if before.retired_at is not None:
        raise Problem(
            CONFLICT,
            f"Rule {id} was retired by {before.retired_by}.",
            fix=f"Restore it first: POST /v1/rules/{id}/restore.",
        )
    return services.store.change_rule(id, identity.name, **body.model_dump(exclude_unset=True))


@rules.delete("/v1/rules/{id}", responses=problems(404), dependencies=[IN_THREAD], summary="Retire a rule")
def retire_rule(
    services: ServicesDep,
    identity: CurrentIdentity,
    id: RowIdPath,
    reason: Annotated[Text, Query()] = "",
) -> StoredRule:
    """End a rule; it can be restored."""
    _own_rule(services, id, identity)
    return services.store.retire_rule(id, identity.name, reason)


@rules.post(
    "/v1/rules/{id}/restore", responses=problems(404), dependencies=[IN_THREAD], summary="Restore a rule"
)
def restore_rule(services: ServicesDep, identity: CurrentIdentity, id: RowIdPath) -> StoredRule:
    """Undo the retirement of a rule."""
    _own_rule(services, id, identity)
    return services.store.restore_rule(id, identity.name)


def _own_rule(services: Services, id: int, identity: Identity) -> StoredRule:
    """Return a rule of one's own, or as an admin one of others; raises :class:`Problem` (403)."""
    rule = services.store.rule(id)
    if rule.author != identity.name and not identity.has_role("admin"):
        raise Problem(
            FORBIDDEN,
            f"Rule {id} is {rule.author}'s.",
            fix=f"Ask {rule.author} or an admin to change it, or make a rule of your own.",
        )
    return rule


@rules.get(
    "/v1/rules/{id}/history",
    responses=problems(404),
    dependencies=[IN_THREAD],
    summary="The audit trail of a rule",
)
def rule_history(
    services: ServicesDep, id: RowIdPath, params: Annotated[AuditParams, Query()]
) -> AuditResponse:
    """List who did what to a rule, newest first."""
    services.store.rule(id)
    entries = services.store.audit(rule_id=id, limit=params.limit, before_id=params.before_id)
    return AuditResponse(entries=entries)


@judgements.get("/v1/judgements", dependencies=[IN_THREAD], summary="Judgements that stand")
def list_judgements(
    services: ServicesDep, identity: CurrentIdentity, params: Annotated[JudgementsParams, Query()]
) -> JudgementsResponse:
    """List judgements, the last said first."""
    found = services.store.judgements(
        product_id=params.product_id,
        author=identity.name if params.mine else None,
        limit=params.limit,
        offset=params.offset,
    )
    return JudgementsResponse(judgements=found)


@judgements.post(
    "/v1/judgements",
    status_code=201,
    responses=problems(413, 415),
    dependencies=[IN_THREAD],
    summary="Judge two products",
)
def judge(services: ServicesDep, identity: CurrentIdentity, body: JudgementCreate) -> Judgement:
    """Say that two products are similar, not similar, or the same; saying otherwise later replaces it."""
    return services.store.judge(body.left_id, body.right_id, body.label, identity.name, context=body.context)


@judgements.delete(
    "/v1/judgements/{id}",
    responses=problems(404),
    dependencies=[IN_THREAD],
    summary="Take a judgement back",
)
def withdraw_judgement(services: ServicesDep, identity: CurrentIdentity, id: RowIdPath) -> Judgement:
    """Take back one's own judgement, or as an admin that of others."""
    judgement = services.store.judgement(id)
    if judgement.author != identity.name and not identity.has_role("admin"):
        raise Problem(
            FORBIDDEN,
            f"Judgement {id} is {judgement.author}'s.",
            fix="Make a judgement of your own; several opinions of a pair are weighed.",
        )
    return services.store.withdraw(id, identity.name)


@audit_trail.get("/v1/audit", dependencies=[IN_THREAD], summary="The whole audit trail")
def audit(services: ServicesDep, params: Annotated[AuditParams, Query()]) -> AuditResponse:
    """List every change of rules and judgements, newest first."""
    return AuditResponse(entries=services.store.audit(limit=params.limit, before_id=params.before_id))
