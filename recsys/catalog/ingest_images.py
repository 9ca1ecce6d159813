"""The image phase of an ingest: every link of the spool gets an outcome, new images are stored.

Files are decoded by a few threads, downloads wait in many; only so many are on their way at a time.
Outcomes are kept together with the shard that holds their images, so a kill costs one shard at most.

The image-store shard that an ingest is writing.
"""

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

from recsys.catalog.fetch import Fetcher, Validators
from recsys.catalog.image_state import ImageState, LinkState
from recsys.catalog.links import (
    FileTarget,
    HttpTarget,
    LinkResolver,
    StoreTarget,
    Target,
    read_file,
    read_object,
    store_signature,
)
from recsys.catalog.staging import Outcome, Spool
from recsys.config.catalog import ImagesConfig
from recsys.progress import track
from recsys.workspace import Workspace, content_id
from recsys.workspace import image_store as image_store
from recsys.workspace.image_store import ImageShardWriter
from recsys.workspace.normalise import ImageError, Normalisation, NormalisedImage, normalise, open_image

logger = logging.getLogger(__name__)


class ShardInHand:
    """The shard that new images go into; begun with the first, committed when full or at the end."""

    def __init__(self, workspace: Workspace, state: ImageState, normalisation_id: str) -> None:
        self._workspace, self._state, self._normalisation = workspace, state, normalisation_id
        self._folder = workspace.scratch("catalog", "shard")
        self._writer: ImageShardWriter | None = None
        self._hashes: list[str] = []
        self._number = 0

    @property
    def num_images(self) -> int:
        """Number of images in it so far."""
        return self._writer.num_images if self._writer else 0

    @property
    def _path(self) -> Path:
        return self._folder / image_store.FILE

    def add(self, image: NormalisedImage) -> None:
        """Write one image and note it as stored."""
        if self._writer is None:
            self._writer, self._hashes = ImageShardWriter(self._path), []
            self._number = self._state.next_shard()
        self._writer.add(
            sha256=image.sha256,
            phash=image.phash,
            width=image.width,
            height=image.height,
            jpeg=image.jpeg,
        )
        self._hashes.append(image.sha256.hex())
        self._state.add(image.sha256, self._number)

    def commit(self) -> None:
        """Make what was written an artifact; nothing where there is no image."""
        if self._writer is None:
            return
        num_images = self._writer.num_images
        self._writer.close()
        self._writer = None
        id = content_id({"images": sorted(self._hashes), "normalisation": self._normalisation})
        with self._workspace.create(image_store.KIND, id) as draft:
            self._path.replace(draft.path / image_store.FILE)
            draft.info |= {"num_images": num_images, "normalisation": self._normalisation}
        self._state.name_shard(self._number, draft.committed().ref)

    def drop(self) -> None:
        """Remove what was written."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._path.unlink(missing_ok=True)


UNAVAILABLE = "image_unavailable"
"""The one reason that another attempt can change without anybody changing anything."""

_AHEAD = 4
"""Images on their way, per download at a time."""


@dataclass(frozen=True, slots=True)
class _Looked:
    """What one look at a link gave: a new image, an image we have, or a reason."""

    link: str
    key: str | None
    """Names what the link leads to in the state; ``None`` where it leads nowhere."""
    state: LinkState
    how: str
    """downloaded, not_modified, read, unchanged, rejected; kept: the server failed, the old image stays."""
    image: NormalisedImage | None = None


class ImageIngest:
    """Looks at every open link of a spool."""

    def __init__(self, workspace: Workspace, config: ImagesConfig, spool: Spool, *, base: str) -> None:
        self._config, self._spool = config, spool
        self._settings = Normalisation.of(config)
        self._resolver = LinkResolver(base)
        self.state = ImageState(workspace, self._settings)
        self._shard = ShardInHand(workspace, self.state, self._settings.id)
        self._fetcher = Fetcher(config)
        workers = config.decode_workers or os.cpu_count() or 1
        self._decoders = ThreadPoolExecutor(workers, "decode")
        self._downloads = ThreadPoolExecutor(config.concurrency, "download")

    def run(self) -> dict[str, int]:
        """Give every open link an outcome; return how many were downloaded, unchanged and so on."""
        self._spool.reopen(UNAVAILABLE)
        counts: Counter[str] = Counter()
        total = self._spool.num_open_links()
        for looked in track(self._looks(), label="images", total=total, unit="images"):
            counts[looked.how] += 1
            self._keep(looked)
        self._commit()
        logger.info("images: %s", dict(counts))
        return dict(counts)

    def close(self) -> None:
        """End the threads and drop the shard in hand, if there is one."""
        self._fetcher.close()
        for pool in (self._downloads, self._decoders):
            pool.shutdown(cancel_futures=True)
        self._shard.drop()
        self.state.close()

    def _looks(self) -> Iterator[_Looked]:
        pending: set[Future[_Looked]] = set()
        for link in self._spool.open_links():
            started = self._start(link)
            if isinstance(started, _Looked):
                yield started
                continue
            pending.add(started)
            if len(pending) >= _AHEAD * self._config.concurrency:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)

    def _start(self, link: str) -> "_Looked | Future[_Looked]":
        """Settle a link at once where earlier nights know it; otherwise start the work."""
        try:
            target = self._resolver.resolve(link)
        except ImageError as error:
            return _rejected(link, None, LinkState(), error)
        known = self.state.link(_key(target))
        if isinstance(target, FileTarget):
            if known and known.signature == target.signature:
                return _Looked(link, _key(target), known, "unchanged" if known.sha256 else "rejected")
            return self._decoders.submit(self._look_at_file, link, target)
        if isinstance(target, StoreTarget):
            return self._downloads.submit(self._look_at_object, link, target, known)
        return self._downloads.submit(self._look_at_address, link, target, known)

    # -- in threads --------------------------------------------------------------------------------

    def _look_at_file(self, link: str, target: FileTarget) -> _Looked:
        state = LinkState(signature=target.signature)
        try:
            return self._look_at(link, target, state, read_file(target, self._config.max_bytes))
        except ImageError as error:
            return _rejected(link, target, state, error)

    def _look_at_object(self, link: str, target: StoreTarget, known: LinkState | None) -> _Looked:
        state = LinkState()
        try:
            state = LinkState(signature=store_signature(target))
            if known and known.signature == state.signature is not None:
                return _Looked(link, _key(target), known, "unchanged" if known.sha256 else "rejected")
            data = read_object(target, self._config.max_bytes)
            return self._decoders.submit(self._look_at, link, target, state, data).result()
        except ImageError as error:
            return _rejected(link, target, state, error, known)

    def _look_at_address(self, link: str, target: HttpTarget, known: LinkState | None) -> _Looked:
        state = LinkState()
        try:
            fetched = self._fetcher.fetch(
                target.url, Validators(known.etag, known.last_modified) if known else None
            )
            if fetched.data is None and known:
                return _Looked(link, _key(target), known, "not_modified" if known.sha256 else "rejected")
            state = LinkState(etag=fetched.validators.etag, last_modified=fetched.validators.last_modified)
            return self._decoders.submit(self._look_at, link, target, state, fetched.data or b"").result()
        except ImageError as error:
            return _rejected(link, target, state, error, known)

    def _look_at(self, link: str, target: Target, state: LinkState, data: bytes) -> _Looked:
        sha256 = hashlib.sha256(data).digest()
        how = "read" if isinstance(target, FileTarget) else "downloaded"
        state = replace(state, sha256=sha256)
        try:
            if self.state.is_stored(sha256):
                open_image(data, self._settings)
                return _Looked(link, _key(target), state, how)
            return _Looked(link, _key(target), state, how, normalise(data, self._settings))
        except ImageError as error:
            return _rejected(link, target, state, error)

    # -- in the calling thread ---------------------------------------------------------------------

    def _keep(self, looked: _Looked) -> None:
        if looked.image is not None and not self.state.is_stored(looked.image.sha256):
            self._shard.add(looked.image)
        state = looked.state
        if looked.key and state.reason != UNAVAILABLE:
            self.state.note_link(looked.key, state)
        self._spool.set_outcome(looked.link, Outcome(state.sha256, state.reason, state.message))
        if self._shard.num_images >= self._config.shard_size:
            self._commit()

    def _commit(self) -> None:
        """Commit the shard first: what is noted of it afterwards is true even after a kill."""
        self._shard.commit()
        self.state.commit()
        self._spool.commit()


def _key(target: Target) -> str:
    return target.path if isinstance(target, FileTarget) else target.url


def _rejected(
    link: str, target: Target | None, state: LinkState, error: ImageError, known: LinkState | None = None
) -> _Looked:
    """Return a rejection; where only the server failed, the image of an earlier night stays."""
    key = _key(target) if target else None
    if error.reason == UNAVAILABLE and known and known.sha256:
        return _Looked(link, key, known, "kept")
    return _Looked(
        link, key, replace(state, sha256=None, reason=error.reason, message=error.message), "rejected"
    )
