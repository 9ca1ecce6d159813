"""HTTP connections that never reach a private address, whatever a name resolves to.

The check is made at the connection itself: a name is resolved once, all its addresses are checked, and one
of them is connected to. There is no second resolution that could answer differently (DNS rebinding), and
redirects go through here again. TLS still verifies the certificate against the name.
"""

import ipaddress
import math
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


class RefusedAddressError(Exception):
    """A host resolves to an address that must not be reached."""


def is_public(text: str) -> bool:
    """Whether an address, and every IPv4 address it carries, is one of the public Internet."""
    address = ipaddress.ip_address(text.partition("%")[0])
    carried: list[ipaddress.IPv4Address | None] = []
    if isinstance(address, ipaddress.IPv6Address):
        carried = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if any(address in network for network in _NAT64):
            carried.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return not address.is_reserved and all(
        part.is_global and not part.is_multicast for part in (address, *carried) if part is not None
    )


class _TimedStream(httpcore.NetworkStream):
    """A connection whose reads end at the reading thread's deadline, however slowly bytes trickle in."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: "Deadline") -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left_s = self._deadline.at - time.monotonic()
        try:
            if left_s > 0:
                return self._stream.read(max_bytes, left_s if timeout is None else min(timeout, left_s))
        except httpcore.ReadTimeout:
            if timeout is not None and timeout < left_s:
                raise
        raise httpcore.ReadTimeout("the answer took too long")

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _TimedStream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class Deadline(threading.local):
    """When a thread's request must be answered; every thread has its own."""

    at = math.inf
    """On :func:`time.monotonic`'s clock."""


class GuardedBackend(httpcore.NetworkBackend):
    """Resolves, checks and connects in one step."""

    def __init__(self, *, allow_private: bool, private_hosts: Iterable[str] = ()) -> None:
        """``private_hosts`` may be at a private address; with ``allow_private`` every host may."""
        self._allow_private = allow_private
        self._private_hosts = frozenset(host.lower().rstrip(".") for host in private_hosts)
        self._backend = httpcore.SyncBackend()
        self.deadline = Deadline()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to a checked address of ``host``; raises :class:`RefusedAddressError`."""
        last: Exception | None = None
        for address in self._addresses(host, port):
            try:
                stream = self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
                return _TimedStream(stream, self.deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last or httpcore.ConnectError(f"{host} has no address")

    def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} cannot be resolved: {error}") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not self._allow_private and host.lower().rstrip(".") not in self._private_hosts:
            refused = next((address for address in addresses if not is_public(address)), None)
            if refused is not None:
                raise RefusedAddressError(
                    f"{host} is at {refused}, a private, loopback or otherwise not public address"
                )
        return addresses


class GuardedTransport(httpx.HTTPTransport):
    """httpx's transport with its connections made by a :class:`GuardedBackend`, never through a proxy.

    With ``trust_env``, the certificates that the environment names are trusted, as httpx does by itself.
    """

    def __init__(
        self, backend: GuardedBackend, *, max_connections: int, retries: int = 0, trust_env: bool = False
    ) -> None:
        super().__init__(trust_env=False)
        assert isinstance(self._pool, httpcore.ConnectionPool), "httpx sends every request through _pool"
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=trust_env),
            max_connections=max_connections,
            keepalive_expiry=15,
            retries=retries,
            network_backend=backend,
        )
