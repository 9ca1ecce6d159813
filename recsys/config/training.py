"""Settings of the training stage: objectives, optimiser, validation, budget, when a night trains.

What is learnt from, and how batches are drawn, is in recsys/config/supervision.py.

    [training]
    max_epochs = 10
    budget_minutes = 20

    [training.split]                      # follow a column of the catalog instead of hashing
    column = "split"
    train = ["train", "catalog"]
    validation = ["val"]
    holdout = ["test"]

    [training.labels.category]            # a label level: products that share it are positives
    columns = ["product_type"]
    weight = 2.0                          # share of the batch that is drawn by it

    [[training.objectives]]
    kind = "clip"

    [[training.objectives]]
    kind = "metric"
    label = "category"
    vector = "image"
    loss = {name = "SupConLoss", params = {temperature = 0.1}}
    miner = {name = "MultiSimilarityMiner", params = {epsilon = 0.1}}

Which kinds of objective there are is known to recsys.training.objectives, which checks ``kind`` and
``params`` before anything is trained; this module must not import torch.
"""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from recsys.config.base import Section
from recsys.config.supervision import LabelConfig, LinksConfig, PairsConfig, SamplerConfig, SplitConfig

Vector = Literal["image", "text", "product"]
BUILT_IN_LABELS = ("product", "group")
"""Label levels that need no columns: the product itself, and its item group (or itself without one)."""


class AugmentConfig(Section):
    """What is done to a training image; random choices are a function of seed, batch and position."""

    crop_scale: tuple[float, float] = (0.5, 1.0)
    """Share of the area that a random resized crop keeps, from-to; (1, 1) keeps the whole image."""
    crop_ratio: tuple[float, float] = (0.75, 1.3333)
    """Aspect ratio of the crop, from-to."""
    flip: float = Field(default=0.5, ge=0, le=1)
    """Probability of a horizontal flip; 0 where left and right matter (print, asymmetry)."""
    brightness: float = Field(default=0.2, ge=0, le=1)
    """Brightness is multiplied by 1 ± this."""
    contrast: float = Field(default=0.2, ge=0, le=1)
    """Contrast likewise."""
    saturation: float = Field(default=0.1, ge=0, le=1)
    """Saturation likewise; keep it small where colour is part of what "similar" means."""
    hue: float = Field(default=0.0, ge=0, le=0.5)
    """Hue is turned by ± this share of the circle; 0 where colour names a variant."""
    grayscale: float = Field(default=0.0, ge=0, le=1)
    """Probability of grey; 0 where colour matters."""
    blur: float = Field(default=0.0, ge=0, le=1)
    """Probability of a Gaussian blur of sigma 0.1 to 2 pixels."""
    rotate_degrees: float = Field(default=0.0, ge=0, le=180)
    """The image is turned by up to ± this; up to 15 for hand-held photographs."""
    erase: float = Field(default=0.0, ge=0, le=1)
    """Probability that a rectangle of 2 to 20% of the area is replaced by the mean colour."""

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise ValueError(
                f"crop_scale is {self.crop_scale}; it needs 0 < from <= to <= 1, such as (0.5, 1)"
            )
        low, high = self.crop_ratio
        if not 0 < low <= high:
            raise ValueError(
                f"crop_ratio is {self.crop_ratio}; it needs 0 < from <= to, such as (0.75, 1.33)"
            )
        return self


class NamedConfig(Section):
    """A class of a library by its name, and the arguments it is built with."""

    name: str
    """Class name as the library has it."""
    params: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments."""


class ObjectiveConfig(Section):
    """One term of the loss. recsys/training/objectives says which kinds there are and what each reads."""

    kind: str
    """``clip``, ``siglip``, ``metric`` or ``pairs``. ``siglip`` needs ``encoder.logit_bias``."""
    weight: float = Field(default=1.0, gt=0)
    """Factor of this term in the sum."""
    vector: Vector = "product"
    """Which vector the term acts on."""
    label: str = "auto"
    """Label level of a ``metric`` term: a key of ``training.labels``, ``product``, ``group`` or ``links``;
    ``auto``: the first key of ``training.labels`` that is not built in, otherwise ``group``."""
    loss: NamedConfig | None = None
    """``metric``: a loss of pytorch-metric-learning, such as ``SupConLoss`` or ``ProxyAnchorLoss``.
    ``num_classes`` and ``embedding_size`` are filled in; a parameter that is itself a loss, miner, distance,
    reducer or regularizer is a table of ``name`` and ``params``."""
    miner: NamedConfig | None = None
    """``metric``: its miner, such as ``MultiSimilarityMiner``; unset: all pairs."""
    distance: NamedConfig | None = None
    """``metric``: its distance, such as ``CosineSimilarity`` or ``LpDistance``; unset: the loss's own."""
    params: dict[str, Any] = Field(default_factory=dict)
    """What the kind itself takes; see its class."""


class OptimizerConfig(Section):
    """AdamW with one learning rate per part of the model."""

    backbone_lr: float | None = Field(default=None, ge=0)
    """Peak learning rate of pretrained layers; 0 leaves them as they are. Unset: 3e-4 of late stages, 1e-4 of
    a tower that is trained whole."""
    head_lr: float = Field(default=1e-3, ge=0)
    """Peak learning rate of projections, of the temperature, and of anything trained from scratch."""
    proxy_lr: float = Field(default=1e-2, ge=0)
    """Peak learning rate of the objectives' own parameters: proxies."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """Decoupled weight decay; never on biases, norms, proxies or temperatures."""
    betas: tuple[float, float] = (0.9, 0.98)
    """Decay rates of AdamW's moments."""
    warmup_share: float = Field(default=0.05, ge=0, le=0.5)
    """Share of the run over which the rates rise from zero."""
    final_lr_share: float = Field(default=0.01, ge=0, le=1)
    """Where the cosine ends, as a share of the peak."""
    clip_grad_norm: float = Field(default=5.0, ge=0)
    """Gradients are scaled down to this norm; 0 leaves them."""
    accumulate: int = Field(default=1, ge=1)
    """Batches whose gradients are summed before a step. It does not add negatives."""


class ValidationConfig(Section):
    """The score of an epoch."""

    metric: Literal["map_at_r", "recall_at_1"] = "map_at_r"
    """Retrieval metric, higher is better."""
    vector: Vector | Literal["auto"] = "auto"
    """Which vectors are compared, item to item; ``auto``: each of the three, and the mean of their scores."""
    label: str = "auto"
    """Label level whose classes are relevant; ``auto``: every level of ``training.labels`` and ``group``, as
    far as the products have positives, and where ``vector`` is ``auto`` too, words for images.
    ``text_to_image`` is that alone."""
    gallery: Literal["validation", "train"] = "validation"
    """Whether validation products are searched among themselves or among the training products."""
    max_products: int = Field(default=2000, ge=2)
    """At most this many queries, and five times as many gallery products, chosen by hash."""
    patience: int = Field(default=0, ge=0)
    """Stop after this many epochs without gain; 0: run to the end. Either way ``keep`` applies."""
    min_delta: float = Field(default=0.0, ge=0)
    """Least difference that counts as a gain."""
    keep: Literal["best", "last"] = "last"
    """Which epoch's weights are kept. ``best`` is the highest of scores that differ by chance, of tasks that
    need not be the gate's."""


class RetrainConfig(Section):
    """When a night trains. Any one of these is reason enough; so are a changed setting of the encoder or of
    training, and that no encoder is in service. Each counts from the last training that was evaluated while
    today's encoder was in service or took over, whether or not the gate took what it made."""

    always: bool = False
    """Train every night, whatever came in."""
    changed_share: float = Field(default=0.05, gt=0, le=1)
    """Share of the products to learn from that are new, or changed in what training reads: text, images,
    labels, item group. New products count before a role is drawn for them. 0.02 to 0.2 is sensible."""
    new_judgements: int = Field(default=20, ge=1)
    """Pairs of products that are judged for the first time, or otherwise than before."""
    max_age_days: float = Field(default=30, gt=0, allow_inf_nan=False)
    """Days from the last training to tonight's catalog."""
    drift_share: float = Field(default=0.25, gt=0.05, le=1)
    """Share of the new products that are unlike all that was trained on: further from the nearest such
    product than 95% of the products held out then are, by the vectors of the encoder in service. 0.05 is
    chance. Vectors are not made for this: tonight's new products count from the next night on, and nothing
    is concluded from fewer than 30."""


class TrainingConfig(Section):
    """How the encoder is fine-tuned."""

    start_from: Literal["base", "champion"] = "base"
    """Weights to begin with: the zero-shot base of this config, or the encoder in service."""
    unseen_share: float = Field(default=0.5, ge=0, le=0.5)
    """Share of the classes that a shorter training leaves out, to find out how far the encoder may go from
    the base before it forgets classes that nobody trained it on (docs/recipe.md). It takes half as long as
    the training itself; where it leaves out fewer than 100, another leaves out as many others. 0: none, and
    halfway may serve."""
    max_epochs: int | None = Field(default=None, ge=0)
    """Epochs at most; 0 trains nothing and hands on what it would have started from. Unset: the recipe
    decides, and ``epoch_steps`` too (docs/recipe.md)."""
    epoch_steps: int | None = Field(default=None, ge=1)
    """Batches per epoch, that is between two validations; unset where ``max_epochs`` is set: as many as it
    takes to see every training image once."""
    budget_minutes: float | None = Field(default=None, gt=0)
    """Minutes for decoding, training and validation together. They become a number of steps before training
    begins, from the measured time of a step, and the learning rate follows the steps; a run that takes half
    as long again is aborted. Unset: only ``max_epochs`` counts."""
    checkpoint_minutes: float = Field(default=5.0, gt=0)
    """A kill costs at most this much work; every epoch's end is a checkpoint too."""
    image_size: int | None = Field(default=None, ge=16, le=1024)
    """Pixels of a training image's side; unset: what the encoder's preprocessing says. Training
    smaller than testing is quicker, and often better."""
    cache_decoded: bool = True
    """Keep the decoded images of the training products in the scratch folder, memory-mapped, as long
    as they fit ``cache_max_gb``; otherwise each is decoded every time it is used."""
    frozen_features: bool = True
    """Where the image tower is frozen, compute its features once, from the images as they are served,
    instead of from random views in every batch: training the projections then takes seconds."""
    cache_max_gb: float = Field(default=8.0, ge=0)
    """Largest cache of decoded images, in GB."""
    cache_scale: float = Field(default=1.15, ge=1, le=2)
    """Side of a cached image over the training size, so that crops have pixels to spare."""
    num_workers: int | None = Field(default=None, ge=0)
    """Processes that load images; unset: none on a machine without a GPU when they are cached, one
    when they are not, as many as cores (at most 16) beside a GPU."""
    batch_norm: Literal["auto", "train", "freeze"] = "auto"
    """``freeze`` keeps the running statistics of batch norms, as small or class-balanced batches would
    distort them; ``auto``: of pretrained towers."""
    precision: Literal["auto", "32", "bf16"] = "auto"
    """``auto``: bf16 autocast on a GPU, 32 bit on a CPU."""
    channels_last: bool = True
    """Memory format of images and convolutions; quicker on CPUs and tensor cores."""
    split: SplitConfig = SplitConfig()
    labels: dict[str, LabelConfig] = Field(
        default_factory=lambda: {"category": LabelConfig(columns=("product_type",))}
    )
    """Label levels by name. ``product`` and ``group`` exist without being named here; name one to draw
    batches by it."""
    pairs: tuple[PairsConfig, ...] = ()
    """Files of judged pairs, positive or negative."""
    links: tuple[LinksConfig, ...] = ()
    """Columns that list the ids of similar products."""
    sampler: SamplerConfig = SamplerConfig()
    augment: AugmentConfig = AugmentConfig()
    objectives: tuple[ObjectiveConfig, ...] | None = None
    """Terms of the loss, summed by weight. Unset: the recipe decides (docs/recipe.md)."""
    optimizer: OptimizerConfig = OptimizerConfig()
    validation: ValidationConfig = ValidationConfig()
    retrain: RetrainConfig = RetrainConfig()

    @property
    def terms(self) -> tuple[ObjectiveConfig, ...]:
        """The objectives with ``label = "auto"`` resolved; none where the recipe is to decide."""
        first = next((name for name in self.labels if name not in BUILT_IN_LABELS), "group")
        return tuple(
            term.model_copy(update={"label": first}) if term.label == "auto" else term
            for term in self.objectives or ()
        )

    @model_validator(mode="after")
    def _labels_exist(self) -> Self:
        if "links" in self.labels:
            raise ValueError(
                "`links` is the name of judged and linked pairs; give the label level another name"
            )
        for name, level in self.labels.items():
            if (name in BUILT_IN_LABELS) == bool(level.columns):
                raise ValueError(
                    f"labels.{name}: product and group are built in and take no columns, "
                    "any other level needs some"
                )
        known = {*BUILT_IN_LABELS, *self.labels}
        for term in self.objectives or ():
            if term.kind == "metric" and term.label not in {*known, "auto", "links"}:
                raise ValueError(
                    f"an objective uses label {term.label!r}; there are {sorted({*known, 'links'})}"
                )
        if self.validation.label not in {*known, "auto", "text_to_image"}:
            raise ValueError(f"validation.label is {self.validation.label!r}; there are {sorted(known)}")
        if self.objectives == ():
            raise ValueError("objectives is empty; name at least one, or set max_epochs = 0 to train nothing")
        return self
