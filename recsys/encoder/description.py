"""Reads a saved encoder's ``encoder.json``: what it is, without torch and without its weights."""

import json
from pathlib import Path
from typing import Any

from recsys.errors import ArtifactError

FORMAT = 1
ENCODER_FILE = "encoder.json"


def read_description(folder: Path) -> dict[str, Any]:
    """Return the content of a saved encoder's ``encoder.json``; raises :class:`ArtifactError`."""
    try:
        description: dict[str, Any] = json.loads((folder / ENCODER_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(
            f"{folder} holds no encoder: there is no {ENCODER_FILE}.",
            fix="Give the folder of an artifact of kind encoders.",
        ) from None
    if description.get("format") != FORMAT:
        raise ArtifactError(
            f"The encoder in {folder} has format {description.get('format')}, this version reads {FORMAT}.",
            fix="Train again, or use the version that wrote it.",
        )
    description["config"]["text"].setdefault("lexical_share", 0.0)  # of encoders older than the setting
    return description
