"""Terms of the loss: against slow independent ones, and that what should learn gets a gradient."""

import copy
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytorch_metric_learning import distances, losses, miners, reducers, regularizers
from pytorch_metric_learning.losses import SupConLoss
from torch import Tensor, nn

from recsys.config.training import ObjectiveConfig
from recsys.encoder.model import ProductEncoder
from recsys.errors import ConfigError
from recsys.training.objectives import EncodedBatch, Objective, ObjectiveContext, build, register
from recsys.training.objectives.base import KINDS
from recsys.training.objectives.library import (
    DISTANCES,
    LOSSES,
    MINERS,
    REDUCERS,
    REFUSED,
    REGULARIZERS,
    Pairs,
    Recipe,
)
from recsys.training.objectives.metric import consistent_pairs
from recsys.training.run import run
from recsys.workspace import Workspace
from tests.training.shop import rows, settings, store

CONTEXT = ObjectiveContext(
    dim=8,
    classes={"category": [2, 5, 7], "product": [0, 1, 2, 3, 4, 5]},
    trained={"logit_bias": nn.Parameter(torch.tensor(-10.0))},
)


def views(size: int = 6, *, seed: int = 0, **changes: Any) -> EncodedBatch:
    torch.manual_seed(seed)
    image, text = (nn.functional.normalize(torch.randn(size, 8), dim=1).requires_grad_() for _ in range(2))
    given: dict[str, Any] = {
        "image": image,
        "text": text,
        "has_image": torch.ones(size, dtype=torch.bool),
        "has_text": torch.ones(size, dtype=torch.bool),
        "products": torch.arange(size),
        "components": torch.arange(size),
        "text_codes": torch.arange(size),
        "labels": {"category": torch.tensor([2, 2, 5, 5, 7, 7])[:size], "product": torch.arange(size)},
        "judged": torch.zeros(size, size),
        "logit_scale": torch.tensor(10.0, requires_grad=True),
        "logit_bias": torch.tensor(-10.0, requires_grad=True),
    }
    return EncodedBatch(**(given | changes))


def term(**config: Any) -> Objective:
    (made,) = build([ObjectiveConfig.model_validate(config)], CONTEXT)
    assert isinstance(made, Objective)
    return made


def slow_pairs(v: EncodedBatch, *, variants_are_positive: bool) -> dict[tuple[int, int], bool]:
    """Image and text by row → whether it is a positive; ignored pairs are not there."""
    rows = [i for i in range(len(v.products)) if v.has_image[i] and v.has_text[i]]
    found = {}
    for i in rows:
        for j in rows:
            same = v.products[i] == v.products[j] or v.text_codes[i] == v.text_codes[j]
            related = v.components[i] == v.components[j] or v.judged[i, j] > 0
            if same or not related or variants_are_positive:
                found[i, j] = bool(same or related)
    return found


@torch.no_grad()
def slow_clip(v: EncodedBatch, *, variants_are_positive: bool) -> float:
    """Both directions by loops over rows and exponentials."""
    pairs = slow_pairs(v, variants_are_positive=variants_are_positive)
    rows = sorted({i for i, _ in pairs})
    total = 0.0
    for left, right in ((v.image, v.text), (v.text, v.image)):
        for i in rows:
            exps = {
                j: torch.exp(float(v.logit_scale) * (left[i] @ right[j]).double())
                for j in rows
                if (i, j) in pairs
            }
            positive = [j for j in exps if pairs[i, j]]
            total -= sum(float(torch.log(exps[j] / sum(exps.values()))) for j in positive) / len(positive)
    return total / (2 * len(rows))


@torch.no_grad()
def slow_siglip(v: EncodedBatch, *, variants_are_positive: bool) -> float:
    """The binary cross entropy of every pair."""
    pairs = slow_pairs(v, variants_are_positive=variants_are_positive)
    assert v.logit_bias is not None
    total = 0.0
    for (i, j), positive in pairs.items():
        logit = float(v.logit_scale) * float(v.image[i] @ v.text[j]) + float(v.logit_bias)
        p = 1 / (1 + np.exp(-logit))
        total -= np.log(p if positive else 1 - p)
    return total / len({i for i, _ in pairs})


small = st.lists(st.integers(0, 4), min_size=6, max_size=6)
flags = st.lists(st.booleans(), min_size=6, max_size=6)


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["clip", "siglip"]), small, small, small, flags, flags, st.booleans(), st.integers(0, 99)
)
def test_image_text_losses_agree_with_slow_versions(
    kind: str,
    products: list[int],
    components: list[int],
    codes: list[int],
    image: list[bool],
    text: list[bool],
    positive: bool,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    judged = torch.triu((torch.rand(6, 6) < 0.1).float(), 1)
    v = views(
        seed=seed,
        products=torch.tensor(products),
        components=torch.tensor([10 * k for k in components]),
        text_codes=torch.tensor([c if t else -1 for c, t in zip(codes, text, strict=True)]),
        has_image=torch.tensor(image),
        has_text=torch.tensor(text),
        judged=judged + judged.T,
    )
    value = term(kind=kind, params={"variants": "positive" if positive else "ignore"})(v)
    if sum(i and t for i, t in zip(image, text, strict=True)) < 2:
        assert value is None
    else:
        slow = slow_clip if kind == "clip" else slow_siglip
        assert value.item() == pytest.approx(slow(v, variants_are_positive=positive), rel=1e-4, abs=1e-5)
        value.backward()
        assert torch.isfinite(v.image.grad).all()


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_image_text_losses_are_those_of_open_clip_with_unique_positives(kind: str) -> None:
    from open_clip.loss import ClipLoss, SigLipLoss

    v = views()
    value = term(kind=kind)(v)
    assert value is not None
    learned = [v.image, v.text, v.logit_scale]
    if kind == "clip":
        reference = ClipLoss()(*learned)
    else:
        learned.append(v.logit_bias)
        reference = SigLipLoss()(*learned)
    assert torch.allclose(value, reference, atol=1e-6)
    ours = torch.autograd.grad(value, learned, retain_graph=True)
    theirs = torch.autograd.grad(reference, learned)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(ours, theirs, strict=True))


def test_siglip_trains_the_bias_of_the_encoder_and_needs_one(workspace: Workspace, text_model: Path) -> None:
    snapshot, training = store(workspace, rows(3)), {"max_epochs": 1, "objectives": [{"kind": "siglip"}]}
    with pytest.raises(ConfigError, match=r"encoder\.logit_bias = -10"):
        run(settings(text_model, **training), workspace, snapshot)
    start = {"logit_bias": -10.0, "logit_scale": 2.3026}
    manifest = run(settings(text_model, encoder=start, **training), workspace, snapshot)
    assert manifest.info["trained"]
    tuned, base = (
        ProductEncoder.load(workspace.path(workspace.get(ref)))
        for ref in (manifest.ref, manifest.inputs["base"])
    )
    assert base.logit_bias.item() == -10
    assert tuned.logit_bias.item() != -10
    assert tuned.logit_scale.item() != base.logit_scale.item()


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_variants_are_not_pushed_apart(kind: str) -> None:
    components = torch.tensor([0, 0, 1, 2, 3, 4])
    v = views(components=components)
    (gradient,) = torch.autograd.grad(term(kind=kind)(v), [v.image])
    moved = views(
        components=components,
        text=v.text.detach().index_copy(0, torch.tensor([1]), -v.text[1:2].detach()).requires_grad_(),
    )
    (other,) = torch.autograd.grad(term(kind=kind)(moved), [moved.image])
    assert torch.allclose(gradient[0], other[0], atol=1e-7)  # its variant's text means nothing to product 0
    assert not torch.allclose(gradient[2], other[2], atol=1e-4)  # to others it is a negative


CHOICES: list[tuple[str, dict[str, Any], tuple[str, dict[str, Any]] | None]] = [
    ("SupConLoss", {"temperature": 0.1}, None),
    ("MultiSimilarityLoss", {"alpha": 2, "beta": 50}, ("MultiSimilarityMiner", {"epsilon": 1.0})),
    ("TripletMarginLoss", {"margin": 0.2}, ("BatchHardMiner", {})),
    ("ContrastiveLoss", {"reducer": {"name": "MeanReducer"}}, None),
    ("ProxyAnchorLoss", {"margin": 0.1}, None),
    ("ProxyNCALoss", {"softmax_scale": 3}, None),
    ("ArcFaceLoss", {}, None),
    ("NormalizedSoftmaxLoss", {"temperature": 0.05}, None),
    ("CircleLoss", {}, None),
    ("NTXentLoss", {}, None),
    ("FastAPLoss", {}, None),
    ("SmoothAPLoss", {}, None),
]


@pytest.mark.parametrize(("name", "params", "miner"), CHOICES)
@pytest.mark.parametrize("vector", ["image", "text", "product"])
def test_a_loss_of_the_library_trains_the_vector_it_is_set_on(
    name: str, params: dict[str, Any], miner: tuple[str, dict[str, Any]] | None, vector: str
) -> None:
    config = {
        "kind": "metric",
        "label": "category",
        "vector": vector,
        "loss": {"name": name, "params": params},
    }
    if miner is not None:
        config["miner"] = {"name": miner[0], "params": miner[1]}
    v, made = views(), term(**config)
    value = made(v)
    assert value is not None
    value.backward()
    for which, taught in (("image", v.image), ("text", v.text)):
        learns = vector in (which, "product")
        assert (taught.grad is not None and bool(taught.grad.abs().sum() > 0)) == learns
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


TABLES: list[tuple[ModuleType, dict[str, Recipe]]] = [
    (losses, LOSSES),
    (miners, MINERS),
    (distances, DISTANCES),
    (reducers, REDUCERS),
    (regularizers, REGULARIZERS),
]
REQUIRED: dict[str, dict[str, Any]] = {  # what has no default that makes sense
    "CrossBatchMemory": {"memory_size": 30, "loss": {"name": "ContrastiveLoss"}},
    "ClassWeightedReducer": {"weights": [1.0, 2.0, 3.0]},
    "ThresholdReducer": {"low": 0.1},
    "MultipleReducers": {
        "reducers": {"pos_loss": {"name": "MeanReducer"}, "neg_loss": {"name": "SumReducer"}}
    },
}
TRIPLETS = {"name": "TripletMarginLoss", "params": {"margin": 1.0}}


def named(name: str, **params: Any) -> dict[str, Any]:
    return {"name": name, "params": REQUIRED.get(name, {}) | params}


def metric(loss: dict[str, Any], **config: Any) -> Objective:
    return term(**({"kind": "metric", "label": "category", "vector": "image", "loss": loss} | config))


def unequal(**changes: Any) -> EncodedBatch:
    """12 products, in classes of 5, 4 and 3 that are not side by side."""
    category = torch.tensor([5, 2, 2, 7, 5, 2, 7, 5, 2, 5, 2, 7])
    return views(12, **({"labels": {"category": category}} | changes))


def assert_a_step_lowers(made: Objective) -> None:
    """A small step down the gradient, of vectors and proxies, lowers the loss of the same batch and pairs."""
    stepped, v = copy.deepcopy(made), unequal()  # a copy: histograms and memories begin again
    mined: list[Any] = []
    if made.miner is not None:
        made.miner.register_forward_hook(lambda module, arguments, pairs: mined.append(pairs))
        stepped.miner.register_forward_hook(lambda module, arguments, pairs: mined[0])
    torch.manual_seed(0)
    value = made(v)
    assert value is not None
    gradients = torch.autograd.grad(value, [v.image, *made.parameters()])
    length = torch.stack([g.norm() for g in gradients]).norm()
    assert length > 0
    moved = v.image.detach() - 0.002 * gradients[0] / length
    with torch.no_grad():
        for weight, gradient in zip(stepped.parameters(), gradients[1:], strict=True):
            weight -= 0.002 * gradient / length
    torch.manual_seed(0)
    after = stepped(unequal(image=moved.requires_grad_()))
    assert after is not None
    assert after < value


@pytest.mark.parametrize(("module", "table"), TABLES)
def test_every_class_of_the_library_is_listed_or_refused(module: ModuleType, table: dict[str, Any]) -> None:
    public = {name for name, found in vars(module).items() if inspect.isclass(found)}
    assert public - set(REFUSED) == set(table)


@pytest.mark.parametrize("name", LOSSES)
def test_a_step_lowers_every_loss(name: str) -> None:
    assert_a_step_lowers(metric(named(name)))


@pytest.mark.parametrize("name", MINERS)
def test_a_step_lowers_a_loss_with_every_miner(name: str) -> None:
    assert_a_step_lowers(metric(TRIPLETS, miner=named(name)))


@pytest.mark.parametrize("name", DISTANCES)
def test_a_step_lowers_a_loss_with_every_distance(name: str) -> None:
    assert_a_step_lowers(metric(TRIPLETS, distance=named(name), miner=named("TripletMarginMiner")))


@pytest.mark.parametrize("name", REDUCERS)
def test_a_step_lowers_a_loss_with_every_reducer(name: str) -> None:
    loss = "ProxyAnchorLoss" if name == "DivisorReducer" else "ContrastiveLoss"
    assert_a_step_lowers(metric(named(loss, reducer=named(name))))


@pytest.mark.parametrize("name", REGULARIZERS)
def test_a_step_lowers_a_loss_with_every_regularizer(name: str) -> None:
    assert_a_step_lowers(metric(named("SoftTripleLoss", weight_regularizer=named(name))))
    if name != "SparseCentersRegularizer":
        assert_a_step_lowers(metric(named("ContrastiveLoss", embedding_regularizer=named(name))))


@pytest.mark.parametrize("name", LOSSES)
def test_no_batch_breaks_a_loss(name: str) -> None:
    """Classes of any size, equal vectors, one batch after another: a value and a gradient, or neither."""
    same = nn.functional.normalize(torch.ones(12, 8), dim=1)
    opposite = torch.cat([same[:6], -same[6:]])
    by_size = {
        "one": [2] * 12,
        "alone": [2, 5, 7] + [-1] * 9,
        "two": [2, 2] + [-1] * 10,
        "one pair": [2, 5] * 6,
    }
    by_size |= {"unequal": [2] + [5] * 9 + [7] * 2, "few": [2, 5, 5] + [-1] * 9, "none": [-1] * 12}
    made = metric(named(name))
    for labels in by_size.values():
        for image in (None, same, opposite):
            changes = {} if image is None else {"image": image.clone().requires_grad_()}
            v = unequal(labels={"category": torch.tensor(labels)}, **changes)
            value = made(v)
            if value is not None:
                value.backward()
                found = [value, v.image.grad, *(p.grad for p in made.parameters())]
                assert all(torch.isfinite(t).all() for t in found if t is not None), (labels, image)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_gets_the_pairs_that_it_can_use(name: str) -> None:
    pairs = LOSSES[name].pairs
    if pairs is Pairs.NONE:
        with pytest.raises(ConfigError, match="takes no pairs"):
            metric(named(name), miner=named("BatchHardMiner"))
    else:
        assert metric(named(name), miner=named("BatchHardMiner"))(unequal()) is not None
    judged = torch.zeros(12, 12)
    judged[0, 1] = judged[1, 0] = 1.0
    if pairs is Pairs.ONLY:
        assert metric(named(name), label="links")(unequal(judged=judged)) is not None
    else:
        with pytest.raises(ConfigError, match="links have no classes"):
            metric(named(name), label="links")
    if pairs in (Pairs.ROWS, Pairs.NONE):
        made = metric(named(name), params={"judged": True})
        by_labels = copy.deepcopy(made)(unequal())
        components = torch.arange(12) // 2
        assert torch.equal(made(unequal(judged=judged, components=components)), by_labels)


@pytest.mark.parametrize("name", ["CrossBatchMemory", "DynamicSoftMarginLoss"])
def test_what_a_loss_remembers_survives_a_checkpoint(name: str) -> None:
    made, resumed, fresh = (metric(named(name)) for _ in range(3))
    for seed in range(2):
        made(unequal(seed=seed))
    resumed.load_state_dict(made.state_dict())
    values = [each(unequal(seed=2)) for each in (made, resumed, fresh)]
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])


def test_adapted_losses_are_the_librarys_on_rows_that_suit_them() -> None:
    v = unequal()
    equal_sizes, labels = [1, 2, 5, 0, 4, 7, 3, 6, 11], torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])
    smooth = metric(named("SmoothAPLoss"))(v)
    assert torch.allclose(smooth, losses.SmoothAPLoss()(v.image[equal_sizes], labels))
    vicreg = metric(named("VICRegLoss"))(v)
    rows, partners = [1, 2, 5, 8, 10, 0, 4, 7, 9, 3, 6, 11], [2, 5, 8, 10, 1, 4, 7, 9, 0, 6, 11, 3]
    assert torch.allclose(
        vicreg, losses.VICRegLoss()(8**0.5 * v.image[rows], ref_emb=8**0.5 * v.image[partners])
    )
    cosines, category = (v.image @ v.image.T).detach(), v.labels["category"]
    density = {}
    for positive in (True, False):
        density[positive] = np.zeros(101)
        pairs = [(i, j) for i in range(12) for j in range(i) if (category[i] == category[j]) == positive]
        for i, j in pairs:
            place = (float(cosines[i, j]) + 1) / 0.02
            density[positive][int(place)] += (1 - place % 1) / len(pairs)
            density[positive][int(place) + 1] += place % 1 / len(pairs)
    histogram = metric(named("HistogramLoss"))(v)
    assert histogram is not None
    assert histogram.item() == pytest.approx((density[False] * density[True].cumsum()).sum(), rel=1e-4)
    for name in ("DynamicSoftMarginLoss", "MarginLoss", "NCALoss", "TupletMarginLoss"):
        assert torch.allclose(metric(named(name))(v), getattr(losses, name)()(v.image, category))
    for size in (12, 10):  # of a longer batch the first rows count
        kept = {"category": category.where(torch.arange(12) < size, -1)}
        without = metric(named("ContrastiveLoss"))(unequal(labels=kept))
        memory = metric(named("CrossBatchMemory", memory_size=size))(v)
        assert torch.allclose(memory, without, atol=1e-6)
    instance = metric(named("InstanceLoss"))(v)
    targets = torch.tensor([{2: 1, 5: 0, 7: 3}[int(code)] for code in category])
    assert torch.allclose(instance, nn.functional.cross_entropy(64 * cosines, targets), atol=1e-4)


def test_margins_are_learned_for_each_class() -> None:
    made = metric(named("MarginLoss", learn_beta=True, nu=0.1))
    assert [tuple(p.shape) for p in made.parameters()] == [(3,)]
    assert_a_step_lowers(made)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_term_is_refused_with_what_to_use_instead(name: str) -> None:
    role = next(module.__name__.rpartition(".")[2] for module, _ in TABLES if name in vars(module))
    config: dict[str, Any] = {
        "losses": {"loss": named(name)},
        "miners": {"loss": TRIPLETS, "miner": named(name)},
        "distances": {"loss": TRIPLETS, "distance": named(name)},
        "reducers": {"loss": named("ContrastiveLoss", reducer=named(name))},
        "regularizers": {"loss": named("ContrastiveLoss", embedding_regularizer=named(name))},
    }[role]
    with pytest.raises(ConfigError, match=f"{name} .* instead"):
        metric(**config)


@pytest.mark.parametrize("name", LOSSES)
def test_a_wrong_argument_of_a_loss_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"The loss {name} cannot be built"):
        metric(named(name, nonsense=1))


def test_rows_without_label_or_vector_are_left_out() -> None:
    label = torch.tensor([2, 2, 5, 5, -1, 7])
    v = views(labels={"category": label}, has_image=torch.tensor([1, 1, 1, 1, 1, 0], dtype=torch.bool))
    made = term(kind="metric", label="category", vector="image", loss={"name": "SupConLoss"})
    value = made(v)
    assert value is not None
    assert torch.allclose(value, SupConLoss()(v.image[:4], label[:4]))
    assert made(views(labels={"category": torch.full((6,), -1)})) is None


@pytest.mark.parametrize("miner", [None, {"name": "MultiSimilarityMiner"}, {"name": "TripletMarginMiner"}])
def test_duplicates_are_no_negatives_whatever_their_labels(miner: dict[str, Any] | None) -> None:
    """0 and 2 are one product in two categories: the loss is that of a batch without the pair."""
    loss = {"name": "TripletMarginLoss" if miner and "Triplet" in miner["name"] else "ContrastiveLoss"}
    metric = term(kind="metric", label="category", vector="image", loss=loss, miner=miner)
    v = views()
    with torch.no_grad():
        v.image[2] = v.image[0]  # as near as can be
    apart, together = metric(v), metric(views(components=torch.tensor([0, 1, 0, 3, 4, 5]), image=v.image))
    assert apart is not None
    assert together is not None
    assert together < apart


def test_pairs_agree_with_judgements_and_components_beside_labels() -> None:
    labels, components = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 3])

    def pairs(judged: Tensor) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
        found = consistent_pairs(judged, components, labels, None)
        assert found is not None
        a, p, b, n = (part.tolist() for part in found)
        return {(i, j) for i, j in zip(a, p, strict=True) if i < j}, {
            (i, j) for i, j in zip(b, n, strict=True) if i < j
        }

    assert pairs(torch.zeros(1, 1)) == ({(0, 1), (2, 3)}, {(0, 3), (1, 2), (1, 3)})
    judged = torch.zeros(4, 4)
    judged[0, 2] = judged[2, 0] = judged[0, 1] = judged[1, 0] = -1.0
    judged[1, 3] = judged[3, 1] = 1.0
    assert pairs(judged) == ({(1, 3), (2, 3)}, {(0, 1), (0, 2), (0, 3), (1, 2)})
    apart = torch.arange(4)
    assert consistent_pairs(torch.zeros(1, 1), apart, labels, None) is None  # the library takes all pairs


def test_links_are_positives_beside_unrelated_products() -> None:
    judged = torch.zeros(6, 6)
    judged[0, 1] = judged[1, 0] = 1.0
    judged[0, 4] = judged[4, 0] = -1.0
    v = views(judged=judged, components=torch.tensor([0, 1, 0, 3, 0, 5]))
    made = term(kind="metric", label="links", vector="image", loss={"name": "SupConLoss"})
    value = made(v)
    assert value is not None
    (gradient,) = torch.autograd.grad(value, [v.image])
    assert gradient[2].abs().sum() > 0  # a negative of product 1, though components of 0
    pairs = [(0, 1), (1, 0)], [(0, 3), (0, 4), (0, 5), (1, 2), (1, 3), (1, 4), (1, 5)]
    tuples = [torch.tensor(column) for pair in pairs for column in zip(*pair, strict=True)]
    assert torch.allclose(value, SupConLoss()(v.image, indices_tuple=tuple(tuples)))
    assert made(views()) is None
    with pytest.raises(ConfigError, match="links have no classes"):
        term(kind="metric", label="links", loss={"name": "ProxyAnchorLoss", "params": {"num_classes": 2}})


def test_judged_pairs_count_by_their_weight() -> None:
    judged = torch.zeros(6, 6)
    judged[0, 1] = judged[1, 0] = 3.0
    judged[2, 3] = judged[3, 2] = -1.0
    v = views(judged=judged)
    value = term(kind="pairs", vector="image", params={"negative_margin": -1.0})(v)
    cos = [float((v.image[i] @ v.image[j]).detach()) for i, j in ((0, 1), (2, 3))]
    expected = (3 * (1 - cos[0]) ** 2 + (cos[1] + 1) ** 2) / 4
    assert value is not None
    assert value.item() == pytest.approx(expected, rel=1e-5)
    assert term(kind="pairs")(views()) is None


def test_a_loss_is_added_by_one_class() -> None:
    @register("uniformity")
    class Uniformity(Objective):
        def __init__(self, config: ObjectiveConfig, context: ObjectiveContext, *, t: float = 2.0) -> None:
            super().__init__(config)
            self.t = t

        def forward(self, views: EncodedBatch) -> Tensor | None:
            vectors, _ = views.vectors(self.config.vector)
            return torch.pdist(vectors).square().mul(-self.t).exp().mean().log()

    try:
        assert term(kind="uniformity", vector="image", params={"t": 3.0})(views()).item() < 0
        with pytest.raises(ConfigError, match="takes no s"):
            term(kind="uniformity", params={"s": 1})
    finally:
        del KINDS["uniformity"]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"loss": {"name": "SupConLoss", "params": {"temprature": 1}}}, "cannot be built"),
        ({"loss": {"name": "SupConLoss"}, "miner": {"name": "Minor"}}, "no miner named 'Minor'"),
        ({"loss": {"name": "SupConLoss"}, "distance": {"name": "Cosine"}}, "no distance named 'Cosine'"),
        ({"loss": {"name": "ContrastiveLoss", "params": {"reducer": {"name": "Meen"}}}}, "named 'Meen'"),
        (
            {"loss": {"name": "ContrastiveLoss", "params": {"reducer": "MeanReducer"}}},
            "Write reducer = {name",
        ),
        ({"loss": {"name": "ContrastiveLoss", "params": {"reducer": {"name": 3}}}}, "Write reducer = {name"),
        ({"loss": {"name": "CrossBatchMemory", "params": {"loss": {"name": "PNPLoss"}}}}, "not PNPLoss"),
        (
            {"loss": {"name": "SupConLoss"}, "miner": {"name": "HDCMiner", "params": {"k": 1}}},
            "miner HDCMiner",
        ),
        (
            {
                "loss": {
                    "name": "SupConLoss",
                    "params": {"reducer": {"name": "ClassWeightedReducer", "params": {"weights": [1]}}},
                }
            },
            "1 weights, and there are 3 classes",
        ),
        ({}, "has no loss"),
    ],
)
def test_a_wrong_name_is_refused_with_the_known_ones(config: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        term(kind="metric", label="category", **config)
