"""What an encoder is made with, catalog and judgements apart."""

from pathlib import Path
from typing import Any

from recsys.config import Config
from recsys.config.encoder import SAMPLE
from recsys.encoder.towers.weights import SAMPLE_WEIGHTS
from recsys.workspace.pairs import digest

CODE = 9
"""Of training: raised when the same inputs would give another encoder, or another record of how far from the
base it may serve."""
UNRELATED = {"num_workers", "cache_decoded", "cache_max_gb", "checkpoint_minutes", "retrain"}
"""Training settings that change when and how fast an encoder is trained, and not which."""


def settings_of(config: Config) -> dict[str, Any]:
    """Return the settings of encoder and training, and the digests of the files they name, as JSON values.

    Raises :class:`InputError` that names the setting of a file that is missing.
    """
    pairs = {source.path: "training.pairs.path" for source in config.training.pairs}
    digests = {path: digest(Path(config.resolve(path)), setting) for path, setting in pairs.items()}
    files = {f"the file {path}": found for path, found in (digests | weight_digests(config)).items()}
    return {
        "the code of training": CODE,
        "seed": config.seed,
        "encoder": config.encoder.model_dump(mode="json"),
        "training": config.training.model_dump(mode="json", exclude=UNRELATED),
        **files,
    }


def weight_digests(config: Config) -> dict[str, str]:
    """Return file → digest of the weights that the encoder begins with; those of a hub are known by name.

    Raises :class:`InputError` that names the setting of a file that is missing.
    """
    image, text = config.encoder.image, config.encoder.text
    found = {}
    if image.pretrained == SAMPLE:
        found[SAMPLE_WEIGHTS.name] = digest(SAMPLE_WEIGHTS, "encoder.image.pretrained")
    for tower, weights in (("image", image.weights), ("text", text.weights)):
        if weights:
            found[weights] = digest(Path(config.resolve(weights)), f"encoder.{tower}.weights")
    return found
