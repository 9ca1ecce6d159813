"""What the shop sells: for each category its kinds, what they are made of, cost, and what is said of them.

The data are in ``assortment.toml``. Facts (capacity, fabric, care) are said in words only; handles,
spouts and patterns are seen only.

Does not know: how anything is drawn.
"""

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Kind:
    """A form within a category, as ``shapes`` draws it."""

    name: str
    weight: float
    """How common it is among the category's designs."""
    nouns: tuple[str, ...]
    """What shops call it."""
    shelf: str | None = None
    """Last step of its ``product_type``, where it differs from the category's."""


@dataclass(frozen=True)
class Category:
    """A department of the shop."""

    path: tuple[str, ...]
    """``product_type``, from the top."""
    google: str
    """``google_product_category``."""
    kinds: tuple[Kind, ...]
    materials: dict[str, tuple[str, ...]]
    """Finish → what the ``material`` column says."""
    price: tuple[float, float]
    """US dollars, lowest and highest."""
    facts: tuple[tuple[str, tuple[str, ...]], ...]
    """Sentences with one blank each, and what may fill it."""
    patterned: float
    """Share of designs with a pattern."""
    period: tuple[float, float]
    """Period of a pattern, in units of the object."""
    sizes: tuple[str, ...] = ()
    """Values of the ``size`` column, where variants differ in size; their images do not."""
    worn: bool = False
    """Whether ``gender`` and ``age_group`` are given."""


def _category(values: dict[str, Any]) -> Category:
    kinds = tuple(
        Kind(name, k["weight"], tuple(k["nouns"]), k.get("shelf")) for name, k in values["kinds"].items()
    )
    return Category(
        path=tuple(values["path"].split(" > ")),
        google=values["google"],
        kinds=kinds,
        materials={finish: tuple(words) for finish, words in values["materials"].items()},
        price=tuple(values["price"]),
        facts=tuple((sentence, tuple(fills)) for sentence, fills in values["facts"]),
        patterned=values["patterned"],
        period=tuple(values["period"]),
        sizes=tuple(values.get("sizes", ())),
        worn=values.get("worn", False),
    )


ASSORTMENT = {
    name: _category(values)
    for name, values in tomllib.loads(
        files(__package__).joinpath("assortment.toml").read_text("utf-8")
    ).items()
}
"""Category → what it is."""
