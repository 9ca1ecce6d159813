"""A workspace in a local folder, and one in an object store."""

import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from recsys.workspace import Workspace


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """A bucket on a real S3 protocol server."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    names = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    with mock.patch.dict(os.environ, names, AWS_ENDPOINT_URL=endpoint):
        boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="bucket")
        yield "s3://bucket/some/prefix"
    server.stop()


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    if request.param == "local":
        return Workspace(tmp_path / "ws")
    url = f"{request.getfixturevalue('s3_url')}/{tmp_path.name}"
    return Workspace(url, cache=tmp_path / "cache")
