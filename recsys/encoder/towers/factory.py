"""Chooses, builds and restores the two towers.

Does not know: what is above a tower.
"""

from pathlib import Path
from typing import Any, NamedTuple

from recsys.config.encoder import EncoderConfig
from recsys.encoder.towers.base import ImageTower, Resolve, TextTower


class Built(NamedTuple):
    """Both towers and, where one pretrained model brings both, what its contrastive loss had learned."""

    image: ImageTower
    text: TextTower
    logit_scale: float | None = None
    logit_bias: float | None = None


def build(config: EncoderConfig, resolve: Resolve) -> Built:
    """Build the towers that ``config`` names; raises :class:`~recsys.errors.ConfigError`."""
    from recsys.encoder.towers import open_clip_tower

    image_source = open_clip_tower.source(config.image, resolve) if config.image.kind == "open_clip" else None
    text_source = open_clip_tower.source(config.text, resolve) if config.text.kind == "open_clip" else None
    built, scale, bias = None, None, None
    image: ImageTower
    if image_source is not None:
        built = open_clip_tower.build(image_source)
        image = open_clip_tower.OpenClipImageTower(built)
    elif config.image.kind == "timm":
        from recsys.encoder.towers.timm_tower import TimmTower

        image = TimmTower.build(config.image, resolve)
    else:
        from recsys.encoder.towers.small_tower import SmallTower

        image = SmallTower.build(config.image, resolve)
    text: TextTower
    if text_source is not None:
        if built is not None and image_source is not None and image_source.same_model(text_source):
            scale, bias = open_clip_tower.temperature(built)
        else:
            built = open_clip_tower.build(text_source)
        text = open_clip_tower.OpenClipTextTower(built)
    else:
        from recsys.encoder.towers import sentence_tower

        text = sentence_tower.build(config.text, resolve)
    return Built(image, text, scale, bias)


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
