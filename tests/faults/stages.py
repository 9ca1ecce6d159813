"""The stages that faults are injected into: what is there before, and the stage itself.

Each works in a folder ``home``: the workspace in it is watched, its inputs beside it are not.
"""

import json
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from recsys import nightly
from recsys.catalog import run as catalog
from recsys.catalog.image_state import ImageState
from recsys.config import CatalogConfig, Config
from recsys.embedding.run import run as embed
from recsys.errors import InputError
from recsys.feedback import backup
from recsys.feedback import run as feedback
from recsys.feedback.database import Database
from recsys.feedback.rules import Rule
from recsys.feedback.store import FeedbackStore, database_url
from recsys.index import open_index, status
from recsys.index.run import run as publish
from recsys.training.splits import make_splits
from recsys.workspace import Workspace, decoding
from recsys.workspace.holds import holds
from recsys.workspace.normalise import Normalisation, normalise
from recsys.workspace.scrub import scrub
from recsys.workspace.snapshot import Snapshot
from tests.catalog.made_images import jpeg, write
from tests.faults import fabricated
from tests.faults.fabricated import CONFIG, Looks
from tests.index.catalogs import write_to_live
from tests.training import shop

TODAY: Looks = {f"p{i:02d}": (i, 5.0 + i) for i in range(30)}
CHANGED: Looks = {id: row for id, row in TODAY.items() if id != "p03"} | {
    "p05": (500, 1.0), "p07": (7, 2.0), "p90": (90, 9.0)
}  # fmt: skip
LATER: Looks = {id: row for id, row in CHANGED.items() if id != "p11"} | {"p91": (91, 3.0)}


PER_ATTEMPT = {"publications", "embedding-plans", "features"}
"""Kinds whose ids say what an attempt found to do."""


def workspace_of(home: Path) -> Workspace:
    """Open the workspace that is watched."""
    return Workspace(home / "workspace")


def _ask(home: Path) -> Any:
    """Ask the live collection, if there is one."""
    workspace = workspace_of(home)
    return fabricated.ask(CONFIG, workspace) if status(CONFIG, workspace)["collection"] else None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of a night."""

    prepare: Callable[[Path], object]
    run: Callable[[Path], object]
    load: Callable[[], object] = lambda: None
    """Imports what the fork of a run needs and this process has not."""
    ask: Callable[[Path], Any] = _ask
    """Returns what a reader finds: before a run, after it, and after any fault one of these two."""


def state(home: Path, *, ask: Callable[[Path], Any] = _ask) -> dict[str, Any]:
    """Return all that a stage leaves, by names that are the same in every run, as JSON values.

    What readers find is the ``answer``.
    """
    workspace = workspace_of(home)
    publications = [(m.info["action"], m.info["encoder"]) for m in workspace.list("publications")]
    pointer = workspace.read_pointer("catalog") or {}
    with closing(open_index(CONFIG, workspace)) as index:
        collections = [
            [c.metadata.encoder, c.metadata.snapshot, c.metadata.state, c.num_points, c.live]
            for c in index.collections()
        ]
    found = {
        "weights": {
            m.ref: {name: sum_ for name, sum_ in m.checksums.items() if name.endswith(".safetensors")}
            for m in workspace.list("encoders")
        },
        "artifacts": [ref for ref in workspace.refs() if ref.partition("/")[0] not in PER_ATTEMPT],
        "publications": sorted(p for p in publications if p[0] != "nothing"),
        "catalog": [pointer.get("snapshot"), pointer.get("previous")],
        "held": sorted(holds(workspace)),
        "collections": collections,
        "damaged": scrub(workspace).damaged,
        "images": _images(workspace),
        "unfinished": sorted(str(p) for glob in ("scratch/*/*", ".*") for p in workspace.local.glob(glob)),
        "answer": ask(home),
    }
    return dict(json.loads(json.dumps(found)))


def _images(workspace: Workspace) -> list[Any]:
    """Return the images that a snapshot lacks, and the shards that the next one will name."""
    lacking = []
    used: list[bytes] = []
    for manifest in workspace.list("snapshots"):
        snapshot = Snapshot.open(workspace, manifest.ref)
        used = [sha256 for row in snapshot.table(["images"])["images"].to_pylist() for sha256 in row]
        store = snapshot.images()
        lacking += [[manifest.ref, sha256.hex()] for sha256 in used if sha256 not in store]
    with closing(ImageState(workspace, Normalisation.of(CONFIG.catalog.images))) as known:
        return [lacking, known.shard_refs(iter(used))]


# -- catalog, splits, embedding --------------------------------------------------------------------


def _write_feed(home: Path, prices: dict[int, float]) -> None:
    rows = [
        {"id": f"p{i}", "title": f"Mug {i}", "price": f"{p} EUR", "image_link": f"images/{i}.jpg"}
        for i, p in prices.items()
    ]
    for i in prices:
        write(home / "feed", f"images/{i}.jpg", jpeg(seed=i))
    (home / "feed" / "feed.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


def _ingest(home: Path) -> None:
    decoding.DecodePool.normalise = (  # type: ignore[method-assign]  # in this process: it writes no files
        lambda pool, source, wait_s=None: normalise(source, pool._settings)
    )
    settings = {"feed": str(home / "feed" / "feed.jsonl"), "images": {"shard_size": 3}}
    catalog.run(Config(catalog=CatalogConfig.model_validate(settings)), workspace_of(home))


def _two_feeds(home: Path) -> None:
    _write_feed(home, {i: 3.0 + i for i in range(5)})
    _ingest(home)
    _write_feed(home, {1: 4.0, 2: 1.5, 3: 6.0, 4: 7.0, 8: 9.0})


def _store_shop(home: Path) -> None:
    shop.store(workspace_of(home), shop.rows(1))


def _split(home: Path) -> None:
    make_splits(Config(), workspace_of(home), "snapshots/night")


def _embed_config(home: Path) -> Config:
    small = shop.settings(home / "text" / "model")
    embedding = {"shard_size": 4, "chunk_size": 3, "num_workers": 0, "device": "cpu"}
    return Config.model_validate({"encoder": small.encoder.model_dump(), "embedding": embedding})


def _store_encoder(home: Path) -> None:
    from recsys.encoder.model import build

    shop.tiny_text_model(home / "text")
    _store_shop(home)
    with workspace_of(home).create("encoders", "e1") as draft:
        build(_embed_config(home).encoder, seed=0).save(draft.path)


def _load_torch() -> None:
    import sentence_transformers  # noqa: F401
    import torch

    from recsys.encoder import inference  # noqa: F401

    torch.set_num_threads(1)


def _embed(home: Path) -> None:
    embed(_embed_config(home), workspace_of(home), "snapshots/night", "encoders/e1")


# -- training, evaluation, report --------------------------------------------------------------------


def _config(home: Path) -> Config:
    return shop.settings(home / "text" / "model", max_epochs=1)


def _load_lightning() -> None:
    _load_torch()
    import lightning  # noqa: F401

    import recsys.evaluation.run
    import recsys.report.run
    import recsys.training.run  # noqa: F401


def _before_training(home: Path) -> None:
    shop.tiny_text_model(home / "text")
    _store_shop(home)


def _train(home: Path) -> None:
    from recsys.training.run import run

    run(_config(home), workspace_of(home), "snapshots/night")


def _before_evaluation(home: Path) -> None:
    _before_training(home)
    _train(home)


def _evaluate(home: Path) -> None:
    from recsys.evaluation.run import run

    workspace = workspace_of(home)
    run(
        _config(home),
        workspace,
        "snapshots/night",
        nightly.latest_challenger(workspace, "snapshots/night").ref,
    )


def _before_report(home: Path) -> None:
    _before_evaluation(home)
    _evaluate(home)
    config, workspace = _config(home), workspace_of(home)
    [evaluation] = workspace.list("evaluations")
    embeddings = embed(config, workspace, "snapshots/night", evaluation.info["chosen"])
    publish(config, workspace, "snapshots/night", embeddings.ref)


def _report(home: Path) -> None:
    workspace = workspace_of(home)
    refs = {role: workspace.list(kind)[-1].ref for role, kind in _REPORTED.items()}
    challenger = nightly.latest_challenger(workspace, "snapshots/night").ref
    nightly.write_report(_config(home), workspace, "tonight", {**refs, "challenger": challenger})


_REPORTED = {
    "snapshot": "snapshots", "evaluation": "evaluations", "embeddings": "embedding-sets",
    "publication": "publications",
}  # fmt: skip


# -- index -----------------------------------------------------------------------------------------


NIGHTS: dict[str, list[tuple[Looks, str]]] = {
    "publish": [(TODAY, "e1"), (CHANGED, "e2")],
    "refresh": [(TODAY, "e1"), (CHANGED, "e1")],
    "rollback": [(TODAY, "e1"), (CHANGED, "e2"), (LATER, "e2")],
    "housekeeping": [(TODAY, "e1"), (CHANGED, "e2"), (CHANGED, "e3"), (LATER, "e4")],
    "repair": [(TODAY, "e1")],
}
"""Stage of the index → the catalogs and encoders before it; the last is published by it if it publishes."""


def prepare(config: Config, workspace: Workspace, name: str) -> None:
    """Ingest, embed and publish what is there before a stage of :data:`NIGHTS`."""
    *before, last = NIGHTS[name]
    for looks, encoder in before:
        fabricated.ingest(workspace, looks, encoder)
        fabricated.publish(config, workspace, encoder)
    fabricated.ingest(workspace, *last)
    if name not in ("publish", "refresh"):
        fabricated.publish(config, workspace, last[1])
    if name == "repair":
        write_to_live(config, workspace, lambda writer: writer.delete(["p05"]))


def run_stage(config: Config, workspace: Workspace, name: str, now: datetime) -> None:
    """Run a stage of :data:`NIGHTS`.

    Housekeeping takes place 30 days after ``now``. The repair is followed by a publication, which drops what
    was live, and a build that another machine began and nobody needs.
    """
    if name == "rollback":
        nightly.rollback_once(config, workspace, "rollback", None, as_it_was=False)
    elif name == "housekeeping":
        nightly.housekeeping(config, workspace, delete=True, now=now + timedelta(days=30))
    elif name == "repair":
        nightly.audit(config, workspace, repair=True)
        fabricated.publish(config, workspace, "e1", refresh=True)
    else:
        fabricated.publish(config, workspace, NIGHTS[name][-1][1], refresh=name == "refresh")


def _of_index(name: str) -> Stage:
    return Stage(
        prepare=lambda home: prepare(CONFIG, workspace_of(home), name),
        run=lambda home: run_stage(CONFIG, workspace_of(home), name, datetime.now(UTC)),
    )


# -- scrub -----------------------------------------------------------------------------------------


def _before_scrub(home: Path) -> None:
    workspace = workspace_of(home)
    prepare(CONFIG, workspace, "repair")
    for kind, name in (("embeddings", "vectors.arrow"), ("embedding-sets", "manifest.json")):
        (workspace.path(workspace.list(kind)[-1]) / name).write_bytes(b"damaged")


def _scrub(home: Path) -> None:
    workspace = workspace_of(home)
    for ref in scrub(workspace).damaged:
        workspace.delete_ref(ref)


# -- feedback --------------------------------------------------------------------------------------


def _judge(home: Path, label: str = "similar") -> None:
    workspace = workspace_of(home)
    with closing(FeedbackStore.open(CONFIG, workspace)) as store:
        store.judge("p01", "p02", label, "Maria")
    feedback.run(CONFIG, workspace)


def _contents(database: Database) -> list[str]:
    store = FeedbackStore(database)
    return list(map(repr, (*store.rules(include_past=True), *store.all_judgements(), *store.audit())))


def _say(home: Path, author: str) -> None:
    with closing(FeedbackStore.open(CONFIG, workspace_of(home))) as store:
        store.judge("p01", "p02", "similar", author)
        store.add_rule(Rule(action="pin", target="product", target_value="p01"), author)


def _database(home: Path) -> closing[Database]:
    return closing(Database(database_url(CONFIG, workspace_of(home))))


def _back_up(home: Path) -> None:
    with _database(home) as database:
        backup.back_up(database, home / "workspace" / "backup.gz")


def _before_backup(home: Path) -> None:
    _say(home, "Maria")
    _back_up(home)
    _say(home, "Tom")


def _backed_up(home: Path) -> list[str]:
    with (
        TemporaryDirectory() as folder,
        closing(Database(f"sqlite:///{folder}/restored.db")) as database,
    ):
        backup.restore(home / "workspace" / "backup.gz", database)
        return _contents(database)


def _before_restore(home: Path) -> None:
    _before_backup(home)
    for path in workspace_of(home).local.glob("search.db*"):
        path.unlink()


def _restore(home: Path) -> None:
    with _database(home) as database, suppress(InputError):  # which says that an earlier one did it all
        backup.restore(home / "workspace" / "backup.gz", database)


def _restored(home: Path) -> list[str]:
    with _database(home) as database:
        return _contents(database)


STAGES = {
    "ingest": Stage(prepare=_two_feeds, run=_ingest),
    "splits": Stage(prepare=_store_shop, run=_split),
    **{name: _of_index(name) for name in NIGHTS},
    "feedback": Stage(
        prepare=lambda home: _judge(home, "not_similar"), run=lambda home: _judge(home, "similar")
    ),
    "scrub": Stage(prepare=_before_scrub, run=_scrub),
    "backup": Stage(prepare=_before_backup, run=_back_up, ask=_backed_up),
    "restore": Stage(prepare=_before_restore, run=_restore, ask=_restored),
    # last, as forks are larger from then on
    "embed": Stage(prepare=_store_encoder, run=_embed, load=_load_torch),
    "train": Stage(prepare=_before_training, run=_train, load=_load_lightning),
    "evaluate": Stage(prepare=_before_evaluation, run=_evaluate, load=_load_lightning),
    "report": Stage(prepare=_before_report, run=_report, load=_load_lightning, ask=lambda home: None),
}
