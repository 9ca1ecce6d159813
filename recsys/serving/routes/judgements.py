"""Judgements: what people say of two products; training learns from them.

Does not know: what is made of them.
"""

from typing import Annotated

from fastapi import Path
from starlette.requests import Request
from starlette.responses import Response

from recsys.feedback.judgements import Judgement
from recsys.serving import parameters, serialization
from recsys.serving.bodies import described, read
from recsys.serving.dependencies import identity, service
from recsys.serving.problems import FORBIDDEN, Problem
from recsys.serving.requests import JudgementBody, JudgementsPage, RowId
from recsys.serving.responses import JudgementOut, JudgementsAnswer, fields_of
from recsys.serving.routes import problems, router

routes = router("judgements", "merchandise", changes=True)


@routes.get(
    "/v1/judgements",
    response_model=JudgementsAnswer,
    openapi_extra=parameters.described(JudgementsPage),
    summary="Judgements that stand",
)
async def judgements(request: Request) -> Response:
    """List judgements, the last said first."""
    parts, asked = service(request), parameters.read(request, JudgementsPage)
    author = identity(request).name if asked.mine else None

    def work() -> list[Judgement]:
        return parts.store.judgements(
            product_id=asked.product_id, author=author, limit=asked.limit, offset=asked.offset
        )

    return serialization.reply({"judgements": [fields_of(one) for one in await parts.threads.run(work)]})


@routes.post(
    "/v1/judgements",
    status_code=201,
    response_model=JudgementOut,
    responses=problems(413, 415),
    openapi_extra=described(JudgementBody),
    summary="Judge two products",
)
async def judge(request: Request) -> Response:
    """Say that two products are similar, not similar, or the same; saying otherwise later replaces it."""
    body = await read(request, JudgementBody)
    parts, author = service(request), identity(request).name
    made = await parts.threads.run(
        lambda: parts.store.judge(body.left_id, body.right_id, body.label, author, context=body.context)
    )
    return serialization.reply(fields_of(made), status=201)


@routes.delete(
    "/v1/judgements/{id}",
    response_model=JudgementOut,
    responses=problems(404),
    summary="Take a judgement back",
)
async def withdraw(request: Request, id: Annotated[RowId, Path()]) -> Response:
    """Take back what one said, or as an admin what anybody said."""
    parts, who = service(request), identity(request)

    def work() -> Judgement:
        before = parts.store.judgement(id)
        if before.author != who.name and not who.may("admin"):
            raise Problem(
                FORBIDDEN,
                f"Judgement {id} is {before.author}'s.",
                fix="Make a judgement of your own; several opinions of a pair are weighed.",
            )
        return parts.store.withdraw(id, who.name)

    return serialization.reply(fields_of(await parts.threads.run(work)))
