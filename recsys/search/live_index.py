"""What is live, as searches see it: a collection, its encoder, its images, its words.

An :class:`IndexView` never changes; whoever answers takes one and uses nothing else, so that no answer mixes
two encoders. :class:`LiveIndex` looks at the alias every ``search.poll_interval_s`` seconds and prepares the
next view, its encoder loaded, before it takes over.

Does not know: ranking, HTTP.
"""

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys.config import Config
from recsys.errors import ArtifactError, InputError, NotFoundError, RecsysError, TransientError
from recsys.index import Collection, open_index
from recsys.index.base import READY, CollectionInfo
from recsys.search.autocomplete import Autocomplete
from recsys.workspace import Workspace
from recsys.workspace.image_store import ImageStore
from recsys.workspace.normalise import Normalisation, normalise
from recsys.workspace.snapshot import Snapshot

if TYPE_CHECKING:
    from recsys.encoder import ProductEncoder

logger = logging.getLogger(__name__)

_ENCODER_WAIT_S = 30.0
"""How long a query in words or pixels waits for an encoder that is being loaded."""

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Encoding:
    """An encoder, loaded or about to be; one query at a time, since tokenizers cannot be shared."""

    ref: str
    loading: "Future[ProductEncoder]"
    turn: threading.Lock

    def get(self) -> "ProductEncoder":
        """Return the encoder; raises :class:`TransientError` while it is being loaded, or if that failed."""
        try:
            return self.loading.result(_ENCODER_WAIT_S)
        except TimeoutError:
            problem = f"The encoder {self.ref} is still being loaded."
        except RecsysError as error:
            problem = f"The encoder {self.ref} cannot be loaded: {error.message}"
        raise TransientError(
            problem, fix="Ask again in some seconds; questions by product id are answered meanwhile."
        )


class IndexView:
    """One collection and what belongs to it. Safe to share between threads."""

    def __init__(
        self, config: Config, workspace: Workspace, collection: Collection, encoding: Encoding
    ) -> None:
        self.collection = collection
        self.encoder_ref = collection.metadata.encoder
        self.snapshot_ref = collection.metadata.snapshot
        self._config, self._workspace = config, workspace
        self._encoding = encoding

    @property
    def generation(self) -> str:
        """Text that changes whenever what is shown changes."""
        metadata = self.collection.metadata
        return f"{self.collection.name}@{metadata.updated_at}"

    @property
    def encoder_loaded(self) -> bool:
        """Whether queries in words or pixels can be answered at once."""
        loading = self._encoding.loading
        return loading.done() and loading.exception() is None

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
        return Autocomplete.open(path, self.snapshot)

    def embed(self, text: str | None, images: tuple[bytes, ...]) -> tuple[Float32 | None, Float32 | None]:
        """Return the image and the text vector ``[D]``, unit norm, of words and images, as far as given.

        Raises :class:`InputError` for an image that cannot be used, :class:`TransientError` while the
        encoder is not there.
        """
        if not text and not images:
            return None, None
        bounds = Normalisation.of(self._config.catalog.images)  # seen as the catalog's images are
        jpegs = [normalise(image, bounds).jpeg for image in images]
        encoder = self._encoding.get()
        with self._encoding.turn:
            words = encoder.embed_query(text=text)[1] if text else None
            seen = [encoder.embed_query(jpeg=jpeg)[0] for jpeg in jpegs]
        if not seen:
            return None, words
        mean = np.mean(seen, axis=0)
        norm = float(np.linalg.norm(mean))
        if norm < 1e-6:
            raise InputError("The images cancel each other out.", fix="Search by fewer of them.")
        return (mean / norm).astype(np.float32), words

    def prepare(self) -> None:
        """Load everything that is loaded on first use, so that no request waits for it."""
        _ = self.autocomplete, self.image_store
        try:
            self._encoding.loading.result()
        except RecsysError as error:  # by id it can still be asked
            logger.error("queries in words and pixels cannot be answered: %s", error)


class LiveIndex:
    """Follows what is live. Safe to share between threads."""

    def __init__(self, config: Config, workspace: Workspace) -> None:
        self._config, self._workspace = config, workspace
        self._index = open_index(config, workspace)
        self._loader = ThreadPoolExecutor(1, "load-encoder")
        self._encodings: dict[str, Encoding] = {}
        self._current: IndexView | None = None
        self._kept: dict[str, IndexView] = {}
        self._changing = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follow", daemon=True)
        self.num_swaps = 0
        """Times that another view took over."""

    def start(self) -> None:
        """Open what is live, if anything is, and begin to follow; the encoder is loaded meanwhile."""
        self._look(wait=False)
        self._thread.start()

    def ready(self) -> bool:
        """Tell whether questions by product id can be answered."""
        return self._current is not None

    def view(self, name: str | None = None) -> IndexView:
        """Return what is live, or the kept collection ``name``.

        Raises :class:`ArtifactError` where nothing was published, :class:`NotFoundError` for a collection
        that is not kept.
        """
        current = self._current
        if current is None:
            raise ArtifactError(
                "Nothing was published yet.", fix="Run the nightly DAG, or the verbs up to `recsys publish`."
            )
        if name is None or name == current.collection.name:
            return current
        with self._changing:
            return self._kept.get(name) or self._open_kept(name)

    def kept(self) -> list[CollectionInfo]:
        """Return the collections that can be asked, the live one first."""
        return [c for c in self._index.collections() if c.live or c.metadata.state == READY]

    def close(self) -> None:
        """Stop following."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self._loader.shutdown(wait=False, cancel_futures=True)
        self._index.close()

    def _open_kept(self, name: str) -> IndexView:
        names = [c.name for c in self.kept()]
        if name not in names:
            raise NotFoundError(
                f"There is no collection {name!r} to ask.", fix=f"Ask one of {', '.join(names)}, or none."
            )
        collection = self._index.open(name)
        view = IndexView(
            self._config, self._workspace, collection, self._encoding(collection.metadata.encoder)
        )
        self._kept = {name: view}
        self._forget()
        return view

    def _follow(self) -> None:
        while not self._stop.wait(self._config.search.poll_interval_s):
            try:
                self._look(wait=True)
            except RecsysError as error:
                logger.warning("cannot see what is live, answering from what was: %s", error)
            except Exception:
                logger.exception("cannot see what is live, answering from what was")

    def _look(self, *, wait: bool) -> None:
        """Take over what is live now; ``wait`` prepares it first unless nothing was live before."""
        try:
            collection = self._index.open()
        except ArtifactError:
            if self._current is None:
                return
            raise
        current = self._current
        if current is not None and _same(current.collection, collection):
            return
        view = IndexView(
            self._config, self._workspace, collection, self._encoding(collection.metadata.encoder)
        )
        if current is not None and wait:
            view.prepare()
        self._current = view
        self.num_swaps += 1
        logger.info("answering from %s (%s)", view.generation, view.encoder_ref)
        if current is None:
            threading.Thread(target=view.prepare, name="prepare", daemon=True).start()
        with self._changing:
            self._kept = {}
            self._forget()

    def _encoding(self, ref: str) -> Encoding:
        known = self._encodings.get(ref)
        if known is not None and not (known.loading.done() and known.loading.exception()):
            return known
        made = Encoding(ref, self._loader.submit(self._load, ref), threading.Lock())
        self._encodings[ref] = made
        return made

    def _load(self, ref: str) -> "ProductEncoder":
        from recsys.encoder import ProductEncoder

        manifest = self._workspace.get(ref)
        encoder = ProductEncoder.load(self._workspace.path(manifest))
        encoder.embed_query(text="warm")
        logger.info("loaded %s", ref)
        return encoder

    def _forget(self) -> None:
        """Let go of encoders that no view uses."""
        views = [v for v in (self._current, *self._kept.values()) if v is not None]
        used = {v.encoder_ref for v in views}
        self._encodings = {ref: e for ref, e in self._encodings.items() if ref in used}


def _same(one: Collection, other: Collection) -> bool:
    facts: list[tuple[Any, ...]] = [(c.name, c.metadata) for c in (one, other)]
    return one is other or facts[0] == facts[1]
