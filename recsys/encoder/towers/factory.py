"""Chooses, builds and restores the two towers.

Does not know: what is above a tower.
"""

from pathlib import Path
from typing import Any

from recsys.config.encoder import EncoderConfig
from recsys.encoder.towers.base import ImageTower, Resolve, TextTower


def build(config: EncoderConfig, resolve: Resolve) -> tuple[ImageTower, TextTower, float | None]:
    """Return image tower, text tower and, where open_clip weights bring one, the log temperature."""
    from recsys.encoder.towers import open_clip_tower

    image_source = open_clip_tower.source(config.image, resolve) if config.image.kind == "open_clip" else None
    text_source = open_clip_tower.source(config.text, resolve) if config.text.kind == "open_clip" else None
    built, scale = None, None
    image: ImageTower
    if image_source is not None:
        built = open_clip_tower.build(image_source)
        scale = float(built.model.logit_scale)  # type: ignore[arg-type]
        image = open_clip_tower.OpenClipImageTower(built)
    elif config.image.kind == "timm":
        from recsys.encoder.towers.timm_tower import TimmTower

        image = TimmTower.build(config.image, resolve)
    else:
        from recsys.encoder.towers.small_tower import SmallTower

        image = SmallTower.build(config.image, resolve)
    text: TextTower
    if text_source is not None:
        shared = image_source is not None and image_source._replace(image_size=None) == text_source
        if built is None or not shared:
            built = open_clip_tower.build(text_source)
            scale = float(built.model.logit_scale) if image_source is None else None  # type: ignore[arg-type]
        text = open_clip_tower.OpenClipTextTower(built)
    else:
        from recsys.encoder.towers import sentence_tower

        text, scale = sentence_tower.build(config.text, resolve), None
    return image, text, scale


def restore(config: EncoderConfig, description: dict[str, Any], folder: Path) -> tuple[ImageTower, TextTower]:
    """Return the towers of a saved encoder: the text tower whole, the image tower without its weights."""
    image: ImageTower
    if config.image.kind == "open_clip":
        from recsys.encoder.towers import open_clip_tower

        image = open_clip_tower.OpenClipImageTower(open_clip_tower.restore(folder / "image", text=False))
    elif config.image.kind == "timm":
        from recsys.encoder.towers.timm_tower import TimmTower

        image = TimmTower.restore(description["image"], folder / "image")
    else:
        from recsys.encoder.towers.small_tower import SmallTower

        image = SmallTower.restore(description["image"], folder / "image")
    text: TextTower
    if config.text.kind == "open_clip":
        from recsys.encoder.towers import open_clip_tower

        text = open_clip_tower.OpenClipTextTower.restore(folder / "text")
    else:
        from recsys.encoder.towers import sentence_tower

        text = sentence_tower.restore(description["text"], folder / "text")
    return image, text
