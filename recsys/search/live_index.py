"""The live index as searches see it: a collection, its encoder, its images, its autocomplete.

An :class:`IndexView` never changes; a search reads one and nothing else, so no result mixes two encoders.
:class:`LiveIndex` looks at the alias every ``search.poll_interval_s`` seconds and prepares the next view, its
encoder loaded, before that takes over.
"""

import logging
import threading
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from recsys.config import Config
from recsys.errors import ArtifactError, NotFoundError, RecsysError, TransientError
from recsys.index import Collection, open_index
from recsys.index.base import READY, CollectionInfo, Float32
from recsys.search.autocomplete import Autocomplete
from recsys.workspace import Workspace
from recsys.workspace.decoding import DecodePool
from recsys.workspace.image_store import ImageStore
from recsys.workspace.normalise import Normalisation
from recsys.workspace.snapshot import Snapshot

if TYPE_CHECKING:
    from recsys.encoder.model import ProductEncoder

logger = logging.getLogger(__name__)

_ENCODER_WAIT_S = 30.0
"""How long a query with text or images waits for an encoder that is being loaded."""
_DECODERS = 2
"""Images of queries that are decoded at a time, each within the memory that one image may take."""
_DECODER_WAIT_S = 10.0


class LiveIndex:
    """Follows what is live. Safe to share between threads."""

    def __init__(self, config: Config, workspace: Workspace) -> None:
        self._config, self._workspace = config, workspace
        self._index = open_index(config, workspace)
        images = config.catalog.images  # a query's images are seen as the catalog's are
        self._decoders = DecodePool(
            Normalisation.of(images), num_workers=_DECODERS, timeout_s=images.decode_timeout_s
        )
        self._loader = ThreadPoolExecutor(1, "load-encoder")
        self._encoders: weakref.WeakValueDictionary[str, LazyEncoder] = weakref.WeakValueDictionary()
        self._current: IndexView | None = None
        self._kept: IndexView | None = None
        self._opening = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follow", daemon=True)
        self.num_swaps = 0
        """Times that another view took over."""

    def start(self) -> None:
        """Open what is live, if anything is, and follow it in a thread, which also prepares it."""
        self.refresh()
        self._thread.start()

    def ready(self) -> bool:
        """Tell whether queries by product id can be answered."""
        return self._current is not None

    def view(self, name: str | None = None) -> "IndexView":
        """Return the view of what is live, or of the kept collection ``name``.

        Raises :class:`ArtifactError` where nothing is published, :class:`NotFoundError` for a collection
        that is not kept.
        """
        current = self._current
        if current is None:
            raise ArtifactError(
                "Nothing was published yet.", fix="Run the nightly DAG, or the verbs up to `recsys publish`."
            )
        if name is None or name == current.collection.name:
            return current
        with self._opening:
            if self._kept is None or self._kept.collection.name != name:
                names = [c.name for c in self.kept()]
                if name not in names:
                    raise NotFoundError(
                        f"There is no collection {name!r} to search.",
                        fix=f"Name one of {', '.join(names)}, or none.",
                    )
                self._kept = self._view_of(self._index.open(name))
            return self._kept

    def kept(self) -> list[CollectionInfo]:
        """Return the collections that can be searched, the live one first."""
        return [c for c in self._index.collections() if c.live or c.metadata.state == READY]

    def refresh(self, *, prepare: bool = False) -> None:
        """Take over what is live now; with ``prepare``, once everything is loaded.

        Where nothing was live before, a view takes over at once: by id it can be searched already.
        """
        current = self._current
        try:
            collection = self._index.open()
        except ArtifactError:
            if current is None:
                return
            raise
        if current is not None and (collection.name, collection.metadata) == (
            current.collection.name,
            current.collection.metadata,
        ):
            return
        view = self._view_of(collection)
        if current is None:
            self._current = view
        if prepare:
            view.prepare()
        self._current, self._kept = view, None
        self.num_swaps += 1
        logger.info("searching %s (%s)", view.generation, view.encoder_ref)

    def close(self) -> None:
        """Stop following."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self._loader.shutdown(wait=False, cancel_futures=True)
        self._decoders.close()
        self._index.close()

    def _follow(self) -> None:
        if self._current is not None:
            self._current.prepare()
        while not self._stop.wait(self._config.search.poll_interval_s):
            try:
                self.refresh(prepare=True)
            except RecsysError as error:
                logger.warning("cannot see what is live, searching what was: %s", error)
            except Exception:
                logger.exception("cannot see what is live, searching what was")

    def _view_of(self, collection: Collection) -> "IndexView":
        ref = collection.metadata.encoder
        encoder = self._encoders.get(ref)
        if encoder is None:
            encoder = self._encoders[ref] = LazyEncoder(self._workspace, ref, self._loader)
        return IndexView(self._workspace, collection, encoder, self._decoders)


class IndexView:
    """One collection and what belongs to it. Safe to share between threads."""

    def __init__(
        self, workspace: Workspace, collection: Collection, encoder: "LazyEncoder", decoders: DecodePool
    ) -> None:
        self.collection = collection
        self.encoder_ref = collection.metadata.encoder
        self.snapshot_ref = collection.metadata.snapshot
        self._workspace, self._encoder, self._decoders = workspace, encoder, decoders

    @property
    def generation(self) -> str:
        """Text that changes whenever what is shown changes."""
        return f"{self.collection.name}@{self.collection.metadata.updated_at}"

    @property
    def encoder_loaded(self) -> bool:
        """Whether queries with text or images can be answered at once."""
        return self._encoder.loaded

    @cached_property
    def snapshot(self) -> Snapshot:
        """The catalog snapshot that is shown."""
        return Snapshot.open(self._workspace, self.snapshot_ref)

    @cached_property
    def image_store(self) -> ImageStore:
        """The images of the snapshot."""
        return self.snapshot.images()

    @cached_property
    def autocomplete(self) -> Autocomplete:
        """Its products by id and words."""
        path = self._workspace.state(f"autocomplete/{self.snapshot_ref.partition('/')[2]}.sqlite")
        return Autocomplete(path, self.snapshot)

    def embed(self, text: str | None, images: tuple[bytes, ...]) -> tuple[Float32, Float32]:
        """Return the vectors of ``images`` ``[N, D]`` and of ``text`` ``[0 or 1, D]``, unit norm.

        Raises :class:`~recsys.errors.InputError` for an image that cannot be used,
        :class:`TransientError` while the encoder is not loaded, or every decoder is busy.
        """
        seen, read = [], []
        if text or images:
            jpegs = [self._decoders.normalise(image, wait_s=_DECODER_WAIT_S).jpeg for image in images]
            encoder = self._encoder.get()
            with self._encoder.lock:
                read = [encoder.embed_query(text=text)[1]] if text else []
                seen = [encoder.embed_query(jpeg=jpeg)[0] for jpeg in jpegs]
        none = np.empty((0, self.collection.metadata.dim), np.float32)
        return np.stack(seen) if seen else none, np.stack(read) if read else none

    def prepare(self) -> None:
        """Load everything that is loaded on first use, so that no request waits for it."""
        _ = self.autocomplete, self.image_store
        try:
            self.load_encoder()
        except RecsysError as error:  # queries by id can still be answered
            logger.error("queries with text and images cannot be answered: %s", error)

    def load_encoder(self) -> None:
        """Wait until the encoder is loaded; raises the error that prevents it."""
        self._encoder.load().result()


class LazyEncoder:
    """An encoder that is loaded in the background when it is first needed.

    One query at a time holds ``lock``, since tokenizers cannot be shared.
    """

    def __init__(self, workspace: Workspace, ref: str, loader: ThreadPoolExecutor) -> None:
        self._workspace, self._ref, self._loader = workspace, ref, loader
        self._loading: Future[ProductEncoder] | None = None
        self.lock = threading.Lock()

    @property
    def loaded(self) -> bool:
        """Whether it can be used at once."""
        loading = self._loading
        return loading is not None and loading.done() and loading.exception() is None

    def load(self) -> "Future[ProductEncoder]":
        """Return the encoder's future; begins to load it unless that was done, and again if it failed."""
        with self.lock:
            if self._loading is None or (self._loading.done() and self._loading.exception()):
                self._loading = self._loader.submit(self._load)
            return self._loading

    def get(self) -> "ProductEncoder":
        """Return the encoder; raises :class:`TransientError` while it is being loaded, or if that failed."""
        try:
            return self.load().result(_ENCODER_WAIT_S)
        except TimeoutError:
            problem = f"The encoder {self._ref} is still being loaded."
        except RecsysError as error:
            problem = f"The encoder {self._ref} cannot be loaded: {error.message}"
        raise TransientError(
            problem, fix="Ask again in some seconds; queries by product id are answered meanwhile."
        )

    def _load(self) -> "ProductEncoder":
        from recsys.encoder.model import ProductEncoder

        encoder = ProductEncoder.load(self._workspace.path(self._workspace.get(self._ref)))
        encoder.embed_query(text="warm")
        logger.info("loaded %s", self._ref)
        return encoder
