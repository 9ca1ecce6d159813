"""Two machines publish to one server from one workspace in an object store."""

import itertools
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from recsys import index as public
from recsys.config import Config
from recsys.errors import LeaseLostError
from recsys.index import open_index, rollback
from recsys.index import run as publishing
from recsys.index.audit import Audit
from recsys.index.base import Metadata
from recsys.index.run import Publisher, run
from recsys.index.server import ServerWriter
from recsys.workspace import Workspace, lease
from tests.index.catalogs import embed, products, publish_inputs
from tests.index.conftest import SERVER_URL
from tests.index.test_publish import next_night
from tests.workspace.test_lease import Clock

pytestmark = [
    pytest.mark.parametrize("engine", ["server"], indirect=True),
    pytest.mark.skipif(bool(SERVER_URL), reason="what is tested is on this side of the server"),
]
CATALOG = products(40)
TODAY = next_night(CATALOG)


@pytest.fixture
def machines(machine: Callable[..., Workspace]) -> tuple[Workspace, Workspace]:
    return machine("one"), machine("two")


@pytest.fixture
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever holds a lease sleeps while another waits for it."""
    monkeypatch.setattr(lease, "time", Clock())


def titles(config: Config, store: Workspace) -> dict[str, str]:
    with closing(open_index(config, store)) as index:
        live = index.open()
        return {record.id: record.payload["title"] for record in live.records(["title"])}


def test_two_publishers_take_turns(config: Config, machines: tuple[Workspace, Workspace]) -> None:
    refs = publish_inputs(machines[0], CATALOG)
    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(run, config, store, *refs) for store in machines]
    assert sorted(each.result().info["action"] for each in done) == ["build", "nothing"]


@pytest.mark.usefixtures("_clock")
def test_who_slept_past_its_lease_moves_no_alias_and_what_was_refreshed_stays(
    config: Config, machines: tuple[Workspace, Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    night, other = machines
    run(config, night, *publish_inputs(night, CATALOG, encoder="e1"))
    live = public.status(config, night)["collection"]
    tonight = publish_inputs(night, CATALOG, encoder="e2")
    real = Publisher._switch

    def switch(publisher: Publisher, info: dict[str, Any]) -> dict[str, Any]:
        monkeypatch.setattr(Publisher, "_switch", real)
        refreshed = publish_inputs(other, TODAY, encoder="e1")
        assert run(config, other, *refreshed).info["action"] == "incremental"
        return real(publisher, info)

    monkeypatch.setattr(Publisher, "_switch", switch)
    with pytest.raises(LeaseLostError, match=r"had token 2 and .* nobody has it, with token 3"):
        run(config, night, *tonight)
    assert public.status(config, night)["collection"] == live
    expected = {p.id: p.columns["title"] for p in TODAY}
    assert titles(config, other) == expected

    today = public.status(config, night)["snapshot"]
    embed(night, today, sorted(TODAY, key=lambda p: p.id.encode()), encoder="e2")
    assert run(config, night, *tonight).info["encoder"] == "encoders/e2"
    assert titles(config, other) == expected


@pytest.mark.usefixtures("_clock")
@pytest.mark.parametrize("check", ["ok", "wrong"])
def test_a_build_that_lost_its_lease_leaves_what_another_machine_published_of_it(
    config: Config, machines: tuple[Workspace, Workspace], monkeypatch: pytest.MonkeyPatch, check: str
) -> None:
    slow, other = machines
    refs, real = publish_inputs(slow, CATALOG), publishing.audit_build

    def metadata() -> list[Metadata]:
        with closing(open_index(config, other)) as index:
            return [collection.metadata for collection in index.collections()]

    def audit(*arguments: Any, **named: Any) -> Audit:
        monkeypatch.setattr(publishing, "audit_build", real)
        run(config, other, *refs)
        published.extend(metadata())
        return Audit(checks={"count": check})

    published: list[Metadata] = []
    monkeypatch.setattr(publishing, "audit_build", audit)
    with pytest.raises(LeaseLostError):
        run(config, slow, *refs)
    assert len(published) == 1
    assert metadata() == published


@pytest.mark.usefixtures("_clock")
def test_a_change_that_lost_its_lease_writes_no_more_and_puts_nothing_back(
    config: Config, machines: tuple[Workspace, Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, other = machines
    run(config, slow, *publish_inputs(slow, CATALOG))
    older = publish_inputs(slow, [p.but(title="older") for p in CATALOG])
    newer = publish_inputs(other, [p.but(title="newer") for p in CATALOG])
    real = ServerWriter.set_payloads

    def set_payloads(writer: ServerWriter, payloads: Iterable[Any]) -> None:
        monkeypatch.setattr(ServerWriter, "set_payloads", real)
        rows = iter(payloads)
        real(writer, itertools.islice(rows, 10))
        run(config, other, *newer)
        real(writer, rows)

    monkeypatch.setattr(ServerWriter, "set_payloads", set_payloads)
    with pytest.raises(LeaseLostError):
        run(config, slow, *older)
    assert set(titles(config, other).values()) == {"newer"}


def test_a_rollback_goes_to_what_was_in_service_before_whatever_the_clocks_say(
    config: Config, machines: tuple[Workspace, Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []
    for encoder, store, hour in (("e1", machines[0], 12), ("e2", machines[1], 9), ("e3", machines[0], 12)):
        monkeypatch.setattr(publishing, "now", lambda hour=hour: f"2026-07-01T{hour:02d}:00:00.000+00:00")
        names.append(run(config, store, *publish_inputs(store, CATALOG, encoder=encoder)).info["collection"])
    assert [each["collection"] for each in public.status(config, machines[1])["previous"]] == names[1::-1]
    assert rollback.choose(config, machines[1]).name == names[1]
