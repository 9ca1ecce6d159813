"""What every engine promises through the seam: the same tests over Qdrant Edge and a Qdrant server."""

from collections.abc import Callable, Sequence
from dataclasses import replace

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
from recsys.workspace import Workspace
from recsys.workspace.embeddings import product_vectors, query_vector
from tests.index.catalogs import DIM, products, vectors

COUNT = 60
META = Metadata(
    encoder="encoders/e1",
    snapshot="snapshots/s1",
    embedding_set="embedding-sets/1",
    dim=DIM,
    created_at="2026-01-01T00:00:00.000+00:00",
)


def make_points(count: int = COUNT, *, first: int = 0) -> list[Point]:
    catalog = products(count, first=first)
    made = vectors(catalog, "e1", DIM)
    stored = product_vectors(made.image, made.text)
    points = []
    for product, vector in zip(catalog, stored, strict=True):
        columns = {k: v for k, v in product.columns.items() if v is not None}
        path = columns.pop("product_type", None)
        payload = {**columns, "id": product.id, "attributes": dict(columns["attributes"])}
        payload.pop("images")
        if path:
            parts = path.split(" > ")
            payload["product_type"] = [" > ".join(parts[: i + 1]) for i in range(len(parts))]
        payload["modalities"] = ["image"] * product.has_image + ["text"] * product.has_text
        points.append(Point(product.id, vector, payload))
    return points


def name_of(index: VectorIndex, number: int = 1) -> str:
    return f"{index.alias}__e{number}__s1"


def publish(index: VectorIndex, points: Sequence[Point], *, number: int = 1) -> str:
    name = name_of(index, number)
    with index.build(name, META) as writer:
        writer.upsert(points)
        writer.index()
        writer.commit(replace(META, updated_at="2026-01-02"))
    index.switch(name)
    return name


@pytest.fixture
def published(index: VectorIndex) -> Collection:
    publish(index, make_points())
    return index.open()


def test_an_index_with_nothing_in_it(index: VectorIndex) -> None:
    assert index.live() is None
    assert index.collections() == []
    with pytest.raises(ArtifactError, match="publish"):
        index.open()
    with pytest.raises(ArtifactError):
        index.open(name_of(index))
    with pytest.raises(ArtifactError):
        index.change(name_of(index), pending="x")
    with pytest.raises(ArtifactError):
        index.switch(name_of(index))
    index.drop(name_of(index))


def test_a_build_is_invisible_until_it_is_committed_and_live_when_switched_to(index: VectorIndex) -> None:
    name = name_of(index)
    with index.build(name, META) as writer:
        assert writer.upsert(make_points()) == COUNT
        assert writer.count() == COUNT
        with pytest.raises(ArtifactError):
            index.open(name)
        writer.index()
        writer.commit(META)
    assert index.live() is None
    assert index.open(name).count() == COUNT
    index.switch(name)
    live = index.live()
    assert live is not None
    assert (live.name, live.live, live.num_points) == (name, True, COUNT)
    assert index.open().name == name


def test_metadata_is_kept_as_given(index: VectorIndex, config: Config, workspace: Workspace) -> None:
    publish(index, make_points(3))
    again = open_index(config, workspace)
    live = again.live()
    again.close()
    assert live is not None
    assert live.metadata.state == "ready"
    assert live.metadata.pending == ""
    assert "brand" in live.metadata.indexed
    expected = replace(META, state="ready", updated_at="2026-01-02", indexed=live.metadata.indexed)
    assert live.metadata == expected
    index.describe(live.name, replace(expected, published_at="2026-01-03"))
    assert index.open().metadata.published_at == "2026-01-03"


def test_records_stream_everything_once(published: Collection) -> None:
    points = {p.id: p for p in make_points()}
    records = list(published.records(["brand"], with_vectors=True))
    assert sorted(r.id for r in records) == sorted(points)
    for record in records:
        assert record.payload == {"id": record.id, "brand": points[record.id].payload["brand"]}
        assert record.vector is not None
        np.testing.assert_allclose(record.vector, points[record.id].vector, atol=1e-6)
    assert all(r.vector is None for r in published.records())


def test_retrieve_keeps_order_and_leaves_out_what_is_absent(published: Collection) -> None:
    points = make_points()
    wanted = [points[7].id, "never-was", points[2].id]
    found = published.retrieve(wanted, with_vectors=True)
    assert [r.id for r in found] == [points[7].id, points[2].id]
    assert found[0].payload == points[7].payload
    assert found[1].vector is not None
    np.testing.assert_allclose(found[1].vector, points[2].vector, atol=1e-6)
    assert published.retrieve(["never-was"]) == []
    assert published.retrieve([]) == []
    (bare,) = published.retrieve(wanted[:1], payload=False, with_vectors=True)
    assert (bare.id, bare.payload) == (wanted[0], {})
    np.testing.assert_array_equal(bare.vector, found[0].vector)


@pytest.mark.parametrize("weight", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_the_score_is_the_weighted_sum_of_two_cosines(published: Collection, weight: float) -> None:
    catalog = products(COUNT)
    made = vectors(catalog, "e1", DIM)
    asked = query_vector(made.image[5], made.text[5], weight)
    truth = weight * made.image @ made.image[5] + (1 - weight) * made.text @ made.text[5]
    hits = published.query(Query(vector=asked, limit=COUNT))
    assert len(hits) == COUNT
    by_id = dict(zip((p.id for p in catalog), truth, strict=True))
    for hit in hits:
        assert hit.score == pytest.approx(by_id[hit.id], abs=1e-5)
    scores = [h.score for h in hits]
    assert scores == sorted(scores, reverse=True)
    assert hits[0].id == catalog[5].id


def test_payload_and_vectors_of_a_query(published: Collection) -> None:
    points = make_points()
    vector = points[0].vector
    whole = published.query(Query(vector=vector, limit=1))[0]
    assert (whole.payload, whole.vector) == (points[0].payload, None)
    bare = published.query(Query(vector=vector, limit=1, payload=False, with_vectors=True))[0]
    assert bare.payload == {"id": points[0].id}
    np.testing.assert_allclose(bare.vector, vector, atol=1e-6)


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
    points = make_points()
    expected = {p.id for p in points if all(holds(c, p.payload) for c in filter)}
    assert published.count(filter) == len(expected)
    hits = published.query(Query(vector=points[0].vector, limit=COUNT, filter=filter))
    assert {h.id for h in hits} == expected


def test_facets_count_values(published: Collection) -> None:
    points = make_points()
    brands = [p.payload["brand"] for p in points]
    counted = published.facet("brand")
    assert dict(counted) == {b: brands.count(b) for b in set(brands)}
    assert [c for _, c in counted] == sorted((c for _, c in counted), reverse=True)
    lamps = published.facet("product_type", filter=(category("Home > Lamps"),))
    assert dict(lamps)["Home > Lamps"] == dict(lamps)["Home"]
    assert len(published.facet("brand", limit=2)) == 2


def test_bounds_are_the_least_and_the_greatest_value(published: Collection) -> None:
    prices = {p.id: p.payload["price"] for p in make_points() if "price" in p.payload}
    assert published.bounds("price") == pytest.approx((min(prices.values()), max(prices.values())))
    some = sorted(prices)[3:9]
    chosen = [prices[i] for i in some]
    assert published.bounds("price", (Ids(tuple(some)),)) == pytest.approx((min(chosen), max(chosen)))
    assert published.bounds("price", (Ids(("never-was",)),)) is None


def test_a_change_writes_vectors_payloads_and_deletes(index: VectorIndex) -> None:
    points = make_points()
    name = publish(index, points)
    before = index.open()
    moved = Point(points[0].id, points[30].vector, {**points[0].payload, "title": "moved"})
    repriced = {k: v for k, v in points[1].payload.items() if k != "color"} | {"price": 1.0}
    with index.change(name, pending="embedding-sets/2") as writer:
        assert writer.upsert([moved, *make_points(2, first=500)]) == 3
        assert writer.set_payloads([(points[1].id, repriced)]) == 1
        assert writer.delete([points[2].id, "never-was"]) == 2
        writer.index()
        assert writer.count() == COUNT + 1
        writer.commit(replace(META, embedding_set="embedding-sets/2"))
    live = index.live()
    assert live is not None
    assert (live.num_points, live.metadata.embedding_set) == (COUNT + 1, "embedding-sets/2")
    assert live.metadata.pending == ""
    after = index.open()
    assert before is not after
    first, second = after.retrieve([points[0].id, points[1].id], with_vectors=True)
    assert first.payload["title"] == "moved"
    assert first.vector is not None
    np.testing.assert_allclose(first.vector, points[30].vector, atol=1e-6)
    assert second.payload == repriced
    assert second.vector is not None
    np.testing.assert_allclose(second.vector, points[1].vector, atol=1e-6)
    assert after.retrieve([points[2].id]) == []
    assert after.count((Ids((points[2].id,)),)) == 0
    assert after.count((Range("price", lte=1.0),)) == 1


def test_an_unfinished_build_resumes_for_the_same_set_only(
    index: VectorIndex,
) -> None:
    name, points = name_of(index), make_points()
    with index.build(name, META) as writer:
        writer.upsert(points[:20])
    with index.build(name, replace(META, created_at="later")) as writer:
        assert writer.count() == 20
        assert writer.metadata.created_at == META.created_at
    with index.build(name, replace(META, embedding_set="embedding-sets/other")) as writer:
        assert writer.count() == 0
        writer.upsert(points[:5])
        writer.commit(writer.metadata)
    assert index.open(name).count() == 5
    with pytest.raises(ArtifactError, match="already built"):
        index.build(name, META)


def test_a_build_that_failed_its_audit_starts_again(index: VectorIndex) -> None:
    name, points = name_of(index), make_points()
    with index.build(name, META) as writer:
        writer.upsert(points[:20])
        index.describe(name, replace(writer.metadata, state="failed"))
    with pytest.raises(ArtifactError):
        index.switch(name)
    with index.build(name, META) as writer:
        assert writer.count() == 0


def test_the_alias_moves_and_what_is_not_live_can_be_dropped(index: VectorIndex) -> None:
    first = publish(index, make_points(10), number=1)
    index.describe(first, replace(index.open(first).metadata, published_at="2026-01-01"))
    second = publish(index, make_points(20), number=2)
    assert index.open().count() == 20
    assert [c.name for c in index.collections()] == [second, first]
    assert [c.live for c in index.collections()] == [True, False]
    index.switch(first)
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
    publish(index, make_points(5))
    other = open_index(make_config(alias=f"{index.alias}-b"), workspace)
    assert other.live() is None
    assert other.collections() == []
    publish(other, make_points(7))
    assert (index.open().count(), other.open().count()) == (5, 7)
    other.close()


def test_batches_are_bounded_by_bytes(make_config: Callable[..., Config], workspace: Workspace) -> None:
    index = open_index(make_config(batch_bytes=100_000), workspace)
    points = [p._replace(payload={**p.payload, "title": "x" * 60_000}) for p in make_points(5)]
    publish(index, iter(points))
    assert index.open().count() == 5
    index.close()
