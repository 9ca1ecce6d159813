"""Judgements: what people say of two products; training learns from them."""

from typing import Annotated

from fastapi import Query

from recsys.feedback.judgements import Judgement
from recsys.serving.auth import CurrentIdentity
from recsys.serving.dependencies import IN_THREAD, ServicesDep
from recsys.serving.problems import FORBIDDEN, Problem
from recsys.serving.requests import JudgementCreate, JudgementsParams, RowIdPath
from recsys.serving.responses import JudgementsResponse
from recsys.serving.routes import make_router, problems

router = make_router("judgements", "merchandise")


@router.get("/v1/judgements", dependencies=[IN_THREAD], summary="Judgements that stand")
def list_judgements(
    services: ServicesDep, identity: CurrentIdentity, params: Annotated[JudgementsParams, Query()]
) -> JudgementsResponse:
    """List judgements, the last said first."""
    judgements = services.store.judgements(
        product_id=params.product_id,
        author=identity.name if params.mine else None,
        limit=params.limit,
        offset=params.offset,
    )
    return JudgementsResponse(judgements=judgements)


@router.post(
    "/v1/judgements",
    status_code=201,
    responses=problems(413, 415),
    dependencies=[IN_THREAD],
    summary="Judge two products",
)
def judge(services: ServicesDep, identity: CurrentIdentity, body: JudgementCreate) -> Judgement:
    """Say that two products are similar, not similar, or the same; saying otherwise later replaces it."""
    return services.store.judge(body.left_id, body.right_id, body.label, identity.name, context=body.context)


@router.delete(
    "/v1/judgements/{id}",
    responses=problems(404),
    dependencies=[IN_THREAD],
    summary="Take a judgement back",
)
def withdraw_judgement(services: ServicesDep, identity: CurrentIdentity, id: RowIdPath) -> Judgement:
    """Take back what one said, or as an admin what anybody said."""
    judgement = services.store.judgement(id)
    if judgement.author != identity.name and not identity.has_role("admin"):
        raise Problem(
            FORBIDDEN,
            f"Judgement {id} is {judgement.author}'s.",
            fix="Make a judgement of your own; several opinions of a pair are weighed.",
        )
    return services.store.withdraw(id, identity.name)
