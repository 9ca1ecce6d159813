"""A workspace: immutable artifacts named by the hash of what made them, and a few mutable pointers.

    <root>/<kind>/<id>/...            files of one artifact
    <root>/<kind>/<id>/manifest.json  written last: an artifact without it does not exist
    <root>/pointers/<name>.json       small mutable records, replaced atomically
    <root>/used/<kind>/<id>           empty; its time says when the artifact was last used, to a day
    <local>/scratch/<kind>/<id>/      resumable working files of an artifact that is being made
    <local>/state/<name>              local caches that may be deleted at any time

``root`` is a local folder or any fsspec URL (``s3://...``). Artifacts are written in a local folder
first: locally they are renamed into place in one step. In an object store each writer uploads to a folder of
its own, ``<kind>/<id>/<upload>/...``; the manifest, which names it, is put last and only where there is none,
so that of two writers one wins and nobody reads the files of the other.

A manifest holds the SHA-256 of every file and, like a pointer, of itself. A file is read for it when it is
written, when it comes from a remote store, and when it is opened and its size or time is not what it was.
What changes under the same size and time, as on a failing disk, is for :meth:`Workspace.scrub` to find.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
from filelock import FileLock
from fsspec.implementations.local import LocalFileSystem

from recsys.errors import ArtifactError, ConfigError, DamagedError
from recsys.workspace import checksums
from recsys.workspace.compare_and_swap import SharedRecord, can_swap
from recsys.workspace.lease import Lease

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
LEASE_TIMEOUT_S = 1800.0
"""A DAG's task has at least twice as long: it ends with who has the lease, not with Airflow's timeout."""
_TEMPORARY = ".tmp"
_LOCAL = {_TEMPORARY, "scratch", "state", "locks", "index"}
"""Folders of this machine, also where the workspace is an object store."""
_ENCODERS = "encoders/"
_ENCODER = (
    "restore its folder from a backup. Without one, go back to another encoder (recsys rollback), or let the "
    "next night train one: it does where the encoder in service is gone."
)
_NO_KINDS = _LOCAL | {"pointers", "used"}
"""Folders of a workspace that hold no artifacts."""
_USE_NOTED_FOR = timedelta(days=1)


def content_id(parts: Mapping[str, Any]) -> str:
    """Return the id (16 hex characters) of what ``parts`` describes: equal parts, equal id.

    ``parts`` is hashed as canonical JSON, so it may hold strings, numbers, booleans, ``None``, lists and
    string-keyed mappings; anything else is a ``TypeError``.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The commit record of one artifact."""

    kind: str
    id: str
    created_at: str
    """UTC, ISO 8601, by the clock of the machine that made it."""
    inputs: dict[str, str]
    """Role → ref (``kind/id``) of every artifact this one was made from."""
    files: dict[str, int]
    """Relative path → size in bytes."""
    info: dict[str, Any] = field(default_factory=dict)
    """What the stage records of it: counts, metrics, durations. JSON values."""
    checksums: dict[str, str]
    """Relative path → SHA-256 of every one of ``files``."""
    upload: str = ""
    """In an object store, the folder below ``ref`` that holds the files; empty in a local workspace."""
    sequence: int = 0
    """Of :meth:`Workspace.next_sequence`, drawn when it was committed."""

    @property
    def ref(self) -> str:
        """``kind/id``: how artifacts name each other, and what travels through XCom."""
        return f"{self.kind}/{self.id}"

    @property
    def order(self) -> tuple[int, str]:
        """Sorts artifacts as they were made: by number; those from before there were numbers by the clock."""
        return self.sequence, self.created_at

    @property
    def folder(self) -> str:
        """Where the files are kept, relative to the workspace."""
        return f"{self.ref}/{self.upload}" if self.upload else self.ref


Manifests = list[Manifest]  # by these names in Workspace, where `list` is a method
Strings = list[str]


@dataclass(kw_only=True)
class Draft:
    """An artifact being written: put files under ``path``, facts into ``info`` and ``inputs``."""

    path: Path
    upload: str
    """As in the manifest."""
    url: str
    """Where the files will be, unless another writer is first: a local folder, or a URL."""
    inputs: dict[str, str]
    info: dict[str, Any] = field(default_factory=dict)
    manifest: Manifest | None = None
    """Set once the draft is committed."""

    def committed(self) -> Manifest:
        """Return the manifest of the finished draft; call it after the ``with`` block."""
        assert self.manifest is not None, "the draft is committed when its with-block ends"
        return self.manifest


class Workspace:
    """The folder or object store where artifacts live. Cheap to make; safe to share between processes."""

    def __init__(self, root: str | Path, *, cache: str | Path | None = None, lease_s: float = 120.0) -> None:
        """Open the workspace at ``root``; a URL needs ``cache``, a local folder for copies of artifacts.

        A :meth:`lease` that is not renewed for ``lease_s`` seconds is lost.
        """
        self.root, self._lease_s = str(root), lease_s
        self._fs, self._path = fsspec.url_to_fs(self.root)
        self.is_local = isinstance(self._fs, LocalFileSystem)
        if self.is_local:
            self.local = Path(self._path)
        elif cache is None:
            raise ConfigError(
                f"The workspace {self.root} is remote and has no local cache.",
                fix="Set workspace.cache to a local folder with room for the artifacts in use.",
            )
        else:
            self.local = Path(cache)
        _make_folder(self.local)

    # -- reading ---------------------------------------------------------------------------------

    def find(self, kind: str, id: str) -> Manifest | None:
        """Return the manifest of a committed artifact, or ``None``; raises :class:`DamagedError`."""
        try:
            record = self._read_record(f"{kind}/{id}/{MANIFEST}")
            if record is None:
                return None
            manifest = Manifest(**record)
        except (checksums.RecordError, TypeError) as error:
            what = (
                str(error) if isinstance(error, checksums.RecordError) else "has other fields than a manifest"
            )
            raise _damaged(f"{kind}/{id}", f"its manifest {what}") from None
        if manifest.ref != f"{kind}/{id}":
            raise _damaged(f"{kind}/{id}", f"its manifest is that of {manifest.ref}")
        return manifest

    def find_ref(self, ref: str) -> Manifest | None:
        """Return the manifest that ``ref`` (``kind/id``) names, or ``None``."""
        kind, _, id = ref.partition("/")
        return self.find(kind, id) if id else None

    def find_intact(self, kind: str, id: str) -> Manifest | None:
        """Return what :meth:`find` does if its files are whole too; what is damaged is deleted.

        For what the stage that looks for it makes again, the same from the same inputs: its loss costs time.
        Not for encoders and publications.
        """
        return self._intact(kind, id, self.path)

    def _intact(self, kind: str, id: str, check: Callable[[Manifest], object]) -> Manifest | None:
        try:
            manifest = self.find(kind, id)
            if manifest is not None:
                check(manifest)
        except DamagedError as error:
            logger.warning("made again: %s", error.message)
            self.delete_ref(f"{kind}/{id}")
            return None
        return manifest

    def get(self, ref: str) -> Manifest:
        """Return the manifest that ``ref`` (``kind/id``) names; raises :class:`ArtifactError`."""
        manifest = self.find_ref(ref)
        if manifest is None:
            again = _ENCODER if ref.startswith(_ENCODERS) else "run the stage that makes it again."
            raise ArtifactError(
                f"There is no committed artifact {ref!r} in {self.root}.",
                fix=f"Check the id (recsys status lists what is there), or {again}",
            )
        return manifest

    def list(self, kind: str, *, prefix: str = "") -> Manifests:
        """Return every committed artifact of ``kind`` whose id begins with ``prefix``, oldest first.

        One whose manifest is damaged is left out, with a warning.
        """
        found = []
        for id in self._folders(f"{self._path}/{kind}"):
            if id.startswith(prefix):
                try:
                    found.append(self.find(kind, id))
                except DamagedError as error:
                    logger.warning("left out: %s", error)
        return sorted((m for m in found if m is not None), key=lambda m: (m.order, m.id))

    def list_intact(self, kind: str, *, prefix: str = "", fetch: bool = True) -> Manifests:
        """Return what :meth:`list` does, and delete what is damaged: for caches that are read as a whole.

        The stage that looks into the cache makes it again, as if it had never been there. Without ``fetch``
        files in an object store are not looked at.
        """
        ids = (id for id in self._folders(f"{self._path}/{kind}") if id.startswith(prefix))
        found = (self._intact(kind, id, self.path if fetch else self._check) for id in ids)
        return sorted((m for m in found if m is not None), key=lambda m: (m.order, m.id))

    def path(self, manifest: Manifest) -> Path:
        """Return a local folder that holds the artifact's files, fetching them first when remote.

        Raises :class:`DamagedError` if they are not the files that were committed.
        """
        self._note_use(manifest)
        folder = self._folder(manifest)
        self._check(manifest)
        if self.is_local:
            return folder
        if (folder / MANIFEST).exists():
            damage = self._damage(manifest)
            if damage is None:
                return folder
            logger.warning("the copy of %s is damaged and is fetched again: %s", manifest.ref, damage)
            shutil.rmtree(folder, ignore_errors=True)
        partial = self._temporary(manifest.kind)
        partial.mkdir(parents=True)
        try:
            for name in manifest.files:
                (partial / name).parent.mkdir(parents=True, exist_ok=True)
                try:
                    self._fs.get_file(f"{self._path}/{manifest.folder}/{name}", str(partial / name))
                except FileNotFoundError:
                    raise _damaged(manifest.ref, f"{name} is missing") from None
            (partial / MANIFEST).write_text(checksums.seal(asdict(manifest)), encoding="utf-8")
            if damage := checksums.damage_in(partial, manifest.files, manifest.checksums):
                raise _damaged(manifest.ref, damage)
            _move(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        self._mark(manifest)
        return folder

    def refs(self) -> Iterator[str]:
        """Yield the ref of every artifact of every kind, and of folders that may be one, in order."""
        for kind in self._kinds():
            yield from (f"{kind}/{id}" for id in sorted(self._folders(f"{self._path}/{kind}")))

    def leftovers(self, ref: str, manifest: Manifest | None) -> Iterator[str]:
        """Yield the paths of what killed writers left beside an artifact, or where there is none.

        In an object store an upload that goes on is among them: look when it was last written to.
        """
        if self.is_local:
            yield from [] if manifest else [ref]
        elif manifest is None or manifest.upload:
            uploads = (f"{ref}/{upload}" for upload in self._folders(f"{self._path}/{ref}"))
            yield from (path for path in uploads if manifest is None or path != manifest.folder)

    def last_used(self, manifest: Manifest) -> datetime:
        """Return when an artifact was made or, to a day, when a machine last asked for its files."""
        made = datetime.fromisoformat(manifest.created_at)
        _, used = self.usage(f"used/{manifest.ref}")
        return max(made, used or made)

    def _note_use(self, manifest: Manifest) -> None:
        # On an object store the marker here is a copy, so that the store is asked once a day.
        marker = self.local / "used" / manifest.ref
        with contextlib.suppress(OSError):  # a workspace that is mounted to be read only
            if marker.exists():
                noted = datetime.fromtimestamp(marker.stat().st_mtime, UTC)
                if datetime.now(UTC) - noted < _USE_NOTED_FOR:
                    return
            if not self.is_local:
                self._fs.pipe_file(f"{self._path}/used/{manifest.ref}", b"")
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()

    def usage(self, path: str) -> tuple[int, datetime | None]:
        """Return the bytes below ``path`` and when a file there was last written; ``None``: there is none.

        ``path`` is relative to the workspace, working files on this machine included.
        """
        fs, full = self._at(path)
        fs.invalidate_cache()
        files = fs.find(full, detail=True)
        times = []
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                times.append(fs.modified(name))
        return sum(file["size"] for file in files.values()), max(times, default=None)

    def _at(self, path: str) -> tuple[Any, str]:
        """Return the file system that holds ``path``, and the path there."""
        if path.partition("/")[0] in _LOCAL:
            return LocalFileSystem(), f"{self.local}/{path}"
        return self._fs, f"{self._path}/{path}"

    def open(self, manifest: Manifest, name: str) -> BinaryIO:
        """Open one file of an artifact where it is kept, without a check and without a copy."""
        file: BinaryIO = self._fs.open(f"{self._path}/{manifest.folder}/{name}", "rb")
        return file

    def _kinds(self) -> Strings:
        return sorted(set(self._folders(self._path)) - _NO_KINDS)

    def _folders(self, path: str) -> Iterator[str]:
        try:
            found = self._fs.ls(path, detail=True, refresh=True)
        except FileNotFoundError:
            return
        yield from (f["name"].rstrip("/").rsplit("/", 1)[-1] for f in found if f["type"] == "directory")

    def _folder(self, manifest: Manifest) -> Path:
        return self.local / manifest.kind / manifest.id

    # -- checking --------------------------------------------------------------------------------

    def _check(self, manifest: Manifest) -> None:
        """Raise :class:`DamagedError` where a local workspace has other files than were committed."""
        if self.is_local and (damage := self._damage(manifest)):
            raise _damaged(manifest.ref, damage)

    def _damage(self, manifest: Manifest) -> str | None:
        """Return what is wrong with an artifact's files on this machine, or ``None``."""
        folder = self._folder(manifest)
        with contextlib.suppress(OSError):
            if self._marker(manifest).read_text() == checksums.state_of(folder, manifest.checksums):
                return None
        damage = checksums.damage_in(folder, manifest.files, manifest.checksums)
        if damage is None:
            self._mark(manifest)
        return damage

    def _mark(self, manifest: Manifest) -> None:
        """Note the state in which an artifact's files were found whole, so that they are not read again."""
        with contextlib.suppress(OSError):  # a workspace that is mounted to be read only
            self._marker(manifest).write_text(checksums.state_of(self._folder(manifest), manifest.checksums))

    def _marker(self, manifest: Manifest) -> Path:
        return self.state(f"verified/{manifest.ref}")

    # -- writing ---------------------------------------------------------------------------------

    @contextlib.contextmanager
    def create(self, kind: str, id: str, *, inputs: Mapping[str, str] | None = None) -> Iterator[Draft]:
        """Write one artifact: fill ``draft.path``; leaving the block commits it, an exception drops it.

        Two writers of the same id are harmless: ids come from inputs, the first commit wins and the
        second is dropped. Look with :meth:`find` before doing the work.
        """
        partial = self._temporary(kind)
        partial.mkdir(parents=True)
        upload = "" if self.is_local else uuid.uuid4().hex[:16]
        url = f"{self.local if self.is_local else self.root}/{kind}/{id}{'/' if upload else ''}{upload}"
        draft = Draft(path=partial, upload=upload, url=url, inputs=dict(inputs or {}))
        try:
            yield draft
            draft.manifest = self._commit(kind, id, draft)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _commit(self, kind: str, id: str, draft: Draft) -> Manifest:
        paths = sorted(path for path in draft.path.rglob("*") if path.is_file())
        files = {str(path.relative_to(draft.path)): path.stat().st_size for path in paths}
        manifest = Manifest(
            kind=kind,
            id=id,
            created_at=datetime.now(UTC).isoformat(),
            inputs=draft.inputs,
            files=files,
            info=draft.info,
            checksums={name: checksums.sha256(draft.path / name) for name in files},
            upload=draft.upload,
            sequence=self.next_sequence(),
        )
        sync_tree(draft.path, draft.path.parent)
        write_atomic(draft.path / MANIFEST, checksums.seal(asdict(manifest)))
        if self.is_local:
            if not _move(draft.path, self.local / kind / id):
                return self.get(f"{kind}/{id}")
            self._mark(manifest)
        elif winner := self.find(kind, id) or self._upload(draft.path, manifest):
            return winner
        logger.info("committed %s: %d files, %d bytes", manifest.ref, len(files), sum(files.values()))
        return manifest

    def next_sequence(self) -> int:
        """Return the next number of the order in which things happen in a workspace.

        It is kept in the pointer ``sequence``; where machines share the store, compared and swapped.
        """
        counter = self._shared("sequence")
        while counter is not None:
            found, tag = counter.read()
            number = self._number_after(found)
            if counter.swap({"last": number, "id": uuid.uuid4().hex}, tag) is not None:
                return number
        with self.lock("sequence"):
            try:
                found = self.read_pointer("sequence")
            except DamagedError as error:
                logger.warning("the order goes on after the artifacts that are there: %s", error.message)
                found = None
            number = self._number_after(found)
            self.write_pointer("sequence", {"last": number})
        return number

    def _number_after(self, found: Mapping[str, Any] | None) -> int:
        if found is not None:
            return int(found["last"]) + 1
        return 1 + max((m.sequence for kind in self._kinds() for m in self.list(kind)), default=0)

    def _upload(self, path: Path, manifest: Manifest) -> Manifest | None:
        """Put an artifact into the object store; return that of another writer who was first, or ``None``."""
        for name in manifest.files:
            self._fs.put_file(str(path / name), f"{self._path}/{manifest.folder}/{name}")
        text = (path / MANIFEST).read_bytes()
        try:
            self._fs.pipe_file(f"{self._path}/{manifest.ref}/{MANIFEST}", text, mode="create")
        except OSError:  # refused, or tried again because the answer to the first attempt was lost
            winner = self.find_ref(manifest.ref)
            if winner is None:
                raise
            if winner.upload != manifest.upload:
                logger.info("another writer of %s was first", manifest.ref)
                self.remove(manifest.folder)
                return winner
        return None

    def delete(self, manifest: Manifest) -> None:
        """Remove an artifact; a kill in between leaves nothing half-there."""
        self.delete_ref(manifest.ref)

    def delete_ref(self, ref: str) -> None:
        """Remove what ``ref`` names, also where its manifest cannot be read.

        It is gone in one step; on an object store its manifest goes first, and what another writer uploads
        meanwhile stays.
        """
        if not self.is_local:
            try:
                manifest = self.find_ref(ref)
                files = manifest.folder if manifest else ""
            except DamagedError:
                files = ref
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(f"{self._path}/{ref}/{MANIFEST}")
            if files:
                self.remove(files)
        doomed = self._temporary("deleted")
        doomed.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            (self.local / ref).rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
        for marker in ("state/verified", "state/scrubbed", "used"):
            self.remove(f"{marker}/{ref}")
            (self.local / marker / ref).unlink(missing_ok=True)

    def remove(self, path: str) -> None:
        """Remove a pointer, or a file or folder of working files, if it is there."""
        fs, full = self._at(path)
        with contextlib.suppress(FileNotFoundError):
            fs.rm(full, recursive=True)

    def scratch(self, kind: str, id: str) -> Path:
        """Return a local folder for resumable work on an artifact; it survives kills, and so retries."""
        folder = self.local / "scratch" / kind / id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def drop_scratch(self, kind: str, id: str) -> None:
        """Remove the working folder once its artifact is committed."""
        shutil.rmtree(self.local / "scratch" / kind / id, ignore_errors=True)

    def state(self, name: str) -> Path:
        """Return the path of a local cache file; losing it costs time, never data."""
        path = self.local / "state" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    # -- pointers --------------------------------------------------------------------------------

    def read_pointer(self, name: str) -> dict[str, Any] | None:
        """Return a pointer's record, or ``None`` if it was never written; raises :class:`DamagedError`."""
        path = f"pointers/{name}.json"
        try:
            return self._read_record(path)
        except checksums.RecordError as error:
            raise DamagedError(
                f"{path} in {self.root} is damaged: it {error}.",
                fix="Delete that file and run the night again, which writes it anew.",
            ) from None

    def _read_record(self, path: str) -> dict[str, Any] | None:
        try:
            return checksums.unseal(self._fs.cat_file(f"{self._path}/{path}"))
        except FileNotFoundError:
            return None

    def pointers(self) -> Iterator[str]:
        """Yield the name of every pointer."""
        start = f"{self._path}/pointers/"
        for path in self._fs.find(start):
            name = path.removeprefix(start)
            if name.endswith(".json"):  # and not one that is being written
                yield name.removesuffix(".json")

    def write_pointer(self, name: str, record: Mapping[str, Any], *, lease: Lease | None = None) -> None:
        """Replace a pointer's record in one step: a reader sees the old one or the new one.

        Under a ``lease`` only while it is held; raises :class:`~recsys.errors.LeaseLostError`.
        """
        text = checksums.seal(record)
        if self.is_local:
            write_atomic(self.local / "pointers" / f"{name}.json", text)
        elif lease is None or (pointer := self._shared(name)) is None:
            self._fs.pipe_file(f"{self._path}/pointers/{name}.json", text.encode())
        else:
            while True:
                tag = pointer.tag()  # before the check: what the next holder writes after it is not replaced
                lease.check()
                if pointer.swap(record, tag) is not None:
                    return

    def lease(self, name: str, *, timeout_s: float = LEASE_TIMEOUT_S) -> Lease:
        """Return a lease over all machines that open this workspace, for a ``with`` block.

        Where the store cannot compare and swap it is a lock between the processes of this machine.
        """
        lock = self.lock(name, timeout_s=timeout_s)
        return Lease(name, lock, self._shared(f"lease-{name}"), timeout_s=timeout_s, lease_s=self._lease_s)

    def _shared(self, pointer: str) -> SharedRecord | None:
        """Return a pointer as a record that machines compare and swap, ``None`` where the store cannot."""
        if not can_swap(self._fs):
            return None
        return SharedRecord(self._fs, f"{self._path}/pointers/{pointer}.json")

    def lock(self, name: str, *, timeout_s: float = -1) -> FileLock:
        """Return a lock between processes of this machine."""
        path = self.local / "locks" / f"{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path, timeout=timeout_s)

    def _temporary(self, kind: str) -> Path:
        return self.local / _TEMPORARY / f"{kind.replace('/', '-')}-{uuid.uuid4().hex}"


def _damaged(ref: str, what: str) -> DamagedError:
    fix = (
        "Run `recsys scrub --delete`, which removes what is damaged, then the night again: it makes anew "
        "what is missing."
    )
    if ref.startswith(_ENCODERS):
        fix = f"What was trained is not made again: {_ENCODER} Delete it (recsys scrub --delete) only then."
    return DamagedError(f"{ref} is damaged: {what}.", fix=fix)


def write_atomic(path: Path, text: str) -> None:
    """Write ``text`` so that a reader, or a kill, sees the old file or the whole new one."""
    _make_folder(path.parent)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    partial.write_text(text, encoding="utf-8")
    fsync(partial)
    partial.replace(path)
    fsync(path.parent)


def _move(source: Path, target: Path) -> bool:
    """Rename a finished folder into place; ``False`` if another writer was first."""
    _make_folder(target.parent)
    try:
        source.rename(target)
    except OSError:
        if (target / MANIFEST).exists():
            return False
        raise
    fsync(target.parent)
    return True


def _make_folder(path: Path) -> None:
    """Make a folder where it is missing, its parents too, and put the names of those on stable storage."""
    if not path.is_dir():
        _make_folder(path.parent)
        path.mkdir(exist_ok=True)
        fsync(path.parent)


def sync_tree(folder: Path, root: Path) -> None:
    """Put all that is under ``folder``, and the names of folders from ``root`` to it, on stable storage."""
    for path in (*folder.rglob("*"), folder):
        fsync(path)
    for parent in folder.parents:
        fsync(parent)
        if parent == root:
            return


def fsync(path: Path) -> None:
    """Put a file, or the names in a folder, on stable storage."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
