"""The whole way round: what is said on the page tonight's training learns from, and the next answer obeys."""

import re
from typing import Any

from playwright.sync_api import expect

from recsys.config import Config
from recsys.evaluation import run as evaluation
from recsys.feedback import run as feedback
from recsys.training import run as training
from recsys.workspace.splits import HOLDOUT, TRAIN, read_splits
from tests.serving.page.conftest import Open, Shop
from tests.serving.page.looks import act, cards, messages


def night(config: Config) -> Config:
    """The shop's configuration, trained for seconds."""
    quick = {"max_epochs": 1, "epoch_steps": 2, "num_workers": 0}
    quick |= {"sampler": {"batch_size": 16, "items_per_class": 2}}
    return Config.model_validate(config.model_dump() | {"training": quick})


def sides(config: Config, shop: Shop) -> dict[str, str]:
    """Which side of tonight's split each product is on."""
    splits = training.make_splits(config, shop.workspace, shop.live.view().snapshot_ref)
    table = read_splits(shop.workspace, splits.ref)
    return dict(zip(table.column("id").to_pylist(), table.column("split").to_pylist(), strict=True))


def test_what_is_said_is_learnt_tonight_and_obeyed_at_once(open_page: Open, shop: Shop, site: str) -> None:
    config = night(shop.config)
    side = sides(config, shop)
    asked = next(i for i in sorted(side) if side[i] == TRAIN)
    page = open_page(f"/similar/{asked}?variants=all")
    expect(cards(page).first).to_be_visible()
    shown = [card.get_attribute("data-id") for card in cards(page).all()]
    learnt = [i for i in shown if side[i] == TRAIN][:2]
    held_out = next(i for i in shown if side[i] == HOLDOUT)
    pinned = shown[-1]

    act(page, pinned, "Pin")
    expect(cards(page).first).to_have_attribute("data-id", pinned)
    answer: dict[str, Any] = page.request.get(f"{site}/v1/products/{asked}/similar?limit=1").json()
    assert [item["id"] for item in answer["items"]] == [pinned]
    assert answer["items"][0]["pinned"]

    for id, label in ((learnt[0], "Similar"), (learnt[1], "Not similar"), (held_out, "Similar")):
        act(page, id, label)
        expect(messages(page)).to_contain_text(re.compile(label, re.IGNORECASE))
        expect(page.locator(f".card[data-id={id}] .badge.{label.lower().replace(' ', '_')}")).to_be_visible()

    snapshot = shop.live.view().snapshot_ref
    silent = training.run(config, shop.workspace, snapshot)
    said = feedback.run(config, shop.workspace)
    taught = training.run(config, shop.workspace, snapshot, None, said.ref)
    counts = taught.info["counts"]["supervision"]["judgements"]
    assert (counts["trained_on"], counts["similar"], counts["not_similar"]) == (2, 1, 1)
    assert counts["holdout"] == 1  # asked of the gate, and so never learnt from
    assert taught.ref != silent.ref
    assert taught.inputs["judgements"] == said.ref

    judged = evaluation.run(config, shop.workspace, snapshot, taught.ref, None, said.ref)
    assert judged.inputs["judgements"] == said.ref
