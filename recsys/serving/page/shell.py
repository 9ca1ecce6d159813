"""The merchandisers' page: one shell for all of its addresses, and the files it is made of.

The shell holds no data and is served to everybody: its scripts ask the API, which sends those who have yet
to sign in to /login. That way a link from a chat or a mail opens for those who are signed in, whose session
cookie no browser sends along from another site.

Files are named by the hash of them all, so that a page never mixes the modules of two versions, and browsers
keep them for good.
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
"""All of :data:`_SHEETS` in one, in the order that they build on each other."""
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

pages = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class PageFiles:
    """Everything under ``static/``, read once."""

    by_name: dict[str, bytes]
    version: str
    """Changes when any file does."""


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
    """Return a template of the page; everything put into it is escaped."""
    loader = FileSystemLoader(_HERE / "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    static = f"/static/{files().version}"
    return environment.get_template(template).render(static=static, sheets=[_SHEET], **values)


@cache
def shell(name: str) -> str:
    """Return the page of the shop ``name``: the same for every address and everybody."""
    modules = [n for n in files().by_name if n.startswith("js/") and n != "js/main.js"]
    return render("shell.html.j2", name=name, modules=modules)


@pages.get("/")
@pages.get("/search")
@pages.get("/rules")
@pages.get("/shelf")
@pages.get("/similar/{id:path}")
async def page(request: Request, services: ServicesDep) -> Response:
    """Return the shell; what it shows is in its address."""
    html = shell(services.config.name).encode()
    etag = f'"{hashlib.sha256(html).hexdigest()[:16]}"'
    headers = {"Cache-Control": "no-cache", "ETag": etag}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return HTMLResponse(html, headers=headers)


@pages.get("/static/{version}/{name:path}")
async def static(version: str, name: str) -> Response:
    """Return a file. An address of an older version gets the present file, and is not kept."""
    content = files().by_name.get(name)
    if content is None:
        raise Problem(
            NOT_FOUND, f"The page has no file {name[:100]!r}.", fix="Load the page again: it was renewed."
        )
    kept = "public, max-age=31536000, immutable" if version == files().version else "no-store"
    return Response(content, headers={"Cache-Control": kept}, media_type=_MEDIA_TYPES[Path(name).suffix])


@pages.get("/favicon.ico")
async def favicon() -> Response:
    """Return the icon, for browsers that ask here whatever the page says."""
    return await static("", "icon.svg")
