"""The merchandisers' page: one shell for all of its addresses, and the files it is made of.

The shell holds no data and is served to everybody: its scripts call the API and go to /login if nobody is
signed in. So a link in a chat or a mail opens for people who are signed in, although browsers do not send
their session cookie with a link from another site.

The URL of a file contains a hash of all files, so that a page never mixes modules of two versions and
browsers can cache files for good.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from recsys.serving.dependencies import ServicesDep
from recsys.serving.problems import NOT_FOUND, Problem

_HERE = Path(__file__).parent
_STATIC = _HERE / "static"
_SHEETS = ("base", "layout", "search", "grid", "filters", "panel", "lists")
_SHEET = "page.css"
"""All of :data:`_SHEETS` in one file, in this order."""
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

pages = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class PageFiles:
    """All files under ``static/``, read once."""

    by_name: dict[str, bytes]
    version: str
    """Hash of all files."""


@cache
def files() -> PageFiles:
    """Return the page's files."""
    paths = sorted(path for path in _STATIC.rglob("*") if path.suffix in _MEDIA_TYPES)
    by_name = {path.relative_to(_STATIC).as_posix(): path.read_bytes() for path in paths}
    digest = hashlib.sha256()
    for name, content in by_name.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    by_name[_SHEET] = b"".join(by_name.pop(f"css/{name}.css") for name in _SHEETS)
    return PageFiles(by_name, digest.hexdigest()[:12])


def render(template: str, **values: object) -> str:
    """Render a template of the page; all values are escaped."""
    loader = FileSystemLoader(_HERE / "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    static = f"/static/{files().version}"
    return environment.get_template(template).render(static=static, sheets=[_SHEET], **values)


@cache
def shell(name: str) -> str:
    """Return the page of the shop ``name``: the same at every URL, for everybody."""
    modules = [n for n in files().by_name if n.startswith("js/") and n != "js/main.js"]
    return render("shell.html.j2", name=name, modules=modules)


@pages.get("/")
@pages.get("/search")
@pages.get("/rules")
@pages.get("/shelf")
@pages.get("/similar/{id:path}")
async def page(request: Request, services: ServicesDep) -> Response:
    """Return the shell; its scripts show what the URL says."""
    html = shell(services.config.name).encode()
    etag = f'"{hashlib.sha256(html).hexdigest()[:16]}"'
    headers = {"Cache-Control": "no-cache", "ETag": etag}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return HTMLResponse(html, headers=headers)


@pages.get("/static/{version}/{name:path}")
async def static(version: str, name: str) -> Response:
    """Return a file; the URL of an older version gets the current file, uncached."""
    content = files().by_name.get(name)
    if content is None:
        raise Problem(
            NOT_FOUND, f"The page has no file {name[:100]!r}.", fix="Load the page again: it was renewed."
        )
    kept = "public, max-age=31536000, immutable" if version == files().version else "no-store"
    return Response(content, headers={"Cache-Control": kept}, media_type=_MEDIA_TYPES[Path(name).suffix])


@pages.get("/favicon.ico")
async def favicon() -> Response:
    """Return the icon; some browsers ask here whatever the page says."""
    return await static("", "icon.svg")
