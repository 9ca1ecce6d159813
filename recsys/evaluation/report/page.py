"""The page: templates, what they are given, and the policy that nothing in it can run or be fetched.

Feed text is untrusted: every value is escaped, links other than http and https are dropped, and the
page's own policy forbids every request and every script but the one whose hash it names.

Does not know: artifacts.
"""

import base64
import functools
import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from recsys.evaluation.report import charts, views, words
from recsys.evaluation.report.shelf import Shelf

_PAGE, _STYLE, _SCRIPT = "page.html.j2", "style.css", "page.js"


def render(facts: Mapping[str, Any], shelf: Shelf) -> str:
    """Return the page; ``shelf`` has the words of every product that ``facts`` name."""
    environment = _environment()
    style, script = (Markup(environment.get_template(name).render()) for name in (_STYLE, _SCRIPT))
    return environment.get_template(_PAGE).render(
        facts=facts,
        style=style,
        script=script,
        policy=_policy(script),
        view=views.views(facts, shelf),
        pictures=shelf.pictures(),
    )


def safe_link(link: str | None) -> str | None:
    """Return ``link`` if following it can only open a web page, else ``None``."""
    try:
        parts = urlsplit(link or "")
    except ValueError:
        return None
    return link if parts.scheme in ("http", "https") and parts.netloc else None


def _policy(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("recsys.evaluation.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "figure": words.figure,
        "interval": words.interval,
        "signed": words.signed,
        "duration": words.duration,
        "metric": words.metric,
        "safe_link": safe_link,
        "last_step": words.last_step,
        "commas": lambda number: f"{number:,}",
    }
    environment.globals |= {"count": words.count, "scopes": words.SCOPES, "label": charts.label}
    return environment
