"""Publishing over both engines: what is done, what is proven, what survives a failure at every step."""

import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import pytest
from qdrant_client import models

from recsys import index as public
from recsys.config import Config
from recsys.errors import ArtifactError, AuditError, GuardError, InputError, TransientError
from recsys.index import open_index, rollback
from recsys.index import run as publishing
from recsys.index.audit import Audit
from recsys.index.base import Point
from recsys.index.edge import EdgeIndex, EdgeWriter
from recsys.index.engine import Collection
from recsys.index.run import find_embeddings, run
from recsys.index.server import ServerIndex, ServerWriter
from recsys.index.source import Source
from recsys.workspace import Manifest, Workspace
from tests.index.catalogs import Product, embed, products, publish_inputs, similar

Publish = Callable[..., Manifest]


def next_night(catalog: list[Product]) -> list[Product]:
    """One product gone, one with another look, two with another price, three new."""
    changed = [p for p in catalog if p.id != catalog[9].id]
    changed[3] = changed[3].but(look=900, title="Redesigned")
    changed[5] = changed[5].but(price=1.0)
    changed[6] = changed[6].but(price=None, availability="out_of_stock")
    return [*changed, *products(3, first=700)]


COUNT = 40
CATALOG = products(COUNT)
NEXT_NIGHT = next_night(CATALOG)
NOTHING = {"new": 0, "vectors": 0, "payload": 0, "gone": 0}


def publish_and_compare(config: Config, workspace: Workspace, refs: tuple[str, str]) -> Manifest:
    """Publish, and see that readers find every product as it is in the snapshot and the embedding set."""
    manifest = run(config, workspace, *refs)
    source = Source(workspace, manifest.info["snapshot"], manifest.inputs["embeddings"])
    found = contents(config, workspace)
    del found["metadata"]
    assert found == rounded(source.points())
    return manifest


def contents(config: Config, workspace: Workspace) -> dict[str, Any]:
    """Return what readers see: metadata, payloads and vectors."""
    with closing(open_index(config, workspace)) as index:
        opened = index.open()
        return {"metadata": opened.metadata} | rounded(
            opened.retrieve([r.id for r in opened.records()], with_vectors=True)
        )


def rounded(points: Iterable[Point]) -> dict[str, tuple[dict[str, Any], bytes]]:
    """Return id → payload and vector, to five digits."""
    return {p.id: (p.payload, np.round(p.vector, 5).tobytes()) for p in points}


@pytest.fixture
def publish(config: Config, workspace: Workspace) -> Publish:
    """Publish a catalog under an encoder as a night does."""

    def publish(catalog: list[Product], **encoder: str) -> Manifest:
        return publish_and_compare(config, workspace, publish_inputs(workspace, catalog, **encoder))

    return publish


@pytest.fixture
def first(publish: Publish) -> Manifest:
    """The night before: CATALOG under the encoder e1."""
    return publish(CATALOG)


def test_the_first_publication_builds(config: Config, workspace: Workspace) -> None:
    assert public.live_encoder(config, workspace) is None
    assert public.status(config, workspace)["collection"] is None
    snapshot, embeddings = publish_inputs(workspace, CATALOG)
    manifest = publish_and_compare(config, workspace, (snapshot, embeddings))
    info = manifest.info
    assert (info["action"], info["previous"], info["alias"]) == ("build", None, config.index.alias)
    assert info["counts"] == {**NOTHING, "new": COUNT, "unchanged": 0, "total": COUNT}
    assert set(info["audit"]["checks"].values()) == {"ok"}
    assert info["audit"]["recall"] == dict.fromkeys(("0", "0.25", "0.5", "0.75", "1"), 1.0)
    assert manifest.inputs == {"snapshot": snapshot, "embeddings": embeddings, "encoder": "encoders/e1"}
    status = public.status(config, workspace)
    assert 0 <= status["age_s"] < 60
    assert status.items() >= {
        "encoder": "encoders/e1", "snapshot": snapshot, "num_products": COUNT,
        "collection": info["collection"],
    }.items()  # fmt: skip
    assert status["previous"] == []


def test_publishing_the_same_again_does_nothing(first: Manifest, publish: Publish) -> None:
    again = publish(CATALOG)
    assert (again.info["action"], again.info["collection"]) == ("nothing", first.info["collection"])
    assert publish(CATALOG).ref == again.ref


def test_the_same_encoder_writes_only_what_differs(first: Manifest, publish: Publish) -> None:
    info = publish(NEXT_NIGHT).info
    assert (info["action"], info["collection"]) == ("incremental", first.info["collection"])
    assert info["counts"] == {
        "new": 3, "vectors": 1, "payload": 2, "gone": 1, "unchanged": COUNT - 4, "total": COUNT + 2
    }  # fmt: skip
    assert publish(CATALOG).info["action"] == "incremental"  # back to an earlier snapshot


@pytest.mark.parametrize("changes", [{"price": 3.5, "sale_price": 2.5}, {"title": "Shown, not embedded"}])
def test_columns_that_are_not_embedded_touch_payloads_only(
    first: Manifest, publish: Publish, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    upserted = _count_upserts(monkeypatch)
    info = publish([CATALOG[0].but(**changes), *CATALOG[1:]]).info
    assert (info["action"], info["counts"]["payload"], upserted) == ("payload", 1, [])


def test_a_new_encoder_builds_beside_and_readers_follow_by_themselves(
    first: Manifest, publish: Publish, config: Config, workspace: Workspace
) -> None:
    with closing(open_index(config, workspace)) as reader:
        before = reader.open()
        second = publish(NEXT_NIGHT, encoder="e2")
        assert reader.open().metadata.encoder == public.live_encoder(config, workspace) == "encoders/e2"
        assert before.metadata.encoder == "encoders/e1"
        assert len(similar(before, "sku-00003", limit=3)) == 3  # a query that began before the switch goes on
    assert (second.info["action"], second.info["previous"]) == ("build", first.info["collection"])
    kept = public.status(config, workspace)["previous"]
    assert [k["collection"] for k in kept] == [first.info["collection"]]


def test_older_collections_are_dropped(make_config: Callable[..., Config], workspace: Workspace) -> None:
    config = make_config(keep_previous=1)
    nights = [run(config, workspace, *publish_inputs(workspace, CATALOG, encoder=f"e{i}")) for i in range(4)]
    names = [night.info["collection"] for night in nights]
    assert nights[-1].info["collected"] == [names[1]]
    kept = public.status(config, workspace)["previous"]
    assert [k["collection"] for k in kept] == [names[2]]


def test_a_build_catches_up_with_what_a_refresh_published_meanwhile_once_that_is_embedded(
    first: Manifest, publish: Publish, config: Config, workspace: Workspace
) -> None:
    nightly = publish_inputs(workspace, CATALOG, encoder="e2")
    refresh = publish(NEXT_NIGHT).info
    with pytest.raises(TransientError, match="is not embedded under encoders/e2; the alias stays"):
        run(config, workspace, *nightly)
    assert public.status(config, workspace)["collection"] == refresh["collection"]
    embed(workspace, refresh["snapshot"], NEXT_NIGHT, encoder="e2")
    info = run(config, workspace, *nightly).info
    assert (info["action"], info["counts"]["unchanged"]) == ("build", COUNT)  # what was built is kept
    assert info["snapshot"] == refresh["snapshot"]
    assert publish(NEXT_NIGHT, encoder="e2").info["action"] == "nothing"


@pytest.mark.parametrize("encoder", ["e1", "e2"])
def test_a_night_does_not_undo_a_refresh_while_the_next_one_has_only_ingested(
    first: Manifest, publish: Publish, config: Config, workspace: Workspace, encoder: str
) -> None:
    nightly = publish_inputs(workspace, CATALOG[1:], encoder=encoder)
    refreshed = publish(NEXT_NIGHT).info["snapshot"]
    third, _ = publish_inputs(workspace, NEXT_NIGHT[1:], encoder="e2")
    workspace.write_pointer("catalog", {"snapshot": third, "previous": refreshed})
    info = run(config, workspace, *nightly).info
    shown = ("nothing", refreshed) if encoder == "e1" else ("build", third)
    assert (info["action"], info["snapshot"]) == shown
    assert public.status(config, workspace)["snapshot"] == shown[1]


def test_a_night_does_not_undo_a_refresh_while_two_more_have_only_ingested(
    first: Manifest, publish: Publish, config: Config, workspace: Workspace
) -> None:
    nightly = publish_inputs(workspace, CATALOG[1:])
    order = [publish(NEXT_NIGHT).info["snapshot"]]
    for catalog in (NEXT_NIGHT[1:], NEXT_NIGHT[2:]):
        order.insert(0, publish_inputs(workspace, catalog)[0])
    ids = [ref.partition("/")[2] for ref in order]
    workspace.write_pointer("catalog", {"snapshot": order[0], "previous": order[1], "order": ids})
    info = run(config, workspace, *nightly).info
    assert (info["action"], info["snapshot"]) == ("nothing", order[2])
    info = run(
        config, workspace, order[1], find_embeddings(workspace, order[1], first.inputs["encoder"])
    ).info
    assert (info["action"], info["snapshot"]) == ("incremental", order[1])


def test_an_older_snapshot_does_not_undo_a_refresh(
    first: Manifest, publish: Publish, config: Config, workspace: Workspace
) -> None:
    refreshed = publish(NEXT_NIGHT)
    info = run(config, workspace, first.inputs["snapshot"], first.inputs["embeddings"]).info
    assert (info["action"], info["snapshot"]) == ("nothing", refreshed.inputs["snapshot"])
    assert "newer" in info["reason"]
    assert public.status(config, workspace)["num_products"] == len(NEXT_NIGHT)


def test_a_new_filter_column_gets_its_index_without_a_build(
    first: Manifest, make_config: Callable[..., Config], workspace: Workspace
) -> None:
    richer = make_config(attributes=("fit",))
    assert run(richer, workspace, *publish_inputs(workspace, CATALOG)).info["action"] == "payload"
    with closing(open_index(richer, workspace)) as index:
        assert dict(index.open().facet("attributes.fit")) == {"slim": COUNT // 2, "wide": COUNT // 2}


def test_without_its_artifacts_the_index_itself_is_compared(
    first: Manifest, publish: Publish, workspace: Workspace
) -> None:
    workspace.delete(workspace.get(first.inputs["embeddings"]))
    assert publish(NEXT_NIGHT).info["counts"]["unchanged"] == COUNT - 4


def test_a_set_of_other_products_is_refused(config: Config, workspace: Workspace) -> None:
    snapshot, _ = publish_inputs(workspace, products(5))
    _, embeddings = publish_inputs(workspace, products(6))
    with pytest.raises(ArtifactError, match="does not hold the products"):
        run(config, workspace, snapshot, embeddings)


def test_an_empty_catalog_can_be_published(publish: Publish) -> None:
    assert publish([]).info["counts"]["total"] == 0


# -- names and the alias --------------------------------------------------------------------------


def test_a_large_change_is_built_beside_on_a_server(
    make_config: Callable[..., Config], workspace: Workspace
) -> None:
    config = make_config(batch_size=10, keep_previous=1)
    catalog = products(COUNT)
    names = [run(config, workspace, *publish_inputs(workspace, catalog, encoder="e1")).info["collection"]]
    nights = [("incremental", 1), ("incremental", 10), ("build", 11), ("build", 11), ("incremental", 1)]
    for night, (action, changed) in enumerate(nights):
        catalog = [p.but(price=1000.0 + night) for p in catalog[:changed]] + catalog[changed:]
        catalog[0] = catalog[0].but(look=500 + night)
        info = publish_and_compare(config, workspace, publish_inputs(workspace, catalog)).info
        assert info["action"] == (action if config.index.url else "incremental")
        assert (info["collection"] not in names) == (info["action"] == "build")
        status = public.status(config, workspace)
        assert [p["collection"] for p in status["previous"]] == names[-1:] * (info["action"] == "build")
        names += [info["collection"]] * (info["action"] == "build")
    with pytest.raises(InputError, match="No other encoder was published before"):
        rollback.choose(config, workspace)


def test_a_name_is_never_used_again(
    first: Manifest, publish: Publish, config: Config, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [first.info["collection"]]
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(publishing, "audit_build", lambda *a, **k: Audit(checks={"count": "wrong"}))
            with pytest.raises(AuditError) as refused:
                publish(CATALOG, encoder="e2")
        names.append(refused.value.message.split()[0])
    names.append(publish(CATALOG, encoder="e2").info["collection"])
    assert len(set(names)) == 4
    snapshot = first.inputs["snapshot"].partition("/")[2]
    assert all(re.fullmatch(rf"{config.index.alias}__e[12]__{snapshot}__[0-9a-f]{{8}}", n) for n in names)


@pytest.mark.parametrize("moved_to", ["another collection", "nothing"])
def test_an_alias_that_something_else_moved_is_not_overwritten(
    first: Manifest,
    publish: Publish,
    config: Config,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    moved_to: str,
) -> None:
    second = publish(CATALOG, encoder="e2").info["collection"] if moved_to == "another collection" else None
    if second:
        rollback.run(config, workspace, snapshot_ref=None)
    honest = publishing.Journal.record_result

    def move(self: publishing.Journal, info: dict[str, Any]) -> None:
        honest(self, info)
        with closing(open_index(config, workspace)) as index:
            if second:
                index.switch(second, expected=first.info["collection"])
            else:
                drop_alias(index)

    monkeypatch.setattr(publishing.Journal, "record_result", move)
    with pytest.raises(GuardError, match=rf"names {second}, not {first.info['collection']}"):
        publish(CATALOG, encoder="e3")
    with closing(open_index(config, workspace)) as index:
        assert index.live_name() == second


def drop_alias(index: Any) -> None:
    if isinstance(index, EdgeIndex):
        (index.files.root / "aliases" / f"{index.alias}.json").unlink()
    else:
        delete = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=index.alias))
        index._client.update_collection_aliases([delete])


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
    first: Manifest,
    publish: Publish,
    config: Config,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    check: str,
    fault: Callable[[list[Point]], list[Point]],
) -> None:
    before = public.status(config, workspace)
    honest = Source.points

    def points(self: Source, positions: Any = None) -> Iterator[Point]:
        return iter(fault(list(honest(self)))) if positions is None else honest(self, positions)

    with monkeypatch.context() as patch:
        patch.setattr(Source, "points", points)
        with pytest.raises(AuditError, match=check):
            publish(CATALOG, encoder="e2")
    after = public.status(config, workspace)
    assert (after["collection"], after["previous"]) == (before["collection"], [])
    publish(CATALOG, encoder="e2")


def test_a_faulty_change_is_refused_readers_keep_what_they_had_and_a_retry_heals_it(
    first: Manifest, publish: Publish, config: Config, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(config, workspace)
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "audit_changes", lambda *a, **k: Audit(checks={"count": "wrong"}))
        with pytest.raises(AuditError, match="count"):
            publish(NEXT_NIGHT)
    assert contents(config, workspace) == before
    publish(NEXT_NIGHT)


def test_recall_below_the_floor_is_refused(
    config: Config, workspace: Workspace, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, _ = _kinds(config)
    honest = kind.query_batch

    def half_blind(self: Collection, queries: Any) -> Any:
        return [hits[::2] for hits in honest(self, queries)]

    monkeypatch.setattr(kind, "query_batch", half_blind)
    with pytest.raises(AuditError, match=r"recall: below 0\.95: 0\.[45]"):
        publish(CATALOG)
    assert public.live_encoder(config, workspace) is None


def _kinds(config: Config) -> tuple[Any, Any]:
    """Return the engine's writer and index classes."""
    return (ServerWriter, ServerIndex) if config.index.url else (EdgeWriter, EdgeIndex)


# -- a crash at any step is finished by running again ---------------------------------------------


class Crash(BaseException):
    """Ends a run the way a kill does: nothing may catch it and go on."""


@contextmanager
def crash_at(step: str, config: Config, patch: pytest.MonkeyPatch) -> Iterator[None]:
    writer, index = _kinds(config)
    owner, name = {
        "describe": (index, "describe"),
        "switch": (index, "switch"),
        "put_on_hold": (publishing, "put_on_hold"),
        "record_result": (publishing.Journal, "record_result"),
        "drop_old": (publishing.Publisher, "drop_old_collections"),
        "manifest": (publishing.Journal, "commit"),
    }.get(step, (writer, step))
    honest = getattr(owner, name)

    def crash(*arguments: Any, **named: Any) -> Any:
        if step == "upsert":  # half of the points arrive
            points = list(arguments[1])
            honest(arguments[0], points[: len(points) // 2])
        raise Crash

    with patch.context() as inner:
        inner.setattr(owner, name, crash)
        with pytest.raises(Crash):
            yield


@pytest.mark.parametrize(
    "step", ["upsert", "index", "commit", "record_result", "describe", "switch", "drop_old", "manifest"]
)
def test_a_build_that_crashed_is_finished_by_running_again(
    first: Manifest,
    publish: Publish,
    config: Config,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    with crash_at(step, config, monkeypatch):
        publish(NEXT_NIGHT, encoder="e2")
    switched = step in ("drop_old", "manifest")
    assert public.live_encoder(config, workspace) == ("encoders/e2" if switched else "encoders/e1")
    upserted = _count_upserts(monkeypatch)
    info = publish(NEXT_NIGHT, encoder="e2").info
    assert (info["previous"], info["action"]) == (first.info["collection"], "build")
    assert bool(upserted) == (step == "upsert")
    assert publish(NEXT_NIGHT, encoder="e2").info["action"] == "nothing"


@pytest.mark.parametrize(
    "step", ["upsert", "set_payloads", "delete", "index", "record_result", "commit", "drop_old", "manifest"]
)
def test_a_change_that_crashed_is_finished_by_running_again(
    first: Manifest,
    publish: Publish,
    config: Config,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    with crash_at(step, config, monkeypatch):
        publish(NEXT_NIGHT)
    assert publish(NEXT_NIGHT).info["action"] == "incremental"
    assert public.status(config, workspace)["pending"] is None


@pytest.mark.parametrize("step", ["upsert", "set_payloads", "delete", "index", "commit"])
def test_what_a_change_wrote_before_it_crashed_is_put_back(
    first: Manifest,
    publish: Publish,
    config: Config,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    before = contents(config, workspace)
    with crash_at(step, config, monkeypatch):
        publish(NEXT_NIGHT)
    with closing(open_index(config, workspace)) as index:
        index.recover()
    assert contents(config, workspace) == before


@pytest.mark.parametrize("engine", ["server"], indirect=True)
def test_putting_back_may_crash_too(
    first: Manifest, publish: Publish, config: Config, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(config, workspace)
    with crash_at("commit", config, monkeypatch):
        publish(NEXT_NIGHT)
    for step in ("upsert", "set_payloads", "_delete"):
        with closing(open_index(config, workspace)) as index, crash_at(step, config, monkeypatch):
            index.recover()
    with closing(open_index(config, workspace)) as index:
        index.recover()
        index.recover()
    assert contents(config, workspace) == before


def test_a_crashed_change_is_finished_without_what_the_machine_kept_of_it(
    first: Manifest, publish: Publish, config: Config, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with crash_at("delete", config, monkeypatch):
        publish(NEXT_NIGHT)
    shutil.rmtree(workspace.local / "index" / "changes", ignore_errors=True)
    publish(NEXT_NIGHT)


def test_a_change_that_crashed_and_is_followed_by_another_leaves_nothing_behind(
    first: Manifest, publish: Publish, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    with crash_at("delete", config, monkeypatch):
        publish(NEXT_NIGHT)
    publish([CATALOG[0].but(price=2.0), *CATALOG[1:]])


def _count_upserts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record the size of every upsert that follows, if it wrote anything, whichever the engine."""
    sizes: list[int] = []
    for kind in (EdgeWriter, ServerWriter):
        honest = kind.upsert

        def upsert(self: Any, points: Any, honest: Any = honest) -> int:
            written: int = honest(self, points)
            sizes.extend([written] if written else [])
            return written

        monkeypatch.setattr(kind, "upsert", upsert)
    return sizes


def test_a_publication_from_before_keys_is_not_taken_for_tonights(
    config: Config, workspace: Workspace
) -> None:
    refs = publish_inputs(workspace, CATALOG)
    with workspace.create("publications", "older") as draft:
        draft.info |= {"action": "build"}
    first = run(config, workspace, *refs, idempotency_key="tonight")
    assert first.info["action"] == "build"
    assert run(config, workspace, *refs, idempotency_key="tonight") == first
    assert run(config, workspace, *refs, idempotency_key="the next night").info["action"] == "nothing"
