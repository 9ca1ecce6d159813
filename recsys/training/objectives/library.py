"""The classes of pytorch-metric-learning by name: what each is built with, and which are no term of a loss.

A new version of the library with a new class fails tests/training/test_objectives.py until the class is
listed here, or among the refused ones with a sentence that says what to use instead.

Does not know: arguments that are functions (``weight_init_func``, ``aggregation_func``); they stay as the
library has them.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pytorch_metric_learning import distances, losses, miners, reducers, regularizers
from torch import nn

from recsys.config.training import NamedConfig
from recsys.errors import ConfigError
from recsys.training.objectives import adapted


class Pairs(Enum):
    """What a loss does with the pairs or triplets that it is given (the library's ``indices_tuple``)."""

    ONLY = "goes by them alone, and needs no labels"
    AND_LABELS = "goes by them, and reads the labels too: what they leave out may still be a negative"
    ROWS = "weighs a row by how many of them it is in; what is a negative is up to the labels"
    NONE = "takes none"


@dataclass(frozen=True)
class Recipe:
    """A class, and what it is built with beside the params of the config."""

    cls: Callable[..., nn.Module]
    pairs: Pairs = Pairs.NONE
    """Of a loss."""
    filled: Mapping[str, str] = field(default_factory=dict)
    """Argument → ``num_classes`` or ``embedding_size``."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Values of arguments that the library has no default for."""


_CLASSES = {"num_classes": "num_classes"}
_PROXIES = {"num_classes": "num_classes", "embedding_size": "embedding_size"}
_OWN_KIND = "is a base class: add a kind of your own instead, as CONTRIBUTING.md shows"

LOSSES: dict[str, Recipe] = {
    "CircleLoss": Recipe(losses.CircleLoss, Pairs.ONLY),
    "ContrastiveLoss": Recipe(losses.ContrastiveLoss, Pairs.ONLY),
    "GeneralizedLiftedStructureLoss": Recipe(losses.GeneralizedLiftedStructureLoss, Pairs.ONLY),
    "HistogramLoss": Recipe(adapted.HistogramLoss, Pairs.ONLY),
    "IntraPairVarianceLoss": Recipe(losses.IntraPairVarianceLoss, Pairs.ONLY),
    "LiftedStructureLoss": Recipe(losses.LiftedStructureLoss, Pairs.ONLY),
    "MarginLoss": Recipe(adapted.MarginLoss, Pairs.ONLY, _CLASSES),
    "MultiSimilarityLoss": Recipe(losses.MultiSimilarityLoss, Pairs.ONLY),
    "NTXentLoss": Recipe(losses.NTXentLoss, Pairs.ONLY),
    "SignalToNoiseRatioContrastiveLoss": Recipe(losses.SignalToNoiseRatioContrastiveLoss, Pairs.ONLY),
    "SupConLoss": Recipe(losses.SupConLoss, Pairs.ONLY),
    "ThresholdConsistentMarginLoss": Recipe(losses.ThresholdConsistentMarginLoss, Pairs.ONLY),
    "TripletMarginLoss": Recipe(losses.TripletMarginLoss, Pairs.ONLY),
    "TupletMarginLoss": Recipe(adapted.TupletMarginLoss, Pairs.ONLY),
    "AngularLoss": Recipe(losses.AngularLoss, Pairs.AND_LABELS),
    "DynamicSoftMarginLoss": Recipe(adapted.DynamicSoftMarginLoss, Pairs.AND_LABELS),
    "NPairsLoss": Recipe(losses.NPairsLoss, Pairs.AND_LABELS),
    "ArcFaceLoss": Recipe(losses.ArcFaceLoss, Pairs.ROWS, _PROXIES),
    "CosFaceLoss": Recipe(losses.CosFaceLoss, Pairs.ROWS, _PROXIES),
    "FastAPLoss": Recipe(losses.FastAPLoss, Pairs.ROWS),
    "LargeMarginSoftmaxLoss": Recipe(losses.LargeMarginSoftmaxLoss, Pairs.ROWS, _PROXIES),
    "NCALoss": Recipe(adapted.NCALoss, Pairs.ROWS),
    "NormalizedSoftmaxLoss": Recipe(losses.NormalizedSoftmaxLoss, Pairs.ROWS, _PROXIES),
    "ProxyAnchorLoss": Recipe(losses.ProxyAnchorLoss, Pairs.ROWS, _PROXIES),
    "ProxyNCALoss": Recipe(losses.ProxyNCALoss, Pairs.ROWS, _PROXIES),
    "SoftTripleLoss": Recipe(losses.SoftTripleLoss, Pairs.ROWS, _PROXIES),
    "SphereFaceLoss": Recipe(losses.SphereFaceLoss, Pairs.ROWS, _PROXIES),
    "SubCenterArcFaceLoss": Recipe(losses.SubCenterArcFaceLoss, Pairs.ROWS, _PROXIES),
    "CrossBatchMemory": Recipe(adapted.CrossBatchMemory, Pairs.NONE, {"embedding_size": "embedding_size"}),
    "InstanceLoss": Recipe(adapted.InstanceLoss, Pairs.NONE),
    "ManifoldLoss": Recipe(adapted.ManifoldLoss, Pairs.NONE, {"l": "embedding_size"} | _CLASSES),
    "P2SGradLoss": Recipe(losses.P2SGradLoss, Pairs.NONE, {"descriptors_dim": "embedding_size"} | _CLASSES),
    "PNPLoss": Recipe(losses.PNPLoss, Pairs.NONE),
    # Wang et al. 2019, section 4: margin 0.4, and so alpha 1.2, with a temperature of 10 for negatives;
    # above 5 the library warns of an overflow
    "RankedListLoss": Recipe(losses.RankedListLoss, Pairs.NONE, defaults={"margin": 0.4, "Tn": 5}),
    "SmoothAPLoss": Recipe(adapted.SmoothAPLoss, Pairs.NONE),
    "VICRegLoss": Recipe(adapted.VICRegLoss, Pairs.NONE),
}

MINERS: dict[str, Recipe] = {
    "AngularMiner": Recipe(miners.AngularMiner),
    "BatchEasyHardMiner": Recipe(miners.BatchEasyHardMiner),
    "BatchHardMiner": Recipe(miners.BatchHardMiner),
    "DistanceWeightedMiner": Recipe(miners.DistanceWeightedMiner),
    "HDCMiner": Recipe(miners.HDCMiner),
    "MultiSimilarityMiner": Recipe(miners.MultiSimilarityMiner),
    "PairMarginMiner": Recipe(miners.PairMarginMiner),
    "TripletMarginMiner": Recipe(miners.TripletMarginMiner),
    "UniformHistogramMiner": Recipe(miners.UniformHistogramMiner),
}

DISTANCES: dict[str, Recipe] = {
    "CosineSimilarity": Recipe(distances.CosineSimilarity),
    "DotProductSimilarity": Recipe(distances.DotProductSimilarity),
    "LpDistance": Recipe(distances.LpDistance),
    "SNRDistance": Recipe(distances.SNRDistance),
}

REDUCERS: dict[str, Recipe] = {
    "AvgNonZeroReducer": Recipe(reducers.AvgNonZeroReducer),
    "ClassWeightedReducer": Recipe(adapted.ClassWeightedReducer, filled=_CLASSES),
    "DivisorReducer": Recipe(reducers.DivisorReducer),
    "MeanReducer": Recipe(reducers.MeanReducer),
    "MultipleReducers": Recipe(reducers.MultipleReducers),
    "PerAnchorReducer": Recipe(reducers.PerAnchorReducer),
    "SumReducer": Recipe(reducers.SumReducer),
    "ThresholdReducer": Recipe(reducers.ThresholdReducer),
}

REGULARIZERS: dict[str, Recipe] = {
    "CenterInvariantRegularizer": Recipe(regularizers.CenterInvariantRegularizer),
    "LpRegularizer": Recipe(regularizers.LpRegularizer),
    "RegularFaceRegularizer": Recipe(regularizers.RegularFaceRegularizer),
    # SoftTripleLoss, which it is for (Qian et al. 2019, section 3.3), has 10 centers for each class
    "SparseCentersRegularizer": Recipe(
        regularizers.SparseCentersRegularizer, filled=_CLASSES, defaults={"centers_per_class": 10}
    ),
    "ZeroMeanRegularizer": Recipe(regularizers.ZeroMeanRegularizer),
}

REFUSED: dict[str, str] = {
    "BaseLossWrapper": _OWN_KIND,
    "BaseMetricLossFunction": _OWN_KIND,
    "GenericPairLoss": _OWN_KIND,
    "BaseMiner": _OWN_KIND,
    "BaseDistance": _OWN_KIND,
    "BaseReducer": _OWN_KIND,
    "BaseRegularizer": _OWN_KIND,
    "EmbeddingRegularizerMixin": "is a part of losses: give a loss params.embedding_regularizer instead",
    "WeightRegularizerMixin": "is a part of proxy losses: give one params.weight_regularizer instead",
    "MultipleLosses": "sums losses: write one [[training.objectives]] for each instead",
    "SelfSupervisedLoss": (
        'compares views of an item: use its loss with label = "product" instead, or between image and text '
        'kind = "clip" or "siglip"'
    ),
    "EmbeddingsAlreadyPackagedAsTriplets": (
        "takes batches made of triplets, which the sampler does not make: use TripletMarginMiner instead"
    ),
    "BatchedDistance": "hands parts of a matrix to a function: name the distance itself instead",
    "DoNothingReducer": "leaves the loss a table: use MeanReducer or SumReducer instead",
}
"""Name → why it is no term of a loss, or no part of one, and what to use instead."""

_NESTED: dict[str, tuple[str, dict[str, Recipe]]] = {
    "loss": ("loss", LOSSES),
    "miner": ("miner", MINERS),
    "distance": ("distance", DISTANCES),
    "reducer": ("reducer", REDUCERS),
    "default_reducer": ("reducer", REDUCERS),
    "embedding_regularizer": ("regularizer", REGULARIZERS),
    "weight_regularizer": ("regularizer", REGULARIZERS),
}
"""Parameter that is itself an object → what it is, and the table it is in."""


@dataclass(frozen=True, kw_only=True)
class Library:
    """Builds classes by name for one term of the loss, whose sizes it knows."""

    num_classes: int
    embedding_size: int

    def loss(self, config: NamedConfig, distance: nn.Module | None = None) -> nn.Module:
        """Build a loss, with the term's distance where there is one."""
        return self._build("loss", LOSSES, config, distance)

    def miner(self, config: NamedConfig, distance: nn.Module | None = None) -> nn.Module:
        """Build a miner likewise."""
        return self._build("miner", MINERS, config, distance)

    def distance(self, config: NamedConfig) -> nn.Module:
        """Build a distance."""
        return self._build("distance", DISTANCES, config)

    def _build(
        self, role: str, table: Mapping[str, Recipe], config: NamedConfig, distance: nn.Module | None = None
    ) -> nn.Module:
        """Build the class named; raises :class:`ConfigError` with the known names or arguments."""
        if config.name in REFUSED:
            raise ConfigError(
                f"{config.name} is no {role} of an objective.", fix=f"{config.name} {REFUSED[config.name]}."
            )
        recipe = table.get(config.name)
        if recipe is None:
            raise ConfigError(
                f"There is no {role} named {config.name!r}.", fix=f"Use one of {', '.join(sorted(table))}."
            )
        sizes = {"num_classes": self.num_classes, "embedding_size": self.embedding_size}
        params: dict[str, Any] = {argument: sizes[size] for argument, size in recipe.filled.items()}
        params |= recipe.defaults
        params |= {name: self._value(name, value) for name, value in config.params.items()}
        if distance is not None:
            params["distance"] = distance
        try:
            return recipe.cls(**params)
        except (TypeError, ValueError, AssertionError, RuntimeError) as error:
            raise ConfigError(
                f"The {role} {config.name} cannot be built from {config.params}: {error}.",
                fix=f"It takes {', '.join(_arguments(recipe.cls)) or 'no arguments of its own'}.",
            ) from error

    def _value(self, name: str, value: Any) -> Any:
        """Return a parameter, built where it is itself an object of the library."""
        if name == "reducers" and isinstance(value, dict):  # of MultipleReducers, by part of the loss
            return {part: self._value("reducer", given) for part, given in value.items()}
        if name not in _NESTED:
            return value
        role, table = _NESTED[name]
        if not _is_named(value):
            raise ConfigError(
                f"The {name} of a loss or miner is {value!r}.",
                fix=f'Write {name} = {{name = "{next(iter(table))}", params = {{...}}}}.',
            )
        return self._build(role, table, NamedConfig.model_validate(value))


def _is_named(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) <= {"name", "params"}
        and isinstance(value.get("name"), str)
        and isinstance(value.get("params", {}), dict)
    )


def _arguments(cls: Any) -> list[str]:
    """Return the names of the arguments that a class and its bases take."""
    parameters = [p for base in cls.__mro__ for p in inspect.signature(base.__init__).parameters.values()]
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    hidden = {"self", "collect_stats", "mat_based_loss", "weight_init_func", "aggregation_func"}
    return list(dict.fromkeys(p.name for p in parameters if p.kind in named and p.name not in hidden))
