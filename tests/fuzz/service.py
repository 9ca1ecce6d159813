"""Whole requests, mutated, against the HTTP service over a tiny index: no answer may be a 500."""

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from starlette.testclient import TestClient

from tests.embedding.catalogs import make_image
from tests.serving.conftest import open_shop
from tests.serving.test_auth import ROUTES
from tests.training.shop import tiny_text_model

_SEARCH = {
    "like": ["p00"],
    "text": "red thing",
    "filter": {"price": {"gte": 5}, "brand": ["Acme"]},
    "limit": 3,
}
_QUERY = "?limit=3&offset=1&collection=products&brand=Acme&q=red&image_weight=0.5&next=/&filter={}"
_HEADERS = (
    b'Authorization: Bearer key-ada\nContent-Type: application/json\nIf-None-Match: "a"\nCookie: session=a'
)
_FORM = (
    b"POST /v1/search\nX-Api-Key: key-ada\nContent-Type: multipart/form-data; boundary=x\n\n--x\r\n"
    b'Content-Disposition: form-data; name="query"\r\n\r\n{"limit": 2}\r\n--x\r\n'
    b'Content-Disposition: form-data; name="images"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    + make_image(0)
    + b"\r\n--x--\r\n"
)
_LOGIN = b"POST /login?next=/\nContent-Type: application/x-www-form-urlencoded\nOrigin: http://localhost\n\nkey=key-ada"


@contextlib.contextmanager
def targets() -> Iterator[dict[str, tuple[bytes, Callable[[bytes], None]]]]:
    """Open a shop's service; yield name → a good request, and what sends it."""
    requests = {"service-form": _FORM, "service-login": _LOGIN}
    for method, path, body, _ in ROUTES:
        content = json.dumps(_SEARCH if path == "/v1/search" else body).encode()
        name = f"service-{method}{path.replace('/', '-')[:30]}"
        requests[name] = f"{method} {path}{_QUERY}\n".encode() + _HEADERS + b"\n\n" + content
    with tempfile.TemporaryDirectory() as folder:
        model = tiny_text_model(Path(folder, "text"))
        with open_shop(Path(folder, "shop"), model) as shop:
            app = shop.app(keys={"ada": "admin"})
            with TestClient(app, base_url="http://localhost", follow_redirects=False) as client:
                yield {name: (raw, lambda data: ask(client, data)) for name, raw in requests.items()}


def ask(client: TestClient, data: bytes) -> None:
    """Send a request: method and target, headers, an empty line, a body; raise what the service raises."""
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    method, _, target = first.decode("latin-1").partition(" ")
    headers = [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
    try:
        request = client.build_request(method, f"http://localhost{target}", headers=headers, content=body)
    except Exception:  # noqa: BLE001 (of several kinds: no client sends that)
        return
    client.cookies.clear()
    response = client.send(request)
    assert response.status_code != 500, response.text
