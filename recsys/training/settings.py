"""What an encoder is made with, catalog and judgements apart."""

from pathlib import Path
from typing import Any

from recsys.config import Config
from recsys.workspace.pairs import digest

CODE = 8
"""Of training: raised when the same inputs would give another encoder, or another record of how far from the
base it may serve."""
UNRELATED = {"num_workers", "cache_decoded", "cache_max_gb", "checkpoint_minutes", "retrain"}
"""Training settings that change when and how fast an encoder is trained, and not which."""


def settings_of(config: Config) -> dict[str, Any]:
    """Return the settings of encoder and training, and the digests of the files they name, as JSON values.

    Raises :class:`InputError` that names the setting of a file that is missing.
    """
    named = [(source.path, "training.pairs.path") for source in config.training.pairs]
    for tower, weights in (("image", config.encoder.image.weights), ("text", config.encoder.text.weights)):
        named += [(weights, f"encoder.{tower}.weights")] if weights else []
    files = {f"the file {path}": digest(Path(config.resolve(path)), setting) for path, setting in named}
    return {
        "the code of training": CODE,
        "seed": config.seed,
        "encoder": config.encoder.model_dump(mode="json"),
        "training": config.training.model_dump(mode="json", exclude=UNRELATED),
        **files,
    }
