"""Chart geometry: numbers in, positions out. The templates draw them.

line_chart   curves over steps or epochs, in the units of an SVG
axis         a scale that holds given rows, in per cent of its width: intervals and comparisons
scatter      the map of the catalog: points, a colour per category, images where there is room
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recsys.report.cards import ProductCards
from recsys.report.formatting import last_step

_MAX_TOOLTIPS = 40
_MAP_SIDE, _MAP_MARGIN = 640, 26.0
_MAP_COLOURS = 12
_MAP_IMAGES, _MAP_IMAGE_SIDE, _MAP_IMAGE_GAP = 44, 72, 74.0


@dataclass(frozen=True)
class Scale:
    """A linear axis: values from ``low`` to ``high`` lie at positions from ``start`` to ``end``."""

    low: float
    high: float
    start: float = 0.0
    end: float = 100.0

    @classmethod
    def around(
        cls, values: Iterable[float], *, padding: float, start: float = 0.0, end: float = 100.0
    ) -> "Scale":
        """Return a scale that holds the finite ``values``; ``padding`` is a share of their range."""
        finite = [v for v in values if math.isfinite(v)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        beside = (high - low) * padding if high > low else max(abs(low) * 0.1, 0.05)
        return cls(low - beside, high + beside, start, end)

    def at(self, value: float) -> float:
        """Return the position of ``value``; what lies outside the scale is put on its edge."""
        share = min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))
        return round(self.start + share * (self.end - self.start), 3)

    def ticks(self, count: int = 5, *, whole: bool = False) -> list[tuple[float, str]]:
        """Return position and label of about ``count`` round numbers; ``whole``: integers only."""
        raw = (self.high - self.low) / (count - 1)
        magnitude = 10.0 ** math.floor(math.log10(raw))
        step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.8)
        step = max(1.0, round(step)) if whole else step
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [(self.at(i * step), label(round(i * step, 10))) for i in range(first, last + 1)]


def label(value: float) -> str:
    """Return a number as short as it can be."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def axis(rows: Iterable[Mapping[str, Any]], keys: Sequence[str], *also: float) -> Scale:
    """Return a scale in per cent that holds every number of ``rows`` under ``keys``, and ``also``."""
    values = [float(row[key]) for row in rows for key in keys if row.get(key) is not None]
    return Scale.around([*values, *also], padding=0.05)


def line_chart(
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    x_label: str,
    width: float = 440,
    height: float = 250,
) -> dict[str, Any] | None:
    """Lay out curves given as name → (x, y) points; ``None`` where no finite point is left.

    The result has ``width``, ``height``, the frame (``left``, ``right``, ``bottom``), ``x_ticks``,
    ``y_ticks``, ``x_label`` and ``lines``: each its ``name``, the ``path`` of an SVG and ``points`` (x, y,
    tooltip), which are left out where there are too many to tell apart.
    """
    finite = {name: [p for p in points if np.isfinite(p).all()] for name, points in series.items()}
    finite = {name: points for name, points in finite.items() if points}
    if not finite:
        return None
    xs, ys = zip(*(point for points in finite.values() for point in points), strict=True)
    left, right, bottom = 46.0, width - 12, height - 38
    across = Scale.around(xs, padding=0.0, start=left, end=right)
    up = Scale.around(ys, padding=0.06, start=bottom, end=12.0)
    lines = []
    for name, points in finite.items():
        placed = [(across.at(x), up.at(y), f"{label(x)}: {y:.4g}") for x, y in points]
        path = "M" + "L".join(f"{x},{y}" for x, y, _ in placed)
        lines.append({"name": name, "path": path, "points": placed if len(placed) <= _MAX_TOOLTIPS else []})
    return {
        "width": width, "height": height, "left": left, "right": right, "bottom": bottom, "lines": lines,
        "x_ticks": across.ticks(whole=all(x == round(x) for x in xs)), "y_ticks": up.ticks(),
        "x_label": x_label,
    }  # fmt: skip


def smooth(points: Sequence[tuple[float, float]], share: float = 0.08) -> list[tuple[float, float]]:
    """Return the points with y averaged over a centred window of this share of their number."""
    reach = int(len(points) * share / 2)
    window, ys = np.ones(2 * reach + 1), np.array([y for _, y in points])
    counts = np.convolve(np.ones(len(ys)), window)[reach : reach + len(ys)]
    means = np.convolve(ys, window)[reach : reach + len(ys)] / counts
    return [(x, float(y)) for (x, _), y in zip(points, means, strict=True)]


def scatter(projection: Mapping[str, Any], cards: ProductCards) -> dict[str, Any]:
    """Return the map: ``points`` in pixels, ``pins`` (points with their image) and the ``legend``."""
    names = [last_step(category) for category in projection["categories"]]
    frequent = Counter(names).most_common(_MAP_COLOURS)
    colour = {name: i for i, (name, _) in enumerate(frequent)}
    legend = [{"name": name, "colour": colour[name], "count": count} for name, count in frequent]
    rest = len(names) - sum(count for _, count in frequent)
    if rest:
        legend.append({"name": "other", "colour": _MAP_COLOURS, "count": rest})
    horizontal = Scale(0, 1, _MAP_MARGIN, _MAP_SIDE - _MAP_MARGIN)
    vertical = Scale(0, 1, _MAP_SIDE - _MAP_MARGIN, _MAP_MARGIN)
    points = [
        {"id": id, "title": cards.card(id)["title"], "name": name, "colour": colour.get(name, _MAP_COLOURS),
         "x": horizontal.at(x), "y": vertical.at(y)}
        for id, name, (x, y) in zip(projection["ids"], names, projection["points"], strict=True)
    ]  # fmt: skip
    pins: list[dict[str, Any]] = []
    for point in points:
        if len(pins) < _MAP_IMAGES and all(
            math.dist((point["x"], point["y"]), (p["x"], p["y"])) > _MAP_IMAGE_GAP for p in pins
        ):
            image = cards.thumbnail(point["id"], _MAP_IMAGE_SIDE)
            if image is not None:
                pins.append({**point, "image": image})
    return {"points": points, "pins": pins, "legend": legend, "side": _MAP_SIDE, "of": projection["of"]}
