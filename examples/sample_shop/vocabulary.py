"""The words and colours of the shop: brands and their styles, collections, colour names, phrases.

The data are in ``vocabulary.toml``; every brand and collection is invented. A brand has a style (colours,
patterns, finishes it prefers), so that products of different categories look related and products of one
category form families.

Does not know: categories.
"""

import tomllib
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Hue:
    """A colour and what shops call it."""

    code: str
    """Display value, ``#rrggbb``."""
    names: tuple[str, ...]


@dataclass(frozen=True)
class Style:
    """What a brand's things have in common."""

    hues: tuple[str, ...]
    patterns: tuple[str, ...]
    finishes: tuple[str, ...]
    words: tuple[str, ...]
    """Adjectives of its copy."""


_DATA = tomllib.loads(files(__package__).joinpath("vocabulary.toml").read_text("utf-8"))

HUES = {name: Hue(hue["code"], tuple(hue["names"])) for name, hue in _DATA["hues"].items()}
"""Colour family → hue. Variants of a product have different families."""
STYLES = {name: Style(**{k: tuple(v) for k, v in style.items()}) for name, style in _DATA["styles"].items()}
BRANDS: dict[str, str] = _DATA["brands"]
"""Brand → style."""
COLLECTIONS: tuple[str, ...] = tuple(_DATA["collections"])
TITLES: tuple[str, ...] = tuple(_DATA["titles"])
"""Templates of titles; the blanks are filled by ``words``."""
OPENINGS: tuple[str, ...] = tuple(_DATA["openings"])
"""Templates of a description's first sentence."""
CLOSINGS: tuple[str, ...] = tuple(_DATA["closings"])
"""Templates of its last."""
