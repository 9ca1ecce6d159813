"""Who asks, and what they may do: API keys, roles, and the signed-in session of the page.

A session is a signed cookie that holds the SHA-256 of a key: taking the key out of the configuration ends its
sessions. Where no keys are configured, everybody is ``local``, an admin.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from fastapi.security.utils import get_authorization_scheme_param
from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.requests import Request

from recsys.config.search import SearchConfig
from recsys.serving.problems import FORBIDDEN, UNAUTHENTICATED, Problem
from recsys.workspace import Workspace

Role = Literal["read", "merchandise", "admin"]
ROLES: tuple[Role, ...] = ("read", "merchandise", "admin")
"""Each may do what those before it may."""
COOKIE = "recsys_session"
_SECRET_FILE = "secrets/search-session"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks."""

    name: str
    role: Role

    def has_role(self, role: Role) -> bool:
        """Tell whether this identity has at least ``role``."""
        return ROLES.index(self.role) >= ROLES.index(role)


class Authenticator:
    """The configured keys, and the session cookies that stand for them."""

    def __init__(self, config: SearchConfig, secret: bytes) -> None:
        self._keys = config.keys
        self.needs_key = bool(config.keys)
        self.session_max_age_s = int(config.session_hours * 3600)
        self._serializer = URLSafeTimedSerializer(secret, salt="session")

    def authenticate(self, key: str | None, session: str | None) -> Identity:
        """Return who sends this key or, without a key, this session cookie; raises :class:`Problem` (401)."""
        if not self._keys:
            return Identity("local", "admin")
        if key is not None:
            digest = key_digest(key)
        else:
            try:
                digest = str(self._serializer.loads(session or "", max_age=self.session_max_age_s))
            except BadSignature:
                raise _unauthenticated(
                    "The request has no key.",
                    fix="Send the header `Authorization: Bearer KEY`, or sign in at /login.",
                ) from None
        # Every key is compared, so that the time says nothing of which one it is.
        found = [known for known in self._keys if hmac.compare_digest(known.sha256, digest)]
        if not found:
            raise _unauthenticated(
                "The key is not one of those configured.",
                fix="Check the key; `recsys key --name NAME --role ROLE` makes another.",
            )
        return Identity(found[0].name, found[0].role)

    def make_session(self, key: str) -> str:
        """Return the value of a session cookie for ``key``; raises :class:`Problem` (401)."""
        self.authenticate(key, None)
        return str(self._serializer.dumps(key_digest(key)))


class Authorize(SecurityBase):
    """Lets those with a role pass: ``Security(authorize, scopes=[role])``.

    One dependency that reads all three ways to sign in, since each dependency costs a request 10 µs.
    """

    def __init__(self) -> None:
        self.model = HTTPBearerModel(description="A key from `recsys key`.")
        self.scheme_name = "bearer"

    async def __call__(self, request: Request, scopes: SecurityScopes) -> None:
        """Note who asks in ``request.scope``; raise :class:`Problem` (401, 403) for others."""
        authenticator: Authenticator = request.app.state.services.authenticator
        scheme, key = get_authorization_scheme_param(request.headers.get("authorization"))
        identity = authenticator.authenticate(
            key if scheme.lower() == "bearer" else request.headers.get("x-api-key"),
            request.cookies.get(COOKIE),
        )
        request.scope["identity"] = identity
        role = next(role for role in ROLES if role in scopes.scopes)
        if not identity.has_role(role):
            raise Problem(
                FORBIDDEN,
                f"{identity.name} has the role {identity.role}; this needs {role}.",
                fix=f"Use a key whose role is {role}: `recsys key --name NAME --role {role}` makes one.",
            )


authorize = Authorize()
OTHER_SCHEMES = {
    "header": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "Signed in at /login."},
}
"""What the OpenAPI document says of the other ways to sign in."""


async def current_identity(request: Request) -> Identity:
    """Return who asks, as :func:`authorize` found."""
    identity: Identity = request.scope["identity"]
    return identity


CurrentIdentity = Annotated[Identity, Depends(current_identity)]


def _unauthenticated(detail: str, *, fix: str) -> Problem:
    return Problem(UNAUTHENTICATED, detail, fix=fix, headers={"WWW-Authenticate": 'Bearer realm="recsys"'})


def key_digest(key: str) -> str:
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
        with tempfile.NamedTemporaryFile(dir=path.parent) as file, contextlib.suppress(FileExistsError):
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
            os.link(file.name, path)  # of several processes the first wins
    return path.read_bytes()
