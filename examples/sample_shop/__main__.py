"""Draw the sample shop: ``python -m examples.sample_shop --next-night``, from the root of the checkout."""

import logging
from pathlib import Path

import click

from examples.sample_shop import run
from recsys import config
from recsys.errors import RecsysError


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder; by default the one where the config ($RECSYS_CONFIG) looks for its feed.",
)
@click.option("--products", default=600, help="How many products the first night has.")
@click.option("--seed", default=0, help="Another seed, another shop.")
@click.option("--night", default=1, help="The catalog of this night: 1 % changes each night.")
@click.option("--next-night", is_flag=True, help="The night after the one in the folder.")
@click.option("--image-size", default=512, help="Side of an image, pixels.")
def main(out: Path | None, products: int, seed: int, night: int, next_night: bool, image_size: int) -> None:
    """Draw a sample shop: its feed and its images, as they stand on one night."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    try:
        if out is None:
            loaded = config.load()
            out = Path(loaded.resolve(loaded.catalog.feed)).parent
        if next_night:
            night = run.last_night(out) + 1
        made = run.run(out, num_products=products, seed=seed, night=night, image_size=image_size)
    except RecsysError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"night {made['night']}: {made['products']} products in {made['feed']}")


main()
