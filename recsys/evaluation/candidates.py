"""The candidates of a night, and their embeddings of what the tasks need: each is embedded once.

    P = products to embed (the pool), D = dimensions of one modality

Embeddings are written to a scratch folder that lasts until the evaluation is committed, so a kill costs at
most the candidate being embedded. Candidates that share a frozen tower share its features.
"""

import json
import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from recsys.config import Config
from recsys.config.base import differences
from recsys.config.embedding import EmbeddingConfig
from recsys.encoder.description import read_description
from recsys.encoder.inference import embed_products
from recsys.encoder.model import ProductEncoder, interpolate, untouched
from recsys.errors import ArtifactError
from recsys.evaluation.products import Positions
from recsys.progress import track
from recsys.workspace import Manifest, Workspace, content_id
from recsys.workspace.arrays import create_array
from recsys.workspace.embeddings import Vectors
from recsys.workspace.features import FeatureStore
from recsys.workspace.snapshot import Snapshot
from recsys.workspace.store import write_atomic

logger = logging.getLogger(__name__)

KIND = "encoders"
CHAMPION, BASE, UNTOUCHED, ANCHOR, TUNED = "champion", "base", "untouched", "anchor", "tuned"

_INTERPOLATION = 2
_UNTOUCHED_VERSION = 1
_DONE = "done.json"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One encoder that may serve."""

    name: str
    """``champion``, ``base``, ``untouched``, ``anchor``, ``tuned``, ``wise-<alpha>`` or
    ``wise-<of images>-<of texts>``."""
    title: str
    ref: str
    """``encoders/<id>``; an interpolation is an artifact once it is saved, the untouched backbone never."""
    alphas: tuple[float, float] | None = None
    """Share of the fine-tuned weights, for an interpolation: of what reads images, of what reads texts."""
    ends: tuple[str, ...] = ()
    """What it is made of: refs of base and fine-tuned encoder for an interpolation, of the base for the
    untouched backbone."""
    is_behind: bool = False
    """Whether training found that it is worse than what it leads to; then it does not challenge."""


def candidates_of(
    challenger: Manifest,
    champion_ref: str | None,
    alphas: Sequence[float] | None,
    anchor_ref: str | None = None,
    *,
    with_untouched: bool = False,
) -> list[Candidate]:
    """Return the candidates of a night, simplest first after the champion; none is listed twice.

    ``alphas`` say how far they go from the base to the fine-tuned encoder, which is 1; ``None``: as its
    training found, within its bounds for images and for texts, and whether the base itself is behind. The
    untouched backbone, and the anchor, the encoder that losses add up against, cannot win.

    Raises :class:`ArtifactError` where the challenger does not name its base and its split.
    """
    if not {"base", "splits"} <= challenger.inputs.keys():
        raise ArtifactError(
            f"{challenger.ref} does not name the base and the split that it was trained with.",
            fix="Give the encoder that `recsys train` made.",
        )
    base = challenger.inputs["base"]
    behind = base if alphas is None and challenger.info.get("base_is_behind", False) else None
    serving = (CHAMPION, "In service", champion_ref), (BASE, "Zero-shot base", base)
    found = [Candidate(name=n, title=t, ref=ref, is_behind=ref == behind) for n, t, ref in serving if ref]
    if with_untouched:
        found.append(untouched_of(base))
    if anchor_ref:
        found.append(Candidate(name=ANCHOR, title="In service a while ago", ref=anchor_ref))
    bounds = {} if alphas else challenger.info.get("wise_ft_bounds", {})
    for alpha in alphas or challenger.info.get("wise_ft_alphas", (1.0,)):
        ends = (bounds.get(vector, (0.0, 1.0)) for vector in ("image", "text"))
        image, text = (min(max(alpha, nearest), furthest) for nearest, furthest in ends)
        if image == text == 1:
            found.append(Candidate(name=TUNED, title="Fine-tuned tonight", ref=challenger.ref))
            continue
        name, way = f"{image:g}", f"{image:.0%}"
        if image != text:
            name, way = f"{image:g}-{text:g}", f"Images {image:.0%}, texts {text:.0%}"
        parts = {
            "base": base,
            "tuned": challenger.ref,
            "alphas": [image, text],
            "code": _INTERPOLATION,
        }
        found.append(
            Candidate(
                name=f"wise-{name}", title=f"{way} of the way to fine-tuned",
                ref=f"{KIND}/{content_id(parts)}", alphas=(image, text), ends=(base, challenger.ref),
            )
        )  # fmt: skip
    first = {c.ref: c for c in reversed(found)}
    return [c for c in found if first[c.ref] is c]


def untouched_of(base_ref: str) -> Candidate:
    """Return the backbone behind no projection: the towers of the base, their features as they are."""
    id = content_id({"untouched": base_ref, "code": _UNTOUCHED_VERSION})
    return Candidate(name=UNTOUCHED, title="Untouched backbone", ref=f"{KIND}/{id}", ends=(base_ref,))


def differs_from_untouched(workspace: Workspace, base_ref: str) -> bool:
    """Return whether the untouched backbone is another encoder than the base, which may be unreadable."""
    try:
        return untouched(ProductEncoder.load(workspace.path(workspace.get(base_ref)))) is not None
    except ArtifactError:
        return False  # the base is a candidate itself: embedding it says what is wrong


def load(workspace: Workspace, candidate: Candidate) -> ProductEncoder:
    """Return the candidate's encoder; raises :class:`ArtifactError` where it cannot be made."""
    refs = candidate.ends or (candidate.ref,)
    encoders = [ProductEncoder.load(workspace.path(workspace.get(ref))) for ref in refs]
    if candidate.alphas is not None:
        return interpolate(encoders[0], encoders[1], *candidate.alphas)
    return (candidate.ends and untouched(encoders[0])) or encoders[0]


def save(workspace: Workspace, candidate: Candidate, splits_ref: str) -> Manifest:
    """Return the candidate's artifact; an interpolation becomes one, with the refs of its ends."""
    kind, _, id = candidate.ref.partition("/")
    existing = workspace.find(kind, id)
    if existing is not None or not candidate.ends:
        return existing or workspace.get(candidate.ref)
    started = time.monotonic()
    base, tuned = candidate.ends
    inputs = {"base": base, "tuned": tuned, "splits": splits_ref}
    with workspace.create(kind, id, inputs=inputs) as draft:
        load(workspace, candidate).save(draft.path)
        draft.info |= {"role": "interpolation", "alphas": candidate.alphas and list(candidate.alphas)}
        draft.info |= {k: v for k, v in workspace.get(tuned).info.items() if k == "config"}
        draft.info["duration_s"] = time.monotonic() - started
    return draft.committed()


def reason_to_change(
    config: Config, workspace: Workspace, snapshot_ref: str, champion_ref: str | None, candidate: Candidate
) -> str | None:
    """Return why a tie would be enough to replace the champion by ``candidate``, or ``None``."""
    if champion_ref is None or workspace.find_ref(champion_ref) is None:
        return None
    champion = workspace.get(champion_ref)
    model = workspace.get(candidate.ends[-1] if candidate.ends else candidate.ref)
    settings = [read_description(workspace.path(m))["config"] for m in (champion, model)]
    different = differences(*settings)
    if different:
        return f"the encoder's settings changed ({', '.join(different[:3])})."
    days = config.evaluation.gate.refresh_after_days
    trained = "base" in champion.inputs
    if days is not None and trained and candidate.name != BASE:
        made, now = (datetime.fromisoformat(m.created_at) for m in (champion, workspace.get(snapshot_ref)))
        age = (now - made).total_seconds() / 86_400
        if age > days:
            return f"the champion was trained {age:.0f} days before this catalog, more than {days:g}."
    return None


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
        """Keep results under ``folder``."""
        self._workspace, self._pool, self._folder, self._options = workspace, pool, folder, options
        self._snapshot = Snapshot.open(workspace, snapshot_ref)
        self._store = FeatureStore(workspace)

    def embed(self, candidate: Candidate) -> tuple[Vectors, float]:
        """Return the vectors of the pool ``[P, D]``, memory-mapped, and how long they took, in seconds.

        Raises :class:`ArtifactError` for an encoder that cannot be loaded or whose vectors are not finite.
        """
        folder = self._folder / candidate.ref.replace("/", "-")
        if not (folder / _DONE).exists():
            self._embed(candidate, folder)
        seconds = float(json.loads((folder / _DONE).read_text())["duration_s"])
        return Vectors(*(np.load(folder / f"{n}.npy", mmap_mode="r") for n in Vectors._fields)), seconds

    def _embed(self, candidate: Candidate, folder: Path) -> None:
        started = time.monotonic()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        encoder = load(self._workspace, candidate)
        size = len(self._pool)
        shapes = {"image": (size, encoder.dim), "text": (size, encoder.dim)}
        arrays = [
            create_array(
                folder / f"{name}.npy", np.float32 if name in shapes else np.bool_, shapes.get(name, (size,))
            )
            for name in Vectors._fields
        ]
        rows = track(
            self._snapshot.rows_at(self._pool, ("id", *encoder.content.columns)),
            label=f"embedding with {candidate.name}", total=size, unit="products",
        )  # fmt: skip
        start = 0
        images = self._snapshot.images()
        for part in embed_products(encoder, rows, images, self._options, store=self._store):
            if not (np.isfinite(part.image).all() and np.isfinite(part.text).all()):
                raise ArtifactError(
                    f"{candidate.title} ({candidate.ref}) gives vectors that are not numbers.",
                    fix="Its weights are damaged or diverged: lower the learning rate and train again.",
                )
            end = start + len(part.image)
            for array, values in zip(arrays, part, strict=True):
                array[start:end] = values
            start = end
        for array in arrays:
            array.flush()
        seconds = time.monotonic() - started
        write_atomic(folder / _DONE, json.dumps({"duration_s": seconds}))
        logger.info("%s: embedded %d products in %.1f s", candidate.name, size, seconds)
