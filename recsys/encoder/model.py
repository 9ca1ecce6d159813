"""The product encoder: build it, encode with it, save it, load it back bit for bit, interpolate two.

    B = batch, S = side of the image, D = dimensions of the shared space, F = features of a tower,
    E = values of the image tower's early step, H = values of a text's own words, L = tokens

A saved encoder is a folder that needs nothing else:

    encoder.json        settings, architecture, input format
    model.safetensors   image tower, projections, how much words count, temperature
    image/              files of the image tower's library, where it has any
    text/               the text tower: weights, tokenizer, architecture
"""

import copy
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from recsys.config.encoder import EncoderConfig
from recsys.encoder.description import ENCODER_FILE, FORMAT, read_description
from recsys.encoder.lexical import LexicalFeatures
from recsys.encoder.preprocess import Preprocess
from recsys.encoder.projection import is_identity, make_projection
from recsys.encoder.template import ContentReader
from recsys.encoder.towers import factory
from recsys.encoder.towers.base import ImageTower, Resolve, TextTower, Tokens, state_digest, write_weights
from recsys.errors import ArtifactError, InputError
from recsys.workspace.store import content_id

WEIGHTS_FILE = "model.safetensors"
IMAGE_FOLDER, TEXT_FOLDER = "image", "text"
_WORDS = "words"
_OF_TEXTS = ("text_tower.", "text_projection.", "lexical.")


class ProductEncoder(nn.Module):
    """Two towers, a text's own words, two projections and the temperature of their contrastive loss; float32.

    ``logit_scale`` (log of the inverse temperature) and ``logit_bias`` (``None`` without one) are learned
    in training and saved.
    """

    mean: torch.Tensor
    std: torch.Tensor
    logit_bias: nn.Parameter | None

    def __init__(self, config: EncoderConfig, image_tower: ImageTower, text_tower: TextTower) -> None:
        super().__init__()
        self.config, self.dim = config, config.dim
        self.image_tower, self.text_tower = image_tower, text_tower
        self.image_projection = make_projection(config.image.projection, image_tower.dim, config.dim)
        self.lexical = LexicalFeatures(config.lexical_dim)
        self.text_projection = make_projection(
            config.text.projection, text_tower.dim, config.dim,
            num_words=self.lexical.dim, share=config.lexical_share,
        )  # fmt: skip
        self.logit_scale = nn.Parameter(torch.tensor(config.logit_scale))
        bias = None if config.logit_bias is None else nn.Parameter(torch.tensor(config.logit_bias))
        self.register_parameter("logit_bias", bias)
        for name, values, default in (
            ("mean", config.image.mean, image_tower.mean), ("std", config.image.std, image_tower.std),
        ):  # fmt: skip
            self.register_buffer(name, torch.tensor(values or default).view(1, 3, 1, 1), persistent=False)
        self.preprocess = Preprocess(image_tower.image_size, config.image.resize_mode)
        self.content = ContentReader(config)
        self._text_origin: tuple[Path, str] | None = None
        image_tower.requires_grad_(not config.image.is_frozen)
        for module in image_tower.late_modules():
            module.requires_grad_(True)
        text_tower.requires_grad_(not config.text.is_frozen)
        self.to(memory_format=torch.channels_last)
        self.eval()

    # -- encoding --------------------------------------------------------------------------------

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map pixels ``[B, 3, S, S]`` (uint8, or float in [0, 1]) to unit vectors ``[B, D]``, float32."""
        return self.project_image(self.early_image(pixels))

    def encode_text(self, tokens: Tokens) -> torch.Tensor:
        """Map what :meth:`tokenize` returned, on the model's device, to unit vectors ``[B, D]``, float32."""
        return self.project_text(self.with_words(self.text_features(tokens), tokens[_WORDS]))

    def early_image(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return what the tower's early stages say ``[B, E]`` of pixels as in :meth:`encode_image`."""
        scaled = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
        early = self.image_tower.early((scaled - self.mean) / self.std)
        return early if early.dtype == torch.float16 else early.float()

    def image_features(self, early: torch.Tensor) -> torch.Tensor:
        """Return the image tower's features ``[B, F]`` of what :meth:`early_image` returned, unit norm.

        Unit norm, so that a projection starts, and learns, at one scale whatever the tower's is.
        """
        return _unit(self.image_tower.late(early))

    def text_features(self, tokens: Tokens) -> torch.Tensor:
        """Return the text tower's features ``[B, F]``, unit norm."""
        return _unit(self.text_tower({name: t for name, t in tokens.items() if name != _WORDS}))

    def with_words(self, features: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """Join the text tower's features ``[B, F]`` and the texts' own words ``[B, H]``: ``[B, F + H]``."""
        return torch.cat([features.float(), words.to(features.device)], dim=-1)

    def project_image(self, early: torch.Tensor) -> torch.Tensor:
        """Map what :meth:`early_image` returned ``[B, E]`` to unit vectors ``[B, D]``."""
        features = self.image_features(early)
        return _unit(self.image_projection(features.to(self.image_projection.weight.dtype)))

    def project_text(self, features: torch.Tensor) -> torch.Tensor:
        """Map what :meth:`with_words` returned ``[B, F + H]`` to unit vectors ``[B, D]``."""
        return _unit(self.text_projection(features.to(self.text_projection.weight.dtype)))

    def tokenize(self, texts: list[str]) -> Tokens:
        """Return what :meth:`encode_text` takes, on the CPU: tokens ``[B, L]`` and words ``[B, H]``."""
        return {**self.text_tower.tokenize(texts), _WORDS: self.lexical(texts)}

    def embed_query(
        self, *, text: str | None = None, jpeg: bytes | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the image and the text half ``[D]`` of a query in words, in pixels, or both.

        ``jpeg`` is a normalised image (:func:`recsys.workspace.normalise.normalise`), so that it is seen as
        the catalog's are. A half that is not given is a copy of the other, as for products. Raises
        :class:`~recsys.errors.InputError` for an unreadable image.
        """
        if text is None and jpeg is None:
            raise InputError("A query needs words or an image.", fix="Give text, image, or both.")
        halves: dict[str, NDArray[np.float32]] = {}
        device = self.mean.device
        self.eval()
        with torch.inference_mode():
            if jpeg is not None:
                pixels = self.preprocess(jpeg)[None].to(device)
                halves["image"] = self.encode_image(pixels)[0].cpu().numpy()
            if text is not None:
                tokens = {name: t.to(device) for name, t in self.tokenize([text]).items()}
                halves["text"] = self.encode_text(tokens)[0].cpu().numpy()
        only = next(iter(halves.values()))
        return halves.get("image", only), halves.get("text", only)

    def train(self, mode: bool = True) -> "ProductEncoder":
        """Switch between training and eval mode; a frozen tower stays in eval mode (no dropout)."""
        super().train(mode)
        if self.config.image.is_frozen:
            self.image_tower.eval()
        if self.config.text.is_frozen:
            self.text_tower.eval()
        return self

    def image_digest(self) -> str:
        """Return a hash (16 hex characters) of what decides what :meth:`early_image` says of an image."""
        pixels = [self.preprocess.image_size, self.preprocess.resize_mode]
        colours = [self.mean.flatten().tolist(), self.std.flatten().tolist()]
        late = self.image_tower.late_modules()
        described = {k: v for k, v in self.image_tower.describe().items() if k not in ("mean", "std")}
        tower = [state_digest(self.image_tower, without=late), described]
        return content_id({"tower": tower, "colours": colours, "pixels": pixels})

    def text_digest(self) -> str:
        """Return a hash (16 hex characters) of what decides what the text tower says of a text."""
        return content_id({"tower": [state_digest(self.text_tower), self.text_tower.describe()]})

    # -- saving ----------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the encoder into ``folder``; no pickle, nothing refers to anything outside.

        The text tower is hard-linked from the folder this encoder was loaded from where its weights are
        still the same: a frozen tower is on disk once, however many encoders hold it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        own = {name: t for name, t in self.state_dict().items() if not name.startswith("text_tower.")}
        write_weights(own, folder / WEIGHTS_FILE)
        self.image_tower.save_files(folder / IMAGE_FOLDER)
        digest = state_digest(self.text_tower)
        if self._text_origin and self._text_origin[1] == digest and self._text_origin[0].is_dir():
            shutil.copytree(
                self._text_origin[0], folder / TEXT_FOLDER, copy_function=_link_or_copy, dirs_exist_ok=True
            )
        else:
            self.text_tower.save_files(folder / TEXT_FOLDER)
        description = {
            "format": FORMAT,
            "config": self.config.model_dump(mode="json"),
            "image": {
                **self.image_tower.describe(),
                "mean": self.mean.flatten().tolist(),
                "std": self.std.flatten().tolist(),
            },
            "text": {**self.text_tower.describe(), "digest": digest},
            "preprocess": {
                "image_size": self.preprocess.image_size,
                "resize_mode": self.preprocess.resize_mode,
            },
        }
        (folder / ENCODER_FILE).write_text(json.dumps(description, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "ProductEncoder":
        """Read what :meth:`save` wrote, bit for bit, in eval mode on the CPU; needs no network."""
        description = read_description(folder)
        config = EncoderConfig.model_validate(description["config"])
        towers = factory.restore(config, description, folder)
        encoder = cls(config, towers.image, towers.text)
        found = encoder.load_state_dict(load_file(folder / WEIGHTS_FILE), strict=False)
        missing = [name for name in found.missing_keys if not name.startswith("text_tower.")]
        if missing or found.unexpected_keys:
            raise ArtifactError(
                f"{folder / WEIGHTS_FILE} lacks {missing[:3]} and has {found.unexpected_keys[:3]} too many.",
                fix="The folder was changed, or written by another version: make the encoder again.",
            )
        encoder._text_origin = (folder / TEXT_FOLDER, description["text"]["digest"])
        return encoder


def build(config: EncoderConfig, *, seed: int, resolve: Resolve = str) -> ProductEncoder:
    """Return the zero-shot base that ``config`` describes; the same seed gives the same weights.

    ``resolve`` makes relative paths absolute (``Config.resolve``). Weights named by tag or ``hf-hub:`` are
    downloaded; everything else needs no network. Raises :class:`ConfigError`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        towers = factory.build(config, resolve)
        encoder = ProductEncoder(config, towers.image, towers.text)
    with torch.no_grad():
        if towers.logit_scale is not None:
            encoder.logit_scale.fill_(towers.logit_scale)
        if towers.logit_bias is not None and encoder.logit_bias is not None:
            encoder.logit_bias.fill_(towers.logit_bias)
    return encoder


def interpolate(
    base: ProductEncoder, tuned: ProductEncoder, alpha: float, text_alpha: float | None = None
) -> ProductEncoder:
    """Return a new encoder with weights ``(1 - alpha) * base + alpha * tuned``; exact at 0 and at 1.

    This is WiSE-FT (Wortsman et al. 2022, eq. 2). What reads texts has ``text_alpha``, where it is given.
    Floating-point buffers (running statistics of batch normalisation) are interpolated like weights,
    integer buffers (counters) are tuned's. Raises :class:`ArtifactError` where the architectures differ,
    ``ValueError`` for an ``alpha`` outside [0, 1].
    """
    text_alpha = alpha if text_alpha is None else text_alpha
    for share in (alpha, text_alpha):
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"alpha = {share} is outside [0, 1]: 0 is base, 1 is tuned")
    states = base.state_dict(), tuned.state_dict()
    shapes = [{name: (tuple(t.shape), t.dtype) for name, t in state.items()} for state in states]
    learned: Any = {"logit_scale": True, "logit_bias": True}  # all else of the settings must be equal
    settings = [encoder.config.model_dump(exclude=learned) for encoder in (base, tuned)]
    if shapes[0] != shapes[1] or settings[0] != settings[1]:
        different = sorted(set(shapes[0].items()) ^ set(shapes[1].items()))[:2] or "their settings differ"
        raise ArtifactError(
            f"The two encoders are built differently ({different}), so no model is between them.",
            fix="Interpolate an encoder only with the base it was fine-tuned from.",
        )
    encoder = copy.deepcopy(tuned)
    start = states[0]
    with torch.no_grad():
        for name, tensor in encoder.state_dict().items():
            # what is equal (a frozen tower) stays so to the bit: lerp would turn -0.0 into 0.0
            if tensor.is_floating_point() and not torch.equal(start[name], tensor):
                share = text_alpha if name.startswith(_OF_TEXTS) else alpha
                tensor.copy_(torch.lerp(start[name], tensor, share))
    return encoder.eval()


def untouched(base: ProductEncoder) -> ProductEncoder | None:
    """Return a new encoder in which no projection changes what a pretrained tower of ``base`` says.

    Its features are as they are, padded with zeros to one width, and a text's own words are left out; a
    random tower keeps its projection. ``None`` where ``base`` is that already.
    """
    config = base.config
    parts = {"image_projection": config.image.is_pretrained, "text_projection": config.text.is_pretrained}
    old: dict[str, nn.Linear] = {name: getattr(base, name) for name in parts}
    if not any(parts[name] and not is_identity(projection) for name, projection in old.items()):
        return None
    encoder = copy.deepcopy(base)
    features = {"image_projection": base.image_tower.dim, "text_projection": base.text_tower.dim}
    encoder.dim = max(base.dim, *features.values())
    encoder.config = config.model_copy(update={"dim": encoder.dim})
    for name, projection in old.items():
        new = nn.Linear(projection.in_features, encoder.dim)
        with torch.no_grad():
            new.weight.copy_(torch.eye(*new.weight.shape))
            new.weight[:, features[name] :] = 0
            new.bias.zero_()
            if not parts[name]:
                new.weight.zero_()[: base.dim] = projection.weight
                new.bias[: base.dim] = projection.bias
        setattr(encoder, name, new)
    return encoder.eval()


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    return functional.normalize(vectors.float(), dim=-1)


def _link_or_copy(source: str, target: str) -> None:
    Path(target).unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)
