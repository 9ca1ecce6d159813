import base64
import hashlib
import json
import re
import shlex
import shutil
import subprocess
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from recsys.errors import ArtifactError
from recsys.report import build, vectors
from recsys.workspace.holds import put_on_hold
from tests.report.nights import PUBLICATION, Nights, first_night, interval, products, rejection


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    return Nights(tmp_path / "workspace")


class Page(HTMLParser):
    """What a page holds: tags with their attributes, visible text, ids."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]


def report(
    nights: Nights, run_id: str = "manual__1", **changes: Any
) -> tuple[Page, dict[str, Any], str, str]:
    """Build a report; return the page parsed, the facts, the summary and the page's source."""
    manifest = build(nights.config, nights.workspace, run_id=run_id, **nights.refs(**changes))
    folder = nights.workspace.path(manifest)
    html = (folder / "report.html").read_text(encoding="utf-8")
    facts = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return Page(html), facts, (folder / "summary.txt").read_text(encoding="utf-8"), html


def test_a_catalog_of_words_alone_shows_no_empty_frames_and_no_score_of_images(nights: Nights) -> None:
    page, _, _, html = report(nights)
    assert ("54 have an image" in page.text, "how alike the images are" in page.text) == (True, True)
    assert (html.count('class="image"') > 0, 'class="words-only"' in html) == (True, False)
    wordy = [{**row, "images": []} for row in products(60)]
    page, _, _, html = report(nights, "manual__2", rows=wordy)
    assert "0 have an image" in page.text
    assert (html.count('class="image"'), 'class="words-only"' in html) == (0, True)
    assert "how alike" not in page.text
    assert "Product number 1" in page.text


def test_encoders_on_hold_are_shown_with_the_day_and_the_reason(nights: Nights) -> None:
    page, facts, summary, _ = report(nights)
    assert facts["holds"] == []
    assert "on hold" not in page.text + summary
    put_on_hold(nights.workspace, "encoders/e2", "rolled back to products__a__b")
    page, facts, summary, _ = report(nights, "manual__2", publication=PUBLICATION | {"action": "rollback"})
    said = f"encoders/e2 is on hold since {facts['holds'][0]['since']} (rolled back to products__a__b)."
    for text in (page.text, " ".join(summary.split())):
        assert said in text
        assert "A person went back to an earlier collection" in text


def test_a_promoting_night_is_told_in_every_section(nights: Nights) -> None:
    page, facts, summary, _ = report(nights)
    sections = [s["id"] for s in page.all("section")]
    assert sections == [
        "similar",
        "overlap",
        "catalog",
        "training",
        "metrics",
        "gate",
        "neighbours",
        "map",
        "monitoring",
        "index",
        "timings",
        "provenance",
    ]
    for words in (
        "A new encoder takes over: “Fine-tuned tonight”.",
        "60 products came in",
        "price that cannot be read",
        "A product finds its variants",
        "0.660 (0.630 to 0.690)",
        "The challenger gains 0.050 overall.",
        "not passed",
        "Socks: A product finds its variants: the challenger differs by −0.400",
        "however small, it may not fall to nothing or lose for certain, beyond",
        "names what is asked for: a loss counts here, a gain does not.",
        "Product number 1",
        "products__a__b",
        "1 min 1 s",
        "recsys similar P",
    ):
        assert words in page.text, words
    assert facts["evaluation"]["decision"] == "promote"
    assert set(facts["training"]["losses"]) == {"loss", "clip"}, "a schedule is no loss"
    assert len(facts["examples"]) == 3
    assert all(len(e["neighbours"]) == 5 for e in facts["examples"])
    for words in (
        "60 products accepted of 61 rows",
        "Champion (champion): gate score 0.610 (0.580 to 0.640)",
        "Fine-tuned tonight (challenger and in service): gate score 0.660",
        "because: The challenger gains",
        "products → products__a__b (300 products)",
        "3 embedded in 2.5 s, 57 vectors reused",
        "report.html",
        "recsys similar",
    ):
        assert words in summary, words


def test_of_a_task_that_does_not_gate_no_loss_is_said_to_count(nights: Nights) -> None:
    def shown_only(record: dict[str, Any]) -> None:
        record["tasks"][0]["gate"] = False

    page, _, _, _ = report(nights, evaluation=shown_only)
    assert "names what is asked for." in page.text
    assert "a loss counts here" not in page.text


@pytest.mark.parametrize(
    ("bag_of_words", "histogram", "said"),
    [
        (0.65, 0.1, []),
        (0.66, 0.1, ["A bag of words (0.660) reaches"]),
        (0.7, 0.8, ["A bag of words (0.700) and a colour histogram (0.800) reach"]),
    ],
)
def test_a_cheap_trick_that_reaches_the_encoder_in_service_is_said_in_red(
    nights: Nights, bag_of_words: float, histogram: float, said: list[str]
) -> None:
    def scored(record: dict[str, Any]) -> None:
        tricks = {"bag_of_words": interval(bag_of_words), "pixels": interval(histogram)}
        record["tasks"][0] |= {"baselines": tricks, "only_guards": False}

    _, _, _, html = report(nights, evaluation=scored)
    found = re.findall(r'<p class="warning">(.*?)</p>', html)
    rest = "what “Fine-tuned tonight” reaches (0.660): this score says little about the encoder."
    assert found == [f"{tricks} {rest}" for tricks in said]


def test_nothing_is_fetched_and_no_script_but_ours_may_run(nights: Nights) -> None:
    page, _, _, html = report(nights)
    for attributes in page.all("image", "img", "script", "link", "iframe", "source", "use"):
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/webp;base64,"))
    assert not page.all("link", "iframe", "object", "base", "form")
    assert "url(" not in html
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    scripts = re.findall(r"<script>(.*?)</script>", html, re.S)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert not [a for _, a in page.tags if any(name.startswith("on") for name in a)]


def test_every_image_that_is_used_is_there_once(nights: Nights) -> None:
    page, _, _, _ = report(nights)
    held = [i["id"] for i in page.all("image")]
    used = {(u["href"] or "").removeprefix("#") for u in page.all("use")}
    assert len(held) == len(set(held))
    assert used <= set(held)
    assert len(used) > 20


def test_the_page_is_accessible_in_outline(nights: Nights) -> None:
    page, _, _, _ = report(nights)
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert all(s.get("aria-label") for s in page.all("svg") if s.get("role") == "img")
    anchors = {(a["href"] or "")[1:] for a in page.all("a") if (a["href"] or "").startswith("#")}
    assert anchors <= {a.get("id") for _, a in page.tags}
    assert page.all("html")[0]["lang"] == "en"


HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 191 }}{% raw %}\x1b[31m'


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        " javascript:alert(1)",
        "data:text/html,x",
        "//evil.example/x",
        "http://[",
        "vbscript:x",
    ],
)
def test_feed_text_is_text_and_only_web_links_are_links(nights: Nights, link: str) -> None:
    rows = products(30)
    for row in rows:
        row |= {"title": HOSTILE, "brand": HOSTILE, "product_type": f"A > {HOSTILE}", "link": link}
    page, _, summary, html = report(
        nights,
        rows=rows,
        rejected=[rejection(message=HOSTILE, reason=HOSTILE, id=HOSTILE)],
        evaluation=lambda r: r.update(reasons=[HOSTILE]),
    )
    assert len(page.all("script")) == 1
    assert not page.all("img")
    assert "1337" not in html
    assert HOSTILE.replace("\x1b[31m", "") in page.text.replace("\x1b[31m", "")
    assert all((a["href"] or "").startswith("#") for a in page.all("a"))
    assert "\x1b" not in summary


def test_a_first_night_with_nothing_to_compare(nights: Nights) -> None:
    page, _, summary, _ = report(nights, rejected=[], evaluation=first_night)
    assert "There was no champion to compare with: “Zero-shot base” enters service." in page.text
    assert "Nothing was turned away." in page.text
    assert "No task had queries tonight." in page.text
    assert "There were no held-out products to show." in page.text
    assert "Zero-shot base (to beat and in service)" in summary


def test_a_night_on_which_nothing_was_trained_and_nothing_changed(nights: Nights) -> None:
    def keep(record: dict[str, Any]) -> None:
        record |= {"decision": "keep", "chosen": {"name": "champion", "ref": "encoders/c"}}
        record["candidates"][3] |= {"gate_score": None, "error": "It could not be loaded."}

    page, _, summary, _ = report(
        nights,
        challenger={"trained": False, "reason": "Every weight is frozen.", "fit": None},
        evaluation=keep,
        publication={"action": "nothing", "alias": "products", "collection": "c", "counts": {"total": 60}},
    )
    assert "The champion stays." in page.text
    assert "Nothing was trained tonight: Every weight is frozen." in page.text
    assert "It could not be loaded." in page.text
    assert "The index already showed this catalog" in page.text
    assert "Nothing had to change" in summary


LITTLE = "Nothing to learn from tonight: 3 of 60 products (5.0%) are new or changed, less than 9%."


def test_a_night_with_nothing_to_learn_from_shows_no_other_nights_figures(nights: Nights) -> None:
    page, facts, summary, html = report(nights, plan={"train": False, "sentence": LITTLE, "reasons": []})
    sections = [s["id"] for s in page.all("section")]
    assert sections == [
        "similar",
        "catalog",
        "training",
        "map",
        "monitoring",
        "index",
        "timings",
        "provenance",
    ]
    linked = [a["href"] or "" for a in page.all("a")]
    assert [link for link in linked if link.startswith("#")] == [f"#{section}" for section in sections]
    assert "Nothing to learn from tonight: the champion stays." in page.text
    assert LITTLE in page.text
    assert 'class="warning"' not in html
    assert "Fine-tuned tonight" not in page.text
    assert "A new encoder takes over" not in page.text + summary
    assert " ".join(summary.split()).count(LITTLE) == 1
    assert "The gate" not in summary
    evaluation = facts["evaluation"]
    assert (evaluation["decision"], evaluation["chosen"]["ref"]) == ("keep", "encoders/tuned")
    assert facts["training"]["losses"] == {}
    assert any(row["what"] == "training plan" for row in facts["provenance"])


def test_a_night_that_trained_says_why(nights: Nights) -> None:
    why = "Training tonight: 9 of 60 products to learn from (15.0%) are new or changed, at least 5%."
    page, _, summary, _ = report(nights, plan={"train": True, "sentence": why, "reasons": [why]})
    assert why in page.text
    assert "A new encoder takes over: “Fine-tuned tonight”." in page.text
    assert why in " ".join(summary.split())


@pytest.mark.parametrize("count", [1, 5])
def test_a_tiny_catalog_has_no_map_and_still_a_report(nights: Nights, count: int) -> None:
    page, facts, _, _ = report(nights, rows=products(count), evaluation=first_night)
    assert facts["map"] is None
    assert "map" not in [s["id"] for s in page.all("section")]


def test_products_that_are_gone_or_lack_words_and_images_are_shown_by_their_id(nights: Nights) -> None:
    rows = products(30)
    for row in rows:
        row |= {"title": None, "product_type": None, "price": None, "brand": None, "link": None, "images": []}

    def of_gone(record: dict[str, Any]) -> None:
        record["examples"][0] |= {"id": "GONE", "category": None, "change": None}

    page, facts, _, _ = report(nights, rows=rows, evaluation=of_gone)
    assert "GONE" in page.text
    assert len(facts["examples"]) == 3
    assert all(example["id"] in page.text for example in facts["examples"])


def test_building_again_returns_what_is_there_and_other_artifacts_give_another(nights: Nights) -> None:
    refs = nights.refs()
    first = build(nights.config, nights.workspace, run_id="r", **refs)
    assert build(nights.config, nights.workspace, run_id="r", **refs) == first
    assert build(nights.config, nights.workspace, run_id="s", **refs).id != first.id
    other = nights.refs(
        publication={"action": "nothing", "alias": "products", "collection": "c", "counts": {}}
    )
    assert build(nights.config, nights.workspace, run_id="r", **other).id != first.id
    assert Path(first.info["page"]).is_file()
    assert first.inputs["publication"] == refs["publication_ref"]
    with pytest.raises(ArtifactError):
        build(nights.config, nights.workspace, run_id="r", **(refs | {"snapshot_ref": "snapshots/none"}))


def test_the_page_stays_small_where_catalog_and_rejections_are_many(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "project_2d", lambda vectors, seed: vectors[:, :2] / 2 + 0.5)
    rejected = [
        rejection(row=n, id=f"X{n}", reason=f"reason_{n % 40}", scope=("product", "image", "value")[n % 3])
        for n in range(3000)
    ]
    page, facts, _, html = report(nights, rows=products(1800), rejected=rejected)
    assert len(html) < 4_000_000
    assert len(facts["catalog"]["rejected"]) < 160
    assert {r["reason"] for r in facts["catalog"]["rejected"]} == {f"reason_{n}" for n in range(40)}
    assert sum(r["count"] for r in facts["catalog"]["reasons"]) == 3000
    assert "of 1,800" in page.text


def test_a_browser_runs_it_without_a_complaint(nights: Nights, tmp_path: Path) -> None:
    browser = next(
        (p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None
    )
    if browser is None:
        pytest.skip("no Chromium on this machine")
    refs = nights.refs()
    manifest = build(nights.config, nights.workspace, run_id="browser", **refs)
    page = nights.workspace.path(manifest) / "report.html"
    probe = page.read_text(encoding="utf-8").replace(
        "</body>", "<script>document.title='ran'</script></body>"
    )
    (tmp_path / "probe.html").write_text(probe, encoding="utf-8")
    for path, complaint in (
        (page, False),
        (tmp_path / "probe.html", True),
    ):  # the probe shows that we would see it
        command = [
            browser,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            "--dump-dom",
        ]
        done = subprocess.run(
            [*command, f"--user-data-dir={tmp_path}/profile", path.as_uri()],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "</html>" in done.stdout
        complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        assert bool(complaints) == complaint, complaints


def test_on_a_phone_only_lists_scroll_sideways(nights: Nights) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine")
    manifest = build(nights.config, nights.workspace, run_id="phone", **nights.refs())
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = opened.new_page(viewport={"width": 390, "height": 800})
        page.goto((nights.workspace.path(manifest) / "report.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        opened.close()


def test_what_to_type_next_is_safe_to_paste(nights: Nights) -> None:
    rows = products(30)
    for row in rows:
        row |= {"id": f"{row['id']}'; rm -rf ~ #", "product_type": 'Mugs"; $(reboot) `id`'}
    _, facts, _, _ = report(nights, rows=rows, evaluation=first_night)
    for step in facts["next"]:
        assert shlex.split(step["command"])[0] == "recsys"
        assert len(shlex.split(step["command"])) <= 4
        assert not set("$`;") & set(step["command"].replace("'; rm", ""))
