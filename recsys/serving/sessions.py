"""The sessions of those who signed in on the page: a file each, so that signing out ends one for good.

A file is named by the SHA-256 of the session's token and holds that of the key: neither opens anything. The
processes that serve one workspace share them, and they outlive a restart.
"""

import contextlib
import hashlib
import secrets
import time
from pathlib import Path


class Sessions:
    """The sessions in one folder."""

    def __init__(self, folder: Path, *, max_age_s: float) -> None:
        self._folder, self._max_age_s = folder, max_age_s

    def begin(self, key_sha256: str) -> str:
        """Return the token of a new session of a key; those that are over are removed."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process removed it
                if self._is_over(path):
                    path.unlink()
        token = secrets.token_urlsafe(32)
        self._path(token).write_text(key_sha256)
        return token

    def key_sha256(self, token: str) -> str | None:
        """Return the SHA-256 of the key whose session this is; ``None`` where there is no such session."""
        path = self._path(token)
        try:
            return None if self._is_over(path) else path.read_text()
        except FileNotFoundError:
            return None

    def end(self, token: str) -> None:
        """End a session, if there is one."""
        self._path(token).unlink(missing_ok=True)

    def _path(self, token: str) -> Path:
        return self._folder / hashlib.sha256(token.encode()).hexdigest()

    def _is_over(self, path: Path) -> bool:
        return time.time() - path.stat().st_mtime > self._max_age_s
