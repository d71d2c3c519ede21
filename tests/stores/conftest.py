"""One suite for every store that docs/storage.md promises, against real servers on loopback.

They take minutes and need servers from npm and Debian, so they run when they are asked for:
``make test-stores``.
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
import pytest
import requests as http

from tests.batch.nights import Night
from tests.stores import servers
from tests.stores.places import AzurePlace, GooglePlace, S3Place, SftpPlace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.stores.places import Place

STORES = ("azure", "google", "moto", "localbucket", "sftp")
OBJECTS = [name for name in STORES if name != "sftp"]


def in_turn(*names: str) -> list[Any]:
    """Return the parameters of a fixture; all tests of a store run where its server does."""
    return [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in names]


# It asks for each bucket's kind by gRPC, which an emulator does not answer.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"


class Connections:
    """Airflow connections in the environment."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def add(self, conn_id: str, **fields: Any) -> str:
        """Add one, and return its id."""
        self._patch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))
        return conn_id


@pytest.fixture(scope="session")
def connections() -> Iterator[Connections]:
    """Provide the connections of the session."""
    with pytest.MonkeyPatch.context() as patch:
        yield Connections(patch)


@pytest.fixture(scope="session")
def stores(
    connections: Connections, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Place]]:
    """Start each server when it is first needed; return a fresh place in its store."""
    makers: dict[str, Callable[[], Place]] = {}
    with ExitStack() as stack:

        def place(name: str) -> Place:
            if name not in makers:
                folder = tmp_path_factory.mktemp(name)
                makers[name] = MAKERS[name](stack, connections, folder)
            return makers[name]()

        yield place


def _azure(stack: ExitStack, connections: Connections, folder: Path) -> Callable[[], Place]:
    from azure.storage.blob import BlobServiceClient

    url = stack.enter_context(servers.azurite(folder))
    string = "DefaultEndpointsProtocol=http;AccountName={};AccountKey={};BlobEndpoint={};".format
    good = string(servers.ACCOUNT, servers.ACCOUNT_KEY, url)
    connections.add("azure", conn_type="wasb", extra={"connection_string": good})
    bad_key = string(servers.ACCOUNT, "d3Jvbmc=", url)
    connections.add("azure_key", conn_type="wasb", extra={"connection_string": bad_key})
    service = stack.enter_context(BlobServiceClient.from_connection_string(good))
    service.create_container("container")
    service.create_container("other")

    def make() -> Place:
        root = f"container/{uuid4().hex}"
        missing = "abfs://azure@missing/x/"
        return AzurePlace(
            "abfs", "azure", root, missing, ["azure_key"], folder / "log", service=service
        )

    return make


def _google(stack: ExitStack, connections: Connections, folder: Path) -> Callable[[], Place]:
    url = stack.enter_context(servers.fake_gcs_server(folder))
    anonymous = {"is_anonymous": True, "project": "test"}
    kind = "google_cloud_platform"
    connections.add("google", conn_type=kind, extra={**anonymous, "gcs.endpoint": url})
    tokens = stack.enter_context(servers.refusing(400))
    key = json.dumps(servers.service_account(tokens))
    extra = {"keyfile_dict": key, "project": "test", "gcs.endpoint": url}
    connections.add("google_key", conn_type=kind, extra=extra)
    forbidden = stack.enter_context(servers.refusing(401))
    connections.add("google_login", conn_type=kind, extra={**anonymous, "gcs.endpoint": forbidden})
    client = stack.enter_context(http.Session())
    client.post(f"{url}/storage/v1/b", json={"name": "bucket"}).raise_for_status()

    def make() -> Place:
        root, missing = f"bucket/{uuid4().hex}", "gs://google@missing/x/"
        refused = ["google_key", "google_login"]
        return GooglePlace(
            "gs", "google", root, missing, refused, folder / "log", url=url, http=client
        )

    return make


def _s3(name: str, url: str, connections: Connections, login: str, password: str) -> Any:
    extra = {"endpoint_url": url, "region_name": "us-east-1"}
    connections.add(name, conn_type="aws", login=login, password=password, extra=extra)
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=login,
        aws_secret_access_key=password,
    )


def _moto(stack: ExitStack, connections: Connections, folder: Path) -> Callable[[], Place]:
    url = stack.enter_context(servers.moto(folder))
    client = _s3("moto", url, connections, "testing", "testing")
    client.create_bucket(Bucket="bucket")
    strict = stack.enter_context(servers.moto(folder))
    _s3("moto_key", strict, connections, "AKIANOBODY", "wrong")
    reader = _user(strict, ["s3:Get*", "s3:List*"])
    _s3("moto_reader", strict, connections, *reader)
    _s3("moto_strict", strict, connections, *_user(strict, ["s3:*"])).create_bucket(Bucket="bucket")
    http.post(f"{strict}/moto-api/reset-auth", data="0").raise_for_status()

    def make() -> Place:
        root, missing = f"bucket/{uuid4().hex}", "s3://moto@missing/x/"
        return S3Place("s3", "moto", root, missing, ["moto_key"], folder / "log", client=client)

    return make


def _user(url: str, actions: list[str]) -> tuple[str, str]:
    """Create a user of moto's IAM, and return the access key."""
    iam = boto3.client(
        "iam",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    name = uuid4().hex
    iam.create_user(UserName=name)
    statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="policy", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


def _localbucket(stack: ExitStack, connections: Connections, folder: Path) -> Callable[[], Place]:
    url = stack.enter_context(servers.localbucket(folder))
    client = _s3("localbucket", url, connections, "testing", "testing")
    client.create_bucket(Bucket="bucket")

    def make() -> Place:
        root, missing = f"bucket/{uuid4().hex}", "s3://localbucket@missing/x/"
        return S3Place("s3", "localbucket", root, missing, [], folder / "log", client=client)

    return make


def _sftp(stack: ExitStack, connections: Connections, folder: Path) -> Callable[[], Place]:
    fields = stack.enter_context(servers.openssh(folder))
    connections.add("sftp", **fields)
    connections.add("sftp_login", **{**fields, "login": "nobody"})
    connections.add("sftp_password", **{**fields, "password": "wrong", "extra": {}})

    def make() -> Place:
        path = folder / "data" / uuid4().hex
        path.mkdir(parents=True)
        return SftpPlace("sftp", "sftp", "", "", ["sftp_login", "sftp_password"], path=path)

    return make


MAKERS = {
    "azure": _azure,
    "google": _google,
    "moto": _moto,
    "localbucket": _localbucket,
    "sftp": _sftp,
}


@pytest.fixture(params=in_turn(*STORES))
def store(request: pytest.FixtureRequest, stores: Callable[[str], Place]) -> Place:
    """Provide a fresh place in each store in turn."""
    return stores(request.param)


@pytest.fixture(params=in_turn(*OBJECTS))
def objects(request: pytest.FixtureRequest, stores: Callable[[str], Place]) -> Place:
    """Provide a fresh place in each object store."""
    return stores(request.param)


@pytest.fixture
def sandbox(convertapi_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Provide a fresh sandbox and a short settle time."""
    monkeypatch.setenv("AIRFLOW__CONVERTAPI__SETTLE", "0.3")
    return convertapi_sandbox


@pytest.fixture
def night(sandbox: Sandbox, tmp_path: Path) -> Night:
    """Provide somewhere to run batches; they name their own places."""
    return Night(tmp_path / "in", tmp_path / "out", sandbox)
