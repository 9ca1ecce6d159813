"""Settings of the evaluation stage: retrieval tasks and their metrics, candidates, the gate."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from recsys.config.base import Section

Filter = dict[str, str | list[str]]
"""Column or custom attribute → the value, or any of the values, that a product must have."""
TaskName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]*$")]

_METRIC = re.compile(r"^(?:(?:recall|hit|precision|ndcg|agreement)@([1-9]\d{0,3})|r_precision|map@r)$")


class GradeConfig(Section):
    """One grade of relevance, for nDCG only."""

    relevant: tuple[str, ...] = Field(min_length=1)
    """Columns or attributes that must all be equal, such as ``["item_group_id"]``."""
    grade: int = Field(ge=1, le=127)
    """Gain of a product that meets it; the highest grade met counts. Example: same group 3, same type 1."""


class TaskConfig(Section):
    """One retrieval task: for each query product, which products of the gallery should come first."""

    name: TaskName
    """Short name, unique: lower-case letters, digits and ``_``."""
    title: str | None = None
    """One line for the report that says what is searched for."""
    kind: Literal["item", "text_to_image"] = "item"
    """``item``: a product finds products (itself excluded). ``text_to_image``: its text finds images."""
    modality: Literal["image", "text", "fused"] = "fused"
    """Which half of the product vector an ``item`` task compares; ``fused`` weights both."""
    image_weight: float | None = Field(default=None, ge=0, le=1)
    """Weight of the image in a fused task, 0 to 1; unset means ``evaluation.image_weight``."""
    queries: Filter = Field(default_factory=dict)
    """Products that are queries: those of the validation role select the challenger, those of the holdout
    decide, those of the final test are read by records alone."""
    gallery: Filter = Field(default_factory=dict)
    """Products that can be found."""
    gallery_split: Literal["all", "same"] = "all"
    """``all``: each query is searched among all products, but for those of roles that are read after its own:
    queries of the validation role never find the holdout, and none but its own the final test. ``same``:
    among the products of its own role only, to evaluate on classes that were never trained on."""
    relevant: tuple[str, ...] = ()
    """Columns or attributes that must all be equal for a product to be relevant."""
    linked: tuple[str, ...] = ()
    """Attributes that hold ``|``-separated ids or item group ids of relevant products."""
    pairs: str | None = None
    """Path of judged pairs (CSV, TSV, JSON Lines or Parquet with ``left_id``, ``right_id``, ``label`` 0 or
    1)."""
    grades: tuple[GradeConfig, ...] = ()
    """Graded relevance for nDCG; unset: every relevant product has grade 1."""
    exclude_item_group: bool = False
    """Leave variants of the query (same ``item_group_id``) out of its results and its relevant products."""
    collapse_item_groups: bool = False
    """Variants count as one product: one query per item group (the first by id), one result per item group
    (its best variant), the query's own left out. Where shoppers see products and not variants."""
    metrics: tuple[str, ...] = ("map@r", "r_precision", "precision@1", "recall@10", "ndcg@10")
    """``recall@k`` (share of the relevant products in the first k), ``hit@k`` (any of them), ``precision@k``,
    ``ndcg@k``, ``r_precision``, ``map@r``. A task of ``pairs`` alone may have ``agreement@k`` instead: the
    share of the query's judgements that the first k agree with, by showing what was judged similar and not
    showing what was judged not similar."""
    main_metric: str | None = None
    """The metric that gates and that is broken down by category; unset means the first of ``metrics``."""
    breakdown_by: str | None = "product_type"
    """Column or attribute for the per-category breakdown."""
    gate: bool = False
    """Whether the main metric takes part in the gate's decision. Where the text names the label of three
    queries in ten, a loss counts and a gain does not."""

    @property
    def main(self) -> str:
        """The main metric."""
        return self.main_metric or self.metrics[0]

    @property
    def counts_not_similar(self) -> bool:
        """Whether pairs judged not similar count: only agreement uses them."""
        return any(m.startswith("agreement@") for m in self.metrics)

    @field_validator("metrics")
    @classmethod
    def _known_metrics(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [m for m in metrics if not _METRIC.match(m)]
        if wrong or not metrics:
            raise ValueError(
                f"unknown metrics {wrong}; use recall@k, hit@k, precision@k, ndcg@k (k from 1 to 9999), "
                "r_precision, map@r, agreement@k"
            )
        if len(set(metrics)) < len(metrics):
            raise ValueError("a metric is listed twice")
        return metrics

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not (self.relevant or self.linked or self.pairs):
            raise ValueError("say what is relevant: relevant (columns), linked (attributes) or pairs")
        if self.main not in self.metrics:
            raise ValueError(f"main_metric {self.main!r} is not among metrics {self.metrics}")
        if self.counts_not_similar and (
            self.relevant or self.linked or self.grades or not self.pairs
            or any(not m.startswith("agreement@") for m in self.metrics)
        ):  # fmt: skip
            raise ValueError(
                "agreement@k is about judged pairs alone: the task has pairs, no relevant, linked or grades, "
                "and no other metrics"
            )
        if self.image_weight is not None and (self.kind != "item" or self.modality != "fused"):
            raise ValueError("image_weight belongs to fused item tasks only")
        if self.collapse_item_groups and self.kind != "item":
            raise ValueError("collapse_item_groups belongs to item tasks")
        return self


class GateConfig(Section):
    """When a challenger takes over."""

    tolerance: float = Field(default=0.005, ge=0, le=0.2)
    """Loss within one gating task, absolute (0 to 1 scale), that counts as none; where one standard error of
    the difference is larger, that is the limit. So words cannot pay for images beyond it."""
    margin: float = Field(default=0.035, ge=0, le=0.5)
    """Loss tolerated within one category of a task, absolute: 0.03 to 0.1 is sensible. Where the estimate is
    a loss, one beyond this must be ruled out with 80% certainty; categories of fewer than 15 independent
    groups count as one together, and each alone only where it falls to nothing or, from 8 groups on, its
    loss is certain."""
    anchor_days: float = Field(default=30, gt=0)
    """Losses of tasks and categories add up over this many days: the challenger is also compared with the
    encoder in service then, unless a later one lost nothing against it."""
    min_queries: int = Field(default=30, ge=1)
    """With fewer holdout queries than this a gain in a gating task says nothing, and a loss counts; with
    fewer in every one nothing is concluded, and nothing changes."""
    min_components: int = Field(default=20, ge=2)
    """The same for independent groups of queries (variants and duplicates count once)."""
    min_judged_queries: int = Field(default=20, ge=1)
    """Judgements take part in the decision from this many held-out products that have some, in at least
    ``min_components`` groups; with fewer they are only shown. 20 to 50 is sensible."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Coverage of the intervals shown, and of the gain's when a holdout is asked for the first time; the n-th
    time it is 1 - (1 - confidence) / n."""
    resamples: int = Field(default=2000, ge=200, le=100_000)
    """Bootstrap resamples."""
    refresh_after_days: float | None = Field(default=30, gt=0)
    """A tie is reason enough to change when the champion was trained on a catalog this much older; unset
    means never."""


class EvaluationConfig(Section):
    """How candidate encoders are evaluated."""

    tasks: tuple[TaskConfig, ...] = ()
    """Retrieval tasks; none means the defaults: variants and category, each by image, by text and by both,
    and text to image."""
    image_weight: float = Field(default=0.5, ge=0, le=1)
    """Weight of the image in fused tasks and examples, 0 to 1."""
    wise_ft_alphas: tuple[Annotated[float, Field(gt=0, le=1)], ...] | None = None
    """How far the candidates go from the base (0) to the fine-tuned encoder (1), by WiSE-FT. Unset: in steps
    of a quarter, as far as images and texts each may for classes that a shorter training left out
    (``training.unseen_share``); 1 alone where a tower is trained from random weights, since a base of noise
    is nothing to go back to."""
    gate: GateConfig = GateConfig()
    """When a challenger takes over."""
    max_queries: int = Field(default=5_000, ge=10)
    """Most query products per task and split; more are sampled, deterministically."""
    max_gallery: int = Field(default=60_000, ge=100)
    """Most products that are embedded per candidate; more are sampled by component, those of the queries
    first, and the report says so."""
    num_examples: int = Field(default=12, ge=0, le=100)
    """Held-out products whose neighbours under both encoders are shown."""
    num_neighbours: int = Field(default=5, ge=1, le=50)
    """Neighbours per example."""

    @field_validator("tasks")
    @classmethod
    def _tasks_fit(cls, tasks: tuple[TaskConfig, ...]) -> tuple[TaskConfig, ...]:
        names = [t.name for t in tasks]
        if len(set(names)) < len(names):
            raise ValueError(f"task names must be unique, found {names}")
        if tasks and not any(t.gate for t in tasks):
            raise ValueError("no task gates: set gate = true on at least one, or no challenger can ever win")
        return tasks

    @field_validator("wise_ft_alphas")
    @classmethod
    def _ascending(cls, alphas: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if alphas is not None and (not alphas or tuple(sorted(set(alphas))) != alphas):
            raise ValueError(
                f"wise_ft_alphas must ascend without repeats, such as [0.25, 0.5, 1]; found {list(alphas)}"
            )
        return alphas
