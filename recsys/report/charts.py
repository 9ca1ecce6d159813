"""The map of the catalog as the page draws it: points in pixels, a colour per category, images on pins.

Geometry of the charts: data in, positions in an image out. The templates draw them.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recsys.report import formatting
from recsys.report.product_cards import Shelf

Pairs = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Tick:
    """One mark of an axis."""

    at: float
    """Position, in the units of the image or in per cent."""
    label: str


@dataclass(frozen=True)
class Line:
    """One curve."""

    name: str
    path: str
    """Data of an SVG path."""
    points: list[tuple[float, float, str]]
    """x, y and tooltip of each measured point; empty where there are too many to tell apart."""


@dataclass(frozen=True)
class LineChart:
    """Curves over a common x axis."""

    width: float
    height: float
    left: float
    top: float
    right: float
    bottom: float
    lines: list[Line]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    x_label: str


_FEW_POINTS = 40


def ticks(low: float, high: float, count: int = 5, *, whole: bool = False) -> list[float]:
    """Return about ``count`` round numbers from ``low`` to ``high``; ``whole``: integers only."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    raw = (high - low) / max(count - 1, 1)
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.8)
    step = max(1.0, round(step)) if whole else step
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def label(value: float) -> str:
    """Return a tick's number, as short as it can be."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def line_chart(
    series: Mapping[str, Pairs], *, x_label: str, width: float = 440, height: float = 250
) -> LineChart | None:
    """Lay out curves given as name → (x, y) points; ``None`` where no finite point is left."""
    finite = {
        name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
        for name, points in series.items()
    }
    finite = {name: points for name, points in finite.items() if points}
    whole = all(x == round(x) for points in finite.values() for x, _ in points)
    if not finite:
        return None
    xs = [x for points in finite.values() for x, _ in points]
    ys = [y for points in finite.values() for _, y in points]
    (x0, x1), (y0, y1) = _padded(min(xs), max(xs), 0.0), _padded(min(ys), max(ys), 0.06)
    left, top, right, bottom = 46.0, 12.0, width - 12, height - 38

    def place(x: float, y: float) -> tuple[float, float]:
        across = left + (x - x0) / (x1 - x0) * (right - left)
        return round(across, 2), round(bottom - (y - y0) / (y1 - y0) * (bottom - top), 2)

    lines = []
    for name, points in finite.items():
        placed = [place(x, y) for x, y in points]
        path = "M" + "L".join(f"{x},{y}" for x, y in placed)
        tips = [(*p, f"{label(x)}: {y:.4g}") for p, (x, y) in zip(placed, points, strict=True)]
        lines.append(Line(name, path, tips if len(tips) <= _FEW_POINTS else []))
    return LineChart(
        width, height, left, top, right, bottom, lines,
        x_ticks=[Tick(place(x, y0)[0], label(x)) for x in ticks(x0, x1, whole=whole)],
        y_ticks=[Tick(place(x0, y)[1], label(y)) for y in ticks(y0, y1)],
        x_label=x_label,
    )  # fmt: skip


def smooth(points: Pairs, share: float = 0.08) -> list[tuple[float, float]]:
    """Return the points with y averaged over a window of this share of their number, centred."""
    reach = int(len(points) * share / 2)
    result = []
    for i, (x, _) in enumerate(points):
        window = points[max(0, i - reach) : i + reach + 1]
        result.append((x, sum(y for _, y in window) / len(window)))
    return result


def scale(
    rows: Sequence[Mapping[str, Any]], keys: Sequence[str], *, include: Sequence[float] = ()
) -> "Scale":
    """Return a scale that holds every number of ``rows`` under ``keys``, and ``include``."""
    values = [float(row[key]) for row in rows for key in keys if row.get(key) is not None]
    values = [v for v in [*values, *include] if math.isfinite(v)] or [0.0, 1.0]
    return Scale(*_padded(min(values), max(values), 0.05))


@dataclass(frozen=True)
class Scale:
    """A horizontal axis from ``low`` to ``high``, in per cent of its width."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Return where ``value`` lies, 0 to 100."""
        return round(100 * min(1.0, max(0.0, (value - self.low) / (self.high - self.low))), 3)

    @property
    def ticks(self) -> list[Tick]:
        """Return the marks of the axis."""
        return [Tick(self.at(v), label(v)) for v in ticks(self.low, self.high, 5)]


def _padded(low: float, high: float, share: float) -> tuple[float, float]:
    reach = (high - low) * share if high > low else max(abs(low) * 0.1, 0.05)
    return low - reach, high + reach


_SIDE = 640
_COLOURS = 12
_IMAGE_SIDE = 72
_PINS = 44


def scatter(found: Mapping[str, Any] | None, shelf: Shelf) -> dict[str, Any] | None:
    """Return points in pixels, coloured by category, and images where there is room for one."""
    if not found:
        return None
    names = [formatting.last_step(category) for category in found["categories"]]
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
    """Return some points, each with its ``image``, no two closer than ``gap`` pixels."""
    pins: list[dict[str, Any]] = []
    for point in points:
        if len(pins) == _PINS:
            break
        if all((point["x"] - p["x"]) ** 2 + (point["y"] - p["y"]) ** 2 > gap**2 for p in pins):
            image = shelf.thumbnail(point["id"], _IMAGE_SIDE)
            if image is not None:
                pins.append({**point, "image": image})
    return pins
