"""The verbs that make something: one per stage, in the pipeline's order."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from recsys.cli.options import json_option, show, with_workspace
from recsys.errors import InputError

if TYPE_CHECKING:
    from recsys.config import Config
    from recsys.workspace import Manifest, Workspace

snapshot_option = click.option("--snapshot", metavar="REF", help="Catalog snapshot; default the latest.")
judgements_option = click.option("--judgements", metavar="REF", help="Default the latest exported.")


@click.command()
@json_option
@with_workspace
def ingest(config: "Config", workspace: "Workspace", as_json: bool) -> None:
    """Read the feed and its images into a catalog snapshot."""
    from recsys.catalog import run

    manifest = run.run(config, workspace)
    counts = {**manifest.info["counts"], **manifest.info["diff"]}
    named = [f"{n} {name.replace('_', ' ')}" for name, n in counts.items() if isinstance(n, int)]
    _show(manifest, as_json, ", ".join(named))


@click.command()
@json_option
@with_workspace
def judgements(config: "Config", workspace: "Workspace", as_json: bool) -> None:
    """Export what people judged on the page, for `train` and `evaluate`."""
    from recsys.feedback import run

    manifest = run.run(config, workspace)
    text = "judgements: {judgements}; pairs: {pairs} ({similar} similar, {not_similar} not similar, "
    text += "{duplicate} duplicates), and {ties} left out as ties"
    _show(manifest, as_json, text.format(**manifest.info["counts"]))


@click.command()
@snapshot_option
@judgements_option
@click.option("--force", is_flag=True, help="Train even if there is nothing new to learn from.")
@json_option
@with_workspace
def train(
    config: "Config",
    workspace: "Workspace",
    snapshot: str | None,
    judgements: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Fine-tune a challenger encoder on a snapshot, if there is a reason to."""
    from recsys import nightly
    from recsys.workspace.judgements import latest

    champion = nightly.find_champion(config, workspace)
    snapshot = snapshot or nightly.latest_snapshot(workspace)
    judgements = judgements or latest(workspace)
    refs = {"snapshot": snapshot, "champion": champion, "judgements": judgements}
    plan = nightly.plan_training(config, workspace, refs, force=force)
    sentence = plan.info["sentence"]
    if not plan.info["train"]:
        _show(plan, as_json, f"{sentence}\n  {champion} stays; `recsys train --force` trains anyway")
        return
    from recsys.training import run

    manifest = run.run(config, workspace, snapshot, champion, judgements)
    _show(manifest, as_json, f"{sentence}\ntrained a challenger in {manifest.info['duration_s']:.0f} s")


@click.command()
@snapshot_option
@click.option("--encoder", metavar="REF", help="Challenger; default the latest trained on the snapshot.")
@click.option("--champion", metavar="REF", help="Default the encoder in service.")
@judgements_option
@json_option
@with_workspace
def evaluate(
    config: "Config",
    workspace: "Workspace",
    snapshot: str | None,
    encoder: str | None,
    champion: str | None,
    judgements: str | None,
    as_json: bool,
) -> None:
    """Evaluate the challenger against the encoder in service, and decide."""
    from recsys import nightly
    from recsys.evaluation import run
    from recsys.workspace.judgements import latest

    snapshot = snapshot or nightly.latest_snapshot(workspace)
    champion = champion or nightly.find_champion(config, workspace)
    plan = None if encoder else nightly.latest_plan(workspace, snapshot)
    if plan is not None and not plan.info["train"] and plan.inputs["champion"] == champion:
        earlier = workspace.get(plan.inputs["evaluation"])
        _show(earlier, as_json, f"nothing was trained on {snapshot} to evaluate; {champion} stays")
        return
    encoder = encoder or nightly.latest_challenger(workspace, snapshot).ref
    manifest = run.run(config, workspace, snapshot, encoder, champion, judgements or latest(workspace))
    decision = f"{manifest.info['decision']}: {manifest.info['chosen']}"
    _show(manifest, as_json, "\n  ".join([decision, *manifest.info["reasons"]]))


@click.command()
@snapshot_option
@click.option("--encoder", metavar="REF", help="Default the one the latest evaluation chose.")
@json_option
@with_workspace
def embed(
    config: "Config", workspace: "Workspace", snapshot: str | None, encoder: str | None, as_json: bool
) -> None:
    """Embed the products that the cache lacks."""
    from recsys import nightly
    from recsys.embedding import run

    snapshot = snapshot or nightly.latest_snapshot(workspace)
    if encoder is None:
        evaluation = nightly.latest_evaluation(workspace, snapshot)
        encoder = nightly.encoder_to_serve(config, workspace, evaluation)
    manifest = run.run(config, workspace, snapshot, encoder)
    _show(manifest, as_json, f"embedded {manifest.info['embedded']}, reused {manifest.info['reused']}")


@click.command()
@snapshot_option
@json_option
@with_workspace
def publish(config: "Config", workspace: "Workspace", snapshot: str | None, as_json: bool) -> None:
    """Publish the latest embeddings of a snapshot and switch the alias."""
    from recsys import nightly

    snapshot = snapshot or nightly.latest_snapshot(workspace)
    embeddings = nightly.latest(workspace, "embedding-sets", made_by="embed", snapshot=snapshot)
    manifest = nightly.publish(config, workspace, snapshot, embeddings.ref)
    info = manifest.info
    _show(manifest, as_json, f"{info['action']}: alias {info['alias']} → {info['collection']}")


@click.command()
@snapshot_option
@json_option
@with_workspace
def report(config: "Config", workspace: "Workspace", snapshot: str | None, as_json: bool) -> None:
    """Write the page that explains the latest publication of a snapshot."""
    from recsys import nightly

    snapshot = snapshot or nightly.latest_snapshot(workspace)
    publication = nightly.latest(workspace, "publications", made_by="publish", snapshot=snapshot)
    evaluation = nightly.latest_evaluation(workspace, snapshot)
    refs = {
        "snapshot": snapshot,
        "challenger": evaluation.inputs["challenger"],
        "evaluation": evaluation.ref,
        "embeddings": nightly.latest(workspace, "embedding-sets", made_by="embed", snapshot=snapshot).ref,
        "publication": publication.ref,
    }
    plan = nightly.latest_plan(workspace, snapshot)
    if plan is not None and (plan.info["train"] or plan.inputs["evaluation"] == evaluation.ref):
        refs["plan"] = plan.ref
    manifest = nightly.write_report(config, workspace, f"by hand: {publication.id}", refs)
    _show(manifest, as_json, "\n  ".join([manifest.info["page"], *manifest.info["monitoring"]["alarms"]]))


@click.command()
@json_option
@with_workspace
def refresh(config: "Config", workspace: "Workspace", as_json: bool) -> None:
    """Bring the feed's changes into the live collection, under the encoder in service: no training."""
    from recsys import index, nightly
    from recsys.catalog import run as catalog
    from recsys.embedding import run as embedding

    encoder = index.live_encoder(config, workspace)
    if encoder is None:
        raise InputError("Nothing was published yet.", fix="Run the night first; see `recsys --help`.")
    snapshot = catalog.run(config, workspace).ref
    embeddings = embedding.run(config, workspace, snapshot, encoder)
    manifest = nightly.publish(config, workspace, snapshot, embeddings.ref, refresh=True)
    done = manifest.info["action"]
    text = "{new} new, {vectors} with other vectors, {payload} with other columns, {gone} gone, of {total}"
    _show(manifest, as_json, f"{done}: {text.format(**manifest.info['counts'])}")


@click.command()
@click.option("--to", "target", metavar="COLLECTION", help="Default the one before the live one.")
@click.option("--as-it-was", is_flag=True, help="At once: do not bring it up to today's catalog, no audit.")
@json_option
@with_workspace
def rollback(
    config: "Config", workspace: "Workspace", target: str | None, as_it_was: bool, as_json: bool
) -> None:
    """Go back to an earlier collection, under today's catalog; the encoder it leaves is put on hold."""
    from recsys import nightly

    manifest = nightly.rollback(config, workspace, target, as_it_was=as_it_was)
    info = manifest.info
    lines = [f"rollback: alias {info['alias']} → {info['collection']}, which shows {info['snapshot']}"]
    if info["held"]:
        lines.append(f"on hold from now on: {info['held']} (recsys holds --lift {info['held']} ends it)")
    _show(manifest, as_json, "\n  ".join(lines))


@click.command()
@click.option("--lift", metavar="REF", help="Let this encoder serve again.")
@json_option
@with_workspace
def holds(_config: "Config", workspace: "Workspace", lift: str | None, as_json: bool) -> None:
    """List the encoders that were rolled back from: none is published until its hold is lifted."""
    from recsys.index import rollback
    from recsys.workspace.holds import holds

    if lift:
        rollback.lift(workspace, lift)
    held = holds(workspace)
    lines = [f"{ref} since {hold['since']}: {hold['reason']}" for ref, hold in held.items()]
    show(held, as_json=as_json, text="\n".join(lines) or "no encoder is on hold")


@click.command()
@click.option(
    "--days", type=click.FloatRange(min=0), default=0.0, help="Only what was not read in so many days."
)
@click.option("--delete", is_flag=True, help="Remove what is damaged, so that it is made again.")
@json_option
@with_workspace
def scrub(_config: "Config", workspace: "Workspace", days: float, delete: bool, as_json: bool) -> None:
    """Read every artifact again and compare it with its checksums."""
    from recsys.workspace.scrub import scrub

    found = scrub(workspace, older_than_s=days * 86_400)
    for ref in found.damaged if delete else ():
        workspace.delete_ref(ref)
    text = f"read {found.num_read} artifacts, {found.size_bytes / 1e6:.1f} MB; {len(found.damaged)} damaged"
    lines = [text, *found.damaged.values(), *(["deleted"] if delete and found.damaged else [])]
    show(vars(found) | {"deleted": delete}, as_json=as_json, text="\n  ".join(lines))
    if found.damaged and not delete:
        raise click.exceptions.Exit(1)


@click.command()
@click.option("--repair", is_flag=True, help="Build it anew where it is wrong, and switch to that.")
@json_option
@with_workspace
def audit(config: "Config", workspace: "Workspace", repair: bool, as_json: bool) -> None:
    """Compare the live index with its snapshot, and a sample of it with what its encoder makes anew."""
    from recsys import nightly

    manifest = nightly.audit(config, workspace, repair=repair)
    if manifest is None:
        show({"ref": None}, as_json=as_json, text="nothing is wrong")
    else:
        info = manifest.info
        _show(
            manifest, as_json, f"{info['reason']}\n  built anew: alias {info['alias']} → {info['collection']}"
        )


@click.command()
@click.option("--delete", is_flag=True, help="Delete it; without this, only say what could be deleted.")
@json_option
@with_workspace
def housekeeping(config: "Config", workspace: "Workspace", delete: bool, as_json: bool) -> None:
    """Say what nothing needs any more and was not used for a while (workspace.keep_days), or delete it."""
    from recsys import nightly

    found = nightly.housekeeping(config, workspace, delete=delete)
    kinds = {
        kind: {"count": len(sizes), "size_bytes": sum(sizes)}
        for kind in sorted({item.kind for item in found})
        if (sizes := [item.size_bytes for item in found if item.kind == kind])
    }
    total = {"count": len(found), "size_bytes": sum(item.size_bytes for item in found)}
    rows = [
        f"{name:>16} {each['count']:>8,} {each['size_bytes'] / 1e6:>12,.1f} MB"
        for name, each in (kinds | {"total": total}).items()
    ]
    end = "deleted" if delete else "nothing was deleted; `recsys housekeeping --delete` does"
    show({"deleted": delete, "kinds": kinds, **total}, as_json=as_json, text="\n".join([*rows, end]))


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@json_option
@with_workspace
def backup(config: "Config", workspace: "Workspace", file: Path, as_json: bool) -> None:
    """Write all rules, judgements and their audit trail to FILE: what cannot be made again."""
    from recsys.feedback.backup import back_up
    from recsys.feedback.database import Database
    from recsys.feedback.store import database_url, has_database

    if not has_database(config, workspace):
        raise InputError("There is no database of rules and judgements yet.", fix="Make a rule first.")
    with closing(Database(database_url(config, workspace))) as database:
        _show_rows(back_up(database, file), as_json)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@json_option
@with_workspace
def restore(config: "Config", workspace: "Workspace", file: Path, as_json: bool) -> None:
    """Bring back what `recsys backup` wrote to FILE, into an empty database."""
    from recsys.feedback import backup
    from recsys.feedback.database import Database
    from recsys.feedback.store import database_url

    with closing(Database(database_url(config, workspace))) as database:
        _show_rows(backup.restore(file, database), as_json)


def _show_rows(counts: dict[str, int], as_json: bool) -> None:
    rows = ", ".join(f"{count} {name}" for name, count in counts.items())
    show(counts, as_json=as_json, text=f"{rows} entries")


VERBS = (
    ingest, judgements, train, evaluate, embed, publish, report, refresh, rollback, holds,
    scrub, audit, housekeeping, backup, restore,
)  # fmt: skip


def _show(manifest: "Manifest", as_json: bool, text: str) -> None:
    value = {"ref": manifest.ref, "inputs": manifest.inputs, **manifest.info}
    show(value, as_json=as_json, text=f"{text}\n  {manifest.ref}")
