"""A file of pretrained weights: which timm model it belongs to, and how that model wants its images."""

import json
import struct
from dataclasses import dataclass
from pathlib import Path

from recsys.errors import InputError

_FROM_TENSORFLOW = ("tf_", "tf2", "tensorflow")


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A timm model, its weights, and whether they come from TensorFlow."""

    name: str
    weights: Path
    num_features: int
    from_tensorflow: bool
    """TensorFlow pads convolutions at another side, and its models read pixels from -1 to 1."""


def find_backbone(weights: Path, name: str | None = None) -> Backbone:
    """Return the timm model that the safetensors file ``weights`` belongs to.

    It is the longest model name that the file's name begins with, unless ``name`` says it. Raises
    :class:`InputError` if there is no such model, or its tensors are not those of the file.
    """
    shapes = _shapes(weights)
    import timm  # seconds
    import torch

    known = timm.list_models()
    names = [name] if name else sorted((m for m in known if weights.stem.startswith(m)), key=len)[::-1]
    if not names or (name and name not in known):
        raise InputError(
            f"No timm model is called {name!r}." if name else f"No timm model's name begins {weights.name}.",
            fix="Name the model the weights belong to: --backbone mobilenetv2_100, for example.",
        )
    with torch.device("meta"):
        model = timm.create_model(names[0], pretrained=False, num_classes=0)
    wanted = {key: list(value.shape) for key, value in model.state_dict().items()}
    wrong = [key for key, shape in wanted.items() if shapes.get(key) != shape]
    if wrong:
        raise InputError(
            f"{weights.name} lacks {len(wrong)} of the {len(wanted)} tensors of {names[0]}, "
            f"such as {wrong[0]}.",
            fix="Name the model the weights belong to: --backbone mobilenetv2_100, for example.",
        )
    written_by = weights.stem.lower().removeprefix(names[0])
    return Backbone(
        name=names[0],
        weights=weights,
        num_features=model.num_features,
        from_tensorflow=any(mark in names[0] + written_by for mark in _FROM_TENSORFLOW),
    )


def _shapes(path: Path) -> dict[str, list[int]]:
    """Return the shapes of a safetensors file's tensors; only its header is read."""
    try:
        with path.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(size, 100_000_000)))
    except (OSError, ValueError, struct.error) as error:
        raise InputError(
            f"{path} is not a readable safetensors file: {error}.",
            fix="Give --weights the path of a .safetensors file of a timm model.",
        ) from None
    return {key: value["shape"] for key, value in header.items() if key != "__metadata__"}
