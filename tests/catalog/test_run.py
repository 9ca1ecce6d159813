"""The stage end to end on small feeds: what is accepted, what is rejected, what a second night costs."""

import json
import os
import signal
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest
import simplejpeg
from PIL import Image

from recsys.catalog import ingest_images
from recsys.catalog import rows as rows_module
from recsys.catalog.run import run
from recsys.config import CatalogConfig, Config
from recsys.errors import DamagedError, GuardError, InputError
from recsys.workspace import Manifest, Workspace, decoding
from recsys.workspace.snapshot import Snapshot, snapshot_order
from tests.catalog.made_images import encode, jpeg, write
from tests.catalog.web import Request, Response, Web
from tests.workspace.test_checksums import flip
from tests.workspace.test_decoding import FRAGILE

Row = dict[str, Any]


def _feed(folder: Path, rows: list[Row], name: str = "feed.jsonl") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _config(
    feed: Path | str, *, images: Row | None = None, guards: Row | None = None, **settings: Any
) -> Config:
    quick = {
        "allow_private_addresses": True,
        "backoff_s": 0.01,
        "retries": 1,
        "timeout_s": 5,
        "shard_size": 4,
    }
    values = {"feed": str(feed), "images": quick | (images or {}), "guards": guards or {}} | settings
    return Config(catalog=CatalogConfig.model_validate(values))


def _rows(count: int = 10) -> list[Row]:
    return [
        {"id": f"p{i}", "title": f"Mug {i}", "price": f"{i}.50 EUR", "image_link": f"images/{i}.jpg"}
        for i in range(count)
    ]


def _products(workspace: Workspace, manifest: Manifest) -> dict[str, Row]:
    rows = Snapshot.open(workspace, manifest.ref).table().to_pylist()
    return {row["id"]: row for row in rows}


def _rejected(workspace: Workspace, manifest: Manifest) -> list[tuple[str, str, str]]:
    rows = Snapshot.open(workspace, manifest.ref).rejected().to_pylist()
    return [(row["id"], row["scope"], row["reason"]) for row in rows]


def test_images_that_crash_or_hang_a_decoder_cost_themselves(
    shop: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, mark in (("3", b"CRASH"), ("5", b"HANG")):
        write(shop, f"images/{name}.jpg", jpeg(seed=int(name)) + mark)
    config = _config(_feed(shop, _rows()), images={"decode_timeout_s": 3, "decode_workers": 1})
    with monkeypatch.context() as patch:
        patch.setattr(decoding, "_COMMAND", FRAGILE)
        manifest = run(config, workspace)
    assert _rejected(workspace, manifest) == [
        ("p3", "image", "decode_crashed"),
        ("p5", "image", "decode_timeout"),
    ]
    images = {id: bool(row["images"]) for id, row in _products(workspace, manifest).items()}
    assert images == {f"p{i}": i not in (3, 5) for i in range(10)}
    manifest = run(config, workspace)
    assert _rejected(workspace, manifest) == [], "another night looks again"


def test_a_feed_becomes_a_snapshot(shop: Path, workspace: Workspace) -> None:
    manifest = run(_config(_feed(shop, _rows()), columns={"brand": "marque"}), workspace)
    products = _products(workspace, manifest)
    assert list(products) == [f"p{i}" for i in range(10)]
    assert (products["p3"]["price"], products["p3"]["currency"]) == (3.5, "EUR")
    store = Snapshot.open(workspace, manifest.ref).images()
    assert [store.jpeg(products["p3"]["images"][0])] == [jpeg(seed=3)]
    assert manifest.info["counts"]["images"] == 10
    assert len(manifest.info["image_shards"]) == 3  # of at most four images each
    assert manifest.info["diff"]["new"] == 10
    assert manifest.info["unseen_columns"] == ["marque"]  # named in the configuration, not in the feed
    assert (workspace.read_pointer("catalog") or {})["snapshot"] == manifest.ref


def test_everything_wrong_is_reported_and_the_rest_is_accepted(shop: Path, workspace: Workspace) -> None:
    write(shop, "images/cut.jpg", jpeg(300, 300)[:2000])
    write(shop, "images/page.jpg", b"<html>404</html>")
    write(shop, "images/dot.png", encode(Image.new("RGB", (1, 1)), "PNG"))
    rows = [
        *_rows(8),
        {"id": "cut", "title": "Cut", "image_link": "images/cut.jpg"},
        {
            "id": "two",
            "image_link": "images/page.jpg",
            "additional_image_link": ["images/1.jpg", "images/dot.png"],
        },
        {"id": "none", "image_link": "images/none.jpg"},
        {"id": "out", "title": "Out", "image_link": "../../etc/passwd"},
        {"id": "p0", "title": "Twice"},
        {"id": "", "title": "Nameless"},
        {"id": "same", "image_link": "images/2.jpg", "additional_image_link": "images/2.jpg|./images/2.jpg"},
        {"id": "many", "title": "Many", "additional_image_link": [f"images/{i}.jpg" for i in range(4)]},
        {"id": "dear", "title": "Dear", "price": "much"},
    ]
    manifest = run(
        _config(_feed(shop, rows), images={"max_per_product": 3}, guards={"allow_rejected_images": True}),
        workspace,
    )
    assert set(_products(workspace, manifest)) == {
        *[f"p{i}" for i in range(8)], "cut", "two", "out", "same", "many", "dear",
    }  # fmt: skip
    assert len(_products(workspace, manifest)["two"]["images"]) == 1
    assert len(_products(workspace, manifest)["same"]["images"]) == 1
    assert _rejected(workspace, manifest) == [
        ("cut", "image", "image_truncated"),
        ("two", "image", "image_unreadable"),
        ("two", "image", "image_too_small"),
        ("none", "image", "image_not_found"),
        ("none", "product", "no_usable_image"),
        ("out", "image", "refused_path"),
        ("p0", "product", "duplicate_id"),
        (None, "product", "missing_id"),
        ("same", "image", "duplicate_image"),
        ("same", "image", "duplicate_image"),
        ("many", "image", "too_many_images"),
        ("dear", "value", "bad_price"),
    ]
    counts = manifest.info["counts"]
    assert counts["rows"] == len(rows)
    assert (counts["rejected_products"], counts["rejected_images"], counts["rejected_values"]) == (3, 8, 1)


def test_the_same_feed_again_gives_the_same_snapshot_and_reads_no_image(
    shop: Path, workspace: Workspace
) -> None:
    write(shop, "images/cut.jpg", jpeg(300, 300)[:2000])
    feed = _feed(shop, [*_rows(), {"id": "cut", "title": "Cut", "image_link": "images/cut.jpg"}])
    first = run(_config(feed), workspace)
    images = len(workspace.list("images"))
    second = run(_config(feed), workspace)
    assert second.ref == first.ref
    assert second.info["diff"] == first.info["diff"] | {"new": 0, "unchanged": 11}
    assert second.info["counts"]["image_work"] == {"unchanged": 10, "rejected": 1}
    assert workspace.list("snapshots") == [workspace.get(first.ref)]
    assert len(workspace.list("images")) == images


def test_the_next_night(shop: Path, workspace: Workspace) -> None:
    run(_config(_feed(shop, _rows())), workspace)
    rows = _rows()
    rows[0]["title"] = "Another mug"
    rows[1]["price"] = "99 EUR"
    write(shop, "images/2.jpg", jpeg(seed=77))
    rows[3]["image_link"] = "images/4.jpg"
    del rows[9]
    rows.append({"id": "q", "title": "New", "image_link": "images/5.jpg"})
    second = run(_config(_feed(shop, rows)), workspace)
    assert second.info["diff"] == {
        "new": 1, "changed_content": 3, "changed_payload": 1, "gone": 1, "unchanged": 5,
    }  # fmt: skip
    assert second.info["counts"]["image_work"] == {"unchanged": 7, "read": 1}
    store = Snapshot.open(workspace, second.ref).images()
    assert store.jpeg(_products(workspace, second)["p2"]["images"][0]) == jpeg(seed=77)


def test_a_feed_that_goes_back_to_an_earlier_state(shop: Path, workspace: Workspace) -> None:
    first = run(_config(_feed(shop, _rows())), workspace)
    second = run(_config(_feed(shop, _rows(9))), workspace)
    third = run(_config(_feed(shop, _rows())), workspace)
    assert third.ref == first.ref != second.ref
    assert third.info["diff"] == {
        "new": 1, "changed_content": 0, "changed_payload": 0, "gone": 0, "unchanged": 9,
    }  # fmt: skip
    pointer = workspace.read_pointer("catalog") or {}
    assert (pointer["snapshot"], pointer["previous"]) == (first.ref, second.ref)
    assert snapshot_order(workspace) == [first.ref, second.ref]


def test_products_are_in_the_order_of_their_utf8_bytes(shop: Path, workspace: Workspace) -> None:
    ids = ["z", "Z", "10", "9", "ä", "\uffee", "😀", "a b", "aa", "a"]
    manifest = run(_config(_feed(shop, [{"id": id, "title": "Mug"} for id in ids])), workspace)
    assert list(_products(workspace, manifest)) == sorted(ids, key=str.encode)


# -- over HTTP -----------------------------------------------------------------------------------------


def _serve(web: Web, count: int = 6) -> list[Row]:
    for i in range(count):
        web.pages[f"/{i}.jpg"] = Response(jpeg(seed=i), headers={"ETag": f'"{i}"'})
    return [{"id": f"p{i}", "title": f"Mug {i}", "image_link": f"{web.url}/{i}.jpg"} for i in range(count)]


def test_an_unchanged_image_is_not_downloaded_again(web: Web, shop: Path, workspace: Workspace) -> None:
    feed = _feed(shop, _serve(web))
    first = run(_config(feed), workspace)
    assert first.info["counts"]["image_work"] == {"downloaded": 6}
    web.pages["/3.jpg"] = Response(jpeg(seed=33), headers={"ETag": '"new"'})
    web.requests.clear()
    second = run(_config(feed), workspace)
    assert all("if-none-match" in request.headers for request in web.requests)
    assert second.info["diff"]["changed_content"] == 1
    assert second.info["counts"]["image_work"] == {"not_modified": 5, "downloaded": 1}


def test_a_server_that_is_down_costs_no_image_we_have(web: Web, shop: Path, workspace: Workspace) -> None:
    feed = _feed(shop, _serve(web))
    first = run(_config(feed), workspace)
    for page in web.pages:
        web.pages[page] = Response(status=503)
    second = run(_config(feed, images={"host_failures": 2}), workspace)
    assert second.ref == first.ref
    _feed(shop, [*_serve(web), {"id": "new", "title": "New", "image_link": f"{web.url}/new.jpg"}])
    web.pages["/new.jpg"] = Response(status=503)
    third = run(_config(feed), workspace)
    assert _rejected(workspace, third) == [("new", "image", "image_unavailable")]
    web.pages["/new.jpg"] = Response(jpeg(seed=50))
    fourth = run(_config(feed), workspace)
    assert _rejected(workspace, fourth) == []


def test_private_addresses_are_refused_by_default(web: Web, shop: Path, workspace: Workspace) -> None:
    feed = _feed(shop, _serve(web, 1))
    manifest = run(
        _config(feed, images={"allow_private_addresses": False}, guards={"allow_rejected_images": True}),
        workspace,
    )
    assert _rejected(workspace, manifest) == [("p0", "image", "refused_address")]
    assert web.requests == []


def test_a_kill_keeps_what_was_stored_and_the_next_run_does_not_fetch_it_again(
    web: Web, shop: Path, tmp_path: Path
) -> None:
    """The server kills the first program that asks for the tenth image, by the process id it goes by."""
    feed, root, killed = _feed(shop, _serve(web, 12)), tmp_path / "workspace", []

    def fatal(request: Request) -> Response:
        if not killed:
            killed.append(int(request.headers["user-agent"]))
            os.kill(killed[0], signal.SIGKILL)
        return Response(jpeg(seed=9))

    web.pages["/9.jpg"] = fatal
    script = (
        "import os; from pathlib import Path; from recsys.workspace import Workspace;"
        "from recsys.catalog.run import run; from tests.catalog.test_run import _config;"
        "images = {'concurrency': 1, 'user_agent': str(os.getpid())};"
        f"run(_config({str(feed)!r}, images=images), Workspace({str(root)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL
    workspace = Workspace(root)
    stored = sum(m.info["num_images"] for m in workspace.list("images"))
    assert 4 <= stored <= 8
    assert workspace.list("snapshots") == []
    web.requests.clear()
    manifest = run(_config(feed), workspace)
    assert len(_products(workspace, manifest)) == 12
    assert len(web.requests) == 12 - stored
    assert run(_config(feed), Workspace(tmp_path / "untouched")).ref == manifest.ref
    assert not list((workspace.local / "scratch" / "snapshots").iterdir())


# -- caches, shards, other places ----------------------------------------------------------------------


def test_a_lost_cache_stores_nothing_twice_and_lost_shards_are_made_again(
    shop: Path, workspace: Workspace
) -> None:
    feed = _feed(shop, _rows())
    first = run(_config(feed), workspace)
    for path in (workspace.local / "state").glob("*.sqlite*"):
        path.write_bytes(b"not a database" * 1000)
    assert run(_config(feed), workspace).ref == first.ref
    assert sum(m.info["num_images"] for m in workspace.list("images")) == 10
    workspace.delete(workspace.get(first.info["image_shards"][0]))
    third = run(_config(feed), workspace)
    assert third.ref == first.ref
    store = Snapshot.open(workspace, third.ref).images()
    assert all(row["images"][0] in store for row in _products(workspace, third).values())


def test_a_damaged_snapshot_is_made_again_or_passed_over(
    shop: Path, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    first = run(_config(_feed(shop, _rows())), workspace)
    second = run(_config(_feed(shop, _rows(9))), workspace)
    flip(workspace.local / second.ref / "products.parquet")
    again = run(_config(_feed(shop, _rows(9))), workspace)
    assert (again.ref, len(_products(workspace, again))) == (second.ref, 9)
    assert f"made again: {second.ref} is damaged: products.parquet" in caplog.text

    flip(workspace.local / second.ref / "products.parquet")
    third = run(_config(_feed(shop, _rows(8))), workspace)  # compared with the night before the damaged one
    assert third.info["diff"]["gone"] == 2
    (workspace.local / third.ref / "manifest.json").write_text("{")
    (workspace.local / second.ref / "manifest.json").write_text("{")
    with pytest.raises(DamagedError, match=third.ref):  # nothing would tell how much of the catalog is gone
        run(_config(_feed(shop, _rows(7))), workspace)
    assert workspace.get(first.ref)


def test_another_size_makes_other_images_and_another_snapshot(shop: Path, workspace: Workspace) -> None:
    feed = _feed(shop, _rows())
    first = run(_config(feed), workspace)
    small = run(_config(feed, images={"max_side": 32}), workspace)
    assert small.ref != first.ref
    assert not set(small.info["image_shards"]) & set(first.info["image_shards"])
    sha256 = _products(workspace, small)["p1"]["images"][0]
    for manifest, side in ((small, 32), (first, 64)):
        image = Snapshot.open(workspace, manifest.ref).images().jpeg(sha256)
        assert max(simplejpeg.decode_jpeg_header(image)[:2]) == side


def test_tighter_bounds_check_stored_images_again(shop: Path, workspace: Workspace) -> None:
    feed = _feed(shop, _rows(2))
    run(_config(feed), workspace)
    strict = run(_config(feed, images={"min_side": 60}, guards={"allow_rejected_images": True}), workspace)
    assert [reason for _, _, reason in _rejected(workspace, strict)] == ["image_too_small"] * 2


def test_feed_and_images_in_an_object_store_workspace_too(tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    for i in range(3):
        store.pipe_file(f"/shop-in/images/{i}.jpg", jpeg(seed=i))
    store.pipe_file("/shop-in/feed.jsonl", "".join(json.dumps(row) + "\n" for row in _rows(3)).encode())
    workspace = Workspace("memory://shop-ws", cache=tmp_path / "cache")
    config = _config("memory://shop-in/feed.jsonl")
    first = run(config, workspace)
    assert first.info["counts"]["image_work"] == {"downloaded": 3}
    assert len(_products(workspace, first)) == 3
    assert run(config, workspace).ref == first.ref


# -- guards --------------------------------------------------------------------------------------------


def test_a_guard_keeps_the_catalog_in_service_and_the_work_done(
    web: Web, shop: Path, workspace: Workspace
) -> None:
    feed = _feed(shop, _serve(web))
    first = run(_config(feed), workspace)
    shrunk = _feed(shop, [*_serve(web, 2), {"id": "p9", "title": "New", "image_link": f"{web.url}/9.jpg"}])
    web.pages["/9.jpg"] = Response(jpeg(seed=9))
    with pytest.raises(GuardError, match="4 of the 6 products in service") as caught:
        run(_config(shrunk), workspace)
    assert str(workspace.state("rejected.parquet")) in caught.value.fix
    assert (workspace.read_pointer("catalog") or {})["snapshot"] == first.ref
    web.requests.clear()
    manifest = run(_config(shrunk, guards={"allow_gone": True}), workspace)
    assert manifest.info["diff"]["gone"] == 4
    assert web.requests == []  # nothing that was done is done again


def test_losses_add_up_over_nights_until_they_are_accepted_or_old(shop: Path, workspace: Workspace) -> None:
    guards = {"max_gone_share": 0.15}

    def night(count: int, **more: Any) -> Manifest:
        return run(_config(_feed(shop, _rows(count)), guards=guards | more), workspace)

    def age(days: int) -> None:
        pointer = workspace.read_pointer("catalog") or {}
        moved = [
            [(date.fromisoformat(day) - timedelta(days)).isoformat(), count]
            for day, count in pointer["history"]
        ]
        workspace.write_pointer("catalog", pointer | {"history": moved})

    night(10)
    age(6)
    night(9)
    with pytest.raises(GuardError, match="8 products; the largest catalog of the last 2 nights had 10"):
        night(8)
    with pytest.raises(GuardError):
        night(8)
    age(1)  # the night of the 10 is a week ago
    night(8)
    with pytest.raises(GuardError, match="had 9"):
        night(7)
    night(7, allow_gone=True)
    night(7)
    night(6)


@pytest.mark.parametrize(
    ("rows", "error", "says"),
    [
        ([], GuardError, "gives no product"),
        ([{"name": "Mug"}] * 3, GuardError, "missing_id 3"),
        ([{"name": "Mug"}] * 200, InputError, "no column for id"),
    ],
    ids=["empty", "a few", "many"],
)
def test_an_empty_feed_and_one_of_the_wrong_columns(
    rows: list[Row], error: type[Exception], says: str, shop: Path, workspace: Workspace
) -> None:
    with pytest.raises(error, match=says):
        run(_config(_feed(shop, rows)), workspace)


def test_an_empty_catalog_may_be_allowed(shop: Path, workspace: Workspace) -> None:
    manifest = run(_config(_feed(shop, []), guards={"allow_empty": True}), workspace)
    assert manifest.info["counts"]["products"] == 0


def test_no_more_images_are_fetched_than_are_taken(web: Web, shop: Path, workspace: Workspace) -> None:
    for i in range(6):
        web.pages[f"/{i}.jpg"] = Response(jpeg(seed=i))
    links = [f"{web.url}/{i}.jpg" for i in (0, 1, 2, 3, 4)]
    rows = [
        {"id": "many", "title": "Many", "additional_image_link": links},
        {"id": "one", "title": "One", "image_link": links[4]},
    ]
    config = _config(_feed(shop, rows), images={"max_per_product": 2}, guards={"allow_rejected_images": True})
    manifest = run(config, workspace)
    assert sorted(request.path for request in web.requests) == ["/0.jpg", "/1.jpg", "/4.jpg"]
    assert _rejected(workspace, manifest) == [("many", "image", "too_many_images")] * 3
    assert [len(row["images"]) for row in _products(workspace, manifest).values()] == [2, 1]


def test_after_a_guard_the_next_attempt_looks_again(shop: Path, workspace: Workspace) -> None:
    config = _config(_feed(shop, _rows()))
    (shop / "images").rename(shop / "away")
    with pytest.raises(GuardError, match="image"):
        run(config, workspace)
    (shop / "away").rename(shop / "images")
    assert run(config, workspace).info["counts"]["images"] == 10


def test_no_row_and_no_image_ends_a_night(
    shop: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a library raises of what others wrote."""
    real = rows_module.plain_text

    def plain_text(text: str) -> str:
        return real(text) if text != "Mug 3" else 1 / 0  # type: ignore[return-value]

    monkeypatch.setattr(rows_module, "plain_text", plain_text)
    monkeypatch.setattr(
        ingest_images, "read_file", lambda path, _: [][1] if "5.jpg" in path else Path(path).read_bytes()
    )
    manifest = run(_config(_feed(shop, _rows())), workspace)
    assert set(_rejected(workspace, manifest)) == {
        (None, "product", "bad_row"),
        ("p5", "image", "image_unreadable"),
    }


HOSTILE = [
    '{"id": "a", "title": "<b>Sale</b> <![ 50 % off"}',
    '{"id": "a", "title": "t", "price": ' + "9" * 401 + "}",
    '{"id": "a", "title": "t", "price": 1e400}',
    '{"id": "a", "title": ' + "[" * 900 + "1" + "]" * 900 + "}",
    '{"id": "a", "title": "t", "description": ' + json.dumps('<a ="' * 10_000 + ">") + "}",
]


@pytest.mark.parametrize("line", HOSTILE, ids=["markup", "digits", "exponent", "nested", "tags"])
def test_a_hostile_row_costs_itself_at_most(shop: Path, workspace: Workspace, line: str) -> None:
    feed = shop / "feed.jsonl"
    feed.write_text("".join(json.dumps(row) + "\n" for row in _rows()) + line + "\n")
    manifest = run(_config(feed), workspace)
    assert {f"p{i}" for i in range(10)} <= set(_products(workspace, manifest))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("feed.jsonl", '{"id": "a", "title": "A"}\n{"id": "b", "ti'),
        ("feed.csv", "id,title,brand\na,A,X\nb,B"),
    ],
)
def test_a_feed_that_ends_in_the_middle_of_a_row_is_cut_off(
    tmp_path: Path, workspace: Workspace, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match="ends in the middle of row 2"):
        run(_config(tmp_path / name), workspace)
