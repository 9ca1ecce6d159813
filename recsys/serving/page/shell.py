"""The merchandiser's page: one shell for all of its addresses, and the files it is made of.

The shell holds no data and is served to everybody: its scripts ask the API, which sends those who have yet
to sign in to /login. That way a link from a chat or a mail opens for those who are signed in, whose session
cookie no browser sends along from another site.

Files are named by the hash of them all, so that a page never mixes the modules of two versions, and are kept
by browsers for good.

Does not know: products, searches.
"""

import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, FastAPI
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from recsys.serving.dependencies import service
from recsys.serving.problems import NOT_FOUND, Problem

_HERE = Path(__file__).parent
_STATIC = _HERE / "static"
_SHEETS = ("base", "layout", "search", "grid", "filters", "panel", "lists")
_SHEET = "page.css"
"""All of :data:`_SHEETS` in one, in the order that they build on each other."""
_KINDS = frozenset({"text/css", "text/javascript", "image/svg+xml"})
_FOREVER = "public, max-age=31536000, immutable"

pages = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class File:
    """A file as it is sent."""

    content: bytes
    kind: str


@dataclass(frozen=True)
class Files:
    """Everything under ``static/``, read once."""

    by_name: dict[str, File]
    version: str
    """Changes when any file does."""

    @property
    def base(self) -> str:
        """The address that all files are under."""
        return f"/static/{self.version}"


@cache
def files() -> Files:
    """Return the page's files."""
    found = {}
    digest = hashlib.sha256()
    for path in sorted(_STATIC.rglob("*")):
        kind = _kind(path)
        if not path.is_file() or kind not in _KINDS:
            continue
        name, content = path.relative_to(_STATIC).as_posix(), path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
        found[name] = File(content, kind)
    joined = b"".join(found.pop(f"css/{name}.css").content for name in _SHEETS)
    return Files(found | {_SHEET: File(joined, "text/css")}, digest.hexdigest()[:12])


@cache
def shell(name: str) -> str:
    """Return the page of the shop ``name``: the same for every address and everybody."""
    held = files()
    return render(
        "shell.html.j2",
        name=name,
        static=held.base,
        sheets=stylesheets(),
        modules=[n for n in held.by_name if n.startswith("js/") and n != "js/main.js"],
    )


def stylesheets() -> list[str]:
    """Return the names of the style sheets."""
    return [_SHEET]


def render(template: str, **values: object) -> str:
    """Return a template of the page; everything put into it is escaped."""
    loader = FileSystemLoader(_HERE / "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.get_template(template).render(**values)


def add_page(app: FastAPI) -> None:
    """Serve the page and its files from ``app``."""
    app.include_router(pages)


@pages.get("/")
@pages.get("/search")
@pages.get("/rules")
@pages.get("/shelf")
@pages.get("/similar/{id:path}")
async def page(request: Request) -> Response:
    """Return the shell; what it shows is in its address."""
    html = shell(service(request).config.name).encode()
    etag = f'"{hashlib.sha256(html).hexdigest()[:16]}"'
    headers = {"Cache-Control": "no-cache", "ETag": etag}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return HTMLResponse(html, headers=headers)


@pages.get("/static/{version}/{name:path}")
async def static(version: str, name: str) -> Response:
    """Return a file. An address of an older version gets the present file, and is not kept."""
    held = files()
    file = held.by_name.get(name)
    if file is None:
        raise Problem(
            NOT_FOUND, f"The page has no file {name[:100]!r}.", fix="Load the page again: it was renewed."
        )
    headers = {"Cache-Control": _FOREVER if version == held.version else "no-store"}
    return Response(file.content, headers=headers, media_type=file.kind)


@pages.get("/favicon.ico")
async def favicon() -> Response:
    """Return the icon, for browsers that ask here whatever the page says."""
    return await static("", "icon.svg")


def _kind(path: Path) -> str:
    """Return a file's media type; a system's own table may call scripts by another name."""
    if path.suffix == ".js":
        return "text/javascript"
    return mimetypes.guess_type(path.name)[0] or ""


__all__ = ["add_page", "files", "render", "stylesheets"]
