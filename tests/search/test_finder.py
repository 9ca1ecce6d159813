"""Questions answered over a published shop with a real, small encoder."""

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


def ids(answer: SearchResult) -> list[str]:
    return [item.id for item in answer.items]


def ask(finder: Finder, *rules: Rule, **query: Any) -> SearchResult:
    return finder.search(SearchQuery(**{"limit": 5, "collapse_variants": False, **query}), rules)


def test_an_answer_names_what_it_comes_from_and_its_scores_add_up(finder: Finder) -> None:
    answer = ask(finder, like=("p00",), image_weight=0.3)
    view = finder.live.view()
    assert (answer.encoder, answer.snapshot) == ("encoders/e0", view.snapshot_ref)
    assert answer.collection == view.collection.name
    assert len(answer.items) == 5
    assert "p00" not in ids(answer)
    for item in answer.items:
        assert item.score == pytest.approx(0.3 * item.image_score + 0.7 * item.text_score, abs=1e-4)
    assert set(answer.timings_ms) == {"prepare", "find"}


def test_pages_follow_one_another(finder: Finder) -> None:
    whole = ids(ask(finder, like=("p00",), limit=23))
    assert len(whole) == 23
    pages, offset = [], 0
    while offset is not None:
        page = ask(finder, like=("p00",), limit=7, offset=offset)
        pages += ids(page)
        offset = page.next_offset
    assert pages == whole
    assert ask(finder, like=("p00",), limit=23).next_offset is None


def test_equal_scores_neither_repeat_nor_drop_a_product(finder: Finder) -> None:
    """Images are shared by several products of the shop, so that whole runs of scores are equal."""
    for weight in (0.0, 1.0):
        seen: list[str] = []
        for offset in range(0, 23, 4):
            seen += ids(ask(finder, like=("p00",), limit=4, offset=offset, image_weight=weight))
        assert len(seen) == len(set(seen)) == 23


def test_collapsing_counts_variants(finder: Finder) -> None:
    folded = ask(finder, like=("p00",), collapse_variants=True, limit=30)
    assert len(folded.items) == 12
    assert sum(len(i.variants) for i in folded.items) == 23 - 12


def test_words_alone_go_by_text_and_a_image_alone_by_looks(finder: Finder) -> None:
    words = ask(finder, text="red thing")
    assert words.image_weight < 0.5
    seen = ask(finder, images=(make_image(3),))
    assert seen.image_weight > 0.5
    assert len(seen.items) == 5


def test_an_encoder_is_asked_what_the_products_were(finder: Finder) -> None:
    """An image of a product, sent in, is as near to the product as can be."""
    for item in ask(finder, images=(make_image(3),), image_weight=1.0, limit=3).items:
        assert item.id in ("p03", "p12", "p21")  # the three that show it
        assert item.image_score == pytest.approx(1, abs=1e-3)
    both = ask(finder, text="red thing 0", images=(make_image(0),), image_weight=0.5, limit=1)
    assert both.items[0].id in ("p00", "p09", "p18")  # they show the same image
    assert both.items[0].text_score == pytest.approx(1, abs=1e-3)


def test_several_examples_and_dislikes(finder: Finder) -> None:
    liked = ask(finder, like=("p00", "p01"), limit=30)
    assert {"p00", "p01"}.isdisjoint(ids(liked))
    disliked = ids(liked)[0]
    moved = ask(finder, like=("p00", "p01"), unlike=(disliked,), limit=30)
    assert disliked not in ids(moved)
    near = ask(finder, like=(disliked,), limit=3)
    before = {i.id: i.score for i in liked.items}
    after = {i.id: i.score for i in moved.items}
    assert all(after[i] < before[i] for i in ids(near) if i in after)


def test_filters_narrow_and_say_what_can_be_filtered(finder: Finder) -> None:
    found = ask(finder, like=("p00",), filter=(category("Home"), AnyOf("brand", ("Bolt",))), limit=30)
    assert found.items
    assert all("Home" in i.payload["product_type"] and i.payload["brand"] == "Bolt" for i in found.items)
    with pytest.raises(InputError, match="'title'"):
        ask(finder, like=("p00",), filter=(AnyOf("title", ("x",)),))


def test_an_explained_answer_shows_what_is_shared_and_what_rules_did(finder: Finder) -> None:
    plain = ids(ask(finder, like=("p00",), limit=5))
    rules = [
        Rule(id=1, action="block", target="product", target_value=plain[0], author="Ada", reason="sold out"),
        Rule(id=2, action="pin", target="product", target_value=plain[3]),
        Rule(
            id=3, action="boost", target="product", target_value=plain[1], scope="product", scope_value="p09"
        ),
    ]
    answer = ask(finder, *rules, like=("p00",), limit=4, explain=True)
    assert ids(answer)[:2] == [plain[3], plain[1]]
    assert answer.without_rules == tuple(plain[:4])
    assert answer.blocked == (plain[0],)
    assert {e.rule_id for e in answer.effects} == {1, 2}  # the third is for another product's page
    pinned = answer.items[0]
    assert pinned.pinned
    assert pinned.rank_without_rules == 3
    row = next(r for r in shops.rows() if r["id"] == pinned.id)
    assert (("color", "red") in pinned.shared) == (row["color"] == "red")
    assert ids(ask(finder, *rules, like=("p00",), limit=5, apply_rules=False)) == plain


def test_rules_of_a_category_follow_the_product_or_the_filter(finder: Finder) -> None:
    pin = Rule(id=1, action="pin", target="product", target_value="p19", scope="category", scope_value="Home")
    assert ids(ask(finder, pin, like=("p00",)))[0] == "p19"  # p00 is a lamp
    assert not ask(finder, pin, like=("p02",)).items[0].pinned  # a pot
    assert ids(ask(finder, pin, text="red", filter=(category("Home > Chairs"),)))[0] == "p19"
    assert not ask(finder, pin, text="red").items[0].pinned


def test_a_batch_answers_as_single_questions_do(finder: Finder) -> None:
    asked = [SearchQuery(like=(id,), limit=4) for id in ("p03", "nope", "p00")]
    view, answers = finder.batch(asked)
    assert list(answers) == ["p03", "nope", "p00"]
    assert answers["nope"] is None
    assert view.encoder_ref == "encoders/e0"
    for query in (asked[0], asked[2]):
        answer = answers[query.like[0]]
        assert answer is not None
        assert ids(answer) == ids(finder.search(query))


def test_what_is_not_published_is_named(finder: Finder) -> None:
    with pytest.raises(NotFoundError, match="'nope'"):
        ask(finder, like=("p00", "nope"))
    with pytest.raises(NotFoundError):
        finder.product("nope")
    assert finder.product("p00")[0].payload["color"] == "red"


def test_a_image_that_is_none_is_refused(finder: Finder) -> None:
    with pytest.raises(InputError):
        ask(finder, images=(b"<svg/>",))


def test_facets_are_counted(finder: Finder) -> None:
    _, (facets, ranges) = finder.facets()
    assert facets["brand"] == [("Acme", 12), ("Bolt", 12)]
    assert dict(facets["product_type"]) == {
        "Home": 16, "Garden": 8, "Home > Lamps": 8, "Home > Chairs": 8, "Garden > Pots": 8,
    }  # fmt: skip
    assert dict(facets["attributes.fit"]) == {"slim": 12, "wide": 12}
    assert "material" not in facets
    assert ranges == {"price": (10.0, 33.0)}  # nothing has a sale price
    _, (none, narrowed) = finder.facets(["price"], filter=(AnyOf("brand", ("Acme",)),))
    assert (none, narrowed) == ({}, {"price": (10.0, 32.0)})
    _, (narrowed, _) = finder.facets(["color"], filter=(AnyOf("brand", ("Acme",)),))
    rows = [r for r in shops.rows() if r["brand"] == "Acme"]
    assert dict(narrowed["color"]) == {
        c: sum(r["color"] == c for r in rows) for c in {r["color"] for r in rows}
    }
    with pytest.raises(InputError, match="title"):
        finder.facets(["title"])


def test_diversity_shows_more_kinds(finder: Finder) -> None:
    def spread(diversity: float) -> float:
        answer = ask(finder, like=("p00",), diversity=diversity, limit=6)
        stored = finder.live.view().collection.retrieve(ids(answer), with_vectors=True)
        vectors = np.stack([r.vector for r in stored if r.vector is not None])
        return float((vectors @ vectors.T).mean())

    assert spread(0.6) < spread(0.0)
