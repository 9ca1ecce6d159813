"""CPU per image of a whole ingest from an HTTP server: fetch, check, decode, store.

    python -m benchmarks.fetch

An HTTP server in a process of its own serves distinct 1000 × 1000 JPEGs; ``catalog.run`` ingests feeds of
two sizes, each in a fresh process. The difference of their CPU times over the difference of their sizes
is what one more image costs: start-up is in both and falls out.
"""

import asyncio
import csv
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import benchmark, in_fresh_process, summary
from benchmarks.synthetic import photo_jpeg

_SIDE, _PHOTOS, _SIZES, _REPEATS = 1000, 12, (60, 560), 3


def measure() -> dict[str, Any]:
    """Serve, and ingest both sizes several times."""
    with tempfile.TemporaryDirectory() as folder:
        photos = [photo_jpeg(_SIDE, seed) for seed in range(_PHOTOS)]
        ports = multiprocessing.Queue()
        server = multiprocessing.Process(target=_serve, args=(photos, ports), daemon=True)
        server.start()
        port = ports.get()
        runs = [[ingest(Path(folder), port, size, repeat) for size in _SIZES] for repeat in range(_REPEATS)]
        server.terminate()
    marginal = [1000 * (large["cpu_s"] - small["cpu_s"]) / (_SIZES[1] - _SIZES[0]) for small, large in runs]
    return {
        "cpu_ms_per_image": summary([round(ms, 2) for ms in marginal]),
        "wall_images_per_s": summary([round(_SIZES[1] / large["wall_s"], 1) for _, large in runs]),
        "start_up_cpu_s": round(runs[0][0]["cpu_s"] - _SIZES[0] * marginal[0] / 1000, 2),
        "images": list(_SIZES),
        "source_kb": round(sum(map(len, photos)) / len(photos) / 1000),
    }


def _serve(photos: list[bytes], ports: multiprocessing.Queue) -> None:
    """Answer every GET with a photo made distinct by a comment segment that names the path."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.readline():
            path = request.split()[1]
            while (await reader.readline()).strip():
                pass
            photo = photos[int(path.strip(b"/.jpg")) % len(photos)]
            comment = b"\xff\xfe" + (len(path) + 2).to_bytes(2, "big") + path
            body = photo[:2] + comment + photo[2:]
            head = f'HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nETag: "{path.decode()}"\r\n\r\n'
            writer.write(head.encode() + body)
            await writer.drain()
        writer.close()

    async def listen() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        ports.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(listen())


def ingest(folder: Path, port: int, size: int, repeat: int) -> dict[str, float]:
    feed = folder / f"feed-{size}.csv"
    with feed.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "title", "image_link"])
        writer.writerows([f"p{i}", f"Product {i}", f"http://127.0.0.1:{port}/{i}.jpg"] for i in range(size))
    workspace = folder / f"workspace-{size}-{repeat}"
    found: dict[str, float] = in_fresh_process(run_catalog, str(feed), str(workspace))
    return found


def run_catalog(feed: str, root: str) -> dict[str, float]:
    """Ingest ``feed`` in this process; return the CPU and wall seconds that it took."""
    from recsys.catalog.run import run
    from recsys.config import CatalogConfig, Config
    from recsys.workspace import Workspace

    started = time.monotonic()
    catalog = CatalogConfig.model_validate({"feed": feed, "images": {"allow_private_addresses": True}})
    manifest = run(Config(catalog=catalog), Workspace(root))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    assert manifest.info["counts"]["images"] == manifest.info["counts"]["rows"], manifest.info
    cpu_s = usage.ru_utime + usage.ru_stime
    return {"cpu_s": cpu_s, "wall_s": time.monotonic() - started}


if __name__ == "__main__":
    benchmark("fetch", measure, __doc__)
