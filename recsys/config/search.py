"""Settings of the search service: where it listens, who may do what, its limits, its feedback store."""

from ipaddress import ip_network
from typing import Literal

from pydantic import Field, IPvAnyNetwork

from recsys.config.base import Section


class ApiKey(Section):
    """One key of the HTTP API. The key itself is stored nowhere: ``recsys key`` makes one and prints this."""

    name: str = Field(min_length=1, max_length=80)
    """Who uses it: the author of the rules and judgements made with it."""
    role: Literal["read", "merchandise", "admin"] = "read"
    """``read`` searches; ``merchandise`` also makes rules and judgements; ``admin`` also changes those of
    others and reads the whole audit trail."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """SHA-256 of the key: 64 lower-case hex digits, as ``recsys key`` prints them."""
    requests_per_s: float | None = Field(default=None, gt=0)
    """Requests a second that it may send, those for images included; unset is no limit. Each process of the
    service counts for itself. A page of results asks for up to 40 images."""
    burst: int = Field(default=100, ge=1)
    """Requests that it may send at once, where there were few before."""


class SearchConfig(Section):
    """The HTTP API and the page over the live collection."""

    host: str = "127.0.0.1"
    """Address to listen on. Any other than loopback needs ``keys``."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    hosts: tuple[str, ...] = ()
    """Names that browsers may call the service by, beside ``host`` and localhost: those of a proxy."""
    trusted_proxies: tuple[IPvAnyNetwork, ...] = (ip_network("127.0.0.1"), ip_network("::1"))
    """Addresses or networks (``10.0.0.0/8``) of proxies whose ``X-Forwarded-Proto`` is believed. Behind one
    that terminates TLS and sends it, session cookies are ``Secure``."""
    max_connections: int = Field(default=1000, ge=1)
    """Connections at a time, idle ones included; more are refused. Keep it below the limit of open files."""
    keys: tuple[ApiKey, ...] = ()
    """Who may use the service; without keys, everybody on this machine may do everything."""
    session_hours: float = Field(default=12, gt=0, le=24 * 30)
    """Hours a person stays signed in on the page."""
    database: str | None = None
    """SQLAlchemy URL of rules and judgements (``postgresql+psycopg://…``); unset is SQLite inside a local
    workspace. Give a password by ``RECSYS_DATABASE_URL`` rather than in a file."""
    candidates: int = Field(default=200, ge=10, le=1000)
    """Neighbours that diversity, variants and rules choose from; 100 to 300. More cost time, not much."""
    poll_interval_s: float = Field(default=1.0, gt=0, le=60)
    """Seconds between looks at what is live; a new encoder is loaded before it is used."""
    threads: int = Field(default=8, ge=1, le=128)
    """Requests that threads work on at the same time; more wait."""
    max_body_bytes: int = Field(default=25_000_000, ge=1000)
    """Bytes of one request's body at most, images included."""
    max_batch: int = Field(default=256, ge=1, le=10_000)
    """Product ids in one batch call at most."""
    thumbnail_cache_mb: int = Field(default=64, ge=0, le=4096)
    """Megabytes of thumbnails kept in memory."""
