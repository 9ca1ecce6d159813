"""Products, autocomplete, facets, images."""

import hashlib
import io

import pytest
from PIL import Image
from starlette.testclient import TestClient

from recsys.embedding import run as embedding
from recsys.index import run as index
from recsys.search.live_index import LiveIndex
from recsys.serving.app import create_app
from recsys.serving.responses import AutocompleteResponse, FacetsResponse, ProductResponse
from recsys.serving.thumbnails import WIDTHS
from recsys.workspace import Workspace
from tests.embedding.catalogs import sha, store_images, store_snapshot
from tests.search import shops
from tests.serving.conftest import Client, Shop
from tests.serving.test_limits import refused
from tests.serving.test_search import good


def test_one_product(client: TestClient, shop: Shop) -> None:
    result = good(client.get("/v1/products/p03"), ProductResponse)
    assert result["encoder"] == "encoders/e1"
    row = next(r for r in shops.rows() if r["id"] == "p03")
    product = result["product"]
    named = ("id", "title", "brand", "color", "price", "currency", "availability", "link")
    assert product == {name: row[name] for name in named} | {
        "product_type": ["Home", "Home > Lamps"],
        "item_group_id": row["item_group_id"],
        "attributes": {"fit": "slim"},
        "image": f"/images/{row['images'][0].hex()}",
        "has_image": True,
        "has_text": True,
    }
    assert "image" not in good(client.get("/v1/products/p06"), ProductResponse)["product"]
    assert "title" not in good(client.get("/v1/products/p05"), ProductResponse)["product"]
    old = good(client.get("/v1/products/p03", params={"collection": shop.old}), ProductResponse)
    assert (old["collection"], old["encoder"]) == (shop.old, "encoders/e0")


def test_autocomplete(client: TestClient) -> None:
    def find(q: str, limit: int = 10) -> list[str]:
        result = good(client.get("/v1/products", params={"q": q, "limit": limit}), AutocompleteResponse)
        return [p["id"] for p in result["products"]]

    assert find("p0", 3) == ["p00", "p01", "p02"]
    assert find("P03") == ["p03"]
    assert "p03" in find("thing 3")
    assert find("no such words") == []
    assert len(find("", 4)) == 4
    assert find("'\"*()-^ AND") == []


def test_facets(client: TestClient) -> None:
    result = good(client.get("/v1/facets"), FacetsResponse)
    assert {v["value"]: v["count"] for v in result["facets"]["brand"]} == {"Acme": 12, "Bolt": 12}
    assert "attributes.fit" in result["facets"]
    assert "size" not in result["facets"]  # nothing has one
    narrowed = good(
        client.get("/v1/facets", params={"columns": ["product_type", "brand"], "limit": 2,
                                         "filter": '{"brand": "Acme"}'}), FacetsResponse)  # fmt: skip
    assert list(narrowed["facets"]) == ["product_type", "brand"]
    assert len(narrowed["facets"]["product_type"]) == 2
    assert narrowed["facets"]["brand"] == [{"value": "Acme", "count": 12}]


@pytest.mark.parametrize("width", WIDTHS)
def test_images_are_thumbnails(client: TestClient, width: int) -> None:
    path = good(client.get("/v1/products/p03"), ProductResponse)["product"]["image"]
    response = client.get(path, params={"w": width})
    assert response.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(response.content)) as thumbnail:
        assert thumbnail.format == "JPEG"
        assert max(thumbnail.size) == min(60, width)  # the stored ones are 48 × 60; none is enlarged


def test_images_are_kept_by_browsers(client: TestClient, as_: Client) -> None:
    path = f"/images/{sha(3).hex()}?w=96"
    first = client.get(path)
    assert first.headers["cache-control"] == "public, max-age=31536000, immutable"
    again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert client.get(path.replace("96", "160"), headers={"If-None-Match": first.headers["etag"]}).content
    assert as_("rita").get(path).headers["cache-control"].startswith("private")


def test_an_unknown_image_is_not_found(client: TestClient) -> None:
    refused(client.get(f"/images/{hashlib.sha256(b'?').hexdigest()}"), 404)
    body = refused(client.get(f"/images/{sha(3).hex()}?w=97"), 400)
    assert "96, 160, 320, 640" in body["fix"]


def test_a_kept_collections_images_are_there(shop: Shop, workspace: Workspace) -> None:
    """A product that went has its image as long as a collection that shows it can be asked."""
    store_images(workspace, range(9))
    store_images(workspace, [20], "others")
    gone = {**shops.rows(1)[0], "id": "gone", "images": [sha(20)]}
    nights = (
        ([*shops.rows(8), gone], ["images/images", "images/others"]),
        (shops.rows(8), ["images/images"]),
    )
    for seed, (rows, shards) in enumerate(nights):
        snapshot = store_snapshot(workspace, rows, shards, f"night-{seed}")
        embedded = embedding.run(
            shop.config, workspace, snapshot, shops.make_encoder(shop.config, workspace, seed)
        )
        index.run(shop.config, workspace, snapshot, embedded.ref)
    live = LiveIndex(shop.config, workspace)
    live.start()
    app = create_app(shop.config, workspace, live=live, store=shop.store)
    with TestClient(app, base_url="http://localhost") as client:
        assert live.view().encoder_ref == "encoders/e1"
        refused(client.get("/v1/products/gone"), 404)
        assert client.get(f"/images/{sha(20).hex()}").status_code == 200
        refused(client.get(f"/images/{sha(21).hex()}"), 404)
    live.close()
