"""The candidates of a night and their embeddings: each is embedded once, and only what tasks need.

    P = products to embed (the pool), D = dimensions of one modality

Embeddings go to a scratch folder as they come and are kept there until the evaluation is committed, so a
kill costs at most the candidate in hand.

Features of images under a frozen image tower: read once, projected once per candidate.

The candidates of a night differ in what was trained. Where the image tower was not, they share its
features, which are nearly all of the work; the text tower's are shared by the encoder's ``TextCache``.

    U = different images of the pool, F = features of the image tower, N = rows of a chunk
"""

import json
import logging
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from recsys.config.embedding import EmbeddingConfig
from recsys.encoder.inference import (
    Images,
    TextCache,
    combine,
    embed_products,
    embed_texts,
    image_features,
)
from recsys.encoder.interpolation import interpolate
from recsys.encoder.model import ProductEncoder
from recsys.encoder.towers.base import state_digest
from recsys.errors import ArtifactError
from recsys.evaluation.products import Positions
from recsys.progress import track
from recsys.workspace import Manifest, Workspace, content_id
from recsys.workspace.embeddings import Vectors
from recsys.workspace.snapshot import Snapshot

logger = logging.getLogger(__name__)


KIND = "encoders"
CHAMPION, BASE, TUNED = "champion", "base", "tuned"

_CODE = 1
_DONE = "done.json"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One encoder that may serve."""

    name: str
    """``champion``, ``base``, ``tuned`` or ``wise-<alpha>``."""
    title: str
    ref: str
    """``encoders/<id>``; an interpolation's artifact exists only once it is saved."""
    alpha: float | None = None
    """Share of the fine-tuned weights, for an interpolation."""
    ends: tuple[str, str] | None = None
    """Refs of base and fine-tuned encoder, for an interpolation."""


def candidates_of(challenger: Manifest, champion_ref: str | None, alphas: Sequence[float]) -> list[Candidate]:
    """Return the candidates of a night, simplest first after the champion; none is listed twice.

    Raises :class:`ArtifactError` where the challenger does not name its base.
    """
    base = challenger.inputs.get("base")
    if base is None:
        raise ArtifactError(
            f"The challenger {challenger.ref} does not name the base it was fine-tuned from.",
            fix="Give the encoder that `recsys train` made; judge() takes any encoder.",
        )
    found = [Candidate(name=CHAMPION, title="In service", ref=champion_ref)] if champion_ref else []
    found.append(Candidate(name=BASE, title="Zero-shot base", ref=base))
    ends = (base, challenger.ref)
    found += [
        Candidate(
            name=f"wise-{alpha:g}", title=f"{alpha:.0%} of the way to fine-tuned",
            ref=f"{KIND}/{_interpolation_id(ends, alpha)}", alpha=alpha, ends=ends,
        )
        for alpha in alphas
    ]  # fmt: skip
    found.append(Candidate(name=TUNED, title="Fine-tuned tonight", ref=challenger.ref))
    first = {c.ref: c for c in reversed(found)}
    return [c for c in found if first[c.ref] is c]


def load(workspace: Workspace, candidate: Candidate) -> ProductEncoder:
    """Return the candidate's encoder; raises :class:`ArtifactError` where it cannot be made."""
    if candidate.ends is None or candidate.alpha is None:
        return _open(workspace, candidate.ref)
    base, tuned = (_open(workspace, ref) for ref in candidate.ends)
    return interpolate(base, tuned, candidate.alpha)


def save(workspace: Workspace, candidate: Candidate, splits_ref: str | None) -> Manifest:
    """Make sure the candidate is an artifact: an interpolation becomes one, with the refs of its ends."""
    kind, _, id = candidate.ref.partition("/")
    existing = workspace.find(kind, id)
    if existing is not None or candidate.ends is None:
        return existing or workspace.get(candidate.ref)
    started = time.monotonic()
    inputs = {"base": candidate.ends[0], "tuned": candidate.ends[1]}
    if splits_ref:
        inputs["splits"] = splits_ref
    with workspace.create(kind, id, inputs=inputs) as draft:
        load(workspace, candidate).save(draft.path)
        tuned = workspace.get(candidate.ends[1]).info
        draft.info |= {"role": "interpolation", "alpha": candidate.alpha}
        draft.info |= {key: tuned[key] for key in ("config",) if key in tuned}
        draft.info["duration_s"] = time.monotonic() - started
    return draft.committed()


class Embedder:
    """Embeds the same products of a snapshot with one candidate after the other."""

    def __init__(
        self,
        workspace: Workspace,
        snapshot_ref: str,
        pool: Positions,
        folder: Path,
        options: EmbeddingConfig,
    ) -> None:
        """Keep results under ``folder``; a frozen text tower reads each text once for all candidates."""
        self._workspace, self._pool, self._folder, self._options = workspace, pool, folder, options
        self._snapshot = Snapshot.open(workspace, snapshot_ref)
        self._texts = TextCache()

    def embed(self, candidate: Candidate) -> tuple[Vectors, float]:
        """Return the vectors of the pool ``[P, D]``, memory-mapped, and how long they took, in seconds.

        Raises :class:`ArtifactError` for an encoder that cannot be loaded or whose vectors are not finite.
        """
        folder = self._folder / candidate.ref.replace("/", "-")
        if not (folder / _DONE).exists():
            self._make(candidate, folder)
        seconds = float(json.loads((folder / _DONE).read_text())["duration_s"])
        names = ("image", "text", "has_image", "has_text")
        return Vectors(*(np.load(folder / f"{n}.npy", mmap_mode="r") for n in names)), seconds

    def _make(self, candidate: Candidate, folder: Path) -> None:
        started = time.monotonic()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        encoder = load(self._workspace, candidate)
        columns = list(dict.fromkeys(("id", *encoder.content.columns)))
        size = len(self._pool)
        halves = [
            open_memmap(folder / f"{n}.npy", "w+", np.float32, (size, encoder.dim)) for n in ("image", "text")
        ]  # fmt: skip
        flags = [np.zeros(size, np.bool_), np.zeros(size, np.bool_)]
        rows = track(
            self._rows(columns), label=f"embedding with {candidate.name}", total=size, unit="products"
        )
        at = 0
        for part in self._stream(encoder, rows):
            end = at + len(part.image)
            if not (np.isfinite(part.image).all() and np.isfinite(part.text).all()):
                raise ArtifactError(
                    f"{candidate.title} ({candidate.ref}) gives vectors that are not numbers.",
                    fix="Its weights are damaged or diverged: lower the learning rate and train again.",
                )
            for array, values in zip((*halves, *flags), part, strict=True):
                array[at:end] = values
            at = end
        for half in halves:
            half.flush()
        for name, flag in zip(("has_image", "has_text"), flags, strict=True):
            np.save(folder / f"{name}.npy", flag)
        seconds = time.monotonic() - started
        (folder / _DONE).write_text(json.dumps({"duration_s": seconds}))
        logger.info("%s: embedded %d products in %.1f s", candidate.name, size, seconds)

    def _stream(self, encoder: ProductEncoder, rows: Iterator[dict[str, Any]]) -> Iterator[Vectors]:
        images = self._snapshot.images()
        if not encoder.config.image.frozen:
            return embed_products(encoder, rows, images, self._options, text_cache=self._texts)
        path = self._folder / f"features-{content_id({'of': image_digest(encoder)})}.npy"
        wanted = (sha for row in self._rows(["images"]) for sha in row["images"])
        shared = FrozenFeatures(path, wanted)
        shared.read(encoder, images, self._options)
        return shared.embed(encoder, rows, self._options, self._texts)

    def _rows(self, columns: list[str]) -> Iterator[dict[str, Any]]:
        """Yield the pool's rows in order; memory is one batch."""
        start = 0
        for batch in self._snapshot.batches(columns):
            low, high = np.searchsorted(self._pool, [start, start + len(batch)])
            start += len(batch)
            if high > low:
                yield from batch.take(self._pool[low:high] - (start - len(batch))).to_pylist()


def _open(workspace: Workspace, ref: str) -> ProductEncoder:
    return ProductEncoder.load(workspace.path(workspace.get(ref)))


def _interpolation_id(ends: tuple[str, str], alpha: float) -> str:
    return content_id({"base": ends[0], "tuned": ends[1], "alpha": alpha, "code": _CODE})


Float32 = NDArray[np.float32]

_BLOCK = 4096


class FrozenFeatures:
    """The features of some images under one image tower, in a file."""

    def __init__(self, path: Path, sha256s: Iterable[bytes]) -> None:
        """Name the images and the ``.npy`` file that holds, or will hold, their features ``[U, F]``."""
        self._path = path
        self._row = {sha: i for i, sha in enumerate(dict.fromkeys(sha256s))}

    def read(self, encoder: ProductEncoder, images: Images, options: EmbeddingConfig) -> None:
        """Fill the file with ``encoder``'s features, unless it is there."""
        if self._path.exists():
            return
        partial = self._path.with_suffix(".partial")
        shas = list(self._row)
        features = open_memmap(partial, "w+", np.float32, (len(shas), encoder.image_tower.dim))
        for start in range(0, len(shas), _BLOCK):
            some = shas[start : start + _BLOCK]
            features[start : start + len(some)] = image_features(encoder, some, images, options)
        features.flush()
        partial.replace(self._path)

    def embed(
        self,
        encoder: ProductEncoder,
        rows: Iterable[Mapping[str, Any]],
        options: EmbeddingConfig,
        text_cache: TextCache,
    ) -> Iterator[Vectors]:
        """Yield the vectors of ``rows`` in order, as ``embed_products`` would, from the features."""
        features = np.load(self._path, mmap_mode="r")
        remaining = iter(rows)
        while chunk := list(islice(remaining, options.chunk_size)):
            contents = [encoder.content.read(row) for row in chunk]
            index = np.array([self._row[sha] for c in contents for sha in c.images], np.int64)
            used, at = np.unique(index, return_inverse=True)
            texts = embed_texts(encoder, [c.text or "" for c in contents], options, text_cache=text_cache)
            yield combine(encoder, contents, torch.from_numpy(features[used]), at, texts)


def image_digest(encoder: ProductEncoder) -> str:
    """Return what decides an image tower's features: a hash of its weights, and how pixels are made."""
    made = {
        "tower": state_digest(encoder.image_tower),
        "described": encoder.image_tower.describe(),
        "mean": encoder.mean.flatten().tolist(),
        "std": encoder.std.flatten().tolist(),
        "pixels": [encoder.preprocess.image_size, encoder.preprocess.resize_mode],
    }
    return json.dumps(made, sort_keys=True, default=str)
