"""Enough candidates: an answer's order is the order of the whole catalog."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.config import Config
from recsys.errors import InputError
from recsys.feedback.rules import Rule, Subject
from recsys.index import Collection, open_index
from recsys.index.base import Hit, Query
from recsys.index.filters import AnyOf, Not, category
from recsys.index.run import run
from recsys.search.candidates import check_filter, collect, scored_products
from recsys.search.query import SearchQuery
from recsys.search.query_vector import ResolvedQuery
from recsys.search.rank import Ranking, rank
from recsys.workspace import Workspace
from recsys.workspace.embeddings import halves, query_vector
from tests.index.catalogs import products, publish_inputs

COUNT = 150


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    workspace = Workspace(Path(tmp_path_factory.mktemp("published")))
    run(Config(), workspace, *publish_inputs(workspace, products(COUNT)))
    index = open_index(Config(), workspace)
    yield index.open()
    index.close()


def resolve(collection: Collection, id: str, weight: float) -> ResolvedQuery:
    point = collection.retrieve([id], with_vectors=True)[0]
    assert point.vector is not None
    return ResolvedQuery(
        vectors=halves(point.vector),
        image_weight=weight,
        liked=(point,),
        excluded=frozenset([id]),
        subject=Subject.of(id, []),
    )


def everything(collection: Collection, resolved: ResolvedQuery) -> list[Hit]:
    vector = query_vector(*resolved.vectors, resolved.image_weight)
    hits = collection.query(Query(vector=vector, limit=COUNT, with_vectors=True))
    return [h for h in hits if h.id not in resolved.excluded]


def ids(ranking: Ranking) -> list[str]:
    return [r.product.id for r in ranking.order]


some_id = st.integers(0, COUNT - 1).map(lambda i: f"sku-{i:05d}")
targets = st.one_of(
    st.tuples(st.just("product"), some_id),
    st.tuples(st.just("brand"), st.sampled_from(["Acme", "Bolt"])),
    st.tuples(st.just("category"), st.sampled_from(["Home", "Home > Lamps", "Garden"])),
)
moves = st.tuples(st.sampled_from(["boost", "bury", "block"]), targets, st.floats(0.01, 1))
pins = st.tuples(st.just("pin"), st.tuples(st.just("product"), some_id), st.just(0.1))


@st.composite
def rules(draw: st.DrawFn) -> list[Rule]:
    drawn = draw(st.lists(st.one_of(moves, pins), max_size=4))
    return [
        Rule(id=i + 1, action=action, target=target, target_value=value, strength=strength)
        for i, (action, (target, value), strength) in enumerate(drawn)
    ]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    id=some_id,
    weight=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    rules=rules(),
    collapse=st.booleans(),
    diversity=st.sampled_from([0.0, 0.0, 0.4]),
    offset=st.integers(0, 30),
    explain=st.booleans(),
)
def test_the_answer_is_that_of_ranking_everything(
    collection: Collection,
    id: str,
    weight: float,
    rules: Sequence[Rule],
    collapse: bool,
    diversity: float,
    offset: int,
    explain: bool,
) -> None:
    resolved = resolve(collection, id, weight)
    query = SearchQuery(
        like=(id,),
        collapse_variants=collapse,
        diversity=diversity,
        limit=6,
        offset=offset,
        explain=explain,
    )
    found = collect(collection, query, resolved, rules, diversity_pool=20)
    products = scored_products(everything(collection, resolved), resolved.vectors)
    whole = rank(
        products, rules, collapse_variants=collapse, diversity=diversity, diversity_pool=20,
        count=offset + 7, image_weight=weight,
    )  # fmt: skip
    end = offset + 6
    shown = [r.product.score for r in found.order[:end]]
    expected = [r.product.score for r in whole.order[:end]]
    np.testing.assert_allclose(shown, expected, atol=2e-5)
    if diversity == 0:
        assert ids(found)[:end] == ids(whole)[:end]
        assert [len(r.effects) for r in found.order[:end]] == [len(r.effects) for r in whole.order[:end]]
    assert (len(found.order) > end) == (len(whole.order) > end)


def test_pins_and_boosts_stay_within_the_filter(collection: Collection) -> None:
    resolved = resolve(collection, "sku-00000", 0.5)
    outside = next(r for r in collection.records(["brand"]) if r.payload["brand"] == "Bolt").id
    moved = [
        Rule(id=1, action="pin", target="product", target_value=outside),
        Rule(id=2, action="boost", target="brand", target_value="Bolt", strength=1.0),
    ]
    query = SearchQuery(like=("sku-00000",), limit=10, filter=(AnyOf("brand", ("Acme",)),))
    found = collect(collection, query, resolved, moved, diversity_pool=10)
    assert {r.product.payload["brand"] for r in found.order} == {"Acme"}


def test_only_indexed_columns_can_be_filtered_by(collection: Collection) -> None:
    check_filter(collection, (category("Home"), Not(AnyOf("brand", ("Acme",)))))
    for wrong in (AnyOf("title", ("x",)), Not(AnyOf("attributes.fit", ("slim",)))):
        with pytest.raises(InputError, match=r"cannot be filtered by") as error:
            check_filter(collection, (wrong,))
        assert "brand" in error.value.fix


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({}, "nothing to look for"),
        ({"unlike": ("a",)}, "nothing to look for"),
        ({"text": "x", "diversity": 1.1}, "diversity is 1.1"),
        ({"text": "x", "image_weight": -0.1}, "image_weight -0.1"),
        ({"text": "x", "limit": 0}, "limit is 0"),
        ({"text": "x", "offset": -1}, "offset -1"),
        ({"text": "x", "limit": 500, "offset": 501}, "offset 501"),
        ({"like": tuple("a" * 51)}, "51 products are liked"),
        ({"text": "x" * 501}, "501 characters of text"),
        ({"images": (b"",) * 9}, "9 images"),
    ],
)
def test_a_question_that_cannot_be_asked_says_why(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        SearchQuery(**wrong)
