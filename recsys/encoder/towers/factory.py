"""Builds the two towers that a configuration names, and restores those of a saved encoder."""

from pathlib import Path
from typing import Any, NamedTuple

from recsys.config.encoder import EncoderConfig
from recsys.encoder.towers import open_clip_tower, sentence_tower
from recsys.encoder.towers.base import ImageTower, Resolve, TextTower, load_weights
from recsys.encoder.towers.open_clip_tower import OpenClipImageTower, OpenClipTextTower
from recsys.encoder.towers.small_tower import DEFAULT_SIZE, SmallTower
from recsys.encoder.towers.timm_tower import TimmTower


class Towers(NamedTuple):
    """Both towers and, where one pretrained model brings both, what its contrastive loss had learned."""

    image: ImageTower
    text: TextTower
    logit_scale: float | None = None
    logit_bias: float | None = None


def build(config: EncoderConfig, resolve: Resolve) -> Towers:
    """Build the towers that ``config`` names; raises :class:`~recsys.errors.ConfigError`."""
    image_model, text_model = open_clip_tower.create(config, resolve)
    image: ImageTower
    if image_model is not None:
        image = OpenClipImageTower(image_model)
    elif config.image.kind == "timm":
        image = TimmTower.build(config.image, resolve)
    elif config.image.pretrained:
        image = SmallTower.sample(image_size=config.image.image_size or DEFAULT_SIZE)
    else:
        image = SmallTower(image_size=config.image.image_size or DEFAULT_SIZE)
        if config.image.weights:
            load_weights(image.model, Path(resolve(config.image.weights)))
    if text_model is None:
        return Towers(image, sentence_tower.build(config.text, resolve))
    scale = bias = None
    if text_model is image_model:
        scale, bias = text_model.model.logit_scale.item(), text_model.model.logit_bias
    text = OpenClipTextTower(text_model)
    return Towers(image, text, scale, None if bias is None else bias.item())


def restore(config: EncoderConfig, description: dict[str, Any], folder: Path) -> Towers:
    """Return the towers of a saved encoder: the text tower whole, the image tower without its weights."""
    image: ImageTower
    if config.image.kind == "open_clip":
        image = OpenClipImageTower(open_clip_tower.restore(folder / "image", text=False))
    elif config.image.kind == "timm":
        image = TimmTower.restore(description["image"])
    else:
        described = description["image"]
        image = SmallTower(image_size=described["image_size"], features=described.get("features"))
    if config.text.kind == "open_clip":
        return Towers(image, OpenClipTextTower.restore(folder / "text"))
    return Towers(image, sentence_tower.load(folder / "text", description["text"]["max_tokens"]))
