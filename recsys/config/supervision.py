"""Settings of what training learns from: the split, label levels, judged pairs, and how batches are drawn."""

from typing import Literal, Self

from pydantic import Field, model_validator

from recsys.config.base import Section


class SplitConfig(Section):
    """Which products are trained on, which choose the challenger, on which the gate decides,
    and which are the final test, that nothing but a benchmark record reads."""

    validation_share: float = Field(default=0.1, ge=0, le=0.5)
    """Share of components that choose the challenger, and show how training went; 0.05 to 0.15 is usual."""
    holdout_share: float = Field(default=0.1, ge=0, le=0.5)
    """Share of components that the gate decides on; 0.1 to 0.2 is usual."""
    test_share: float = Field(default=0.1, ge=0, le=0.5)
    """Share of components that are the final test."""
    fold: int = Field(default=0, ge=0, lt=10)
    """Turns all roles but the final test by this many tenths: with shares of 0.1, every component outside
    the final test is held out in about one fold of ten. For cross-validation."""
    classes: tuple[str, ...] = ()
    """Columns whose combined value is never divided, such as ``["product_type"]``: validation, holdout and
    final test are then of classes that were never trained on."""
    phash_distance: int = Field(default=4, ge=-1, le=8)
    """Images whose 64-bit perceptual hashes differ in at most this many bits may be near-duplicates; -1: only
    byte-equal sources count as the same image."""
    phash_difference: float = Field(default=0.08, ge=0, le=1)
    """And they are if small colour versions differ by at most this share of their contrast. Saving again or
    at half the size makes 0.01 to 0.07, another product in the same pose 0.1 and more (measured on studio
    photographs, where the hash alone joins any two shoes)."""
    phash_max_products: int = Field(default=20, ge=2)
    """A perceptual hash shared by more item groups than this joins none of them: it is that of a placeholder
    or of a plain image."""
    max_component: int = Field(default=100, ge=2)
    """Near-duplicate images never join products into a component of more products than this."""
    column: str | None = None
    """Column or attribute whose value names the role; unset: by hash of the component."""
    train: tuple[str, ...] = ()
    """Values of ``column`` that are trained on."""
    validation: tuple[str, ...] = ()
    """Values of ``column`` that validate; empty: ``validation_share`` of the training components do."""
    holdout: tuple[str, ...] = ()
    """Values of ``column`` that the gate decides on; empty: ``holdout_share`` of the training components."""
    test: tuple[str, ...] = ()
    """Values of ``column`` that are the final test: a catalog's own test split belongs here. Empty:
    ``test_share`` of the training components. Values in no list are not used at all."""

    @model_validator(mode="after")
    def _values(self) -> Self:
        if self.column is None and (self.train or self.validation or self.holdout or self.test):
            raise ValueError("train, validation, holdout and test list values of `column`; set `column` too")
        if self.column is not None and not self.train:
            raise ValueError(f"no value of {self.column!r} is trained on; list at least one in `train`")
        listed = [*self.train, *self.validation, *self.holdout, *self.test]
        twice = sorted({value for value in listed if listed.count(value) > 1})
        if twice:
            raise ValueError(f"{twice} stand in two lists; a value belongs to one role")
        shares = self.validation_share + self.holdout_share + self.test_share
        if shares >= 1:
            raise ValueError(f"the shares add up to {shares:g}; leave some components to train on")
        return self


class LabelConfig(Section):
    """A label level: products whose values are all equal are positives of each other."""

    columns: tuple[str, ...] = Field(default=(), max_length=8)
    """Columns or attributes (``brand``, ``attributes.fit`` or ``fit`` for short); a product that lacks one
    of them has no label at this level. Empty only for the built-in levels ``product`` and ``group``."""
    weight: float = Field(default=1.0, ge=0)
    """Share of the batch's classes drawn at this level, relative to the other levels; 0: the label may
    be used by objectives, but no batch is drawn by it."""


class PairsConfig(Section):
    """A file of judged pairs: ``left_id, right_id, label[, weight]``."""

    path: str
    """CSV, TSV, JSON Lines or Parquet. ``label`` is 1/0, true/false, similar/not_similar or duplicate."""
    weight: float = Field(default=1.0, gt=0)
    """Multiplies the weight of every pair in the file."""


class LinksConfig(Section):
    """A column that lists the ids of similar products (related, upsell): judged positives."""

    column: str
    """Column or attribute."""
    separator: str = "|"
    """Between two ids."""
    weight: float = Field(default=1.0, gt=0)
    """Weight of each pair."""
    match: tuple[Literal["id", "item_group_id"], ...] = ("id", "item_group_id")
    """What a listed id may name; an item group stands for all its products."""


class SamplerConfig(Section):
    """How a batch is put together: P classes of K items, the rest at random."""

    batch_size: int = Field(default=128, ge=2)
    """Items per forward pass; an item is one product with one of its images."""
    items_per_class: int = Field(default=4, ge=1)
    """K: items of a class that enter a batch together; 4 is usual, at least 2 to have positives."""
    random_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the batch drawn from all training products in shuffled turn, whatever their labels."""
    links_weight: float = Field(default=1.0, ge=0)
    """Share of the batch's classes that are a product with its judged or linked positives, relative to
    the label levels' weights."""
    class_power: float = Field(default=0.5, ge=0, le=1)
    """A class of n products is drawn with probability proportional to n**class_power: 0 treats classes
    alike, 1 products alike."""
