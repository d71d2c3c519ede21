"""What happens to a store between the payment of a conversion and the publication of its result."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import (
    BatchFailedError,
    ConnectionConfigError,
    ConvertApiError,
    OutputNotWritableError,
)
from airflow_provider_convertapi.storage import BLOCK, Destination, Publication, find_source
from tests.stores import servers
from tests.stores.places import S3Place, SftpPlace
from tests.stores.test_batches import places, write
from tests.stores.test_single import convert
from tests.tries import TaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from convertapi_sandbox import Sandbox
    from tests.batch.nights import Night
    from tests.stores.conftest import Connections
    from tests.stores.places import Place
    from tests.stores.servers import Front

STORED = pytest.mark.parametrize("more", [{}, {"deferrable": True}], ids=["durable", "deferred"])


@STORED
def test_bucket_is_deleted_after_the_conversion(
    sandbox: Sandbox, objects: Place, more: dict[str, Any]
) -> None:
    """The error says what is missing, and that the result is paid; the cleared task collects it."""
    objects.write("in.txt", b"Hello\n")
    objects.create("doomed")
    destination = f"{objects.scheme}://{objects.conn_id}@doomed/a.pdf"

    def check(*_: Any) -> None:
        objects.drop("doomed")

    with pytest.raises(OutputNotWritableError, match="bucket") as caught:
        convert(objects, destination, TaskInstance(1, 1), result_check=check, **more)
    assert "clear the task" in str(caught.value)

    objects.create("doomed")
    convert(objects, destination, TaskInstance(2, 1), **more)
    objects.drop("doomed")

    assert 1 == sandbox.billed


def test_bucket_is_deleted_in_the_middle_of_a_batch(night: Night, objects: Place) -> None:
    """The batch ends there: what is not yet sent is not paid; the next night collects the rest."""
    write(objects, 20)
    objects.create("doomed")
    destination = f"{objects.scheme}://{objects.conn_id}@doomed/out/"

    def check(*_: Any) -> None:
        objects.drop("doomed")

    with pytest.raises(ConvertApiError) as caught:
        night.run(
            TaskInstance(1, 1),
            **places(objects, destination=destination, max_in_flight=2, result_check=check),
        )
    assert not isinstance(caught.value, BatchFailedError)
    assert night.paid < 8

    objects.create("doomed")
    night.run(TaskInstance(2, 1), **places(objects, destination=destination))
    objects.drop("doomed")

    assert 20 == night.paid


@pytest.fixture
def front(stores: Callable[[str], Place], connections: Connections) -> Iterator[Front]:
    """Provide a server before moto's, and a connection to it."""
    place = stores("moto")
    assert isinstance(place, S3Place)
    with servers.front(place.client.meta.endpoint_url) as front:
        extra = {"endpoint_url": front.url, "region_name": "us-east-1"}
        front.conn_id = f"front{front.url.rpartition(':')[2]}"
        connections.add(front.conn_id, conn_type="aws", login="a", password="b", extra=extra)
        yield front


REFUSALS = pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "ExpiredToken"),
        (403, "InvalidAccessKeyId"),
        (403, "AccessDenied"),
        (403, "RequestTimeTooSkewed"),
        (400, "AuthorizationHeaderMalformed"),
        (301, "PermanentRedirect"),
        (507, "InsufficientCapacity"),
        (403, "QuotaExceeded"),
    ],
)


@REFUSALS
def test_refused_before_the_conversion(
    sandbox: Sandbox, stores: Callable[[str], Place], front: Front, status: int, code: str
) -> None:
    """Nothing is paid."""
    place = stores("moto")
    place.write("in.txt", b"Hello\n")
    front.refuse(status, code)

    with pytest.raises((OutputNotWritableError, ConnectionConfigError), match=code):
        convert(place, f"s3://{front.conn_id}@bucket/{place.key('a.pdf')}")

    assert 0 == sandbox.billed


@REFUSALS
def test_refused_after_the_conversion(
    sandbox: Sandbox, stores: Callable[[str], Place], front: Front, status: int, code: str
) -> None:
    """The error says that the result is paid; the cleared task collects it later."""
    place = stores("moto")
    place.write("in.txt", b"Hello\n")
    destination = f"s3://{front.conn_id}@bucket/{place.key('a.pdf')}"

    with pytest.raises(OutputNotWritableError, match=code) as caught:
        convert(
            place,
            destination,
            TaskInstance(1, 1),
            result_check=lambda *_: front.refuse(status, code),
        )
    assert "clear the task" in str(caught.value)

    front.refusal = None
    convert(place, destination, TaskInstance(2, 1))

    assert 1 == sandbox.billed
    assert b"%PDF" == place.read("a.pdf")[:4]


@pytest.mark.parametrize(
    ("status", "code", "remedy"),
    [
        (400, "ExpiredToken", "session token"),
        (403, "RequestTimeTooSkewed", "clock"),
        (400, "AuthorizationHeaderMalformed", "region_name"),
        (301, "PermanentRedirect", "region_name"),
        (403, "SignatureDoesNotMatch", "login and password"),
    ],
)
def test_refused_connection_names_the_remedy(
    stores: Callable[[str], Place], front: Front, status: int, code: str, remedy: str
) -> None:
    """It does so although the answer to a HEAD does not say why."""
    place = stores("moto")
    place.write("in.txt", b"Hello\n")
    front.refuse(status, code, "")

    with pytest.raises(ConnectionConfigError, match=remedy):
        find_source(f"s3://{front.conn_id}@bucket/{place.key('in.txt')}")


@contextmanager
def staged(uri: str, size: int) -> Iterator[Publication]:
    """Stage a result of so many bytes; it is still to be published."""
    with Publication(Destination.parse(uri), inputs=[], overwrite=False) as publication:
        with publication.stage(uri, size) as sink:
            sink.write(bytes(size))
        yield publication


def test_upload_in_parts_declares_its_checksum(stores: Callable[[str], Place]) -> None:
    """The store keeps what was computed here, instead of computing another checksum."""
    place = stores("moto")
    assert isinstance(place, S3Place)

    with staged(f"{place.uri}a.bin", 3 * BLOCK) as publication:
        publication.publish()

    found = place.client.get_object_attributes(
        Bucket="bucket", Key=place.key("a.bin"), ObjectAttributes=["Checksum"]
    )
    assert {"ChecksumCRC32", "ChecksumType"} == set(found["Checksum"])


def test_upload_that_is_refused_midway_leaves_nothing(
    stores: Callable[[str], Place], front: Front
) -> None:
    """No object is there, no parts that would cost until somebody looks, and no more are sent."""
    place = stores("moto")
    assert isinstance(place, S3Place)
    uri, size = f"s3://{front.conn_id}@bucket/{place.key('a.bin')}", 12 * BLOCK
    front.refuse(400, "ExpiredToken", ".*partNumber=4")

    with staged(uri, size) as publication:
        with pytest.raises(OutputNotWritableError, match="ExpiredToken"):
            publication.publish()
        left = place.client.list_multipart_uploads(Bucket="bucket").get("Uploads", [])
        assert [] == [upload for upload in left if upload["Key"] == place.key("a.bin")]
        assert [] == place.names()
        # Of 12: those that were on their way with the fourth.
        assert sum("partNumber" in request for request in front.seen) < 8

        front.refusal = None
        publication.publish()

    assert bytes(size) == place.read("a.bin")


def test_forgotten_upload_is_no_missing_bucket(
    stores: Callable[[str], Place], front: Front
) -> None:
    """The store says so, too, when it has completed an upload whose answer was lost."""
    place = stores("moto")
    uri, size = f"s3://{front.conn_id}@bucket/{place.key('a.bin')}", 5 * BLOCK
    front.refuse(404, "NoSuchUpload", "POST .*uploadId")

    with staged(uri, size) as publication:
        with pytest.raises(OSError, match="NoSuchUpload"):
            publication.publish()

        front.refusal = None
        publication.publish()

    assert bytes(size) == place.read("a.bin")


@pytest.fixture
def small_disk(stores: Callable[[str], Place]) -> Iterator[Place]:
    """Provide a place on an SFTP server whose disk holds 1 MiB."""
    place = stores("sftp")
    assert isinstance(place, SftpPlace)
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place.path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield place
    subprocess.run(["umount", str(place.path)], check=True)


def test_full_disk_of_a_file_server(small_disk: Place) -> None:
    """OpenSSH says "Failure"; that concerns the place, and so ends a batch."""
    uri, size = f"{small_disk.uri}a.bin", 2 << 20
    with (
        staged(uri, size) as publication,
        pytest.raises(OutputNotWritableError, match="Make room"),
    ):
        publication.publish()

    assert [] == small_disk.names()
