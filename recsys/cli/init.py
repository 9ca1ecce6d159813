"""The verb that writes a first config: it looks at a feed and needs no config itself."""

from pathlib import Path

import click

from recsys.cli.options import json_option, show
from recsys.errors import InputError


@click.command()
@click.argument("feed")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default="recsys.toml",
    show_default=True,
    help="The file to write.",
)
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@click.option(
    "--weights",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Pretrained weights (.safetensors) of a timm model, for the image tower.",
)
@click.option("--backbone", metavar="NAME", help="That model, if the name of the weights does not begin so.")
@click.option(
    "--rows", type=click.IntRange(1), default=20_000, show_default=True, help="Rows to read at most."
)
@json_option
def init(
    feed: str,
    output: Path,
    force: bool,
    weights: Path | None,
    backbone: str | None,
    rows: int,
    as_json: bool,
) -> None:
    """Look at FEED, a path or a URL, and write a config that works, each setting with what was found."""
    from recsys import config
    from recsys.proposal.run import propose
    from recsys.proposal.toml import write_toml

    if output.exists() and not force:
        raise InputError(f"{output} exists already.", fix="Give --output another name, or --force.")
    if not output.parent.is_dir():
        raise InputError(f"There is no folder {output.parent}.", fix="Make it, or give another --output.")
    if backbone and not weights:
        raise InputError("--backbone names the model of weights.", fix="Give --weights their path.")
    proposal = propose(feed, output.parent, weights=weights, backbone=backbone, max_rows=rows)
    partial = output.with_name(f".{output.name}.part")
    try:
        partial.write_text(write_toml(proposal), encoding="utf-8", errors="replace")
        config.load(partial)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    profile = proposal.profile
    value = {
        "config": str(output),
        "format": proposal.sample.format,
        "rows": len(proposal.sample.records),
        "products": profile.num_products,
        "with_image": profile.num_with_image,
        "with_text": profile.num_with_text,
        "groups": profile.num_groups,
        "category_classes": profile.category.num_classes if profile.category else 0,
        "columns": {target: source for target, (source, _) in proposal.guess.columns.items()},
        "trains": proposal.trains,
    }
    text = (
        f"{output}: {profile.num_products:,} products, {profile.num_with_image:,} with an image, "
        f"{profile.num_with_text:,} with words\n  read it, then: recsys --config {output} ingest"
    )
    show(value, as_json=as_json, text=text)


VERBS = (init,)
