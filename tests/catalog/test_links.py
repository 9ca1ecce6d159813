"""Links lead into the base folder, to HTTP, or nowhere."""

import os
from pathlib import Path

import pytest

from recsys.catalog.links import LinkResolver, default_base, read_file
from recsys.workspace.normalise import ImageError
from tests.catalog.made_images import write


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    write(folder, "images/a.jpg", b"a")
    write(folder, "images/with space.jpg", b"b")
    write(tmp_path, "secret.jpg", b"s")
    (folder / "images/alias.jpg").symlink_to(folder / "images/a.jpg")
    (folder / "images/link.jpg").symlink_to(tmp_path / "secret.jpg")
    (folder / "out").symlink_to(tmp_path)
    os.mkfifo(folder / "images/pipe.jpg")
    return folder


@pytest.mark.parametrize(
    ("place", "link", "kind", "address"),
    [
        ("{base}", "images/a.jpg", "file", "{base}/images/a.jpg"),
        ("{base}", "./images/../images/a.jpg", "file", "{base}/images/a.jpg"),
        ("{base}", "file://{base}/images/a.jpg", "file", "{base}/images/a.jpg"),
        ("{base}", "{base}/images/a.jpg", "file", "{base}/images/a.jpg"),
        ("{base}", "images/alias.jpg", "file", "{base}/images/a.jpg"),
        ("{base}", "file://{base}/images/with%20space.jpg", "file", "{base}/images/with space.jpg"),
        ("{base}", "https://x.example/a.jpg", "http", "https://x.example/a.jpg"),
        ("https://cdn.example/shop", "a.jpg", "http", "https://cdn.example/shop/a.jpg"),
        ("s3://bucket/shop", "img/a.jpg", "object", "s3://bucket/shop/img/a.jpg"),
    ],
)
def test_where_links_lead(base: Path, place: str, link: str, kind: str, address: str) -> None:
    target = LinkResolver(place.format(base=base)).resolve(link.format(base=base))
    assert (target.kind, target.address) == (kind, address.format(base=base.resolve()))


@pytest.mark.parametrize(
    ("place", "link", "reason"),
    [
        ("{base}", "../secret.jpg", "refused_path"),
        ("{base}", "{base}/../secret.jpg", "refused_path"),
        ("{base}", "file://{base}/../secret.jpg", "refused_path"),
        ("{base}", "images/link.jpg", "refused_path"),
        ("{base}", "out/secret.jpg", "refused_path"),
        ("{base}", "/etc/passwd", "refused_path"),
        ("{base}", "file://otherhost/x.jpg", "refused_path"),
        ("https://cdn.example/shop", "file:///etc/passwd", "refused_path"),
        ("s3://bucket/shop", "../other/a.jpg", "refused_path"),
        ("s3://bucket/shop", "/etc/passwd", "refused_path"),
        ("{base}", "images/pipe.jpg", "image_not_found"),
        ("{base}", "images", "image_not_found"),
        ("{base}", "images/none.jpg", "image_not_found"),
        ("{base}", "images/a.jpg/b.jpg", "image_not_found"),
        ("{base}", "x" * 300, "image_not_found"),
        ("{base}", "ftp://x.example/a.jpg", "bad_link"),
        ("{base}", "s3://bucket/a.jpg", "bad_link"),
        ("{base}", "data:image/png;base64,AAAA", "bad_link"),
        ("{base}", "http:///a.jpg", "bad_link"),
        ("{base}", "http://[::1/a", "bad_link"),
        ("{base}", "a\0.jpg", "bad_link"),
        ("{base}", "y" * 5000, "bad_link"),
    ],
)
def test_links_that_are_refused(base: Path, place: str, link: str, reason: str) -> None:
    with pytest.raises(ImageError) as caught:
        LinkResolver(place.format(base=base)).resolve(link.format(base=base))
    assert caught.value.reason == reason


def test_a_file_swapped_for_a_symlink_after_the_check_is_not_followed(base: Path) -> None:
    target = LinkResolver(str(base)).resolve("images/a.jpg")
    (base / "images/a.jpg").unlink()
    (base / "images/a.jpg").symlink_to(base.parent / "secret.jpg")
    with pytest.raises(ImageError):
        read_file(target.address, 10)


def test_a_file_over_the_limit(base: Path) -> None:
    write(base, "images/a.jpg", b"x" * 100)
    target = LinkResolver(str(base)).resolve("images/a.jpg")
    assert len(read_file(target.address, 100)) == 100
    with pytest.raises(ImageError) as caught:
        read_file(target.address, 99)
    assert caught.value.reason == "image_oversized"


@pytest.mark.parametrize(
    ("feed", "base"),
    [
        ("/data/shop/feed.csv", "/data/shop"),
        ("file:///data/shop/feed.csv", "/data/shop"),
        ("https://x.example/shop/feed.csv", "https://x.example/shop"),
        ("s3://bucket/shop/feed.csv", "s3://bucket/shop"),
    ],
)
def test_images_lie_beside_the_feed_unless_said_otherwise(feed: str, base: str) -> None:
    assert default_base(feed) == base
