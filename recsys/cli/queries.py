"""The verbs that answer something: status, similar, search, summary, config."""

from contextlib import closing
from pathlib import Path
from typing import Any

import click

from recsys.cli import Session, answer, as_json, main, pass_session
from recsys.errors import InputError

weight_option = click.option(
    "--image-weight",
    type=click.FloatRange(0, 1),
    help="1 is images only, 0 text only. By default: products as encoders are judged, words alone mostly "
    "by text, an image alone mostly by images.",
)
limit_option = click.option("--limit", type=click.IntRange(1, 1000), default=10, show_default=True)


@main.command()
@as_json
@pass_session
def status(session: Session, machine: bool) -> None:
    """Say what is live: alias, collection, encoder, snapshot, counts, freshness."""
    from recsys import index

    value = index.status(*session.open())
    lines = [f"{name.replace('_', ' '):>12}  {item}" for name, item in value.items()]
    answer(value, machine=machine, text="\n".join(lines))


@main.command()
@click.argument("product_id")
@weight_option
@limit_option
@as_json
@pass_session
def similar(session: Session, product_id: str, image_weight: float | None, limit: int, machine: bool) -> None:
    """List the products most similar to PRODUCT_ID."""
    from recsys import index

    config, workspace = session.open()
    if image_weight is None:
        image_weight = config.evaluation.image_weight
    with closing(index.open_index(config, workspace)) as opened:
        neighbours = index.similar(opened.open(), product_id, limit=limit, image_weight=image_weight)
    _show(neighbours, machine=machine)


@main.command()
@click.option("--text", help="Words to look for.")
@click.option(
    "--image", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="An image to look for."
)
@weight_option
@limit_option
@as_json
@pass_session
def search(
    session: Session,
    text: str | None,
    image: Path | None,
    image_weight: float | None,
    limit: int,
    machine: bool,
) -> None:
    """Find products by words, by an image, or both."""
    if text is None and image is None:
        raise InputError("Nothing to search for.", fix="Give --text, --image, or both.")
    from recsys import index
    from recsys.encoder import ProductEncoder
    from recsys.search.query_vector import usual_weight
    from recsys.workspace.normalise import Normalisation, normalise

    config, workspace = session.open()
    if image_weight is None:
        image_weight = usual_weight(text, image, judged=config.evaluation.image_weight)
    with closing(index.open_index(config, workspace)) as opened:
        live = opened.open()
        encoder = ProductEncoder.load(workspace.path(workspace.get(live.metadata.encoder)))
        jpeg = normalise(image.read_bytes(), Normalisation.of(config.catalog.images)).jpeg if image else None
        pixels, words = encoder.embed_query(text=text, jpeg=jpeg)
        neighbours = index.search(live, image=pixels, text=words, limit=limit, image_weight=image_weight)
    _show(neighbours, machine=machine)


@main.command()
@as_json
@pass_session
def summary(session: Session, machine: bool) -> None:
    """Say what the last night did, in words."""
    from recsys import nightly

    _, workspace = session.open()
    report = nightly.latest(workspace, "reports", made_by="report")
    folder = workspace.path(report)
    answer(report.info, machine=machine, text=(folder / "summary.txt").read_text(encoding="utf-8"))


@main.command("config")
@click.option("--reference", "show_reference", is_flag=True, help="Every setting, as Markdown.")
@pass_session
def show_config(session: Session, show_reference: bool) -> None:
    """Show the configuration in force."""
    from recsys.config import reference

    if show_reference:
        click.echo(reference.markdown(), nl=False)
    else:
        config, _ = session.open()
        click.echo(config.model_dump_json(indent=2, exclude={"index": {"api_key"}}))


def _show(neighbours: list[Any], *, machine: bool) -> None:
    rows = [n._asdict() for n in neighbours]
    lines = [f"{'score':>6} {'image':>6} {'text':>6}  id, title"]
    for row in rows:
        title = (row.get("payload") or {}).get("title") or ""
        lines.append(
            f"{row['score']:6.3f} {row['image_score']:6.3f} {row['text_score']:6.3f}  {row['id']}  {title}"
        )
    answer(rows, machine=machine, text="\n".join(lines))
