"""What is behind a catalog's image links: looks at a sample of them, as an ingest would."""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

from recsys.catalog.fetch import Fetcher
from recsys.catalog.image_state import LinkState
from recsys.catalog.links import ImageTarget, LinkResolver, default_base, read_file, read_object
from recsys.config.catalog import ImagesConfig
from recsys.workspace.normalise import ImageError, Normalisation, open_image

_MAX_OPENED = 200
_MAX_FETCHED = 20
_MAX_HASHED_BYTES = 500_000_000
_TRIED = 50
_MAX_FOLDERS = 100

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class LinkFacts:
    """What a sample of the image links leads to."""

    num_links: int
    """Different links."""
    base: str | None
    """``catalog.images.base``, where the links do not start from the feed's own folder."""
    num_files: int
    """Links to local files that exist."""
    num_remote: int
    """Links to other machines."""
    num_opened: int
    """Images that were read and looked at."""
    num_missing: int
    """Links that lead nowhere or out of the folder, of local ones."""
    rejected: dict[str, int]
    """Reason → images that were looked at and cannot be used."""
    longest_side: int
    """The median, in pixels."""
    num_equal: int
    """Local files that are byte for byte the same as another."""

    @property
    def rejected_share(self) -> float:
        """Share of the links that an ingest would reject, as far as the sample says."""
        missing = self.num_missing / max(1, self.num_links)
        unusable = (sum(self.rejected.values()) - self.num_missing) / max(1, self.num_opened)
        return missing + (1 - missing) * unusable


def look_at_links(links: Iterable[str], feed: str) -> LinkFacts:
    """Look at the images behind ``links`` of the catalog at ``feed``: local files, and a few remote ones.

    Local files are all looked for; at most 200 images are opened, of remote ones 20.
    """
    distinct = list(dict.fromkeys(links))
    own = default_base(feed)
    base = own if "://" in own else _best_base(distinct, Path(own))
    resolver, targets, num_missing = LinkResolver(base), list[ImageTarget](), 0
    reasons: Counter[str] = Counter()
    for link in distinct:
        try:
            targets.append(resolver.resolve(link))
        except ImageError as error:
            num_missing += 1
            reasons[error.reason] += 1
    files = [target for target in targets if target.kind == "file"]
    remote = [target for target in targets if target.kind != "file"]
    opened = [*_spread(files, _MAX_OPENED), *_spread(remote, _MAX_FETCHED)]
    sides, rejected = _open(opened)
    return LinkFacts(
        num_links=len(distinct),
        base=None if base == own else base,
        num_files=len(files),
        num_remote=len(remote),
        num_opened=len(opened),
        num_missing=num_missing,
        rejected=dict(reasons + rejected),
        longest_side=round(median(sides)) if sides else 0,
        num_equal=_num_equal([file.address for file in files]),
    )


def _best_base(links: Sequence[str], own: Path) -> str:
    """Return the folder that most of the local links start from: the feed's, one in it, or the one above."""
    local = [link for link in _spread(links, _TRIED) if "://" not in link and not link.startswith("data:")]
    absolute = [link for link in local if Path(link).is_absolute()]
    folders = [own]
    if local and len(absolute) == len(local):
        folders.append(Path(os.path.commonpath([str(Path(link).parent) for link in absolute])))
    elif local and own.is_dir():
        inside = sorted(path for path in own.iterdir() if path.is_dir() and not path.name.startswith("."))
        folders += [*inside[:_MAX_FOLDERS], own.resolve().parent]
    counts = [sum(_exists(LinkResolver(str(folder)), link) for link in local) for folder in folders]
    return str(folders[counts.index(max(counts))])


def _exists(resolver: LinkResolver, link: str) -> bool:
    try:
        return resolver.resolve(link).kind == "file"
    except ImageError:
        return False


def _open(targets: Sequence[ImageTarget]) -> tuple[list[int], Counter[str]]:
    """Return the longest side of each image that can be used, and the reasons against the others."""
    config = ImagesConfig(retries=1)
    settings, sides, rejected = Normalisation.of(config), list[int](), Counter[str]()
    fetcher = Fetcher(config)
    try:
        for target in targets:
            try:
                if target.kind == "file":
                    data = read_file(target.address, config.max_bytes)
                elif target.kind == "object":
                    data = read_object(target.address, config.max_bytes, None)[1] or b""
                else:
                    data = fetcher.fetch(target.address, LinkState())[0] or b""
                sides.append(max(open_image(data, settings).size))
            except ImageError as error:
                rejected[error.reason] += 1
    finally:
        fetcher.close()
    return sides, rejected


def _num_equal(paths: Iterable[str]) -> int:
    """Return how many files have a twin; only files of one size are read."""
    by_size: defaultdict[int, list[str]] = defaultdict(list)
    for path in dict.fromkeys(paths):
        by_size[Path(path).stat().st_size].append(path)
    digests: Counter[bytes] = Counter()
    num_bytes = 0
    for size, same in by_size.items():
        num_bytes += size * len(same) if len(same) > 1 else 0
        if len(same) > 1 and num_bytes <= _MAX_HASHED_BYTES:
            digests.update(hashlib.sha256(Path(path).read_bytes()).digest() for path in same)
    return sum(count - 1 for count in digests.values())


def _spread(items: Sequence[_T], most: int) -> list[_T]:
    """Return at most ``most`` of the items, evenly spread."""
    step = max(1, len(items) / most)
    return [items[int(i * step)] for i in range(min(most, len(items)))]
