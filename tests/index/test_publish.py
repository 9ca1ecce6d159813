"""Publishing over both engines: what is done, what is proven, what survives a failure at every step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recsys import index as public
from recsys.config import Config
from recsys.errors import ArtifactError, AuditError, InputError
from recsys.index import open_index
from recsys.index import run as publishing
from recsys.index.base import Point
from recsys.index.edge import EdgeIndex, EdgeWriter
from recsys.index.engine import Collection
from recsys.index.run import run
from recsys.index.server import ServerIndex, ServerWriter
from recsys.index.source import Source
from recsys.workspace import Manifest, Workspace
from tests.index.catalogs import Product, embed, products, publish_inputs, similar

COUNT = 40


def contents(config: Config, workspace: Workspace) -> dict[str, tuple[dict[str, Any], bytes]]:
    index = open_index(config, workspace)
    found = {
        r.id: (r.payload, np.round(r.vector, 5).tobytes())
        for r in index.open().retrieve([r.id for r in index.open().records()], with_vectors=True)
        if r.vector is not None
    }
    index.close()
    return found


def expected(workspace: Workspace, manifest: Manifest) -> dict[str, tuple[dict[str, Any], bytes]]:
    source = Source(workspace, manifest.inputs["snapshot"], manifest.inputs["embeddings"])
    return {p.id: (p.payload, np.round(p.vector, 5).tobytes()) for p in source.points()}


def next_night(catalog: list[Product]) -> list[Product]:
    """One product gone, one with another look, two with another price, three new."""
    changed = [p for p in catalog if p.id != catalog[9].id]
    changed[3] = changed[3].but(look=900, title="Redesigned")
    changed[5] = changed[5].but(price=1.0)
    changed[6] = changed[6].but(price=None, availability="out_of_stock")
    return [*changed, *products(3, first=700)]


def test_the_first_publication_builds(config: Config, workspace: Workspace) -> None:
    assert public.live_encoder(config, workspace) is None
    assert public.status(config, workspace)["collection"] is None
    snapshot, embeddings = publish_inputs(workspace, products(COUNT))
    manifest = run(config, workspace, snapshot, embeddings)
    info = manifest.info
    assert (info["action"], info["previous"], info["alias"]) == ("build", None, config.index.alias)
    assert info["counts"] == {
        "new": COUNT, "vectors": 0, "payload": 0, "gone": 0, "unchanged": 0, "total": COUNT
    }  # fmt: skip
    assert set(info["audit"]["checks"].values()) == {"ok"}
    assert set(info["audit"]["recall"]) == {"0", "0.25", "0.5", "0.75", "1"}
    assert min(info["audit"]["recall"].values()) == 1.0
    assert info["duration_s"] > 0
    assert manifest.inputs == {"snapshot": snapshot, "embeddings": embeddings, "encoder": "encoders/e1"}
    assert contents(config, workspace) == expected(workspace, manifest)
    status = public.status(config, workspace)
    assert (status["encoder"], status["snapshot"]) == ("encoders/e1", snapshot)
    assert status["num_products"] == COUNT
    assert status["collection"] == info["collection"]
    assert 0 <= status["age_s"] < 60
    assert status["previous"] == []


def test_publishing_the_same_again_does_nothing(config: Config, workspace: Workspace) -> None:
    refs = publish_inputs(workspace, products(COUNT))
    first = run(config, workspace, *refs)
    again = run(config, workspace, *refs)
    assert again.info["action"] == "nothing"
    assert again.info["collection"] == first.info["collection"]
    assert run(config, workspace, *refs).ref == again.ref


def test_the_same_encoder_writes_only_what_differs(config: Config, workspace: Workspace) -> None:
    catalog = products(COUNT)
    first = run(config, workspace, *publish_inputs(workspace, catalog))
    manifest = run(config, workspace, *publish_inputs(workspace, next_night(catalog)))
    assert manifest.info["action"] == "incremental"
    assert manifest.info["collection"] == first.info["collection"]
    assert manifest.info["counts"] == {
        "new": 3, "vectors": 1, "payload": 2, "gone": 1, "unchanged": COUNT - 4, "total": COUNT + 2
    }  # fmt: skip
    assert contents(config, workspace) == expected(workspace, manifest)


@pytest.mark.parametrize("changes", [{"price": 3.5, "sale_price": 2.5}, {"title": "Shown, not embedded"}])
def test_columns_that_are_not_embedded_touch_payloads_only(
    config: Config, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    catalog = products(COUNT)
    run(config, workspace, *publish_inputs(workspace, catalog))
    upserted = _count_upserts(monkeypatch)
    catalog[4] = catalog[4].but(**changes)
    manifest = run(config, workspace, *publish_inputs(workspace, catalog))
    assert manifest.info["action"] == "payload"
    assert manifest.info["counts"]["payload"] == 1
    assert upserted == []
    assert contents(config, workspace) == expected(workspace, manifest)


def test_a_new_encoder_builds_beside_and_the_old_one_is_kept(config: Config, workspace: Workspace) -> None:
    catalog = products(COUNT)
    first = run(config, workspace, *publish_inputs(workspace, catalog))
    second = run(config, workspace, *publish_inputs(workspace, next_night(catalog), encoder="e2"))
    assert second.info["action"] == "build"
    assert second.info["previous"] == first.info["collection"]
    assert public.live_encoder(config, workspace) == "encoders/e2"
    assert contents(config, workspace) == expected(workspace, second)
    kept = public.status(config, workspace)["previous"]
    assert [k["collection"] for k in kept] == [first.info["collection"]]


def test_readers_follow_a_new_encoder_by_themselves(config: Config, workspace: Workspace) -> None:
    catalog = products(COUNT)
    run(config, workspace, *publish_inputs(workspace, catalog))
    reader = open_index(config, workspace)
    before = reader.open()
    assert reader.open().metadata.encoder == "encoders/e1"
    run(config, workspace, *publish_inputs(workspace, catalog, encoder="e2"))
    assert reader.open().metadata.encoder == "encoders/e2"
    assert before.metadata.encoder == "encoders/e1"
    assert len(similar(before, "sku-00003", limit=3)) == 3  # a query that began before the switch goes on
    reader.close()


def test_older_collections_are_collected(make_config: Callable[..., Config], workspace: Workspace) -> None:
    config = make_config(keep_previous=1)
    catalog = products(12)
    names = []
    for night in range(4):
        manifest = run(config, workspace, *publish_inputs(workspace, catalog, encoder=f"e{night}"))
        names.append(manifest.info["collection"])
    assert manifest.info["collected"] == [names[1]]
    kept = public.status(config, workspace)["previous"]
    assert [k["collection"] for k in kept] == [names[2]]


def test_rollback_goes_back_and_the_next_night_goes_on(config: Config, workspace: Workspace) -> None:
    catalog = products(COUNT)
    with pytest.raises(InputError, match="Nothing was published before"):
        public.rollback(config, workspace)
    first = run(config, workspace, *publish_inputs(workspace, catalog))
    refs = publish_inputs(workspace, next_night(catalog), encoder="e2")
    second = run(config, workspace, *refs)
    assert public.rollback(config, workspace) == first.info["collection"]
    assert public.live_encoder(config, workspace) == "encoders/e1"
    with pytest.raises(InputError, match="no-such"):
        public.rollback(config, workspace, to="no-such")
    newest = publish_inputs(workspace, next_night(catalog))
    third = run(config, workspace, *newest)
    assert (third.info["action"], third.info["collection"]) == ("incremental", first.info["collection"])
    assert public.rollback(config, workspace, to=second.info["collection"]) == second.info["collection"]
    assert contents(config, workspace) == expected(workspace, second)


def test_publishing_an_encoder_that_was_rolled_back_from_switches_without_building(
    config: Config, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = products(COUNT)
    run(config, workspace, *publish_inputs(workspace, catalog))
    refs = publish_inputs(workspace, catalog, encoder="e2")
    second = run(config, workspace, *refs)
    public.rollback(config, workspace)
    upserted = _count_upserts(monkeypatch)
    again = run(config, workspace, *refs)
    assert (again.info["action"], again.info["collection"]) == ("build", second.info["collection"])
    assert again.info["counts"]["unchanged"] == COUNT
    assert upserted == []
    assert public.live_encoder(config, workspace) == "encoders/e2"


def test_a_build_catches_up_with_what_a_refresh_published_meanwhile(
    config: Config, workspace: Workspace
) -> None:
    catalog = products(COUNT)
    run(config, workspace, *publish_inputs(workspace, catalog))
    nightly = publish_inputs(workspace, catalog, encoder="e2")
    refreshed = next_night(catalog)
    refresh = publish_inputs(workspace, refreshed)
    run(config, workspace, *refresh)
    embeddings = embed(workspace, refresh[0], refreshed, encoder="e2")
    manifest = run(config, workspace, *nightly)
    assert manifest.info["snapshot"] == refresh[0]
    assert manifest.info["behind"] is None
    assert len(contents(config, workspace)) == len(refreshed)
    assert run(config, workspace, refresh[0], embeddings).info["action"] == "nothing"


def test_a_build_that_cannot_catch_up_says_so(config: Config, workspace: Workspace) -> None:
    catalog = products(COUNT)
    run(config, workspace, *publish_inputs(workspace, catalog))
    nightly = publish_inputs(workspace, catalog, encoder="e2")
    refresh = publish_inputs(workspace, next_night(catalog))
    run(config, workspace, *refresh)
    manifest = run(config, workspace, *nightly)
    assert manifest.info["behind"] == refresh[0]
    embeddings = embed(workspace, refresh[0], next_night(catalog), encoder="e2")
    assert run(config, workspace, refresh[0], embeddings).info["action"] == "incremental"


def test_an_older_snapshot_does_not_undo_a_refresh(config: Config, workspace: Workspace) -> None:
    catalog = products(COUNT)
    nightly = publish_inputs(workspace, catalog)
    run(config, workspace, *publish_inputs(workspace, next_night(catalog)))
    manifest = run(config, workspace, *nightly)
    assert manifest.info["action"] == "nothing"
    assert "newer" in manifest.info["reason"]
    assert len(contents(config, workspace)) == COUNT + 2


def test_a_catalog_that_returns_to_an_earlier_state_is_published(
    config: Config, workspace: Workspace
) -> None:
    catalog = products(COUNT)
    run(config, workspace, *publish_inputs(workspace, catalog))
    run(config, workspace, *publish_inputs(workspace, next_night(catalog)))
    back = run(config, workspace, *publish_inputs(workspace, catalog))
    assert back.info["action"] == "incremental"
    assert contents(config, workspace) == expected(workspace, back)


def test_a_new_filter_column_gets_its_index_without_a_build(
    config: Config, make_config: Callable[..., Config], workspace: Workspace
) -> None:
    refs = publish_inputs(workspace, products(COUNT))
    run(config, workspace, *refs)
    richer = make_config(attributes=("fit",))
    manifest = run(richer, workspace, *refs)
    assert manifest.info["action"] == "payload"
    index = open_index(richer, workspace)
    assert dict(index.open().facet("attributes.fit")) == {"slim": COUNT // 2, "wide": COUNT // 2}
    index.close()


def test_without_its_artifacts_the_index_itself_is_compared(config: Config, workspace: Workspace) -> None:
    catalog = products(COUNT)
    first = run(config, workspace, *publish_inputs(workspace, catalog))
    workspace.delete(workspace.get(first.inputs["embeddings"]))
    manifest = run(config, workspace, *publish_inputs(workspace, next_night(catalog)))
    assert manifest.info["counts"]["unchanged"] == COUNT - 4
    assert contents(config, workspace) == expected(workspace, manifest)


def test_a_set_of_other_products_is_refused(config: Config, workspace: Workspace) -> None:
    snapshot, _ = publish_inputs(workspace, products(5))
    _, embeddings = publish_inputs(workspace, products(6))
    with pytest.raises(ArtifactError, match="does not hold the products"):
        run(config, workspace, snapshot, embeddings)


def test_an_empty_catalog_can_be_published(config: Config, workspace: Workspace) -> None:
    manifest = run(config, workspace, *publish_inputs(workspace, []))
    assert manifest.info["counts"]["total"] == 0


# -- a failed audit leaves the alias where it was -------------------------------------------------


def with_payload(point: Point, **columns: Any) -> Point:
    return point._replace(payload={**point.payload, **columns})


@pytest.mark.parametrize(
    ("check", "fault"),
    [
        ("contents", lambda points: points[1:]),
        ("contents", lambda points: [with_payload(p, embedding_key="00") for p in points]),
        ("contents", lambda points: [*points, with_payload(points[0], id="more")._replace(id="more")]),
        (
            "vectors",
            lambda points: [p._replace(vector=points[0].vector) for p in points],
        ),
        ("norms", lambda points: [p._replace(vector=p.vector * np.float32(2)) for p in points]),
        ("payloads", lambda points: [with_payload(p, price=-1.0) for p in points]),
    ],
    ids=["lost", "old key", "one more", "all alike", "stretched", "old payload"],
)
def test_a_faulty_build_is_refused_and_a_retry_heals_it(
    config: Config,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    check: str,
    fault: Callable[[list[Point]], list[Point]],
) -> None:
    catalog = products(COUNT)
    first = run(config, workspace, *publish_inputs(workspace, catalog))
    refs = publish_inputs(workspace, catalog, encoder="e2")
    with monkeypatch.context() as patch:
        honest = Source.points
        patch.setattr(
            Source,
            "points",
            lambda self, positions=None: (
                iter(fault(list(honest(self)))) if positions is None else honest(self, positions)
            ),
        )
        with pytest.raises(AuditError, match=check):
            run(config, workspace, *refs)
    assert public.status(config, workspace)["collection"] == first.info["collection"]
    assert public.status(config, workspace)["previous"] == []
    second = run(config, workspace, *refs)
    assert contents(config, workspace) == expected(workspace, second)


def test_a_faulty_change_is_refused_and_a_retry_heals_it(
    config: Config, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = products(COUNT)
    first = run(config, workspace, *publish_inputs(workspace, catalog))
    refs = publish_inputs(workspace, next_night(catalog))
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "audit_changes", _audit_that_fails)
        with pytest.raises(AuditError, match="count"):
            run(config, workspace, *refs)
    status = public.status(config, workspace)
    assert status["snapshot"] == first.inputs["snapshot"]
    manifest = run(config, workspace, *refs)
    assert contents(config, workspace) == expected(workspace, manifest)


def _audit_that_fails(*arguments: Any, **named: Any) -> Any:
    from recsys.index.audit import Audit

    audit = Audit()
    audit.note("count", "not what it should be")
    return audit


def test_recall_below_the_floor_is_refused(
    make_config: Callable[..., Config], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config()
    kind, _ = _kinds(config)
    honest = kind.query_batch

    def half_blind(self: Collection, queries: Any) -> Any:
        return [[h for i, h in enumerate(hits) if i % 2 == 0] for hits in honest(self, queries)]

    monkeypatch.setattr(kind, "query_batch", half_blind)
    with pytest.raises(AuditError, match=r"recall: below 0\.95: 0\.[45]"):
        run(config, workspace, *publish_inputs(workspace, products(COUNT)))
    assert public.live_encoder(config, workspace) is None


def _kinds(config: Config) -> tuple[Any, Any]:
    """Return the engine's writer and index classes."""
    return (ServerWriter, ServerIndex) if config.index.url else (EdgeWriter, EdgeIndex)


# -- a crash at any step is finished by running again ---------------------------------------------


class Crash(BaseException):
    """Ends a run the way a kill does: nothing may catch it and go on."""


STEPS = ["upsert", "index", "commit", "record_result", "describe", "switch", "drop_old", "manifest"]


@contextmanager
def crash_at(step: str, config: Config, patch: pytest.MonkeyPatch) -> Iterator[None]:
    writer_kind, index_kind = _kinds(config)
    owners: dict[str, Any] = {
        "upsert": writer_kind, "index": writer_kind, "commit": writer_kind, "set_payloads": writer_kind,
        "delete": writer_kind, "describe": index_kind, "switch": index_kind,
    }  # fmt: skip
    with patch.context() as inner:
        if step in owners:
            honest = getattr(owners[step], step)

            def crash(self: Any, *arguments: Any) -> Any:
                if step == "upsert":  # half of the points arrive
                    points = list(arguments[0])
                    honest(self, points[: len(points) // 2])
                if step == "commit":
                    self.metadata = replace(self.metadata, updated_at="crashed")
                raise Crash

            inner.setattr(owners[step], step, crash)
        else:
            owner, name = {
                "record_result": ("recsys.index.run.Journal", "record_result"),
                "drop_old": ("recsys.index.run.Publisher", "drop_old_collections"),
                "manifest": ("recsys.index.run.Journal", "commit"),
            }[step]
            inner.setattr(f"{owner}.{name}", _crash)
        with pytest.raises(Crash):
            yield


def _crash(*arguments: Any, **named: Any) -> None:
    raise Crash


@pytest.mark.parametrize("step", STEPS)
def test_a_build_that_crashed_is_finished_by_running_again(
    config: Config, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    catalog = products(COUNT)
    first = run(config, workspace, *publish_inputs(workspace, catalog))
    refs = publish_inputs(workspace, next_night(catalog), encoder="e2")
    with crash_at(step, config, monkeypatch):
        run(config, workspace, *refs)
    live = public.status(config, workspace)
    switched = step in ("drop_old", "manifest")
    assert live["encoder"] == ("encoders/e2" if switched else "encoders/e1")
    upserted = _count_upserts(monkeypatch)
    manifest = run(config, workspace, *refs)
    assert contents(config, workspace) == expected(workspace, manifest)
    assert manifest.info["previous"] == first.info["collection"]
    assert manifest.info["action"] == "build"
    if step != "upsert":
        assert sum(upserted) == 0
    assert run(config, workspace, *refs).info["action"] == "nothing"


@pytest.mark.parametrize(
    "step", ["upsert", "set_payloads", "delete", "index", "record_result", "commit", "drop_old", "manifest"]
)
def test_a_change_that_crashed_is_finished_by_running_again(
    config: Config, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    catalog = products(COUNT)
    run(config, workspace, *publish_inputs(workspace, catalog))
    refs = publish_inputs(workspace, next_night(catalog))
    with crash_at(step, config, monkeypatch):
        run(config, workspace, *refs)
    manifest = run(config, workspace, *refs)
    assert contents(config, workspace) == expected(workspace, manifest)
    assert manifest.info["action"] == "incremental"
    assert public.status(config, workspace)["pending"] is None


def test_a_change_that_crashed_and_is_followed_by_another_leaves_nothing_behind(
    config: Config, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = products(COUNT)
    run(config, workspace, *publish_inputs(workspace, catalog))
    half_done = publish_inputs(workspace, next_night(catalog))
    with crash_at("delete", config, monkeypatch):
        run(config, workspace, *half_done)
    catalog[20] = catalog[20].but(price=2.0)
    manifest = run(config, workspace, *publish_inputs(workspace, catalog))
    assert contents(config, workspace) == expected(workspace, manifest)


def _count_upserts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record the size of every upsert that follows, whichever the engine."""
    sizes: list[int] = []
    for kind in (EdgeWriter, ServerWriter):
        honest = kind.upsert

        def upsert(self: Any, points: Any, honest: Any = honest) -> int:
            written: int = honest(self, points)
            if written:
                sizes.append(written)
            return written

        monkeypatch.setattr(kind, "upsert", upsert)
    return sizes
