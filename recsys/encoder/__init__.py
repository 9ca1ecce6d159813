"""The product encoder: an image tower and a text tower that meet in one space of unit vectors.

    template       renders a product row into the text that is read, and the key of its content
    preprocess     JPEG bytes to square RGB pixels, the same numbers in every process
    small          a compact CNN for training from scratch
    towers         open_clip, timm and sentence-transformers behind one interface; saved and loaded
    projection     the maps into the shared space: isometry, PCA, learned
    model          ProductEncoder: encode, build, save, load
    interpolation  WiSE-FT: a model between two
    stream         runs the towers over chunks of rows, ahead of the reader
    inference      products, texts and images to vectors

    from recsys.encoder import ProductEncoder, build

Importing this package is cheap: the names below are looked up when they are first used. ``template`` and
``description`` do without torch.

Does not know: training, the index, where artifacts live.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsys.encoder.inference import TextCache, embed_all, embed_products, embed_texts
    from recsys.encoder.interpolation import interpolate
    from recsys.encoder.model import ProductEncoder, build

__all__ = [
    "ProductEncoder", "TextCache", "build", "embed_all", "embed_products", "embed_texts",
    "interpolate",
]  # fmt: skip

_HOMES = {"ProductEncoder": "model", "build": "model", "interpolate": "interpolation"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'inference')}"), name)
