"""Train the sample tower: ``python -m examples.sample_shop.pretraining --help``, from the checkout's root."""

import logging
import shutil
from functools import partial
from pathlib import Path

import click
import cv2
import torch
from safetensors.torch import save_file

from examples.sample_shop.pretraining import held_out, training_set
from examples.sample_shop.pretraining.card import metadata, model_card
from examples.sample_shop.pretraining.fit import STAGES, fit
from examples.sample_shop.pretraining.other_shops import TRAINING_SEEDS
from recsys.encoder.towers.small_tower import DEFAULT_SIZE, SmallTower
from recsys.encoder.towers.weights import SAMPLE_WEIGHTS

logger = logging.getLogger(__name__)

FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--scratch", type=click.Path(path_type=Path), required=True, help="Folder of the training set.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=SAMPLE_WEIGHTS.parent, help="Folder of the result."
)
@click.option("--shops", default=len(TRAINING_SEEDS), help="How many shops to learn from.")
@click.option("--seed", default=0, help="Another seed, another tower.")
@click.option("--threads", default=1, help="Cores that work, where there is no GPU.")
def main(scratch: Path, out: Path, shops: int, seed: int, threads: int) -> None:
    """Draw shops, train a small image tower on them, write its weights and its card.

    What lies in the scratch folder is not made again: the training set, the tower after each stage.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    for folder in (scratch, out):
        folder.mkdir(parents=True, exist_ok=True)
    seeds = TRAINING_SEEDS[:shops]
    data = training_set.draw(scratch, seeds)
    others = [held_out.draw_shop(one) for one in held_out.SEEDS]
    untrained = SmallTower(image_size=DEFAULT_SIZE, features=data.texts.shape[1])
    scores = {"untrained": held_out.scores_of(untrained, others)}
    tower = None
    for name, stage in STAGES.items():
        path = scratch / f"{name}.safetensors"
        if not path.exists():
            tower = fit(data, stage, tower, seed=seed, validate=partial(held_out.scores_of, shops=others))
            state = {key: tensor.half().contiguous() for key, tensor in tower.state_dict().items()}
            save_file(state, path, metadata=metadata(seeds))
        tower = SmallTower.sample(path)
        scores[f"after the {name} stage"] = held_out.scores_of(tower, others)
        logger.info("after the %s stage: %s", name, scores[f"after the {name} stage"])
    how = "on a GPU" if torch.cuda.is_available() else f"on {threads} core of a CPU"
    shutil.copyfile(path, out / SAMPLE_WEIGHTS.name)
    card = model_card(data, seeds, STAGES, f"{how}, seed {seed}", scores)
    (out / SAMPLE_WEIGHTS.with_suffix(".md").name).write_text(card, encoding="utf-8")


main()
