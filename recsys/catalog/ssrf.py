"""Connections that never reach a private address, whatever a name resolves to.

The check is made at the connection itself: a name is resolved once, the addresses are checked, and one of
the checked addresses is connected to. There is no second resolution that could answer differently (DNS
rebinding), and redirects go through here again. TLS still verifies the certificate against the name.

Does not know: images.
"""

import ipaddress
import socket
import ssl
from collections.abc import Iterable

import httpcore
import httpx

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


class RefusedAddressError(Exception):
    """A host resolves to an address that must not be reached."""

    def __init__(self, host: str, address: str) -> None:
        super().__init__(f"{host} is at {address}, a private, loopback or otherwise not public address")


def is_public(text: str) -> bool:
    """Whether an address is one of the public Internet, also when it wraps an IPv4 address."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    return all(inner.is_global and not inner.is_multicast for inner in _inner(address))


def _inner(address: Address) -> Iterable[ipaddress.IPv4Address]:
    """Yield the IPv4 addresses that an IPv6 address carries (mapped, 6to4, Teredo, NAT64)."""
    if isinstance(address, ipaddress.IPv6Address):
        teredo = address.teredo or ()
        yield from (inner for inner in (address.ipv4_mapped, address.sixtofour, *teredo) if inner is not None)
        if any(address in network for network in _NAT64):
            yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


class GuardedBackend(httpcore.NetworkBackend):
    """Resolves, checks and connects in one step."""

    def __init__(self, *, allow_private: bool, private_hosts: Iterable[str] = ()) -> None:
        self._allow_private = allow_private
        self._private_hosts = frozenset(host.lower().rstrip(".") for host in private_hosts)
        self._backend = httpcore.SyncBackend()

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
                return self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last or httpcore.ConnectError(f"{host} has no address")

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Refuse: no feed has a reason to name a socket."""
        raise RefusedAddressError(path, "a local socket")

    def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} cannot be resolved: {error}") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not self._allow_private and host.lower().rstrip(".") not in self._private_hosts:
            refused = next((address for address in addresses if not is_public(address)), None)
            if refused is not None:
                raise RefusedAddressError(host, refused)
        return addresses


class GuardedTransport(httpx.BaseTransport):
    """An httpx transport over :class:`GuardedBackend`; proxies of the environment are not used."""

    def __init__(self, backend: GuardedBackend, *, max_connections: int) -> None:
        context: ssl.SSLContext = httpx.create_ssl_context(trust_env=False)
        self._pool = httpcore.ConnectionPool(
            ssl_context=context, max_connections=max_connections, keepalive_expiry=15, network_backend=backend
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; httpcore's errors are raised as httpx's."""
        url = request.url
        core = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            extensions=request.extensions,
        )
        try:
            response = self._pool.handle_request(core)
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            raise httpx.TransportError(f"{type(error).__name__}: {error}") from error
        return httpx.Response(
            response.status, headers=response.headers, stream=_Body(response), extensions=response.extensions
        )

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self):  # type: ignore[no-untyped-def]
        try:
            yield from self._response.iter_stream()
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            raise httpx.TransportError(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        self._response.close()
