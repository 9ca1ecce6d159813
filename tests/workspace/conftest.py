"""A workspace in a local folder, and one in an object store."""

from pathlib import Path

import pytest

from recsys.workspace import Workspace


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    if request.param == "local":
        return Workspace(tmp_path / "ws")
    url = f"{request.getfixturevalue('s3_url')}/{tmp_path.name}"
    return Workspace(url, cache=tmp_path / "cache")
