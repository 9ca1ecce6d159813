"""The page: templates, what they are given, and the policy that nothing in it can run or be fetched.

Feed text is untrusted: every value is escaped, links other than http and https are dropped, and the page's
own policy forbids every request and every script but the one whose hash it names.
"""

import base64
import functools
import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from recsys.report import charts, formatting
from recsys.report.cards import ProductCards
from recsys.report.facts import (
    cheap_tricks_ahead,
    check_sentence,
    check_title,
    holds_sentence,
    overlap_sentence,
    power_sentence,
    roles,
    shown_checks,
    title,
)
from recsys.report.monitoring import FIGURES, curves


def render(facts: Mapping[str, Any], cards: ProductCards) -> str:
    """Return the page; ``cards`` holds every product that ``facts`` name."""
    environment = _environment()
    style, script = (Markup(environment.get_template(name).render()) for name in ("style.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html.j2").render(
        facts=facts,
        cards=cards,
        losses=_losses(facts["training"]["losses"]),
        validation=_validation(facts["training"]["validation"]),
        map=charts.scatter(facts["map"], cards) if facts["map"] else None,
        nights=_nights(facts["monitoring"]),
        style=style,
        script=script,
        policy="default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
    )


def safe_link(link: str | None) -> str | None:
    """Return ``link`` if following it can only open a web page, else ``None``."""
    try:
        parts = urlsplit(link or "")
    except ValueError:
        return None
    return link if parts.scheme in ("http", "https") and parts.netloc else None


def _losses(curves: Mapping[str, list[tuple[float, float]]]) -> dict[str, Any] | None:
    series = {_term_title(name): charts.smooth(points) for name, points in curves.items() if points}
    return charts.line_chart(series, x_label="step")


def _term_title(name: str) -> str:
    """Return what a term of the loss is called: ``SupConLoss (category, image)``."""
    titles = {"loss": "total", "clip": "image to text (CLIP)", "siglip": "image to text (SigLIP)"}
    kind, *parts = name.split(":")
    return f"{parts[0]} ({', '.join(parts[1:])})" if len(parts) > 1 else titles.get(kind, name)


def _validation(validation: Mapping[str, Any]) -> dict[str, Any] | None:
    points = [(e["epoch"], e["metric"]) for e in validation["epochs"] if e["metric"] is not None]
    return charts.line_chart({formatting.metric(validation["metric"] or "metric"): points}, x_label="epoch")


def _nights(monitoring: Mapping[str, Any]) -> dict[str, dict[str, Any] | None]:
    """Return a small chart of each of the curves over the nights; ``None`` where nothing can be drawn."""
    return {
        name: charts.line_chart(lines, x_label="nights, tonight is 0", width=340, height=200)
        for name, lines in curves(monitoring).items()
    }


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("recsys.report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "commas": "{:,}".format,
        "duration": formatting.duration,
        "interval": formatting.interval,
        "last_step": formatting.last_step,
        "metric": formatting.metric,
        "reason": formatting.reason,
        "safe_link": safe_link,
        "score": formatting.score,
        "signed": formatting.signed,
    }
    environment.globals |= {
        "axis": charts.axis,
        "baselines": formatting.BASELINES,
        "cheap_tricks_ahead": cheap_tricks_ahead,
        "check_sentence": check_sentence,
        "check_title": check_title,
        "count": formatting.count,
        "figures": FIGURES,
        "holds_sentence": holds_sentence,
        "overlap_sentence": overlap_sentence,
        "power_sentence": power_sentence,
        "roles": roles,
        "scopes": formatting.SCOPES,
        "shown_checks": shown_checks,
        "title": title,
    }
    return environment
