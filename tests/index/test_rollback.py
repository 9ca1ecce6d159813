"""Going back over both engines: what is brought up to date and proven, what a kill leaves, what is held."""

from typing import Any

import pytest

from recsys import index as public
from recsys.config import Config
from recsys.errors import ArtifactError, AuditError, GuardError, InputError, TransientError
from recsys.index import rollback
from recsys.index import run as publishing
from recsys.index.audit import REENCODED
from recsys.index.service import LOCK
from recsys.index.source import Source
from recsys.workspace import Manifest, Workspace
from recsys.workspace.embeddings import Vectors
from recsys.workspace.holds import holds
from tests.index.catalogs import Product, embed, encodes, products, publish_inputs
from tests.index.test_publish import contents, crash_at, next_night, publish_and_compare, rounded

CATALOG = products(40)
TODAY = next_night(CATALOG)
ENCODE = encodes(TODAY)


class Shop:
    """A shop whose encoder e2 replaced e1 today; e1's collection shows yesterday's catalog."""

    def __init__(self, config: Config, workspace: Workspace) -> None:
        self.config, self.workspace = config, workspace
        self.first = self.publish(CATALOG, "e1").info["collection"]
        self.yesterday = self.status()["snapshot"]
        self.second = self.publish(TODAY, "e2").info["collection"]
        self.today = self.status()["snapshot"]

    def publish(self, catalog: list[Product], encoder: str) -> Manifest:
        inputs = publish_inputs(self.workspace, catalog, encoder=encoder)
        return publish_and_compare(self.config, self.workspace, inputs)

    def status(self) -> dict[str, Any]:
        return public.status(self.config, self.workspace)

    def embed_today(self, encoder: str = "e1") -> None:
        embed(self.workspace, self.today, TODAY, encoder=encoder)

    def roll_back(self, to: str | None = None, *, as_it_was: bool = False, **options: Any) -> Manifest:
        snapshot = None if as_it_was else self.today
        return rollback.run(self.config, self.workspace, to, snapshot_ref=snapshot, **options)

    def shows(self, snapshot: str, encoder: str = "e1") -> None:
        """See that readers find every product of a snapshot, as it is there and under the encoder."""
        made = publishing.find_embeddings(self.workspace, snapshot, f"encoders/{encoder}")
        assert made is not None
        found = contents(self.config, self.workspace)
        assert found.pop("metadata").snapshot == snapshot
        assert found == rounded(Source(self.workspace, snapshot, made).points())


@pytest.fixture
def shop(config: Config, workspace: Workspace) -> Shop:
    return Shop(config, workspace)


def test_the_old_collection_shows_todays_catalog_is_audited_and_recorded(shop: Shop) -> None:
    shop.embed_today()
    manifest = shop.roll_back(encode=ENCODE)
    info = manifest.info
    assert (info["action"], info["collection"], info["previous"]) == ("rollback", shop.first, shop.second)
    assert {k: info["counts"][k] for k in ("new", "vectors", "payload", "gone")} == {
        "new": 3, "vectors": 1, "payload": 2, "gone": 1
    }  # fmt: skip
    assert set(info["audit"]["checks"].values()) == {"ok"}
    assert info["audit"]["checks"][REENCODED] == "ok"
    assert manifest == shop.workspace.list("publications")[-1]
    assert manifest.inputs["snapshot"] == info["snapshot"] == shop.today
    shop.shows(shop.today)
    assert list(holds(shop.workspace)) == [info["held"]] == ["encoders/e2"]
    assert shop.second in [kept["collection"] for kept in shop.status()["previous"]]
    again = shop.publish([*TODAY, *products(1, first=800)], "e1").info
    assert (again["action"], again["collection"]) == ("incremental", shop.first)


def test_what_is_not_embedded_under_the_old_encoder_is_refused_and_as_it_was_it_goes(shop: Shop) -> None:
    with pytest.raises(
        ArtifactError, match=rf"{shop.today} is not embedded under encoders/e1, which is gone"
    ):
        shop.roll_back()
    assert (shop.status()["collection"], holds(shop.workspace)) == (shop.second, {})
    info = shop.roll_back(as_it_was=True).info
    assert (info["action"], info["snapshot"], info["audit"]) == ("rollback", shop.yesterday, None)
    assert info["counts"]["total"] == len(CATALOG)
    shop.shows(shop.yesterday)
    assert list(holds(shop.workspace)) == ["encoders/e2"]


def test_as_it_was_needs_no_artifact(shop: Shop) -> None:
    for kind in ("embedding-sets", "embeddings", "snapshots"):
        for manifest in shop.workspace.list(kind):
            shop.workspace.delete(manifest)
    assert shop.roll_back(as_it_was=True).info["collection"] == shop.status()["collection"] == shop.first


def test_vectors_of_another_encoder_leave_the_alias_and_the_way_back(shop: Shop) -> None:
    shop.embed_today()

    def encode(snapshot: str, _encoder: str, *sample: Any) -> Vectors:
        return ENCODE(snapshot, "encoders/e3", *sample)

    with pytest.raises(AuditError, match=REENCODED):
        shop.roll_back(encode=encode)
    assert (shop.status()["collection"], holds(shop.workspace)) == (shop.second, {})
    assert shop.roll_back(as_it_was=True).info["collection"] == shop.first


def test_looking_for_the_way_back_writes_nothing(shop: Shop) -> None:
    assert rollback.choose(shop.config, shop.workspace).name == shop.first
    assert not [name for name in shop.workspace.pointers() if name.startswith("runs/")]


def test_an_encoder_on_hold_is_gone_back_to_by_name_only(shop: Shop) -> None:
    with pytest.raises(InputError, match="no collection 'no-such'"):
        shop.roll_back("no-such")
    shop.embed_today()
    shop.roll_back()
    with pytest.raises(GuardError, match=r"encoders/e2 is on hold .*\n.*recsys holds --lift encoders/e2"):
        shop.publish(TODAY, "e2")
    with pytest.raises(InputError, match=rf"not on hold\.\n.*--to: {shop.second} \(on hold\)"):
        shop.roll_back()
    assert shop.roll_back(shop.second).info["held"] == "encoders/e1"
    assert list(holds(shop.workspace)) == ["encoders/e1"]  # what a person chooses is on hold no more
    shop.shows(shop.today, "e2")


def test_what_was_rolled_back_from_is_switched_to_once_its_hold_is_lifted(shop: Shop) -> None:
    shop.roll_back(as_it_was=True)
    with shop.workspace.lease(LOCK), pytest.raises(TransientError, match=r"has the lease 'index-publish'"):
        rollback.lift(shop.workspace, "encoders/e2", wait_s=0)
    rollback.lift(shop.workspace, "encoders/e2")
    with pytest.raises(InputError, match="not on hold"):
        rollback.lift(shop.workspace, "encoders/e2")
    again = shop.publish(TODAY, "e2").info
    assert (again["action"], again["collection"]) == ("build", shop.second)
    assert again["counts"]["unchanged"] == len(TODAY)


def test_a_collection_that_is_named_is_gone_back_to_whatever_was_interrupted(
    config: Config, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = Shop(config, workspace).publish(CATALOG, "e0").info["collection"]
    shop = Shop(config, workspace)
    with crash_at("manifest", config, monkeypatch):
        shop.roll_back(as_it_was=True)
    assert shop.roll_back(named, as_it_was=True).info["collection"] == named == shop.status()["collection"]


def test_before_anything_else_was_published_there_is_nothing_to_go_back_to(
    config: Config, workspace: Workspace
) -> None:
    with pytest.raises(InputError, match="No other encoder was published before"):
        rollback.run(config, workspace, snapshot_ref=None)


# -- a crash at any step is finished by running again ---------------------------------------------


@pytest.mark.parametrize("as_it_was", [False, True])
@pytest.mark.parametrize(
    "step", ["record_result", "put_on_hold", "describe", "switch", "drop_old", "manifest"]
)
def test_a_rollback_that_crashed_is_finished_by_running_again_and_goes_no_further(
    config: Config, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, step: str, as_it_was: bool
) -> None:
    Shop(config, workspace).publish(CATALOG, "e0")
    shop = Shop(config, workspace)  # three encoders: e0 could be gone back to as well
    shop.embed_today()
    with crash_at(step, config, monkeypatch):
        shop.roll_back(as_it_was=as_it_was)
    switched = step in ("drop_old", "manifest")
    assert shop.status()["collection"] == (shop.first if switched else shop.second)
    if step in ("describe", "switch"):  # e2 is on hold already, and serves: it is kept up to date
        assert shop.publish([*TODAY, *products(1, first=900)], "e2").info["action"] == "incremental"
        shop.publish(TODAY, "e2")
    manifest = shop.roll_back(as_it_was=as_it_was)
    assert manifest.info["action"] == "rollback"
    assert (manifest.info["collection"], manifest.info["previous"]) == (shop.first, shop.second)
    shop.shows(shop.yesterday if as_it_was else shop.today)
    assert list(holds(shop.workspace)) == ["encoders/e2"]
    assert len([m for m in workspace.list("publications") if m.info["action"] == "rollback"]) == 1
