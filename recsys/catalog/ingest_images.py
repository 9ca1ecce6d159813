"""The image phase of an ingest: every image link gets an outcome, and new images go into image shards.

Many threads wait for downloads, worker processes decode; only so many images are under way. Outcomes are
committed together with the shard that holds their images, so a kill costs one shard at most.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

from recsys.catalog.fetch import Fetcher
from recsys.catalog.image_state import ImageState, LinkState
from recsys.catalog.links import ImageTarget, LinkResolver, read_file, read_object
from recsys.catalog.staging import Staging
from recsys.config.catalog import ImagesConfig
from recsys.errors import RecsysError
from recsys.machine import available_cores
from recsys.progress import track
from recsys.workspace import Workspace, content_id, image_store
from recsys.workspace.decoding import CRASHED, TIMED_OUT, DecodePool
from recsys.workspace.image_store import ImageShardWriter
from recsys.workspace.normalise import ImageError, Normalisation, NormalisedImage, open_image

logger = logging.getLogger(__name__)

UNAVAILABLE = "image_unavailable"
"""The server's fault: an image that was there before is kept."""
_PASSING = (UNAVAILABLE, CRASHED, TIMED_OUT)
"""Reasons that may go away without anybody changing the feed or the image: the next run looks again."""

_AHEAD = 4
"""Images under way per concurrent download."""


@dataclass(frozen=True, slots=True)
class _Checked:
    """What checking one link gave: a new image, an image we have, or a reason."""

    link: str
    address: str | None
    """Names what the link leads to in the image state; ``None`` if it leads nowhere."""
    state: LinkState
    work: str
    """downloaded, not_modified, read, unchanged, rejected; kept: the server failed, the old image stays."""
    image: NormalisedImage | None = None


class ImageIngest:
    """Checks every link of the staging database that has no outcome yet."""

    def __init__(self, workspace: Workspace, config: ImagesConfig, staging: Staging, *, base: str) -> None:
        self._config, self._staging = config, staging
        self._settings = Normalisation.of(config)
        self._resolver = LinkResolver(base)
        self.state = ImageState(workspace, self._settings)
        self._shard = OpenShard(workspace, self.state, self._settings.id)
        self._fetcher = Fetcher(config)
        num_decoders = config.decode_workers or available_cores()
        self._decoders = DecodePool(
            self._settings, num_workers=num_decoders, timeout_s=config.decode_timeout_s
        )
        self._pool = ThreadPoolExecutor(max(config.concurrency, num_decoders), "images")

    def run(self) -> dict[str, int]:
        """Give every link an outcome; return how many were downloaded, unchanged and so on."""
        for reason in _PASSING:
            self._staging.forget_outcomes(reason=reason)
        counts: Counter[str] = Counter()
        total = self._staging.num_links_without_outcome()
        for checked in track(self._check_links(), label="images", total=total, unit="images"):
            counts[checked.work] += 1
            self._record(checked)
        self._commit()
        logger.info("images: %s", dict(counts))
        return dict(counts)

    def close(self) -> None:
        """End threads and processes, and drop a shard that was not committed."""
        self._fetcher.close()
        self._pool.shutdown(cancel_futures=True)
        self._decoders.close()
        self._shard.drop()
        self.state.close()

    def _check_links(self) -> Iterator[_Checked]:
        pending: set[Future[_Checked]] = set()
        for link in self._staging.links_without_outcome():
            checked = self._start(link)
            if isinstance(checked, _Checked):
                yield checked
                continue
            pending.add(checked)
            if len(pending) >= _AHEAD * self._config.concurrency:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)

    def _start(self, link: str) -> "_Checked | Future[_Checked]":
        """Settle a link at once if nothing has to be read for it; otherwise start the work."""
        try:
            target = self._resolver.resolve(link)
        except ImageError as error:
            return _rejected(_Checked(link, None, LinkState(), "rejected"), error)
        known = self.state.link(target.address) or LinkState()
        if target.signature and known.signature == target.signature:
            return _unchanged(link, target, known)
        return self._pool.submit(self._check, link, target, known)

    # -- in threads --------------------------------------------------------------------------------

    def _check(self, link: str, target: ImageTarget, known: LinkState) -> _Checked:
        """Read what the link leads to, check it unless it is unchanged, normalise it unless it is stored."""
        checked = _Checked(link, target.address, LinkState(signature=target.signature), "downloaded")
        limit = self._config.max_bytes
        try:
            if target.kind == "file":
                checked = replace(checked, work="read")
                data: bytes | None = read_file(target.address, limit)
            elif target.kind == "object":
                signature, data = read_object(target.address, limit, known.signature)
                checked = replace(checked, state=LinkState(signature=signature))
            else:
                data, state = self._fetcher.fetch(target.address, known)
                checked = replace(checked, state=state)
            if data is None and known != LinkState():
                return _unchanged(link, target, known)
            sha256 = hashlib.sha256(data or b"").digest()
            image = None
            if self.state.is_stored(sha256):
                open_image(data or b"", self._settings)
            else:
                image = self._decoders.normalise(data or b"")
            return replace(checked, state=replace(checked.state, sha256=sha256), image=image)
        except ImageError as error:
            if error.reason == UNAVAILABLE and known.sha256:
                return _Checked(link, target.address, known, "kept")
            return _rejected(checked, error)
        except RecsysError:
            raise
        except Exception as error:  # others write the links: no image of them ends a night
            logger.warning("%s cannot be checked", link, exc_info=True)
            problem = ImageError("image_unreadable", f"The image cannot be checked: {error!r:.200}.")
            return _rejected(checked, problem)

    # -- in the calling thread ---------------------------------------------------------------------

    def _record(self, checked: _Checked) -> None:
        if checked.image is not None and not self.state.is_stored(checked.image.sha256):
            self._shard.add(checked.image)
        state = checked.state
        if checked.address and state.reason not in _PASSING:
            self.state.set_link(checked.address, state)
        self._staging.set_outcome(checked.link, state.sha256, state.reason, state.message)
        if self._shard.num_images >= self._config.shard_size:
            self._commit()

    def _commit(self) -> None:
        """Commit the shard first: what is recorded of it afterwards is true even after a kill."""
        self._shard.commit()
        self.state.commit()
        self._staging.commit()


def _unchanged(link: str, target: ImageTarget, known: LinkState) -> _Checked:
    work = "rejected" if not known.sha256 else "not_modified" if target.kind == "http" else "unchanged"
    return _Checked(link, target.address, known, work)


def _rejected(checked: _Checked, error: ImageError) -> _Checked:
    state = replace(checked.state, sha256=None, reason=error.reason, message=error.message)
    return replace(checked, state=state, work="rejected")


class OpenShard:
    """The image shard that is being written: begun with its first image, an artifact once committed."""

    def __init__(self, workspace: Workspace, state: ImageState, normalisation_id: str) -> None:
        self._workspace, self._state, self._normalisation = workspace, state, normalisation_id
        self._path = workspace.scratch("catalog", "shard") / image_store.FILE
        self._writer: ImageShardWriter | None = None
        self._hashes: list[str] = []

    @property
    def num_images(self) -> int:
        """Number of images in it so far."""
        return len(self._hashes)

    def add(self, image: NormalisedImage) -> None:
        """Write one image and record it as stored."""
        if self._writer is None:
            self._writer = ImageShardWriter(self._path)
        self._writer.add(
            sha256=image.sha256, phash=image.phash, width=image.width, height=image.height, jpeg=image.jpeg
        )
        self._hashes.append(image.sha256.hex())
        self._state.add(image.sha256)

    def commit(self) -> None:
        """Make the images an artifact; does nothing if there are none."""
        if self._writer is None:
            return
        self._writer.close()
        self._writer = None
        id = content_id({"images": sorted(self._hashes), "normalisation": self._normalisation})
        with self._workspace.create(image_store.KIND, id) as draft:
            self._path.replace(draft.path / image_store.FILE)
            draft.info |= {"num_images": self.num_images, "normalisation": self._normalisation}
        self._state.name_shard(draft.committed().ref)
        self._hashes = []

    def drop(self) -> None:
        """Remove what was not committed."""
        if self._writer is not None:
            self._writer.close()
        self._path.unlink(missing_ok=True)
