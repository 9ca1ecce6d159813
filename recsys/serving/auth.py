"""Who asks, and what they may do: API keys, roles, and the signed-in session of the page.

A session stands for a key: taking the key out of the configuration ends its sessions. Where no keys are
configured, everybody is ``local``, an admin.
"""

import hashlib
import hmac
import math
import secrets
import time
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from fastapi.security.utils import get_authorization_scheme_param
from starlette.requests import Request

from recsys.config.search import SearchConfig
from recsys.serving.problems import FORBIDDEN, TOO_MANY, UNAUTHENTICATED, Problem
from recsys.serving.sessions import Sessions
from recsys.serving.token_bucket import TokenBucket

Role = Literal["read", "merchandise", "admin"]
ROLES: tuple[Role, ...] = ("read", "merchandise", "admin")
"""Each may do what those before it may."""
COOKIE = "recsys_session"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks."""

    name: str
    role: Role

    def has_role(self, role: Role) -> bool:
        """Tell whether this identity has at least ``role``."""
        return ROLES.index(self.role) >= ROLES.index(role)


class Authenticator:
    """The configured keys, and the sessions that stand for them."""

    def __init__(self, config: SearchConfig, sessions: Sessions) -> None:
        self._keys, self.sessions = config.keys, sessions
        self.needs_key = bool(config.keys)
        self._buckets = {
            key.sha256: TokenBucket(key.requests_per_s, key.burst)
            for key in config.keys
            if key.requests_per_s is not None
        }

    def authenticate(self, key: str | None, session: str | None) -> Identity:
        """Return who sends this key or, without a key, this session cookie.

        Raises :class:`Problem`: 401 for neither, 429 for a key that asks more often than it may.
        """
        if not self._keys:
            return Identity("local", "admin")
        digest = self.sessions.key_sha256(session or "") if key is None else key_digest(key)
        if digest is None:
            raise _unauthenticated(
                "The request has no key.",
                fix="Send the header `Authorization: Bearer KEY`, or sign in at /login.",
            )
        # Every key is compared, so that the time says nothing of which one it is.
        found = [known for known in self._keys if hmac.compare_digest(known.sha256, digest)]
        if not found:
            raise _unauthenticated(
                "The key is not one of those configured.",
                fix="Check the key; `recsys key --name NAME --role ROLE` makes another.",
            )
        bucket = self._buckets.get(digest)
        wait_s = bucket.take(time.monotonic()) if bucket else 0
        if wait_s:
            raise Problem(
                TOO_MANY,
                f"{found[0].name} asks more often than {found[0].requests_per_s:g} times a second.",
                fix="Ask again after Retry-After; ask for many products at once by POST /v1/batch, or raise "
                "requests_per_s of this key in the configuration.",
                headers={"Retry-After": str(math.ceil(wait_s))},
            )
        return Identity(found[0].name, found[0].role)

    def begin_session(self, key: str) -> str:
        """Return the value of a session cookie for ``key``; raises as :meth:`authenticate` does."""
        self.authenticate(key, None)
        return self.sessions.begin(key_digest(key))


class Authorize(SecurityBase):
    """Lets those with a role pass: ``Security(authorize, scopes=[role])``.

    One dependency that reads all three ways to sign in, since each dependency costs a request 10 µs.
    """

    def __init__(self) -> None:
        self.model = HTTPBearerModel(description="A key from `recsys key`.")
        self.scheme_name = "bearer"

    async def __call__(self, request: Request, scopes: SecurityScopes) -> None:
        """Note who asks in ``request.scope``; raise :class:`Problem` (401, 403, 429) for others."""
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
