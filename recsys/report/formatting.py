"""Numbers, durations and names, as people read them."""

from collections.abc import Mapping
from typing import Any

REASONS = {
    "bad_availability": "unknown availability",
    "bad_currency": "unknown currency",
    "bad_encoding": "letters in the wrong encoding",
    "bad_gtin": "bar code that cannot be right",
    "bad_id": "id that cannot be used",
    "bad_link": "link that cannot be followed",
    "bad_price": "price that cannot be read",
    "bad_row": "row that cannot be read",
    "bad_time": "time that cannot be read",
    "decode_crashed": "image that a decoder crashed on",
    "decode_timeout": "image that takes too long to decode",
    "duplicate_id": "id listed twice",
    "duplicate_image": "image listed twice",
    "image_empty": "image file is empty",
    "image_http_error": "image server answered with an error",
    "image_not_found": "image is missing",
    "image_oversized": "image is too large",
    "image_too_small": "image is too small",
    "image_truncated": "image is cut off",
    "image_unavailable": "image server did not answer",
    "image_unreadable": "not an image",
    "missing_id": "row without an id",
    "no_content": "neither title nor image",
    "no_usable_image": "no title and no usable image",
    "refused_address": "image at a private address",
    "refused_path": "image outside the feed's folder",
    "text_cut": "text too long, shortened",
    "too_many_images": "more images than are used",
    "too_many_redirects": "image link goes round in circles",
    "withheld": "withheld by the configuration",
}
"""Reason codes of ``rejected.parquet`` in words; others are read as they are."""

SCOPES = {
    "product": "Products turned away",
    "image": "Images left out",
    "value": "Values left out",
}
STAGES = {
    "ingest": "Read the catalog",
    "train": "Train the challenger",
    "evaluate": "Evaluate and decide",
    "embed": "Embed what changed",
    "publish": "Publish to the index",
    "total": "The whole night",
}
ACTIONS = {
    "build": "A new collection was built",
    "incremental": "The live collection was brought up to date",
    "payload": "Only prices, stock and other columns were refreshed",
    "nothing": "Nothing had to change",
    "rollback": "A person went back to an earlier collection",
}
BASELINES = {
    "bag_of_words": "A bag of words",
    "pixels": "A colour histogram",
    "image_alone": "Its images alone",
    "text_alone": "Its words alone",
}
METRICS = {
    "map@r": "MAP@R",
    "r_precision": "R-precision",
    "map_at_r": "MAP@R",
    "recall_at_1": "Recall@1",
}


def reason(code: str) -> str:
    """Return a rejection's reason in words."""
    return REASONS.get(code, code.replace("_", " "))


def metric(name: str) -> str:
    """Return a metric's name as papers write it."""
    known = METRICS.get(name)
    if known:
        return known
    head, at, k = name.partition("@")
    return {"ndcg": "nDCG", "hit": "Hit rate"}.get(head, head.capitalize().replace("_", " ")) + at + k


def count(number: int, thing: str, things: str | None = None) -> str:
    """Return ``1 product``, ``1,200 products``."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def duration(seconds: float | None) -> str:
    """Return ``0.4 s``, ``42 s``, ``3 min 5 s``, ``2 h 10 min``; a dash where it is not known."""
    if seconds is None:
        return "–"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def score(value: float | None) -> str:
    """Return a score in 0 to 1 with three digits; a dash where there is none."""
    return "–" if value is None else f"{value:.3f}"


def interval(found: Mapping[str, Any] | None) -> str:
    """Return ``0.612 (0.580 to 0.641)`` of a ``value``, ``low``, ``high``."""
    if not found or found.get("value") is None:
        return "not measured"
    if found.get("low") is None or found.get("high") is None:
        return score(found["value"])
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def signed(value: float | None) -> str:
    """Return ``+0.012`` or ``−0.012``."""
    return "–" if value is None else f"{'+' if value >= 0 else '−'}{abs(value):.3f}"


def joined(parts: list[str]) -> str:
    """Return ``a``, ``a and b``, ``a, b and c``."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1] if parts else ""


def last_step(path: str | None) -> str:
    """Return the last step of a category path, ``Mugs`` of ``Home > Kitchen > Mugs``."""
    return path.rsplit(">", 1)[-1].strip() if path else "no category"
