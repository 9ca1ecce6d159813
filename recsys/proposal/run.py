"""The door of the proposal: a feed in, the text of a config and what it rests on out."""

import math
import os
import re
import tempfile
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from recsys import machine
from recsys.config import EncoderConfig
from recsys.config.evaluation import GateConfig
from recsys.config.supervision import SplitConfig
from recsys.proposal.backbone import Backbone, find_backbone
from recsys.proposal.column_guess import ColumnGuess, SourceColumn, guess_columns, source_columns
from recsys.proposal.profile import CatalogProfile, CatalogSplit, profile_products
from recsys.proposal.sample import FeedSample, read_sample

MAX_ROWS = 20_000
"""Rows that are read unless the caller says otherwise."""

MIN_CLASSES = 20
"""With fewer classes of two or more products, a label teaches too little."""
MIN_PAIRS = 100
"""With fewer products that have an image and words, neither do these."""

_ENOUGH = 1.5
"""So many times the groups that the gate needs: not every group has something to find."""
_MAX_HOLDOUT = 0.25

_GENERIC = {"catalog", "catalogue", "feed", "product", "products", "export", "data", "index", "items"}


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """Everything that the written config says, and why."""

    name: str
    feed: str
    """As the config names it: a URL, or a path relative to the config's folder."""
    sample: FeedSample
    columns: list[SourceColumn]
    guess: ColumnGuess
    profile: CatalogProfile
    text_parts: list[str]
    image_base: str | None
    """Where relative image links start, if not in the feed's folder; relative to the config's folder."""
    backbone: Backbone | None
    weights: str | None
    """The backbone's file, relative to the config's folder."""
    num_cores: int
    memory_gib: float
    gpus: list[str]

    @property
    def learns_from_groups(self) -> bool:
        """Whether variants of a product are what is similar: there is no category that teaches as much."""
        profile = self.profile
        if profile.category is None:
            return profile.num_groups > 1
        too_few = profile.category.num_classes < MIN_CLASSES <= profile.num_groups
        return too_few and profile.num_with_both < MIN_PAIRS

    @property
    def num_classes(self) -> int:
        """Classes to learn from: of the category, or the item groups."""
        category = self.profile.category
        return self.profile.num_groups if self.learns_from_groups else category.num_classes if category else 0

    @property
    def trains(self) -> bool:
        """Whether there is enough to learn from."""
        return self.num_classes >= MIN_CLASSES or self.profile.num_with_both >= MIN_PAIRS

    @property
    def split(self) -> CatalogSplit | None:
        """The catalog's own split, unless it alone keeps the gate from concluding anything."""
        profile = self.profile
        starves = _wanted_share(profile.num_independent_trained) > _MAX_HOLDOUT
        helps = _wanted_share(profile.num_independent) <= _MAX_HOLDOUT
        return None if starves and helps else profile.split

    @property
    def num_divided(self) -> int:
        """Independent products that training, validation and holdout share, variants counted once."""
        return self.profile.num_independent_trained if self.split else self.profile.num_independent

    @property
    def holdout_share(self) -> float | None:
        """Share that the gate has to decide on to conclude anything; ``None`` if the default is enough."""
        share = min(_MAX_HOLDOUT, _wanted_share(self.num_divided))
        return share if self.trains and share > SplitConfig().holdout_share else None

    @property
    def reads_images(self) -> bool:
        """Whether there are images, and an image tower that has learnt to read them, or will."""
        return bool(self.profile.num_with_image) and (self.trains or self.backbone is not None)


def propose(
    feed: str, folder: Path, *, weights: Path | None, backbone: str | None, max_rows: int = MAX_ROWS
) -> Proposal:
    """Look at ``feed`` and return what to write into a config in ``folder``.

    ``weights`` is a safetensors file of the timm model ``backbone``, which its name may say by itself.
    Raises :class:`~recsys.errors.InputError` for a feed or weights that cannot be read, and
    :class:`~recsys.errors.TransientError` for a feed that cannot be fetched now.
    """
    found = find_backbone(weights, backbone) if weights else None
    with tempfile.TemporaryDirectory(prefix="recsys-init-") as scratch:
        sample = read_sample(feed, Path(scratch), max_rows=max_rows)
    columns = source_columns(sample.values)
    guess = guess_columns(columns, len(sample.values))
    parts = _text_parts(guess)
    encoder = EncoderConfig(text_parts=tuple(parts)) if parts else EncoderConfig()
    profile = profile_products(sample.records, guess.config, encoder, feed)
    base = profile.links.base
    return Proposal(
        name=_name(feed),
        feed=_relative(feed, folder),
        sample=sample,
        columns=columns,
        guess=guess,
        profile=profile,
        text_parts=parts,
        image_base=_relative(base, folder) if base else None,
        backbone=found,
        weights=_relative(str(weights), folder) if weights else None,
        num_cores=machine.available_cores(),
        memory_gib=machine.memory_gib(),
        gpus=machine.gpu_names(),
    )


def _wanted_share(num_independent: int) -> float:
    """Return the share of so many products that the gate can conclude something from."""
    wanted = _ENOUGH * GateConfig().min_components / max(1, num_independent)
    return math.ceil(100 * wanted) / 100


def _text_parts(guess: ColumnGuess) -> list[str]:
    """Return what describes a product, of the columns there are; never a label, which would leak."""
    found = guess.columns
    looks = " ".join(f"{{{name}}}" for name in ("color", "material", "pattern") if name in found)
    parts = ["{title}" if "title" in found else "", "{brand}" if "brand" in found else "", looks]
    return [part for part in (*parts, "{description:300}" if "description" in found else "") if part]


def _relative(path: str, folder: Path) -> str:
    return path if "://" in path else Path(os.path.relpath(path, folder.resolve())).as_posix()


def _name(feed: str) -> str:
    """Name the catalog by its file, or where that is called like any feed, by its folder or host."""
    url = urllib.parse.urlsplit(feed)
    path = Path(url.path if url.scheme else os.path.abspath(feed))  # noqa: PTH100 - symlinks keep their names
    candidates = [path.name.partition(".")[0], *(folder.name for folder in path.parents), url.hostname or ""]
    words = (" ".join(re.findall(r"\w+", text.replace("_", " "))) for text in candidates)
    return next((text for text in words if text and text.lower() not in _GENERIC), "products")
