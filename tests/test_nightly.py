"""A night as a whole: a retried task decides as before; which encoder serves where nothing was trained."""

from pathlib import Path

import pytest

from recsys import index, nightly
from recsys.config import Config, WorkspaceConfig
from recsys.errors import ArtifactError, DamagedError, InputError
from recsys.workspace import Workspace
from recsys.workspace.holds import lift_hold, put_on_hold
from tests.training.nights import CHAMPION, Nights, judgements, products, redate
from tests.training.shop import store
from tests.workspace.test_checksums import flip
from tests.workspace.test_store import commit

RUN = "scheduled__tonight"


@pytest.fixture
def nights(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Nights:
    made = Nights(workspace, Config(), products(50))
    for ref in (made.evaluation, made.challenger, made.snapshot):
        redate(workspace, ref, -1)
    monkeypatch.setattr(index, "live_encoder", lambda *_: CHAMPION)
    assert nightly.champion_at_start(made.config, workspace, RUN) == CHAMPION
    return made


def test_a_champion_that_is_gone_is_none_and_one_that_is_damaged_is_one(nights: Nights) -> None:
    workspace, config = nights.workspace, nights.config
    flip(Path(workspace.root) / CHAMPION / "weights")
    assert nightly.find_champion(config, workspace) == CHAMPION
    with pytest.raises(DamagedError, match=r"restore its folder from a backup.*recsys rollback"):
        workspace.path(workspace.get(CHAMPION))
    workspace.delete_ref(CHAMPION)
    assert nightly.find_champion(config, workspace) is None
    assert nightly.champion_at_start(config, workspace, RUN) == CHAMPION  # as the run began
    assert nightly.champion_at_start(config, workspace, "scheduled__tomorrow") is None
    with pytest.raises(ArtifactError, match=r"restore its folder from a backup"):
        workspace.get(CHAMPION)


def refs(snapshot: str, judged: str | None = None) -> dict[str, str | None]:
    return {"snapshot": snapshot, "champion": CHAMPION, "judgements": judged}


def test_a_run_decides_after_its_own_evaluation_as_it_did_before(nights: Nights) -> None:
    workspace, config = nights.workspace, nights.config
    snapshot = store(workspace, [(row, []) for row in products(60)], "tonight")
    before = nightly.plan_training(config, workspace, refs(snapshot), run_id=RUN)
    assert before.info["train"]
    nights.snapshot = snapshot
    tonight = nights.train("tonight", workspace.get(nights.challenger).inputs["splits"])
    nights.evaluate("tonight", tonight)  # the gate left the champion in service
    nights.embed({row["id"]: [1.0] * 8 for row in products(60)})
    assert nightly.plan_training(config, workspace, refs(snapshot), run_id=RUN) == before
    by_hand = nightly.plan_training(config, workspace, refs(snapshot))
    assert not by_hand.info["train"]
    tomorrow = nightly.plan_training(config, workspace, refs(snapshot), run_id="tomorrow")
    assert tomorrow == by_hand  # what the gate refused is not tried again


def test_a_decision_counts_from_the_evaluation_that_last_chose_the_champion(nights: Nights) -> None:
    nights.evaluate("of another", nights.challenger, chosen="encoders/another")
    older = nights.embed({"P0": [1.0] * 8}, "older")
    newer = nights.embed({"P0": [1.0] * 8, "P1": [1.0] * 8}, "newer")
    nights.embed({"P0": [1.0] * 8}, "another", encoder="encoders/another")
    made = nightly.plan_training(nights.config, nights.workspace, refs(nights.snapshot))
    assert made.inputs["evaluation"] == nights.evaluation
    assert made.inputs["embeddings"] == newer != older


def test_judgements_of_nobody_are_none(nights: Nights) -> None:
    empty = judgements(nights.workspace, {})
    made = nightly.plan_training(nights.config, nights.workspace, refs(nights.snapshot, empty))
    assert made == nightly.plan_training(nights.config, nights.workspace, refs(nights.snapshot))


def test_the_encoder_in_service_serves_a_night_that_did_not_train(nights: Nights) -> None:
    workspace = nights.workspace
    snapshot = store(workspace, [(row, []) for row in products(51)], "tonight")
    with pytest.raises(InputError, match="no evaluations"):
        nightly.latest_evaluation(workspace, snapshot)
    plan = nightly.plan_training(nights.config, workspace, refs(snapshot))
    assert not plan.info["train"]
    assert nightly.latest_plan(workspace, snapshot) == plan
    assert nightly.latest_plan(workspace, nights.snapshot) is None
    assert nightly.latest_evaluation(workspace, snapshot).ref == nights.evaluation
    nights.snapshot = snapshot
    by_hand = nights.evaluate("by hand", nights.challenger, chosen="encoders/another")
    assert nightly.latest_evaluation(workspace, snapshot).ref == by_hand


def test_a_forced_plan_asks_for_an_evaluation(nights: Nights) -> None:
    workspace, snapshot = nights.workspace, nights.snapshot
    nightly.plan_training(nights.config, workspace, refs(snapshot))
    assert nightly.latest_evaluation(workspace, snapshot).ref == nights.evaluation
    forced = nightly.plan_training(nights.config, workspace, refs(snapshot), force=True)
    assert forced.info["train"]
    assert nightly.latest_plan(workspace, snapshot) == forced


def test_the_scrub_of_a_night_alarms_by_name(workspace: Workspace) -> None:
    config = Config(workspace=WorkspaceConfig(scrub_days=0))
    refs = [commit(workspace, id) for id in ("a1", "a2")]
    assert nightly.scrub(config, workspace) == 2
    flip(workspace.local / refs[0] / "deep" / "file.txt")
    for settings in (config, Config()):  # every night, though all was read within the week
        with pytest.raises(DamagedError, match=rf"{refs[0]} is damaged: deep/file.txt .*\n.*scrub --delete"):
            nightly.scrub(settings, workspace)


def test_an_encoder_on_hold_is_not_chosen_until_the_hold_is_lifted(nights: Nights) -> None:
    workspace = nights.workspace
    evaluation = workspace.get(nights.evaluate("tonight", "encoders/rejected", chosen="encoders/rejected"))
    put_on_hold(workspace, "encoders/rejected", "by hand")
    assert nightly.encoder_to_serve(nights.config, workspace, evaluation) == CHAMPION
    lift_hold(workspace, "encoders/rejected")
    assert nightly.encoder_to_serve(nights.config, workspace, evaluation) == "encoders/rejected"
