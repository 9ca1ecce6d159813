"""What is behind image links: local files wherever they lie, a few remote ones, what is wrong."""

from pathlib import Path

import pytest

from recsys.proposal.links import look_at_links
from tests.catalog import made_images
from tests.catalog.web import Response, Web


@pytest.mark.parametrize(
    ("folder", "links", "base"),
    [
        (".", "{name}", None),
        ("images", "{name}", "images"),
        ("images", "images/{name}", None),
        ("../photos", "{root}/photos/{name}", "../photos"),
    ],
)
def test_links_start_where_their_files_are(folder: str, links: str, base: str | None, tmp_path: Path) -> None:
    own = tmp_path / "shop"
    own.mkdir()
    names = [f"{i}.jpg" for i in range(4)]
    for i, name in enumerate(names):
        made_images.write(own / folder, name, made_images.jpeg(seed=i // 2))
    found = look_at_links(
        [links.format(name=n, root=tmp_path) for n in [*names, "gone.jpg"]], str(own / "f.csv")
    )
    assert found.base == (None if base is None else str((own / base).resolve()))
    assert (found.num_links, found.num_files, found.num_missing) == (5, 4, 1)
    assert (found.num_opened, found.longest_side, found.num_equal) == (4, 64, 2)
    assert found.rejected == {"image_not_found": 1}
    assert found.rejected_share == pytest.approx(0.2)


def test_remote_images_are_fetched_as_an_ingest_would(web: Web, tmp_path: Path) -> None:
    web.pages["/a.jpg"] = Response(made_images.jpeg())
    found = look_at_links([f"{web.url}/a.jpg"] * 2, str(tmp_path / "feed.csv"))
    assert (found.num_links, found.num_remote, found.rejected) == (
        1,
        1,
        {"refused_address": 1},
    )  # a private one


def test_an_image_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"<html>")
    found = look_at_links(["a.jpg"], str(tmp_path / "feed.csv"))
    assert sum(found.rejected.values()) == 1
    assert found.rejected_share == 1
