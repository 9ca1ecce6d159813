"""No name and no spelling of an address leads into a private network."""

import contextlib
import socket
from typing import Any

import httpcore
import httpx
import pytest

from recsys.catalog.ssrf import GuardedBackend, GuardedTransport, RefusedAddressError, is_public
from tests.catalog.web import Response, Web

PUBLIC = ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]
PRIVATE = [
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.5.4", "192.168.1.1", "169.254.169.254", "0.0.0.0",
    "100.64.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1",
    "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::",
    "2002:a00:1::", "::127.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("address", [*PUBLIC, *PRIVATE])
def test_what_is_public(address: str) -> None:
    assert is_public(address) == (address in PUBLIC)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "0177.0.0.1", "::1", "[::1]"]
)
def test_spellings_of_loopback_are_refused(host: str) -> None:
    with pytest.raises((RefusedAddressError, httpcore.ConnectError)):
        GuardedBackend(allow_private=False).connect_tcp(host, 9, timeout=1)


def _resolve_as(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Make the resolver give these answers one after the other; return the names it is asked for."""
    asked: list[str] = []

    def resolve(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        asked.append(host)
        addresses = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr("recsys.catalog.ssrf.socket.getaddrinfo", resolve)
    return asked


def test_one_private_address_among_public_ones_refuses_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolve_as(monkeypatch, ["93.184.215.14", "10.0.0.1"])
    with pytest.raises(RefusedAddressError, match=r"10\.0\.0\.1"):
        GuardedBackend(allow_private=False).connect_tcp("shop.example", 80)


def test_the_address_that_was_checked_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that answers public first and private later (DNS rebinding) gains nothing."""
    asked = _resolve_as(monkeypatch, ["93.184.215.14"], ["127.0.0.1"])
    connected: list[str] = []

    def connect(self: object, host: str, *_: object) -> httpcore.NetworkStream:
        connected.append(host)
        raise httpcore.ConnectError("as far as this test goes")

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect)
    with pytest.raises(httpcore.ConnectError):
        GuardedBackend(allow_private=False).connect_tcp("shop.example", 80)
    assert asked == ["shop.example"]
    assert connected == ["93.184.215.14"]


@pytest.mark.parametrize(
    ("allow_private", "private_hosts", "expected"),
    [
        (True, [], contextlib.nullcontext()),
        (False, ["127.0.0.1"], contextlib.nullcontext()),
        (False, ["other.example"], pytest.raises(RefusedAddressError)),
    ],
)
def test_only_a_private_host_that_the_configuration_names_is_reached(
    allow_private: bool, private_hosts: list[str], expected: Any, web: Web
) -> None:
    web.pages["/a"] = Response(b"hello")
    backend = GuardedBackend(allow_private=allow_private, private_hosts=private_hosts)
    transport = GuardedTransport(backend, max_connections=2)
    with httpx.Client(transport=transport, trust_env=False) as client, expected:
        assert client.get(f"{web.url}/a").content == b"hello"
