"""The encoder that training begins with: the zero-shot base of the config, or the champion.

The base is an artifact of its own, because evaluation compares it too.
"""

import logging
from collections.abc import Callable
from typing import Literal

import numpy as np

from recsys.config import Config
from recsys.encoder.description import read_description
from recsys.encoder.inference import image_features, text_features
from recsys.encoder.model import ProductEncoder, build
from recsys.encoder.projection import fit_pca
from recsys.training.data import TrainingItems
from recsys.training.settings import weight_digests
from recsys.workspace import Manifest, Workspace, content_id
from recsys.workspace.features import FeatureStore
from recsys.workspace.snapshot import Snapshot

logger = logging.getLogger(__name__)

KIND = "encoders"
_VERSION = 3
_PCA_SAMPLE = 5000


def make_base(
    config: Config,
    workspace: Workspace,
    splits: Manifest,
    snapshot: Snapshot,
    items: Callable[[], TrainingItems],
    champion_ref: str | None = None,
) -> Manifest:
    """Return the artifact of the zero-shot base, made if it is not there.

    PCA projections are fitted on the training products that ``items`` gives, and on no others; the base
    then depends on the split. They are fitted once: as long as the settings are the same, the base of the
    champion stays, because axes that were fitted anew would turn, and neither an interpolation between two
    nights nor starting from the champion would mean anything.
    """
    towers: tuple[Literal["image", "text"], ...] = ("image", "text")
    fitted = [name for name in towers if config.encoder.pca_whitening(name) is not None]
    parts = {
        "role": "base",
        "version": _VERSION,
        "config": config.encoder.model_dump(mode="json"),
        "weights": list(weight_digests(config).values()),
        "seed": config.seed,
    }
    settings = content_id(parts)
    pinned = _base_of(workspace, champion_ref)
    if pinned is not None and pinned.info.get("settings") == settings:
        return pinned
    id = content_id({**parts, "fitted_on": splits.ref if fitted else None})
    found = workspace.find(KIND, id)
    if found is not None:
        return found
    encoder = build(config.encoder, seed=config.seed, resolve=config.resolve)
    if fitted:
        _fit_projections(encoder, items(), snapshot, FeatureStore(workspace))
    inputs = {"splits": splits.ref, "snapshot": snapshot.manifest.ref} if fitted else {}
    with workspace.create(KIND, id, inputs=inputs) as draft:
        encoder.save(draft.path)
        draft.info |= {"role": "base", "settings": settings, "fitted": fitted, "dim": encoder.dim}
    return draft.committed()


def _base_of(workspace: Workspace, encoder_ref: str | None) -> Manifest | None:
    """Return the base that an encoder was trained from, itself where it is one; ``None`` if it is gone."""
    if encoder_ref is None:
        return None
    encoder = workspace.find_ref(encoder_ref)
    if encoder is None or encoder.info.get("role") == "base":
        return encoder
    ref = encoder.inputs.get("base")
    return workspace.find_ref(ref) if ref is not None else None


def _fit_projections(
    encoder: ProductEncoder, items: TrainingItems, snapshot: Snapshot, store: FeatureStore
) -> None:
    """Fit the PCA projections on a sample of the training products, and count the words of all."""
    image, text = encoder.config.pca_whitening("image"), encoder.config.pca_whitening("text")
    rng = np.random.default_rng(0)
    if image is not None and len(items.sha256) > 1:
        sample = [items.sha256[i] for i in _sample(rng, len(items.sha256))]
        features = image_features(encoder, sample, snapshot.images(), store=store)
        fit_pca(encoder.image_projection, features, whiten=image)
    if text is not None and len(items.texts) > 1:
        encoder.lexical.fit(items.texts)
        texts = [items.texts[i] for i in _sample(rng, len(items.texts))]
        features = text_features(encoder, texts, store=store)[:, : encoder.text_tower.dim]
        fit_pca(encoder.text_projection, features, whiten=text)


def _sample(rng: np.random.Generator, size: int) -> list[int]:
    chosen: list[int] = np.sort(rng.permutation(size)[:_PCA_SAMPLE]).tolist()
    return chosen


def choose_initial(
    config: Config, workspace: Workspace, base: Manifest, champion_ref: str | None
) -> Manifest:
    """Return the encoder to begin with; the base where there is no champion or it is built differently."""
    if config.training.start_from == "base" or champion_ref is None:
        return base
    champion = workspace.get(champion_ref)
    built = [read_description(workspace.path(m))["config"] for m in (champion, base)]
    learned = {"logit_scale", "logit_bias"}
    if len({content_id({k: v for k, v in c.items() if k not in learned}) for c in built}) > 1:
        logger.warning("%s is built differently from this config's encoder; the base is used", champion_ref)
        return base
    return champion
