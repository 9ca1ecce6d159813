"""The map of the catalog as the page draws it: points in pixels, a colour per category, pictures on pins.

Does not know: how positions were found, HTML.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from recsys.evaluation.report import words
from recsys.evaluation.report.shelf import Shelf

_SIDE = 640
_COLOURS = 12
_PICTURE_SIDE = 72
_PINS = 44


def scatter(found: Mapping[str, Any] | None, shelf: Shelf) -> dict[str, Any] | None:
    """Return points in pixels, coloured by category, and pictures where there is room for one."""
    if not found:
        return None
    names = [words.last_step(category) for category in found["categories"]]
    common = [name for name, _ in Counter(names).most_common(_COLOURS)]
    colour = {name: i for i, name in enumerate(common)}
    margin, inner = 26.0, _SIDE - 52.0
    points = []
    for id, name, (x, y) in zip(found["ids"], names, found["points"], strict=True):
        place = (round(margin + x * inner, 1), round(margin + (1 - y) * inner, 1))
        points.append(
            {
                "id": id,
                "title": shelf.card(id)["title"],
                "name": name,
                "colour": colour.get(name, _COLOURS),
                "x": place[0],
                "y": place[1],
            }
        )
    legend = [{"name": name, "colour": i, "count": names.count(name)} for name, i in colour.items()]
    rest = sum(1 for name in names if name not in colour)
    if rest:
        legend.append({"name": "other", "colour": _COLOURS, "count": rest})
    return {
        "points": points,
        "legend": legend,
        "side": _SIDE,
        "pins": _pins(points, shelf),
        "of": found["of"],
    }


def _pins(points: list[dict[str, Any]], shelf: Shelf, gap: float = 74.0) -> list[dict[str, Any]]:
    """Return some points, each with its ``picture``, no two closer than ``gap`` pixels."""
    pins: list[dict[str, Any]] = []
    for point in points:
        if len(pins) == _PINS:
            break
        if all((point["x"] - p["x"]) ** 2 + (point["y"] - p["y"]) ** 2 > gap**2 for p in pins):
            picture = shelf.picture(point["id"], _PICTURE_SIDE)
            if picture is not None:
                pins.append({**point, "picture": picture})
    return pins
