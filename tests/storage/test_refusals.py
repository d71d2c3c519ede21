"""What a store refuses is found before anything is paid, and the error names the connection."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
import pytest
import requests as http

from airflow_provider_convertapi.errors import (
    ConnectionConfigError,
    InputNotFoundError,
    OutputNotWritableError,
    ParameterError,
)
from airflow_provider_convertapi.storage import Destination, find_source, list_files
from tests.storage.conftest import sftp_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convertapi_sandbox import Sandbox
    from tests.storage.conftest import DiskStore, S3Store

MODES = pytest.mark.parametrize("durable", [True, False], ids=["durable", "direct"])
READING = ["s3:Get*", "s3:List*"]


@pytest.fixture
def letter(tmp_path: Path) -> str:
    """Provide a small document."""
    (tmp_path / "letter.txt").write_text("Dear reader.\n")
    return str(tmp_path / "letter.txt")


@pytest.fixture
def strict_s3(s3_store: S3Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """Make the S3 server check who asks; give URIs by one who may only read, and by nobody."""
    mark = uuid4().hex[:6]  # Airflow keeps a file system for each connection
    url = s3_store.client.meta.endpoint_url
    own = {"aws_access_key_id": "testing-login", "aws_secret_access_key": "testing-password"}
    iam = boto3.client("iam", endpoint_url=url, region_name="us-east-1", **own)
    iam.create_user(UserName="reader")
    statement = {"Effect": "Allow", "Action": READING, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="reader", PolicyName="reading", PolicyDocument=policy)
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    for name, login, password in (
        (f"reader_{mark}", key["AccessKeyId"], key["SecretAccessKey"]),
        (f"nobody_{mark}", "AKIANOBODY", "wrong"),
    ):
        extra = {"endpoint_url": url, "region_name": "us-east-1"}
        fields = {"conn_type": "aws", "login": login, "password": password, "extra": extra}
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fields))
    s3_store.write("in/a.txt", b"Hello\n")
    http.post(f"{url}/moto-api/reset-auth", data="0").raise_for_status()
    yield (
        s3_store.uri.replace("s3_test", f"reader_{mark}"),
        s3_store.uri.replace("s3_test", f"nobody_{mark}"),
    )
    http.post(f"{url}/moto-api/reset-auth", data="inf").raise_for_status()
    iam.delete_access_key(UserName="reader", AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName="reader", PolicyName="reading")
    iam.delete_user(UserName="reader")
    iam.close()


def convert(source: str, destination: str, *, durable: bool) -> None:
    """Convert a document in a hook of its own."""
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

    ConvertApiHook().convert(source, "pdf", destination, durable=durable)


@MODES
def test_key_that_nobody_has_as_destination(
    convertapi_sandbox: Sandbox, strict_s3: tuple[str, str], letter: str, durable: bool
) -> None:
    """It is found by a look at the bucket."""
    _, uri = strict_s3

    with pytest.raises(ConnectionConfigError, match=r"'nobody_.*login and password"):
        convert(letter, f"{uri}a.pdf", durable=durable)

    assert 0 == convertapi_sandbox.billed


def test_key_that_nobody_has_as_source(strict_s3: tuple[str, str]) -> None:
    """A file, a directory and a glob."""
    _, uri = strict_s3

    with pytest.raises(ConnectionConfigError, match="'nobody_"):
        find_source(f"{uri}in/a.txt")
    for tail in ("in/", "in/*.txt", "**/*"):
        with pytest.raises(ConnectionConfigError, match="'nobody_"):
            next(list_files(uri + tail), None)


@MODES
def test_destination_that_may_only_be_read(
    convertapi_sandbox: Sandbox, strict_s3: tuple[str, str], letter: str, durable: bool
) -> None:
    """Only an attempt to write tells."""
    uri, _ = strict_s3

    for destination in (f"{uri}a.pdf", f"{uri}out/"):
        with pytest.raises(OutputNotWritableError, match="Nothing was paid"):
            convert(letter, destination, durable=durable)

    assert 0 == convertapi_sandbox.billed


def test_attempt_to_write_leaves_nothing(s3_store: S3Store, sftp_store: DiskStore) -> None:
    """Neither a file nor an upload, and what is there stays as it is."""
    for store in (s3_store, sftp_store):
        store.write("a.pdf", b"old")
        Destination.parse(f"{store.uri}a.pdf").check_writable()
        Destination.parse(f"{store.uri}out/").check_writable()

        assert ["a.pdf"] == store.names()
        assert b"old" == store.read("a.pdf")
    assert [] == s3_store.unfinished_uploads()


def test_bucket_that_is_gone_when_a_result_is_to_be_written(s3_store: S3Store) -> None:
    """A look that was remembered is not the last one."""
    s3_store.client.create_bucket(Bucket="short-lived")
    destination = Destination.parse("s3://s3_test@short-lived/a.pdf")
    s3_store.client.delete_bucket(Bucket="short-lived")

    with pytest.raises(OutputNotWritableError, match=r"does not exist\. Nothing was paid"):
        destination.check_writable()


@pytest.mark.parametrize("field", ["login", "password"])
def test_sftp_login_that_is_refused(
    sftp_store: DiskStore, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    """The server says no as soon as the connection is opened."""
    import os

    fields = {**json.loads(os.environ["AIRFLOW_CONN_SFTP_TEST"]), field: "wrong"}
    monkeypatch.setenv(f"AIRFLOW_CONN_SFTP_{field.upper()}", json.dumps(fields))
    uri = sftp_store.uri.replace("sftp_test", f"sftp_{field}")

    with pytest.raises(ConnectionConfigError, match=f"'sftp_{field}'"):
        find_source(f"{uri}a.txt")
    with pytest.raises(ConnectionConfigError, match=f"'sftp_{field}'"):
        Destination.parse(f"{uri}a.txt")


@pytest.fixture
def locked_sftp(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """Serve a directory that may only be read; give its URI, and a document that all may read."""
    root = Path(tempfile.mkdtemp())  # outside of pytest's folder, which only its owner may enter
    (root / "letter.txt").write_text("Dear reader.\n")
    root.chmod(0o555)
    conn_id = f"sftp_{uuid4().hex[:6]}"
    with sftp_server(root) as connection:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", connection)
        uri = Destination.parse(f"sftp://{conn_id}@/a.pdf").uri  # connects
        yield uri, str(root / "letter.txt")
    shutil.rmtree(root)


@MODES
def test_sftp_directory_that_may_not_be_written(
    convertapi_sandbox: Sandbox, locked_sftp: tuple[str, str], durable: bool, unprivileged: None
) -> None:
    """It is found as on a disk."""
    uri, letter = locked_sftp

    with pytest.raises(OutputNotWritableError, match="Nothing was paid"):
        convert(letter, uri, durable=durable)

    assert 0 == convertapi_sandbox.billed


@pytest.mark.parametrize(
    ("scheme", "said"),
    [
        ("smb", r"s3://, s3a://, s3n:// \(apache-airflow-providers-amazon\[s3fs\]\)"),
        ("webdav", r"gs://, gcs:// \(apache-airflow-providers-google\)"),
        ("ftp", r"Airflow reaches SFTP.*sftp://.*apache-airflow-providers-sftp\[sshfs\]"),
        ("wasbs", "Azure's scheme is abfs://"),
        ("hdfs", "file://.*part of Airflow"),
        ("zzz", "is 'zzz' spelled right"),
    ],
)
def test_unknown_scheme_is_answered_with_those_there_are(scheme: str, said: str) -> None:
    """And with the package that brings each."""
    for ask in (find_source, Destination.parse):
        with pytest.raises(ParameterError, match=said):
            ask(f"{scheme}://host/a.txt")


def test_scheme_whose_package_is_missing() -> None:
    """The package is named."""
    pytest.importorskip("airflow.providers.amazon")
    for scheme, package in (("gs", "google"), ("abfs", "microsoft-azure")):
        try:
            __import__(f"airflow.providers.{package.replace('-', '.')}")
        except ImportError:
            with pytest.raises(ParameterError, match=f"pip install .*-{package}'"):
                find_source(f"{scheme}://bucket/a.txt")


def test_read_asks_for_no_more_than_there_is(s3_store: S3Store) -> None:
    """Some servers refuse a range that ends behind the object."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    s3_store.write("a.txt", b"12345")
    events = ObjectStoragePath(s3_store.uri).fs.s3.meta.events
    ranges: list[Any] = []

    def note(request: Any, **_: Any) -> None:
        ranges.append(request.headers.get("Range"))

    events.register("before-send.s3.GetObject", note)
    try:
        with find_source(s3_store.uri + "a.txt").open() as file:
            assert b"12345" == file.read()
    finally:
        events.unregister("before-send.s3.GetObject", note)

    assert [b"bytes=0-4"] == ranges


@pytest.mark.parametrize(
    "marker", ["in/", "in/sub/", "in", "in/sub", "in_$folder$", "in/x_$folder$"]
)
def test_directory_marker_is_no_document(s3_store: S3Store, marker: str) -> None:
    """Nor does it hide what lies in its directory."""
    names = ["in/a.txt", "in/sub/b.txt", "in/sub-way.txt"]
    for name in names:
        s3_store.write(name, b"x")
    s3_store.write(marker, b"")

    for source in ("in", "in/", "in/**"):
        found = [one.uri.removeprefix(s3_store.uri) for one in list_files(s3_store.uri + source)]
        assert sorted(names) == sorted(found)


def test_empty_file_is_a_file(s3_store: S3Store) -> None:
    """Only one with files below its name stands for a directory."""
    for name in ("in/a.txt", "in/b.txt", "in/c/d.txt"):
        s3_store.write(name, b"")

    found = sorted(one.path for one in list_files(f"{s3_store.uri}in/"))

    assert ["a.txt", "b.txt", "c/d.txt"] == found
    assert 0 == find_source(f"{s3_store.uri}in/a.txt").size


def test_missing_bucket_is_no_empty_source(s3_client: object) -> None:
    """Whatever is asked of it."""
    for tail in ("", "x/", "x/*.txt", "**"):
        with pytest.raises(InputNotFoundError):
            next(list_files(f"s3://s3_test@gone/{tail}"), None)
