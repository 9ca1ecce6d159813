"""Links lead into the base folder, to HTTP, or nowhere."""

import os
from pathlib import Path

import pytest

from recsys.catalog.links import ImageTarget, LinkResolver, default_base, read_file
from recsys.workspace.normalise import ImageError
from tests.catalog.made_images import write


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    write(folder, "images/a.jpg", b"a")
    write(folder, "images/with space.jpg", b"b")
    write(tmp_path, "secret.jpg", b"s")
    return folder


def _reason(resolver: LinkResolver, link: str) -> str:
    with pytest.raises(ImageError) as caught:
        resolver.resolve(link)
    return caught.value.reason


def test_paths_and_file_urls(base: Path) -> None:
    resolver = LinkResolver(str(base))
    expected = str((base / "images/a.jpg").resolve())
    for link in (
        "images/a.jpg",
        "./images/../images/a.jpg",
        f"file://{base}/images/a.jpg",
        str(base / "images/a.jpg"),
    ):
        target = resolver.resolve(link)
        assert (target.kind, target.address) == ("file", expected)
    spaced = resolver.resolve(f"file://{base}/images/with%20space.jpg")
    assert read_file(spaced.address, 10) == b"b"


def test_nothing_leads_out_of_the_folder(base: Path) -> None:
    resolver = LinkResolver(str(base))
    (base / "images/link.jpg").symlink_to(base.parent / "secret.jpg")
    (base / "out").symlink_to(base.parent)
    outside = str(base.parent / "secret.jpg")
    links = [
        "../secret.jpg",
        outside,
        f"file://{outside}",
        "images/link.jpg",
        "out/secret.jpg",
        "/etc/passwd",
    ]
    assert [_reason(resolver, link) for link in links] == ["refused_path"] * len(links)
    assert _reason(resolver, "file://otherhost/x.jpg") == "refused_path"


def test_symlinks_within_the_folder_are_fine(base: Path) -> None:
    (base / "images/alias.jpg").symlink_to(base / "images/a.jpg")
    target = LinkResolver(str(base)).resolve("images/alias.jpg")
    assert target.address.endswith("a.jpg")


def test_a_file_swapped_for_a_symlink_after_the_check_is_not_followed(base: Path) -> None:
    target = LinkResolver(str(base)).resolve("images/a.jpg")
    (base / "images/a.jpg").unlink()
    (base / "images/a.jpg").symlink_to(base.parent / "secret.jpg")
    with pytest.raises(ImageError):
        read_file(target.address, 10)


def test_what_is_no_regular_file_is_not_opened(base: Path) -> None:
    os.mkfifo(base / "images/pipe.jpg")
    resolver = LinkResolver(str(base))
    assert _reason(resolver, "images/pipe.jpg") == "image_not_found"
    assert _reason(resolver, "images") == "image_not_found"
    assert _reason(resolver, "images/none.jpg") == "image_not_found"
    assert _reason(resolver, "images/a.jpg/b.jpg") == "image_not_found"
    assert _reason(resolver, "x" * 300) == "image_not_found"


def test_other_links(base: Path) -> None:
    resolver = LinkResolver(str(base))
    assert resolver.resolve("https://x.example/a.jpg") == ImageTarget("http", "https://x.example/a.jpg")
    bad = [
        "ftp://x.example/a.jpg",
        "s3://bucket/a.jpg",
        "data:image/png;base64,AAAA",
        "http:///a.jpg",
        "http://[::1/a",
    ]
    assert [_reason(resolver, link) for link in [*bad, "a\0.jpg", "y" * 5000]] == ["bad_link"] * (
        len(bad) + 2
    )


def test_a_base_that_is_a_url() -> None:
    web = LinkResolver("https://cdn.example/shop")
    assert web.resolve("a.jpg") == ImageTarget("http", "https://cdn.example/shop/a.jpg")
    assert _reason(web, "file:///etc/passwd") == "refused_path"
    store = LinkResolver("s3://bucket/shop")
    assert store.resolve("img/a.jpg") == ImageTarget("object", "s3://bucket/shop/img/a.jpg")
    assert _reason(store, "../other/a.jpg") == "refused_path"
    assert _reason(store, "/etc/passwd") == "refused_path"


def test_a_file_over_the_limit(base: Path) -> None:
    write(base, "images/a.jpg", b"x" * 100)
    target = LinkResolver(str(base)).resolve("images/a.jpg")
    assert len(read_file(target.address, 100)) == 100
    with pytest.raises(ImageError) as caught:
        read_file(target.address, 99)
    assert caught.value.reason == "image_oversized"


def test_images_lie_beside_the_feed_unless_said_otherwise() -> None:
    assert default_base("/data/shop/feed.csv") == "/data/shop"
    assert default_base("file:///data/shop/feed.csv") == "/data/shop"
    assert default_base("https://x.example/shop/feed.csv") == "https://x.example/shop"
    assert default_base("s3://bucket/shop/feed.csv") == "s3://bucket/shop"
