"""Cheap tricks: what they reach by construction, and which texts give a label away."""

import numpy as np
import pytest
import simplejpeg

from recsys.config.evaluation import TaskConfig
from recsys.evaluation.baselines import Baselines, bags_of_words, histogram, names_label
from recsys.evaluation.products import Products
from recsys.evaluation.tasks import plan_tasks, prepare
from recsys.workspace import Workspace
from recsys.workspace.snapshot import Snapshot
from recsys.workspace.splits import HOLDOUT
from tests.evaluation import shop


@pytest.mark.parametrize(
    ("text", "label", "named"),
    [
        ("A red Teapot of clay", "Home > Kitchen > Teapots", True),
        ("A red pot", "Home > Kitchen > Teapots", False),
        ("TEAPOTS, two", "teapot", True),
        ("A tv", "TV", False),  # two letters stand in many words
        ("A red pot", None, False),
    ],
)
def test_whether_a_text_names_a_label(text: str, label: str | None, named: bool) -> None:
    assert names_label(text, label) is named


def test_rare_words_weigh_more_and_texts_without_words_are_like_nothing() -> None:
    vectors = bags_of_words(["a red teapot", "a blue teapot", "a red bag", ""]).toarray()
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1, 0])
    likeness = vectors @ vectors.T
    assert likeness[0, 1] == pytest.approx(likeness[0, 2])
    assert likeness[1, 2] < likeness[0, 1]
    assert bags_of_words(["", ""]).shape[0] == 2


def test_a_histogram_tells_colours_apart_and_not_shapes() -> None:
    def jpeg(color: tuple[int, int, int], left: int) -> bytes:
        pixels = np.full((64, 64, 3), 250, np.uint8)
        pixels[16:48, left : left + 24] = color
        return bytes(simplejpeg.encode_jpeg(pixels, 95))

    red, moved, blue = (
        histogram(jpeg(*p)) for p in (((200, 20, 20), 4), ((200, 20, 20), 32), ((20, 20, 200), 4))
    )
    assert float(red @ red) == pytest.approx(1)
    assert float(red @ moved) > 0.99
    assert float(red @ blue) < 0.9


def test_each_task_has_the_tricks_that_fit_it_and_they_find_what_they_can_see(workspace: Workspace) -> None:
    snapshot = shop.snapshot(workspace)
    products = Products.open(workspace, snapshot, shop.splits(workspace, snapshot))
    config = shop.settings()
    plan = plan_tasks(config.evaluation, products)
    baselines = Baselines(Snapshot.open(workspace, snapshot), config.encoder, plan.pool)
    everyone = np.ones(len(products), bool)
    found, shares = {}, {}
    for task in plan.tasks:
        ready = prepare(task, HOLDOUT, products, has_image=everyone, has_text=everyone, resolve=str)
        scores = baselines.scores(ready, None)
        found[task.config.name] = {name: float(v[task.config.main].mean()) for name, v in scores.items()}
        shares[task.config.name] = baselines.label_in_text(task.config, products, ready.queries)
    assert {name: set(scores) for name, scores in found.items()} == {
        "variants": {"bag_of_words", "pixels"}, "variants_image": {"pixels"},
        "variants_text": {"bag_of_words"},
        "category": {"bag_of_words", "pixels"}, "category_image": {"pixels"},
        "category_text": {"bag_of_words"}, "words": set(),
    }  # fmt: skip
    assert found["variants_text"]["bag_of_words"] > 0.9  # titles count the groups
    assert found["category_image"]["pixels"] > 0.4  # a type is a colour
    assert shares["category_text"] > 0.95  # "Kettle number 3"
    assert shares["variants_text"] == 0
    assert shares["category_image"] is None
    assert shares["words"] is None


def test_a_label_of_several_columns_is_named_where_all_of_them_are(workspace: Workspace) -> None:
    snapshot = shop.snapshot(workspace)
    products = Products.open(workspace, snapshot, shop.splits(workspace, snapshot))
    everything = np.arange(len(products))
    baselines = Baselines(Snapshot.open(workspace, snapshot), shop.settings().encoder, everything)
    both = TaskConfig(name="both", relevant=("product_type", "material"))
    with_group = TaskConfig(name="group", relevant=("product_type", "item_group_id"))
    assert baselines.label_in_text(both, products, everything) > 0.95
    assert baselines.label_in_text(with_group, products, everything) == 0
