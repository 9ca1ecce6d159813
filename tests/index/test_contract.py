"""What every engine promises through the seam: the same tests over Qdrant Edge and a Qdrant server."""

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.config import Config
from recsys.errors import ArtifactError, InputError
from recsys.index import open_index
from recsys.index.base import Metadata, Point, Query
from recsys.index.engine import Collection, VectorIndex
from recsys.index.filters import AnyOf, Condition, Ids, Not, Range, category
from recsys.index.points import indexed_columns
from recsys.workspace import Workspace
from recsys.workspace.embeddings import query_vector
from tests.index.catalogs import DIM, make_points, products, vectors

COUNT = 60
POINTS = make_points(COUNT)
META = Metadata(
    encoder="encoders/e1",
    snapshot="snapshots/s1",
    embedding_set="embedding-sets/1",
    dim=DIM,
    created_at="2026-01-01T00:00:00.000+00:00",
)


def name_of(index: VectorIndex, number: int = 1) -> str:
    return f"{index.alias}__e{number}__s1"


def publish(index: VectorIndex, points: Iterable[Point], *, number: int = 1) -> str:
    name = name_of(index, number)
    with index.build(name, META) as writer:
        writer.upsert(points)
        writer.index()
        writer.commit(replace(META, updated_at="2026-01-02"))
    index.switch(name, expected=index.live_name())
    return name


@pytest.fixture
def published(index: VectorIndex) -> Collection:
    publish(index, POINTS)
    return index.open()


def near(vector: Any) -> Any:
    return pytest.approx(vector, abs=1e-6)


def test_an_index_with_nothing_in_it(index: VectorIndex) -> None:
    name = name_of(index)
    assert (index.live(), index.collections()) == (None, [])
    with pytest.raises(ArtifactError, match="publish"):
        index.open()
    for use in (index.open, partial(index.switch, expected=None), partial(index.change, pending="x")):
        with pytest.raises(ArtifactError):
            use(name)
    index.drop(name)


def test_a_build_is_invisible_until_it_is_committed_and_live_when_switched_to(index: VectorIndex) -> None:
    name = name_of(index)
    with index.build(name, META) as writer:
        assert (writer.upsert(POINTS), writer.count()) == (COUNT, COUNT)
        with pytest.raises(ArtifactError):
            index.open(name)
        writer.index()
        writer.commit(META)
    assert (index.live(), index.open(name).count()) == (None, COUNT)
    index.switch(name, expected=index.live_name())
    live = index.live()
    assert (live.name, live.live, live.num_points, index.open().name) == (name, True, COUNT, name)


def test_metadata_is_kept_as_given(index: VectorIndex, config: Config, workspace: Workspace) -> None:
    publish(index, POINTS[:3])
    with closing(open_index(config, workspace)) as again:
        live = again.live()
    indexed = tuple(indexed_columns())
    expected = replace(META, state="ready", pending="", updated_at="2026-01-02", indexed=indexed)
    assert live.metadata == expected
    index.describe(live.name, replace(expected, published_at="2026-01-03"))
    assert index.open().metadata.published_at == "2026-01-03"


def test_records_stream_everything_once(published: Collection) -> None:
    records = sorted(published.records(["brand"], with_vectors=True))
    assert records == [(p.id, {"id": p.id, "brand": p.payload["brand"]}, near(p.vector)) for p in POINTS]
    assert all(r.vector is None for r in published.records())


def test_retrieve_keeps_order_and_leaves_out_what_is_absent(published: Collection) -> None:
    first, second = POINTS[7], POINTS[2]
    wanted = [first.id, "never-was", second.id]
    assert published.retrieve(wanted, with_vectors=True) == [
        (p.id, p.payload, near(p.vector)) for p in (first, second)
    ]
    assert published.retrieve(["never-was"]) == published.retrieve([]) == []
    bare = published.retrieve(wanted[:1], payload=False, with_vectors=True)
    assert bare == [(first.id, {}, near(first.vector))]


@pytest.mark.parametrize("weight", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_the_score_is_the_weighted_sum_of_two_cosines(published: Collection, weight: float) -> None:
    made = vectors(products(COUNT), "e1", DIM)
    query = query_vector(made.image[5], made.text[5], weight)
    expected = weight * made.image @ made.image[5] + (1 - weight) * made.text @ made.text[5]
    hits = published.query(Query(vector=query, limit=COUNT))
    scores = dict(zip((p.id for p in POINTS), expected, strict=True))
    assert {h.id: h.score for h in hits} == pytest.approx(scores, abs=1e-5)
    assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)
    assert hits[0].id == POINTS[5].id


def test_payload_and_vectors_of_a_query(published: Collection) -> None:
    id, vector, payload = POINTS[0]
    whole = published.query(Query(vector=vector, limit=1))
    assert whole == [(id, near(1.0), payload, None)]
    bare = published.query(Query(vector=vector, limit=1, payload=False, with_vectors=True))
    assert bare == [(id, near(1.0), {"id": id}, near(vector))]


def test_a_query_of_the_wrong_size_is_refused(published: Collection) -> None:
    with pytest.raises((InputError, ValueError), match=r"(?i)dim|shapes|size"):
        published.query(Query(vector=np.ones(3, np.float32)))


def holds(condition: Condition, payload: dict[str, object]) -> bool:
    if isinstance(condition, Not):
        return not holds(condition.condition, payload)
    if isinstance(condition, Ids):
        return payload["id"] in condition.ids
    value: object = payload
    for part in condition.column.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    values = value if isinstance(value, list) else [] if value is None else [value]
    if isinstance(condition, AnyOf):
        return any(v in condition.values for v in values)
    return any(
        (condition.gte is None or v >= condition.gte)
        and (condition.gt is None or v > condition.gt)
        and (condition.lte is None or v <= condition.lte)
        and (condition.lt is None or v < condition.lt)
        for v in values
    )


_bounds = st.one_of(st.none(), st.sampled_from([5.0, 17.5, 20.0, 64.0]))
_plain = st.one_of(
    st.builds(
        AnyOf, st.just("brand"), st.lists(st.sampled_from(["Acme", "Bolt", "None"]), min_size=1).map(tuple)
    ),
    st.builds(AnyOf, st.just("color"), st.sampled_from([("red",), ("green", "red"), ("blue",)])),
    st.builds(AnyOf, st.just("modalities"), st.sampled_from([("image",), ("text",)])),
    st.builds(AnyOf, st.just("attributes.fit"), st.sampled_from([("slim",), ("wide", "slim")])),
    st.builds(Range, st.just("price"), gte=_bounds, lt=_bounds),
    st.builds(Range, st.just("price"), gt=_bounds, lte=_bounds),
    st.sampled_from(["Home", "Home > Lamps", "Home>Lamps > Desk", "Garden"]).map(category),
    st.builds(Ids, st.lists(st.sampled_from([f"sku-{i:05d}" for i in range(9)])).map(tuple)),
)
_filters = st.lists(st.one_of(_plain, _plain.map(Not)), max_size=4).map(tuple)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(filter=_filters)
def test_filters_mean_what_they_say(published: Collection, filter: tuple[Condition, ...]) -> None:
    expected = {p.id for p in POINTS if all(holds(c, p.payload) for c in filter)}
    assert published.count(filter) == len(expected)
    hits = published.query(Query(vector=POINTS[0].vector, limit=COUNT, filter=filter))
    assert {h.id for h in hits} == expected


def test_facets_count_values(published: Collection) -> None:
    counts = Counter(p.payload["brand"] for p in POINTS)
    found = published.facet("brand")
    assert dict(found) == counts
    assert [c for _, c in found] == sorted(counts.values(), reverse=True)
    lamps = dict(published.facet("product_type", filter=(category("Home > Lamps"),)))
    assert lamps["Home > Lamps"] == lamps["Home"]
    assert len(published.facet("brand", limit=2)) == 2


def test_bounds_are_the_least_and_the_greatest_value(published: Collection) -> None:
    for points, filter in ((POINTS, ()), (POINTS[3:9], (Ids(tuple(p.id for p in POINTS[3:9])),))):
        prices = [p.payload["price"] for p in points]
        assert published.bounds("price", filter) == pytest.approx((min(prices), max(prices)))
    assert published.bounds("price", (Ids(("never-was",)),)) is None


def test_a_change_writes_vectors_payloads_and_deletes(index: VectorIndex) -> None:
    moved = POINTS[0]._replace(vector=POINTS[30].vector, payload={**POINTS[0].payload, "title": "moved"})
    payload = {k: v for k, v in POINTS[1].payload.items() if k != "color"} | {"price": 1.0}
    repriced, gone = POINTS[1]._replace(payload=payload), POINTS[2]
    new = make_points(2, first=500)
    name = publish(index, POINTS)
    with index.change(name, pending="embedding-sets/2") as writer:
        assert writer.upsert([moved, *new]) == 3
        writer.set_payloads([(repriced.id, payload)])
        writer.delete([gone.id, "never-was"])
        writer.index()
        assert writer.count() == COUNT + 1
        writer.commit(replace(META, embedding_set="embedding-sets/2"))
    metadata, after = index.live().metadata, index.open()
    assert (metadata.embedding_set, metadata.pending) == ("embedding-sets/2", "")
    assert sorted(after.retrieve([r.id for r in after.records()], with_vectors=True)) == [
        (p.id, p.payload, near(p.vector)) for p in (moved, repriced, *POINTS[3:], *new)
    ]
    assert after.count((Ids((gone.id,)),)) == 0
    assert after.count((Range("price", lte=1.0),)) == 1


def test_an_unfinished_build_resumes_for_the_same_set_only(index: VectorIndex) -> None:
    name = name_of(index)
    with index.build(name, META) as writer:
        writer.upsert(POINTS[:20])
    with index.build(name, replace(META, created_at="later")) as writer:
        assert (writer.count(), writer.metadata.created_at) == (20, META.created_at)
    with index.build(name, replace(META, embedding_set="embedding-sets/other")) as writer:
        assert writer.count() == 0
        writer.upsert(POINTS[:5])
        writer.commit(writer.metadata)
    assert index.open(name).count() == 5
    with pytest.raises(ArtifactError, match="already built"):
        index.build(name, META)


def test_a_build_that_failed_its_audit_starts_again(index: VectorIndex) -> None:
    name = name_of(index)
    with index.build(name, META) as writer:
        writer.upsert(POINTS[:20])
        index.describe(name, replace(writer.metadata, state="failed"))
    with pytest.raises(ArtifactError):
        index.switch(name, expected=index.live_name())
    with index.build(name, META) as writer:
        assert writer.count() == 0


def test_the_alias_moves_and_what_is_not_live_can_be_dropped(index: VectorIndex) -> None:
    first = publish(index, POINTS[:10], number=1)
    index.describe(first, replace(index.open(first).metadata, published_at="2026-01-01"))
    second = publish(index, POINTS[:20], number=2)
    assert index.open().count() == 20
    assert [(c.name, c.live) for c in index.collections()] == [(second, True), (first, False)]
    index.switch(first, expected=second)
    assert index.open().count() == 10
    with pytest.raises(ArtifactError, match="live"):
        index.drop(first)
    index.drop(second)
    assert [c.name for c in index.collections()] == [first]
    with pytest.raises(ArtifactError):
        index.open(second)


def test_an_alias_knows_its_own_collections_only(
    index: VectorIndex, make_config: Callable[..., Config], workspace: Workspace
) -> None:
    publish(index, POINTS[:5])
    with closing(open_index(make_config(alias=f"{index.alias}-b"), workspace)) as other:
        assert (other.live(), other.collections()) == (None, [])
        publish(other, POINTS[:7])
        assert (index.open().count(), other.open().count()) == (5, 7)


def test_batches_are_bounded_by_bytes(make_config: Callable[..., Config], workspace: Workspace) -> None:
    with closing(open_index(make_config(batch_bytes=100_000), workspace)) as index:
        publish(index, (p._replace(payload={**p.payload, "title": "x" * 60_000}) for p in POINTS[:5]))
        assert index.open().count() == 5
