"""The live collection is audited over both engines: what is wrong is built anew, what is sound stays."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from recsys import index as public
from recsys.config import Config
from recsys.errors import ArtifactError, AuditError
from recsys.index import open_index, repair
from recsys.index.audit import REENCODED
from recsys.index.engine import Writer
from recsys.index.run import run
from recsys.workspace import Manifest, Workspace
from tests.index.catalogs import Product, embed, encodes, products, publish_inputs, write_to_live
from tests.index.test_publish import contents

CATALOG = products(40)
ENCODE = encodes(CATALOG)


class Shop:
    """A shop in service under e1, whose live collection anybody may write to."""

    def __init__(self, config: Config, workspace: Workspace) -> None:
        self.config, self.workspace = config, workspace
        self.publish(CATALOG)
        self.right = self.shown()

    def publish(self, catalog: list[Product], encoder: str = "e1") -> Manifest:
        return run(self.config, self.workspace, *publish_inputs(self.workspace, catalog, encoder=encoder))

    def write(self, damage: Callable[[Writer], object]) -> str:
        return write_to_live(self.config, self.workspace, damage)

    def audit(self, *, repaired: bool = True) -> Manifest | None:
        return repair.run(self.config, self.workspace, repair=repaired, encode=ENCODE)

    def shown(self) -> dict[str, Any]:
        """Return products as readers see them."""
        return {k: v for k, v in contents(self.config, self.workspace).items() if k != "metadata"}

    def files(self) -> dict[Path, tuple[int, int]]:
        """Return every file of the workspace but what readers and leases note, with its size and time."""
        found = (path for path in self.workspace.local.rglob("*") if path.is_file())
        return {
            p: (p.stat().st_size, p.stat().st_mtime_ns)
            for p in found
            if not {"readers", "used", "locks"} & set(p.parts) and "lease" not in p.name
        }


@pytest.fixture
def shop(config: Config, workspace: Workspace) -> Shop:
    return Shop(config, workspace)


def swap_vectors(writer: Writer) -> None:
    """Give two products each other's vectors."""
    first, second = writer.retrieve(["sku-00003", "sku-00004"], with_vectors=True)
    writer.upsert([first._replace(vector=second.vector), second._replace(vector=first.vector)])


def forget(writer: Writer) -> None:
    writer.delete(["sku-00005"])


def spoil_payload(writer: Writer) -> None:
    """Another price, under the hash of the one that it had."""
    [stored] = writer.retrieve(["sku-00006"])
    writer.set_payloads([(stored.id, stored.payload | {"price": 0.01})])


@pytest.mark.parametrize(
    ("damage", "check"), [(swap_vectors, REENCODED), (forget, "contents"), (spoil_payload, "payloads")]
)
def test_what_is_wrong_is_found_and_built_anew_while_readers_keep_what_they_have(
    shop: Shop, damage: Callable[[Writer], None], check: str
) -> None:
    damaged = shop.write(damage)
    wrong = shop.shown()
    assert wrong != shop.right
    with pytest.raises(AuditError, match=rf"(?s){damaged} failed .*{check}: .*recsys audit --repair"):
        shop.audit(repaired=False)
    with closing(open_index(shop.config, shop.workspace)) as reader:
        before = reader.open()
        manifest = shop.audit()
        assert manifest is not None
        assert before.name == damaged
        assert before.count() == len(wrong)  # a query that began before the switch goes on
        assert reader.open().name == manifest.info["collection"] != damaged
    assert shop.shown() == shop.right
    info = manifest.info
    assert (info["action"], info["previous"]) == ("build", damaged)
    assert set(info["audit"]["checks"].values()) == {"ok"}
    assert f"{check}: " in info["reason"]
    assert manifest == shop.workspace.list("publications")[-1]
    assert shop.audit() is None
    assert shop.publish([*CATALOG, *products(1, first=900)]).info["action"] == "incremental"


def test_a_sound_index_is_left_alone(shop: Shop) -> None:
    before, live = shop.files(), public.status(shop.config, shop.workspace)["collection"]
    assert shop.audit() is None
    assert shop.audit(repaired=False) is None
    assert shop.files() == before
    assert public.status(shop.config, shop.workspace)["collection"] == live
    assert len(shop.workspace.list("publications")) == 1


def test_before_the_first_publication_there_is_nothing_to_audit(config: Config, workspace: Workspace) -> None:
    assert repair.run(config, workspace, repair=True) is None


def test_vectors_that_were_wrong_before_they_were_published_are_not_published_again(shop: Shop) -> None:
    [made] = shop.workspace.list("embedding-sets")
    for manifest in (made, *shop.workspace.list("embeddings")):
        shop.workspace.delete(manifest)
    others = [p.but(look=p.look + 1) for p in CATALOG]
    embed(shop.workspace, made.inputs["snapshot"], others, encoder="e1")
    with pytest.raises(
        AuditError, match=rf"(?s)alias stays.*{REENCODED}.*embeddings/.*recsys audit --repair"
    ):
        shop.audit()
    assert shop.shown() == shop.right


def test_without_what_it_was_made_from_readers_keep_what_they_have(shop: Shop) -> None:
    damaged = shop.write(forget)
    for manifest in shop.workspace.list("embedding-sets"):
        shop.workspace.delete(manifest)
    with pytest.raises(ArtifactError, match="There is no committed artifact 'embedding-sets/"):
        shop.audit()
    assert public.status(shop.config, shop.workspace)["collection"] == damaged


def test_a_collection_that_cannot_be_read_is_built_anew(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = public.status(shop.config, shop.workspace)["collection"]
    audit = repair.audit_build

    def fail(*arguments: Any, **named: Any) -> Any:
        raise ArtifactError("Qdrant Edge failed: a page fault.", fix="Publish again.")

    monkeypatch.setattr(repair, "audit_build", fail)
    manifest = shop.audit()
    assert manifest is not None
    assert (manifest.info["previous"], "a page fault" in manifest.info["reason"]) == (damaged, True)
    monkeypatch.setattr(repair, "audit_build", audit)
    assert (shop.audit(), shop.shown()) == (None, shop.right)
