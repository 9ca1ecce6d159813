"""Fixtures of the training tests."""

import pytest
import torch

from recsys.workspace.image_store import ImageStore


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def images_read(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The sha256 of every image that is read from now on, one entry per reading."""
    read: list[bytes] = []
    jpeg = ImageStore.jpeg
    monkeypatch.setattr(ImageStore, "jpeg", lambda self, sha256: (read.append(sha256), jpeg(self, sha256))[1])
    return read
