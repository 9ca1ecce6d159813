"""Signing in and out on the page, and who one is.

Does not know: how keys and cookies are checked; that is :mod:`recsys.serving.auth`.
"""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from recsys.serving import serialization
from recsys.serving.auth import COOKIE, Session
from recsys.serving.bodies import read_form
from recsys.serving.dependencies import Service, identity, service
from recsys.serving.page import shell
from recsys.serving.problems import Problem
from recsys.serving.responses import SessionAnswer
from recsys.serving.routes import router

routes = router("session", "read")
pages = APIRouter(include_in_schema=False)


@routes.get("/v1/session", response_model=SessionAnswer, summary="Who asks, and their CSRF token")
async def session(request: Request) -> Response:
    """Say who asks and what a page needs to change things."""
    parts, who = service(request), identity(request)
    headers: dict[str, str] = {}
    token = ""
    if who.by != "key":
        current = _current(request, parts, headers)
        token = parts.keys.csrf_token(current)
    body = {"author": who.name, "role": who.role, "csrf_token": token, "auth": parts.keys.needed}
    return serialization.reply(body, headers=headers)


@pages.get("/login")
async def login_form(request: Request, next: str = "/") -> Response:
    """Show the form."""
    if not service(request).keys.needed:
        return RedirectResponse(_local(next), 303)
    return _form(request, next)


@pages.post("/login")
async def login(request: Request) -> Response:
    """Sign in with a key."""
    parts = service(request)
    form = await read_form(request, {"key", "next"})
    parts.keys.check_csrf(_headers(request), str(form.get("csrf_token", "")))
    key, target = str(form.get("key", "")).strip(), str(form.get("next", "/"))
    try:
        if parts.keys.needed:
            parts.keys.by_key(key)
    except Problem as problem:
        return _form(request, target, wrong=problem)
    fresh = parts.keys.begin(key if parts.keys.needed else "")
    cookie = parts.keys.cookie(fresh, secure=request.url.scheme == "https")
    return RedirectResponse(_local(target), 303, {"Set-Cookie": cookie})


@pages.post("/logout")
async def logout(request: Request) -> Response:
    """Sign out."""
    parts = service(request)
    form = await read_form(request, set())
    parts.keys.check_csrf(_headers(request), str(form.get("csrf_token", "")) or None)
    gone = f"{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"
    return RedirectResponse("/login", 303, {"Set-Cookie": gone})


def _form(request: Request, target: str, *, wrong: Problem | None = None) -> Response:
    parts = service(request)
    headers: dict[str, str] = {}
    current = _current(request, parts, headers)
    html = shell.render(
        "sign_in.html.j2",
        name=parts.config.name,
        static=shell.files().base,
        sheets=shell.stylesheets(),
        csrf_token=parts.keys.csrf_token(current),
        next=_local(target),
        message=f"{wrong.detail} Paste it again, as a whole." if wrong else "",
    )
    return HTMLResponse(html, wrong.kind.status if wrong else 200, headers)


def _current(request: Request, parts: Service, headers: dict[str, str]) -> Session:
    """Return the request's session; a new one is added to ``headers``."""
    current = parts.keys.session(_headers(request))
    if current is None:
        current = parts.keys.begin()
        headers["Set-Cookie"] = parts.keys.cookie(current, secure=request.url.scheme == "https")
    return current


def _local(target: str) -> str:
    """Return ``target`` if it is a path of this service, ``/`` otherwise."""
    inside = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if inside else "/"


def _headers(request: Request) -> dict[bytes, bytes]:
    return dict(request.scope["headers"])
