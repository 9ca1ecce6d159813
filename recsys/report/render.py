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

from recsys.report import charts, formatting, template_context
from recsys.report.product_cards import Shelf

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
        view=template_context.views(facts, shelf),
        images=shelf.thumbnails(),
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
        loader=PackageLoader("recsys.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "figure": formatting.figure,
        "interval": formatting.interval,
        "signed": formatting.signed,
        "duration": formatting.duration,
        "metric": formatting.metric,
        "safe_link": safe_link,
        "last_step": formatting.last_step,
        "commas": lambda number: f"{number:,}",
    }
    environment.globals |= {"count": formatting.count, "scopes": formatting.SCOPES, "label": charts.label}
    return environment
