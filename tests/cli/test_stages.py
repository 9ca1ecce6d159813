"""The verbs that make something: what they print, as text and as JSON, and why they refuse."""

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import click.testing
import pytest

from recsys import config, index, nightly
from recsys.cli import main
from recsys.workspace import Workspace, open_workspace
from recsys.workspace.holds import holds, put_on_hold
from tests.cli.conftest import NIGHT, Cli
from tests.workspace.test_checksums import flip
from tests.workspace.test_store import commit

SAYS = {
    "ingest": "80 products",
    "judgements": "judgements: 0; pairs: 0",
    "train": "trained a challenger in",
    "evaluate": "promote: encoders/",
    "embed": "embedded 80, reused 0",
    "publish": "build: alias products → products__",
    "report": "report.html",
}


@pytest.fixture(scope="session")
def workspace(shop: Path) -> Workspace:
    return open_workspace(config.load(shop))


def printed(result: click.testing.Result) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("verb", NIGHT)
def test_a_stage_says_what_it_made_and_names_the_artifact(
    night: dict[str, click.testing.Result], workspace: Workspace, verb: str
) -> None:
    assert night[verb].exit_code == 0, night[verb].stderr
    assert SAYS[verb] in night[verb].stdout
    assert workspace.get(night[verb].stdout.split()[-1]).ref


@pytest.mark.usefixtures("night")
@pytest.mark.parametrize("verb", NIGHT)
def test_a_stage_prints_its_manifest_as_json(cli: Cli, workspace: Workspace, verb: str) -> None:
    made = printed(cli(verb, "--json"))
    manifest = workspace.get(made["ref"])
    assert made["inputs"] == manifest.inputs
    assert manifest.info.keys() <= made.keys()


@pytest.mark.usefixtures("night")
def test_a_night_with_little_to_learn_from_trains_and_evaluates_nothing(shop: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(shop.parent, folder, ignore=shutil.ignore_patterns("readers"))  # a server may open one
    with (folder / "feed.csv").open("a") as feed:
        feed.write("p99,red thing 3 1,red,Acme,red-3,1.jpg\n")
    tonight = open_workspace(config.load(folder / "shop.toml"))

    def run(*arguments: str) -> click.testing.Result:
        result = click.testing.CliRunner().invoke(main, ["--config", str(folder / "shop.toml"), *arguments])
        assert result.exit_code == 0, result.stderr
        return result

    made = {kind: len(tonight.list(kind)) for kind in ("encoders", "evaluations", "splits")}
    run("ingest")
    champion = json.loads(run("status", "--json").stdout)["encoder"]
    said = run("train").stdout
    assert said.startswith("Nothing to learn from tonight: 1 of ")
    assert f"{champion} stays; `recsys train --force` trains anyway" in said
    assert json.loads(run("train", "--json").stdout)["train"] is False
    assert f"to evaluate; {champion} stays" in run("evaluate").stdout
    assert json.loads(run("evaluate", "--json").stdout)["chosen"] == champion
    assert "embedded 1, reused 80" in run("embed").stdout
    assert "incremental: alias products" in run("publish").stdout
    assert json.loads(run("status", "--json").stdout)["num_products"] == 81
    page = Path(run("report").stdout.split()[0]).read_text()
    assert "Nothing to learn from tonight: 1 of " in page
    assert "Nothing to learn from tonight: the champion stays." in run("summary").stdout
    assert made == {kind: len(tonight.list(kind)) for kind in made}  # the holdout was not asked

    forced = run("train", "--force").stdout
    assert forced.startswith("Training tonight: it was asked for.\ntrained a challenger in")
    challenger = forced.split()[-1]
    assert json.loads(run("evaluate", "--json").stdout)["inputs"]["challenger"] == challenger
    run("embed")
    run("publish")
    page = Path(run("report").stdout.split()[0]).read_text()
    assert "Training tonight: it was asked for." in page
    assert "Nothing to learn" not in page
    assert run("train").stdout.startswith("Nothing to learn from tonight: 0 of ")


def test_another_encoder_is_published_and_rolled_back(
    night: dict[str, click.testing.Result], cli: Cli
) -> None:
    before = printed(cli("status", "--json"))
    challenger = night["train"].stdout.split()[-1]
    assert printed(cli("embed", "--encoder", challenger, "--json"))["embedded"] == 80
    assert printed(cli("publish", "--json"))["collection"] != before["collection"]
    assert printed(cli("status", "--json"))["encoder"] == challenger
    said = cli("rollback").stdout
    assert said.startswith(f"rollback: alias products → {before['collection']}, which shows snapshots/")
    assert f"on hold from now on: {challenger} (recsys holds --lift {challenger} ends it)" in said
    assert printed(cli("status", "--json"))["encoder"] == before["encoder"]
    nowhere = cli("rollback", "--to", "nowhere", "--json")
    assert (nowhere.exit_code, nowhere.stdout) == (1, "")
    assert "no collection 'nowhere'" in nowhere.stderr


@pytest.mark.usefixtures("night")
def test_a_rollback_shows_todays_catalog_or_says_how_to_go_back_without_it(
    shop: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(shop.parent, folder, ignore=shutil.ignore_patterns("readers"))  # a server may open one
    loaded = config.load(folder / "shop.toml")
    tonight = open_workspace(loaded)

    def run(*arguments: str) -> click.testing.Result:
        return click.testing.CliRunner().invoke(main, ["--config", str(folder / "shop.toml"), *arguments])

    before = printed(run("status", "--json"))
    other = next(m.ref for m in tonight.list("encoders") if m.ref != before["encoder"])
    run("holds", "--lift", other)  # whatever other tests left
    run("embed", "--encoder", other)
    assert run("publish").exit_code == 0
    with (folder / "feed.csv").open("a") as feed:
        feed.write("p99,red thing 3 1,red,Acme,red-3,1.jpg\n")
    run("ingest")

    encoder = tonight.get(before["encoder"])
    kept = tmp_path / "kept"
    shutil.move(tonight.path(encoder), kept)
    refused = run("rollback")
    assert refused.exit_code == 1
    assert f"is not embedded under {encoder.ref}, which is gone." in refused.stderr
    assert f"recsys rollback --to {before['collection']} --as-it-was" in refused.stderr
    assert printed(run("status", "--json"))["encoder"] == other
    shutil.move(kept, tonight.local / encoder.ref)

    made = nightly.rollback_once(loaded, tonight, "the run", None, as_it_was=False)
    assert made.info["audit"]["checks"]["encoded anew"] == "ok"
    assert made.info["counts"]["new"] == 1
    live = printed(run("status", "--json"))
    assert (live["encoder"], live["num_products"]) == (before["encoder"], before["num_products"] + 1)
    assert live["snapshot"] == tonight.read_pointer("catalog")["snapshot"]
    assert list(holds(tonight)) == [other]
    assert nightly.rollback_once(loaded, tonight, "the run", None, as_it_was=False) == made  # a cleared task

    gone = run(
        "rollback", "--to", printed(run("status", "--json"))["previous"][0]["collection"], "--as-it-was"
    )
    assert (gone.exit_code, gone.stdout.split(":")[0]) == (0, "rollback")


def test_status_and_summary_speak_of_the_night(night: dict[str, click.testing.Result], cli: Cli) -> None:
    status = printed(cli("status", "--json"))
    assert (status["alias"], status["num_products"]) == ("products", 80)
    assert f"encoder  {status['encoder']}" in cli("status").stdout
    assert "80 products" in cli("summary").stdout
    assert printed(cli("summary", "--json"))["run_id"].startswith("by hand")


@pytest.mark.parametrize(
    ("verb", "says"),
    [
        ("ingest", "feed.csv"),
        ("train", "ingest"),
        ("evaluate", "ingest"),
        ("embed", "ingest"),
        ("publish", "ingest"),
        ("report", "ingest"),
        ("refresh", "Nothing was published yet"),
        ("rollback", "No other encoder was published before"),
        ("summary", "report"),
        ("similar x", "Nothing was published yet"),
        ("search --text x", "Nothing was published yet"),
    ],
)
def test_a_verb_before_its_time_says_what_is_missing_and_what_to_do(
    tmp_path: Path, verb: str, says: str
) -> None:
    path = tmp_path / "empty.toml"
    path.write_text('[catalog]\nfeed = "feed.csv"\n[workspace]\nroot = "workspace"\n')
    result = click.testing.CliRunner().invoke(main, ["--config", str(path), *verb.split()])
    assert (result.exit_code, result.stdout) == (1, "")
    assert says in result.stderr
    assert "\n  to fix: " in result.stderr


def test_scrub_names_what_is_damaged_and_deletes_it_when_told(tmp_path: Path) -> None:
    store = Workspace(tmp_path)
    refs = [commit(store, id) for id in ("a1", "a2")]
    flip(tmp_path / refs[0] / "deep" / "file.txt")

    def scrub(*arguments: str) -> click.testing.Result:
        environment = {"RECSYS_WORKSPACE": str(tmp_path)}
        return click.testing.CliRunner(env=environment).invoke(main, ["scrub", *arguments])

    found = scrub()
    assert (found.exit_code, found.stdout.split("\n")[0]) == (1, "read 2 artifacts, 0.0 MB; 1 damaged")
    assert f"{refs[0]} is damaged: deep/file.txt" in found.stdout
    assert store.find_ref(refs[0])
    assert list(printed(scrub("--delete", "--json"))["damaged"]) == [refs[0]]
    assert [manifest.ref for manifest in store.list("things")] == [refs[1]]
    assert printed(scrub("--json"))["damaged"] == {}
    assert printed(scrub("--days", "1", "--json"))["num_read"] == 0


@pytest.mark.usefixtures("night")
def test_an_audit_says_that_nothing_is_wrong_or_what_was_built_anew(shop: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(shop.parent, folder, ignore=shutil.ignore_patterns("readers"))  # a server may open one
    loaded = config.load(folder / "shop.toml")

    def run(*arguments: str) -> click.testing.Result:
        return click.testing.CliRunner().invoke(main, ["--config", str(folder / "shop.toml"), *arguments])

    assert run("audit").stdout == "nothing is wrong\n"
    assert printed(run("audit", "--repair", "--json")) == {"ref": None}
    with contextlib.closing(index.open_index(loaded, open_workspace(loaded))) as opened:
        live = opened.open()
        with opened.change(live.name, pending="") as writer:
            writer.delete(["p01"])
            writer.commit(live.metadata)
    assert "recsys audit --repair" in run("audit").stderr
    said = run("audit", "--repair").stdout
    assert "79 products, expected 80: 1 absent (p01)" in said
    assert f"\n  built anew: alias products → {printed(run('status', '--json'))['collection']}\n" in said


def test_holds_are_listed_and_lifted(tmp_path: Path) -> None:
    put_on_hold(Workspace(tmp_path), "encoders/e2", "rolled back")

    def run(*arguments: str) -> click.testing.Result:
        environment = {"RECSYS_WORKSPACE": str(tmp_path)}
        return click.testing.CliRunner(env=environment).invoke(main, ["holds", *arguments])

    assert run().stdout.startswith("encoders/e2 since ")
    assert printed(run("--lift", "encoders/e2", "--json")) == {}
    assert run().stdout == "no encoder is on hold\n"
    assert "not on hold" in run("--lift", "encoders/e2").stderr
