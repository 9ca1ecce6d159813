"""Who asks, and what they may do: API keys, sessions of the page, CSRF tokens.

A session is a signed cookie that names a key by its digest: taking the key out of the configuration ends
its sessions. Where no keys are configured everybody is ``local``, an admin, and the cookie only ties a CSRF
token to a browser.

Does not know: routes.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from itsdangerous import BadSignature, URLSafeTimedSerializer

from recsys.config.search import ApiKey, SearchConfig
from recsys.serving.problems import FORBIDDEN, FORGED, UNAUTHENTICATED, Problem
from recsys.workspace import Workspace

Role = Literal["read", "merchandise", "admin"]
ROLES: tuple[Role, ...] = ("read", "merchandise", "admin")
COOKIE = "recsys_session"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_SECRET_FILE = "secrets/search-session"
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="recsys"'}

Headers = Mapping[bytes, bytes]
"""Names in lower case; of a repeated header the last."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks."""

    name: str
    role: Role
    by: Literal["key", "session", "nobody"]
    """``nobody`` asked for anything: no keys are configured."""

    def may(self, role: Role) -> bool:
        """Tell whether this identity has at least ``role``."""
        return ROLES.index(self.role) >= ROLES.index(role)

    def require(self, role: Role) -> None:
        """Raise :class:`Problem` (403) without at least ``role``."""
        if not self.may(role):
            raise Problem(
                FORBIDDEN,
                f"{self.name} has the role {self.role}; this needs {role}.",
                fix=f"Use a key whose role is {role}: `recsys key --name NAME --role {role}` makes one.",
            )


@dataclass(frozen=True, slots=True)
class Session:
    """What a cookie says."""

    id: str
    digest: str
    """SHA-256 of the key that was signed in with; empty before that."""


class Keys:
    """The configured keys, and the cookies that stand for them."""

    def __init__(self, config: SearchConfig, secret: bytes) -> None:
        self._keys: Sequence[ApiKey] = config.keys
        self._max_age_s = int(config.session_hours * 3600)
        self._secret = secret
        self._signer = URLSafeTimedSerializer(secret, salt="session")

    @property
    def needed(self) -> bool:
        """Whether anybody needs a key."""
        return bool(self._keys)

    def identify(self, headers: Headers) -> Identity | None:
        """Return who asks, ``None`` for nobody known; raises :class:`Problem` (401) for an unknown key."""
        if not self._keys:
            return _LOCAL
        given = given_key(headers)
        if given is not None:
            return self.by_key(given)
        session = self.session(headers)
        key = self._named(session.digest) if session and session.digest else None
        return Identity(key.name, key.role, "session") if key else None

    def by_key(self, given: str) -> Identity:
        """Return whose key it is; raises :class:`Problem` (401). Takes as long whichever key it is."""
        key = self._named(digest(given))
        if key is None:
            raise Problem(
                UNAUTHENTICATED,
                "The key is not one of those configured.",
                fix="Check the key; `recsys key --name NAME --role ROLE` makes another.",
                headers=_CHALLENGE,
            )
        return Identity(key.name, key.role, "key")

    def _named(self, wanted: str) -> ApiKey | None:
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.sha256, wanted):
                found = key
        return found

    # -- sessions ----------------------------------------------------------------------------------

    def session(self, headers: Headers) -> Session | None:
        """Return the valid session of the request's cookie, if it has one."""
        value = _cookie(headers)
        try:
            values: Any = self._signer.loads(value, max_age=self._max_age_s) if value else None
        except BadSignature:
            return None
        return Session(values["id"], values["key"]) if isinstance(values, dict) else None

    def begin(self, key: str = "") -> Session:
        """Return a new session, signed in where ``key`` is given."""
        return Session(secrets.token_urlsafe(18), digest(key) if key else "")

    def cookie(self, session: Session, *, secure: bool) -> str:
        """Return the ``Set-Cookie`` header of a session."""
        value = self._signer.dumps({"id": session.id, "key": session.digest})
        flags = "; Secure" if secure else ""
        return f"{COOKIE}={value}; Path=/; Max-Age={self._max_age_s}; HttpOnly; SameSite=Strict{flags}"

    def csrf_token(self, session: Session) -> str:
        """Return the token that only a page we served to this session knows."""
        return hmac.digest(self._secret, f"csrf:{session.id}".encode(), "sha256").hex()

    def check_csrf(self, headers: Headers, token: str | None = None) -> None:
        """Raise :class:`Problem` (403) for a browser's request that carries no token of its session.

        A request with a key of its own, or from no browser, needs none: no other site can make those.
        ``token`` is a form's; by default that of the header ``X-CSRF-Token``.
        """
        if not from_browser(headers) or given_key(headers) is not None:
            return
        session = self.session(headers)
        given = token or headers.get(b"x-csrf-token", b"").decode("latin-1")
        if session is None or not hmac.compare_digest(self.csrf_token(session).encode(), given.encode()):
            raise Problem(
                FORGED,
                "The request comes from a browser and carries no valid CSRF token.",
                fix="Send the csrf_token of GET /v1/session as the header X-CSRF-Token; reload the page "
                "if it is old.",
            )


def from_browser(headers: Headers) -> bool:
    """Tell whether a browser sent the request: other sites can make it send one."""
    return b"origin" in headers or b"sec-fetch-site" in headers or _cookie(headers) is not None


def unauthenticated() -> Problem:
    """Return the problem of a request without a key."""
    return Problem(
        UNAUTHENTICATED,
        "The request has no key.",
        fix="Send the header `Authorization: Bearer KEY`, or sign in at /login.",
        headers=_CHALLENGE,
    )


def digest(key: str) -> str:
    """Return what is configured of a key: its SHA-256, hex."""
    return hashlib.sha256(key.encode()).hexdigest()


def make_key() -> str:
    """Return a new key: 256 random bits."""
    return f"rk_{secrets.token_urlsafe(32)}"


def session_secret(workspace: Workspace) -> bytes:
    """Return what cookies are signed with; made on first use, readable by its owner only."""
    path = workspace.local / _SECRET_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(handle)
        with contextlib.suppress(FileExistsError):
            os.link(partial, path)  # of several processes the first wins
        partial.unlink()
    return path.read_bytes()


def _cookie(headers: Headers) -> str | None:
    """Return the session cookie; other cookies, of whatever form, are stepped over."""
    for part in headers.get(b"cookie", b"").decode("latin-1").split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return None


def given_key(headers: Headers) -> str | None:
    """Return the key in a header of its own; ``None`` without one."""
    authorization = headers.get(b"authorization")
    if authorization is not None:
        scheme, _, value = authorization.decode("latin-1").partition(" ")
        return value.strip() if scheme.lower() == "bearer" else ""
    key = headers.get(b"x-api-key")
    return None if key is None else key.decode("latin-1")


_LOCAL = Identity("local", "admin", "nobody")
