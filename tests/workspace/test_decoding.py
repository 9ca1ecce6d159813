"""Workers give what decoding gives; one that crashes, hangs or takes too much memory costs an image."""

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from recsys.errors import TransientError
from recsys.workspace import decoding
from recsys.workspace.decoding import DecodePool
from recsys.workspace.normalise import ImageError, Normalisation, normalise
from tests.catalog.made_images import encode, jpeg

SETTINGS = Normalisation()
FRAGILE = (sys.executable, "-m", "tests.workspace.crashing_decoder")


@pytest.fixture
def pool() -> Iterator[DecodePool]:
    pool = DecodePool(SETTINGS, num_workers=2, timeout_s=60)
    yield pool
    pool.close()


def reason(pool: DecodePool, source: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        pool.normalise(source)
    assert caught.value.message
    assert caught.value.fix
    return caught.value.reason


def test_a_worker_gives_what_normalise_gives(pool: DecodePool) -> None:
    sources = [jpeg(600, 500, seed) for seed in range(12)]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(pool.normalise, sources)) == [normalise(s, SETTINGS) for s in sources]
    for source in (b"", b"no image", sources[0][:2000], jpeg(4, 4)):
        with pytest.raises(ImageError) as plain:
            normalise(source, SETTINGS)
        with pytest.raises(ImageError) as caught:
            pool.normalise(source)
        assert vars(caught.value) == vars(plain.value)
    assert len(pool._workers) <= 2


def test_an_image_that_crashes_or_hangs_costs_that_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_COMMAND", FRAGILE)
    pool = DecodePool(SETTINGS, num_workers=1, timeout_s=3)
    good = jpeg()
    assert reason(pool, good + b"CRASH") == "decode_crashed"
    assert pool.normalise(good) == normalise(good, SETTINGS)
    assert reason(pool, good + b"HANG") == "decode_timeout"
    assert pool.normalise(good) == normalise(good, SETTINGS)
    (worker,) = pool._workers  # what was replaced has ended
    os.kill(worker.pid, signal.SIGKILL)
    assert worker._end.poll(60_000)
    assert pool.normalise(good) == normalise(good, SETTINGS), "one that died idle costs nothing"
    (worker,) = pool._workers
    pool.close()
    assert worker._end.poll(60_000), "it has ended"
    assert pool.normalise(good) == normalise(good, SETTINGS), "a pool that was closed starts again"
    pool.close()


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_COMMAND", (sys.executable, "-c", _SMALL))
    pool = DecodePool(SETTINGS, num_workers=1, timeout_s=60)
    large = encode(Image.new("RGB", (6000, 6000)), "PNG")
    assert normalise(large, SETTINGS).width == SETTINGS.max_side
    assert reason(pool, large) == "image_oversized"
    assert pool.normalise(jpeg()) == normalise(jpeg(), SETTINGS)
    pool.close()


_SMALL = """
import socket, sys
from recsys.workspace import decoding
decoding._BASE_BYTES, decoding._BYTES_PER_PIXEL = 100_000_000, 0
decoding.fork_workers(socket.socket(fileno=int(sys.argv[1])))
"""


def test_a_worker_that_does_not_start_is_no_fault_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_COMMAND", (sys.executable, "-c", "raise SystemExit(3)"))
    pool = DecodePool(SETTINGS, num_workers=1, timeout_s=60)
    for _ in range(2):
        with pytest.raises(TransientError, match="exit status"):
            pool.normalise(jpeg())


def test_waiting_for_a_worker_may_be_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_COMMAND", FRAGILE)
    pool = DecodePool(SETTINGS, num_workers=1, timeout_s=600)
    with ThreadPoolExecutor(1) as thread:
        hanging = thread.submit(pool.normalise, jpeg() + b"HANG")
        while not pool._workers:
            pass
        with pytest.raises(TransientError, match="busy"):
            pool.normalise(jpeg(), wait_s=0.01)
        pool.close()
        with pytest.raises(ImageError):
            hanging.result()


def test_every_format_fits_into_the_memory_of_a_worker(pool: DecodePool) -> None:
    """The bound is no lower than the largest image that the settings take."""
    side = int(SETTINGS.max_pixels**0.5)
    for format, mode in (("PNG", "RGBA"), ("TIFF", "CMYK"), ("PNG", "I;16"), ("GIF", "P")):
        options = {"PNG": {"compress_level": 1}, "TIFF": {"compression": "tiff_lzw"}}.get(format, {})
        source = encode(Image.new(mode, (side, side)), format, **options)
        assert pool.normalise(source).width == SETTINGS.max_side
