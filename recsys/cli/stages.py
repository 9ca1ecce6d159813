"""The verbs that make something: one per stage, in the pipeline's order."""

from typing import Any

import click

from recsys.cli import Session, answer, as_json, main, pass_session

snapshot_option = click.option("--snapshot", metavar="REF", help="Catalog snapshot; default the latest.")
judgements_option = click.option("--judgements", metavar="REF", help="Default the latest exported.")


def _made(manifest: Any, *, machine: bool, text: str) -> None:
    value = {"ref": manifest.ref, "inputs": manifest.inputs, **manifest.info}
    answer(value, machine=machine, text=f"{text}\n  {manifest.ref}")


@main.command()
@as_json
@pass_session
def ingest(session: Session, machine: bool) -> None:
    """Read the feed and its images into a catalog snapshot."""
    from recsys.catalog import run

    manifest = run.run(*session.open())
    counts, diff = manifest.info["counts"], manifest.info["diff"]
    text = ", ".join(
        f"{value} {name.replace('_', ' ')}"
        for name, value in {**counts, **diff}.items()
        if isinstance(value, int)
    )
    _made(manifest, machine=machine, text=text)


@main.command()
@as_json
@pass_session
def judgements(session: Session, machine: bool) -> None:
    """Export what people judged on the page, for `train` and `evaluate`."""
    from recsys.feedback import run

    manifest = run.run(*session.open())
    counts = manifest.info["counts"]
    text = "judgements: {judgements}; pairs: {pairs} ({similar} similar, {not_similar} not similar, "
    text += "{duplicate} duplicates), and {ties} left out as ties"
    _made(manifest, machine=machine, text=text.format(**counts))


@main.command()
@snapshot_option
@judgements_option
@as_json
@pass_session
def train(session: Session, snapshot: str | None, judgements: str | None, machine: bool) -> None:
    """Fine-tune a challenger encoder on a snapshot."""
    from recsys import index, nightly
    from recsys.training import run
    from recsys.workspace.judgements import latest

    config, workspace = session.open()
    champion = index.live_encoder(config, workspace)
    snapshot = snapshot or nightly.latest_snapshot(workspace)
    manifest = run.run(config, workspace, snapshot, champion, judgements or latest(workspace))
    _made(manifest, machine=machine, text=f"trained a challenger in {manifest.info['duration_s']:.0f} s")


@main.command()
@snapshot_option
@click.option("--encoder", metavar="REF", help="Challenger; default the latest trained on the snapshot.")
@click.option("--champion", metavar="REF", help="Default the encoder in service.")
@judgements_option
@as_json
@pass_session
def evaluate(session: Session, snapshot: str | None, encoder: str | None, champion: str | None,
             judgements: str | None, machine: bool) -> None:  # fmt: skip
    """Judge the challenger against the encoder in service, and decide."""
    from recsys import index, nightly
    from recsys.evaluation import run
    from recsys.workspace.judgements import latest

    config, workspace = session.open()
    snapshot = snapshot or nightly.latest_snapshot(workspace)
    encoder = encoder or nightly.latest_challenger(workspace, snapshot).ref
    champion = champion or index.live_encoder(config, workspace)
    manifest = run.run(config, workspace, snapshot, encoder, champion, judgements or latest(workspace))
    reasons = "\n  ".join(manifest.info["reasons"])
    _made(
        manifest, machine=machine, text=f"{manifest.info['decision']}: {manifest.info['chosen']}\n  {reasons}"
    )


@main.command()
@snapshot_option
@click.option("--encoder", metavar="REF", help="Default the one the latest evaluation chose.")
@as_json
@pass_session
def embed(session: Session, snapshot: str | None, encoder: str | None, machine: bool) -> None:
    """Embed the products that the cache lacks."""
    from recsys import nightly
    from recsys.embedding import run

    config, workspace = session.open()
    snapshot = snapshot or nightly.latest_snapshot(workspace)
    encoder = (
        encoder
        or nightly.latest(workspace, "evaluations", made_by="evaluate", snapshot=snapshot).info["chosen"]
    )
    manifest = run.run(config, workspace, snapshot, encoder)
    _made(
        manifest,
        machine=machine,
        text=f"embedded {manifest.info['embedded']}, reused {manifest.info['reused']}",
    )


@main.command()
@snapshot_option
@as_json
@pass_session
def publish(session: Session, snapshot: str | None, machine: bool) -> None:
    """Publish the latest embeddings of a snapshot and switch the alias."""
    from recsys import nightly
    from recsys.index import run

    config, workspace = session.open()
    snapshot = snapshot or nightly.latest_snapshot(workspace)
    embeddings = nightly.latest(workspace, "embedding-sets", made_by="embed", snapshot=snapshot)
    manifest = run.run(config, workspace, snapshot, embeddings.ref)
    info = manifest.info
    _made(manifest, machine=machine, text=f"{info['action']}: alias {info['alias']} → {info['collection']}")


@main.command()
@snapshot_option
@as_json
@pass_session
def report(session: Session, snapshot: str | None, machine: bool) -> None:
    """Write the page that explains the latest publication of a snapshot."""
    from recsys import nightly

    config, workspace = session.open()
    snapshot = snapshot or nightly.latest_snapshot(workspace)
    publication = nightly.latest(workspace, "publications", made_by="publish", snapshot=snapshot)
    evaluation = nightly.latest(workspace, "evaluations", made_by="evaluate", snapshot=snapshot)
    refs = {
        "snapshot": snapshot,
        "challenger": evaluation.inputs["challenger"],
        "evaluation": evaluation.ref,
        "embeddings": nightly.latest(workspace, "embedding-sets", made_by="embed", snapshot=snapshot).ref,
        "publication": publication.ref,
    }
    manifest = nightly.write_report(config, workspace, f"by hand: {publication.id}", refs)
    _made(manifest, machine=machine, text=manifest.info["page"])


@main.command()
@click.option("--to", "target", metavar="COLLECTION", help="Default the one before the live one.")
@as_json
@pass_session
def rollback(session: Session, target: str | None, machine: bool) -> None:
    """Point the alias back at an earlier collection."""
    from recsys import index

    live = index.rollback(*session.open(), to=target)
    answer({"collection": live}, machine=machine, text=f"the alias points at {live}")
