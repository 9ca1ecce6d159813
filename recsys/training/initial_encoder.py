"""The encoder that training begins with: the zero-shot base of the config, or the champion.

The base is an artifact of its own, because the gate judges it too.

Does not know: training.
"""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from recsys.config import Config
from recsys.encoder.description import read_description
from recsys.encoder.inference import image_features, text_features
from recsys.encoder.model import ProductEncoder, build
from recsys.encoder.projection import fit_pca
from recsys.training.data import Material
from recsys.workspace import Manifest, Workspace, content_id
from recsys.workspace.snapshot import Snapshot

logger = logging.getLogger(__name__)

KIND = "encoders"
_VERSION = 1
_PCA_SAMPLE = 5000


def make_base(
    config: Config,
    workspace: Workspace,
    splits: Manifest,
    snapshot: Snapshot,
    trained: Callable[[], Material],
) -> Manifest:
    """Return the artifact of the zero-shot base, made if it is not there.

    PCA projections are fitted on the training products that ``trained`` gives, and on no others, so the
    base then depends on the split.
    """
    fitted = [m for m in ("image", "text") if getattr(config.encoder, m).projection.init == "pca"]
    parts = {
        "role": "base",
        "version": _VERSION,
        "config": config.encoder.model_dump(mode="json"),
        "weights": [
            _digest(config, path)
            for path in (config.encoder.image.weights, config.encoder.text.weights)
            if path
        ],
        "seed": config.seed,
        "fitted_on": splits.ref if fitted else None,
    }
    id = content_id(parts)
    found = workspace.find(KIND, id)
    if found is not None:
        return found
    encoder = build(config.encoder, seed=config.seed, resolve=config.resolve)
    if fitted:
        _fit(encoder, trained(), snapshot)
    inputs = {"splits": splits.ref, "snapshot": snapshot.manifest.ref} if fitted else {}
    with workspace.create(KIND, id, inputs=inputs) as draft:
        encoder.save(draft.path)
        draft.info |= {"role": "base", "fitted": fitted, "dim": encoder.dim}
    return draft.committed()


def choose_initial(
    config: Config, workspace: Workspace, base: Manifest, champion_ref: str | None
) -> Manifest:
    """Return the encoder to begin with; the base where the champion is built differently, or is none."""
    if config.training.start_from == "base" or champion_ref is None:
        return base
    champion = workspace.get(champion_ref)
    built = [read_description(workspace.path(m))["config"] for m in (champion, base)]
    learned = {"logit_scale", "logit_bias"}
    if len({content_id({k: v for k, v in c.items() if k not in learned}) for c in built}) > 1:
        logger.warning(
            "%s is built differently from this config's encoder; training begins with the base", champion_ref
        )
        return base
    return champion


def _fit(encoder: ProductEncoder, material: Material, snapshot: Snapshot) -> None:
    """Fit the PCA projections on a sample of the training products."""
    projections = encoder.config.image.projection, encoder.config.text.projection
    rng = np.random.default_rng(0)
    if projections[0].init == "pca" and len(material.sha256) > 1:
        sample = [material.sha256[i] for i in _sample(rng, len(material.sha256))]
        features = image_features(encoder, sample, snapshot.images())
        fit_pca(encoder.image_projection, features, whiten=projections[0].whiten)
    texts = material.items.texts
    if projections[1].init == "pca" and len(texts) > 1:
        features = text_features(encoder, [texts[i] for i in _sample(rng, len(texts))])
        fit_pca(encoder.text_projection, features, whiten=projections[1].whiten)


def _sample(rng: np.random.Generator, size: int) -> list[int]:
    chosen: list[int] = np.sort(rng.permutation(size)[:_PCA_SAMPLE]).tolist()
    return chosen


def _digest(config: Config, path: str) -> str:
    digest = hashlib.sha256()
    with Path(config.resolve(path)).open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
