"""Queries over a published shop with a real, small encoder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.config import Config
from recsys.errors import InputError, NotFoundError
from recsys.feedback.rules import Rule
from recsys.index.filters import AnyOf, category
from recsys.search.finder import Finder
from recsys.search.live_index import LiveIndex
from recsys.search.query import SearchQuery, SearchResult
from recsys.workspace import Workspace
from tests.embedding.catalogs import make_image
from tests.search import shops


@pytest.fixture(scope="module")
def config(text_model: Path) -> Config:
    return shops.settings(text_model)


@pytest.fixture(scope="module")
def finder(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finder]:
    workspace = Workspace(tmp_path_factory.mktemp("shop"))
    shops.publish(config, workspace)
    live = LiveIndex(config, workspace)
    live.start()
    yield Finder(config, live)
    live.close()


def ids(result: SearchResult) -> list[str]:
    return [item.id for item in result.items]


def find(finder: Finder, *rules: Rule, **query: Any) -> SearchResult:
    return finder.search(SearchQuery(**{"limit": 5, "collapse_variants": False, **query}), rules)


def test_a_result_names_what_it_comes_from_and_its_scores_add_up(finder: Finder) -> None:
    result = find(finder, like=("p00",), image_weight=0.3)
    view = finder.live.view()
    assert (result.encoder, result.snapshot) == ("encoders/e0", view.snapshot_ref)
    assert result.collection == view.collection.name
    assert len(result.items) == 5
    assert "p00" not in ids(result)
    for item in result.items:
        assert item.score == pytest.approx(0.3 * item.image_score + 0.7 * item.text_score, abs=1e-4)
    assert set(result.timings_ms) == {"prepare", "find"}


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_pages_follow_one_another_also_where_scores_are_equal(finder: Finder, weight: float) -> None:
    """Images are shared by several products of the shop, so many scores are equal."""
    whole = find(finder, like=("p00",), limit=23, image_weight=weight)
    assert len(set(ids(whole))) == 23
    assert whole.next_offset is None
    pages: list[str] = []
    offset: int | None = 0
    while offset is not None:
        page = find(finder, like=("p00",), limit=4, offset=offset, image_weight=weight)
        pages, offset = pages + ids(page), page.next_offset
    assert sorted(pages) == sorted(ids(whole))


def test_collapsing_counts_variants(finder: Finder) -> None:
    collapsed = find(finder, like=("p00",), collapse_variants=True, limit=30)
    assert len(collapsed.items) == 12
    assert sum(len(item.variants) for item in collapsed.items) == 23 - 12


def test_an_image_or_text_of_a_product_finds_it(finder: Finder) -> None:
    for item in find(finder, images=(make_image(3),), image_weight=1.0, limit=3).items:
        assert item.id in ("p03", "p12", "p21")  # the three that show it
        assert item.image_score == pytest.approx(1, abs=1e-3)
    both = find(finder, text="red thing 0", images=(make_image(0),), image_weight=0.5, limit=1)
    assert both.items[0].id in ("p00", "p09", "p18")  # they show the same image
    assert both.items[0].text_score == pytest.approx(1, abs=1e-3)
    with pytest.raises(InputError):
        find(finder, images=(b"<svg/>",))


def test_several_liked_products_and_a_disliked_one(finder: Finder) -> None:
    liked = find(finder, like=("p00", "p01"), limit=30)
    assert {"p00", "p01"}.isdisjoint(ids(liked))
    disliked = ids(liked)[0]
    moved = find(finder, like=("p00", "p01"), unlike=(disliked,), limit=30)
    assert disliked not in ids(moved)
    before = {item.id: item.score for item in liked.items}
    after = {item.id: item.score for item in moved.items}
    assert all(after[id] < before[id] for id in ids(find(finder, like=(disliked,), limit=3)) if id in after)


def test_filters_narrow_by_indexed_columns(finder: Finder) -> None:
    found = find(finder, like=("p00",), filter=(category("Home"), AnyOf("brand", ("Bolt",))), limit=30)
    assert found.items
    assert all("Home" in i.payload["product_type"] and i.payload["brand"] == "Bolt" for i in found.items)
    with pytest.raises(InputError, match="'title'"):
        find(finder, like=("p00",), filter=(AnyOf("title", ("x",)),))


def test_an_explained_result_shows_what_is_shared_and_what_rules_did(finder: Finder) -> None:
    plain = ids(find(finder, like=("p00",), limit=5))
    product: dict[str, Any] = {"target": "product"}
    rules = [
        Rule(id=1, action="block", target_value=plain[0], author="Ada", reason="sold out", **product),
        Rule(id=2, action="pin", target_value=plain[3], **product),
        Rule(id=3, action="boost", target_value=plain[1], scope="product", scope_value="p09", **product),
    ]
    result = find(finder, *rules, like=("p00",), limit=4, explain=True)
    assert ids(result)[:2] == [plain[3], plain[1]]
    assert result.without_rules == tuple(plain[:4])
    assert result.blocked == (plain[0],)
    assert {e.rule_id for e in result.effects} == {1, 2}  # the third is for another product's page
    pinned = result.items[0]
    assert (pinned.pinned, pinned.rank_without_rules) == (True, 3)
    row = next(r for r in shops.rows() if r["id"] == pinned.id)
    assert (("color", "red") in pinned.shared) == (row["color"] == "red")
    assert ids(find(finder, *rules, like=("p00",), limit=5, apply_rules=False)) == plain


def test_rules_of_a_category_follow_the_product_or_the_filter(finder: Finder) -> None:
    pin = Rule(id=1, action="pin", target="product", target_value="p19", scope="category", scope_value="Home")
    assert ids(find(finder, pin, like=("p00",)))[0] == "p19"  # p00 is a lamp
    assert not find(finder, pin, like=("p02",)).items[0].pinned  # a pot
    assert ids(find(finder, pin, text="red", filter=(category("Home > Chairs"),)))[0] == "p19"
    assert not find(finder, pin, text="red").items[0].pinned


def test_a_batch_answers_as_single_queries_do(finder: Finder) -> None:
    queries = [SearchQuery(like=(id,), limit=4) for id in ("p03", "nope", "p00")]
    view, results = finder.batch(queries)
    assert list(results) == ["p03", "nope", "p00"]
    assert view.encoder_ref == "encoders/e0"
    found = [ids(result) if result else None for result in results.values()]
    assert found == [ids(finder.search(queries[0])), None, ids(finder.search(queries[2]))]


def test_an_unpublished_product_is_named(finder: Finder) -> None:
    with pytest.raises(NotFoundError, match="'nope'"):
        find(finder, like=("p00", "nope"))
    assert finder.product("p00")[0].payload["color"] == "red"


def test_facets_are_counted(finder: Finder) -> None:
    _, (facets, ranges) = finder.facets()
    assert facets["brand"] == [("Acme", 12), ("Bolt", 12)]
    assert dict(facets["product_type"]) == {
        "Home": 16, "Garden": 8, "Home > Lamps": 8, "Home > Chairs": 8, "Garden > Pots": 8,
    }  # fmt: skip
    assert dict(facets["attributes.fit"]) == {"slim": 12, "wide": 12}
    assert "material" not in facets
    assert ranges == {"price": (10.0, 33.0)}  # nothing has a sale price
    acme = (AnyOf("brand", ("Acme",)),)
    _, (counts, ranges) = finder.facets(["price", "color"], filter=acme)
    colors = [r["color"] for r in shops.rows() if r["brand"] == "Acme"]
    assert dict(counts["color"]) == {color: colors.count(color) for color in colors}
    assert ranges == {"price": (10.0, 32.0)}
    with pytest.raises(InputError, match="title"):
        finder.facets(["title"])


def test_diversity_lists_products_less_like_one_another(finder: Finder) -> None:
    def likeness(diversity: float) -> float:
        result = find(finder, like=("p00",), diversity=diversity, limit=6)
        stored = finder.live.view().collection.retrieve(ids(result), with_vectors=True)
        vectors = np.stack([point.vector for point in stored if point.vector is not None])
        return float((vectors @ vectors.T).mean())

    assert likeness(0.6) < likeness(0.0)
