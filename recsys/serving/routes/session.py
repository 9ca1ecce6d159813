"""Signing in and out on the page, and who one is."""

from typing import Annotated

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from recsys.serving.auth import COOKIE, CurrentIdentity
from recsys.serving.dependencies import Services, ServicesDep
from recsys.serving.page import shell
from recsys.serving.problems import Problem
from recsys.serving.responses import SessionResponse
from recsys.serving.routes import make_router

router = make_router("session", "read")
pages = APIRouter(include_in_schema=False)


@router.get("/v1/session", summary="Who asks")
async def session(services: ServicesDep, identity: CurrentIdentity) -> SessionResponse:
    """Say who asks, and what they may do."""
    return SessionResponse(author=identity.name, role=identity.role, auth=services.authenticator.needs_key)


@pages.get("/login")
async def sign_in_form(services: ServicesDep, next: str = "/") -> Response:
    """Show the sign-in form."""
    if not services.authenticator.needs_key:
        return RedirectResponse(_local_path(next), 303)
    return _form(services, next)


@pages.post("/login")
async def sign_in(
    request: Request,
    services: ServicesDep,
    key: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "/",
) -> Response:
    """Sign in with a key."""
    if not services.authenticator.needs_key:
        return RedirectResponse(_local_path(next), 303)
    try:
        value = services.authenticator.begin_session(key.strip())
    except Problem as problem:
        return _form(services, next, wrong=problem)
    response = RedirectResponse(_local_path(next), 303)
    response.set_cookie(
        COOKIE,
        value,
        max_age=int(services.config.search.session_hours * 3600),
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


@pages.post("/logout")
async def sign_out(request: Request, services: ServicesDep) -> Response:
    """End the session."""
    services.authenticator.sessions.end(request.cookies.get(COOKIE, ""))
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


def _form(services: Services, target: str, *, wrong: Problem | None = None) -> Response:
    advice = "Paste it again, as a whole." if wrong and wrong.status_code == 401 else "Try again in a moment."
    html = shell.render(
        "sign_in.html.j2",
        name=services.config.name,
        next=_local_path(target),
        message=f"{wrong.detail} {advice}" if wrong else "",
    )
    return HTMLResponse(html, wrong.status_code if wrong else 200)


def _local_path(target: str) -> str:
    """Return ``target`` if it is a path of this service, ``/`` otherwise."""
    inside = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if inside else "/"
