"""Results that a new version of a file does not have any more are removed, and nothing else is."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from airflow_provider_convertapi.errors import BatchFailedError
from dev.s3 import connected_s3
from tests.batch.test_several import write_pages
from tests.batch.test_waves import run_deferred
from tests.tries import TaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.batch.nights import Night

MODES = {
    "durable": {"durable": True, "deferrable": False},
    "durable, deferrable": {"durable": True, "deferrable": True},
    "direct": {"durable": False, "deferrable": False},
    "direct, deferrable": {"durable": False, "deferrable": True},
}
EVERY_MODE = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
KILLED_TRY = Path(__file__).with_name("killed_try.py")
ONE_TRY = Path(__file__).with_name("one_try.py")
BUCKET = "pages"


class Place(Protocol):
    """A destination, read past the code under test."""

    uri: str

    def names(self) -> list[str]:
        """Return the outputs' names."""

    def read(self, name: str) -> bytes:
        """Return the content of a file."""

    def write(self, name: str, data: bytes) -> None:
        """Put a file there."""


@dataclass
class Disk:
    """A local destination."""

    night: Night
    uri: str = field(init=False)

    def __post_init__(self) -> None:
        self.uri = f"{self.night.out}/"

    def names(self) -> list[str]:
        """Return the outputs' names."""
        return self.night.outputs()

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        return (self.night.out / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        """Put a file there."""
        (self.night.out / name).write_bytes(data)


@dataclass
class Prefix:
    """A destination in a bucket."""

    client: Any
    prefix: str
    uri: str = field(init=False)

    def __post_init__(self) -> None:
        self.uri = f"s3://s3_pages@{BUCKET}/{self.prefix}"

    def names(self) -> list[str]:
        """Return the outputs' names."""
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=self.prefix)
        names = [item["Key"].removeprefix(self.prefix) for item in found["Contents"]]
        return sorted(name for name in names if not name.startswith("_convertapi/"))

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        data: bytes = self.client.get_object(Bucket=BUCKET, Key=self.prefix + name)["Body"].read()
        return data

    def write(self, name: str, data: bytes) -> None:
        """Put a file there."""
        self.client.put_object(Bucket=BUCKET, Key=self.prefix + name, Body=data)


@pytest.fixture(scope="module")
def s3_client() -> Iterator[Any]:
    """Run an S3 server, reachable through the connection `s3_pages`; give a client of it."""
    with connected_s3("s3_pages", BUCKET) as client:
        yield client


@pytest.fixture
def bucket(s3_client: Any, request: pytest.FixtureRequest) -> Prefix:
    """Provide a destination in a bucket."""
    return Prefix(s3_client, f"{re.sub('[^a-z]+', '-', request.node.name)}/out/")


@pytest.fixture
def disk(night: Night) -> Disk:
    """Provide a local destination."""
    return Disk(night)


@pytest.fixture(params=["disk", "bucket"])
def place(request: pytest.FixtureRequest) -> Place:
    """Provide a destination of each kind."""
    found: Place = request.getfixturevalue(request.param)
    return found


def run(night: Night, place: Place, ti: TaskInstance | str, **arguments: Any) -> dict[str, Any]:
    """Make pictures of the folder, and resume the task as often as it defers."""
    ti = TaskInstance(run_id=ti) if isinstance(ti, str) else ti
    given = {"to_format": "jpg", "destination": place.uri, **arguments}
    if not given.pop("deferrable", False):
        return night.run(ti, **given)
    summary: dict[str, Any] = run_deferred(night, ti, **given)[0]
    return summary


@EVERY_MODE
def test_pages_of_an_older_version_are_removed(
    night: Night, place: Place, mode: dict[str, Any], said: Callable[[], str]
) -> None:
    """And the log says which; the other file's pages stay."""
    write_pages(night, "scan.pdf", 100, 200, 300)
    write_pages(night, "scan-x.pdf", 100, 200)
    run(night, place, "one", **mode)
    write_pages(night, "scan.pdf", 400)
    said()

    summary = run(night, place, "two", **mode)

    assert (1, 1) == (summary["converted"], summary["reused"])
    assert ["scan-x-2.jpg", "scan-x.jpg", "scan.jpg"] == place.names()
    assert re.search(r"scan\.pdf has fewer results .* removed scan-2\.jpg, scan-3\.jpg", said())
    assert 2 == run(night, place, "three", **mode)["reused"]
    assert 3 == night.sandbox.billed


@EVERY_MODE
def test_page_that_differs_from_the_record_stays(
    night: Night, place: Place, mode: dict[str, Any], said: Callable[[], str]
) -> None:
    """Even one of the same size; the log says so, too."""
    write_pages(night, "scan.pdf", 100, 200, 300)
    run(night, place, "one", **mode)
    edited = place.read("scan-2.jpg")[:-1] + b"!"
    place.write("scan-2.jpg", edited)
    write_pages(night, "scan.pdf", 400)
    said()

    run(night, place, "two", **mode)

    assert ["scan-2.jpg", "scan.jpg"] == place.names()
    assert edited == place.read("scan-2.jpg")
    assert re.search(r"removed scan-3\.jpg; left scan-2\.jpg, which .* differs", said())


@EVERY_MODE
def test_pages_are_removed_where_everything_is_overwritten(
    night: Night, place: Place, mode: dict[str, Any]
) -> None:
    """With `overwrite` other runs settle nothing, but they tell what is an older page."""
    write_pages(night, "scan.pdf", 100, 200, 300)
    run(night, place, "one", **mode)
    write_pages(night, "scan.pdf", 400)

    run(night, place, "two", overwrite=True, **mode)

    assert ["scan.jpg"] == place.names()


@EVERY_MODE
@pytest.mark.parametrize("shards", [1, 8])
def test_page_that_is_an_input_stays(night: Night, mode: dict[str, Any], shards: int) -> None:
    """A list may name what was an output once, in whichever shard: an input is never removed."""
    place = Disk(night)
    (night.source / "sub").mkdir()
    write_pages(night, "sub/scan.pdf", 100, 200, 300)
    run(night, place, "one", **mode)
    write_pages(night, "sub/scan.pdf", 400)
    source = [f"{night.source}/", str(night.out / "sub" / "scan-2.jpg")]

    total = 0
    for index in range(shards):
        shard = {"source": source, "shard": [index, shards]}
        total += run(
            night, place, "two", source=shard, failure_policy="never", on_collision="suffix", **mode
        )["converted"]

    assert 1 <= total
    assert "sub/scan-2.jpg" in place.names()
    assert "sub/scan-3.jpg" not in place.names()


@pytest.mark.parametrize("mode", [one for one in MODES.values() if one["durable"]])
def test_page_that_is_a_file_parameter_stays(night: Night, mode: dict[str, Any]) -> None:
    """What the conversion itself reads is an input.

    Only chains make several results and read a file, so that there is none in direct mode.
    """
    place = Disk(night)
    for name in ("scan.pdf", "stamp.pdf"):
        write_pages(night, name, 100, 200, 300)
    given = {"to_format": "split", "source": str(night.source / "scan.pdf"), **mode}
    run(night, place, "one", **given)
    assert 3 == len(place.names())
    page = str(night.out / "scan-3.pdf")
    write_pages(night, "scan.pdf", 400)
    stamp = {"steps": [{"to_format": "pdf-watermark", "parameters": {"OverlayFile": page}}]}

    run(night, place, "two", **given, **stamp)

    assert page in [str(night.out / name) for name in place.names()]


def test_pages_of_another_conversion_stay(night: Night, disk: Disk) -> None:
    """Records of another target format say nothing about this conversion's pages."""
    write_pages(night, "scan.pdf", 100, 200, 300)
    run(night, disk, "one", to_format="split")
    run(night, disk, "two", to_format="compress", overwrite=True)

    assert ["scan-2.pdf", "scan-3.pdf", "scan.pdf"] == disk.names()


def test_linked_page_loses_no_file(night: Night, disk: Disk) -> None:
    """Whoever moved a page away and left a link keeps the page."""
    write_pages(night, "scan.pdf", 100, 200)
    run(night, disk, "one")
    elsewhere = night.out.parent / "kept.jpg"
    (night.out / "scan-2.jpg").rename(elsewhere)
    (night.out / "scan-2.jpg").symlink_to(elsewhere)
    write_pages(night, "scan.pdf", 400)

    run(night, disk, "two")

    assert elsewhere.is_file()


# --- killed --------------------------------------------------------------------------------------

KILLS = {
    "published": ("os.remove", r"/scan-[23]\.jpg"),
    "half removed": ("os.remove", r"/scan-3\.jpg"),
    "removed": ("os.rename", r"/manifest/[^/]*\.jsonl"),
    "recorded": ("open", r"/_convertapi/manifest/? None "),
}
"""What the killed process was about to do: an audit event, and a pattern of its arguments."""

KILLS_AT_REQUEST = {
    "published": r"PUT \S*/scan\.jpg",
    "half removed": r"DELETE \S*/scan-2\.jpg",
    "recorded": r"PUT \S*/manifest/\S*\.jsonl",
}
"""After which request to the bucket the process was killed."""


def _after_the_kill(night: Night, place: Place, mode: dict[str, Any], *, recorded: bool) -> None:
    summary = run(night, place, TaskInstance(2, 3), **mode)

    assert ["scan.jpg"] == place.names()
    assert {"converted": int(not recorded), "reused": int(recorded)}.items() <= summary.items()
    again = not recorded and not mode["durable"]  # in direct mode nothing is found
    assert 2 + again == night.sandbox.billed
    assert {} == night.sandbox.files


def _command(script: Path, night: Night, place: Place, mode: dict[str, Any]) -> list[str]:
    given = json.dumps({"to_format": "jpg", **mode})
    return [sys.executable, str(script), str(night.source), place.uri, "1", given]


@pytest.mark.once
@EVERY_MODE
@pytest.mark.parametrize("kill", KILLS)
def test_killed_between_publishing_recording_and_removing(
    night: Night, disk: Disk, mode: dict[str, Any], kill: str
) -> None:
    """The next try finds what is left to do."""
    write_pages(night, "scan.pdf", 100, 200, 300)
    run(night, disk, "one", **mode)
    write_pages(night, "scan.pdf", 400)
    command = _command(KILLED_TRY, night, disk, mode)

    process = subprocess.run([*command[:2], *KILLS[kill], *command[2:]], check=False)

    assert -signal.SIGKILL == process.returncode
    assert (["scan.jpg"] == disk.names()) is (kill in {"removed", "recorded"})
    _after_the_kill(night, disk, mode, recorded=kill == "recorded")


@pytest.mark.once
@EVERY_MODE
@pytest.mark.parametrize("kill", KILLS_AT_REQUEST)
def test_killed_between_the_requests_to_a_bucket(
    night: Night, bucket: Prefix, mode: dict[str, Any], kill: str
) -> None:
    """The same where the outputs are objects."""
    write_pages(night, "scan.pdf", 100, 200, 300)
    run(night, bucket, "one", **mode)
    write_pages(night, "scan.pdf", 400)
    processes: list[subprocess.Popen[bytes]] = []

    class Kill(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if re.search(KILLS_AT_REQUEST[kill], record.getMessage()):
                processes[0].kill()

    server, handler = logging.getLogger("werkzeug"), Kill()  # which the server logs requests to
    before = server.level
    server.addHandler(handler)
    server.setLevel(logging.INFO)
    processes.append(subprocess.Popen(_command(ONE_TRY, night, bucket, mode)))
    code = processes[0].wait()
    server.removeHandler(handler)
    server.setLevel(before)

    assert -signal.SIGKILL == code
    summary = run(night, bucket, TaskInstance(2, 3), **mode)
    assert ["scan.jpg"] == bucket.names()
    assert 1 == summary["converted"] + summary["reused"]
    assert 2 + (not mode["durable"] and summary["converted"]) == night.sandbox.billed


# --- hidden files ---------------------------------------------------------------------------------


@EVERY_MODE
def test_hidden_files_of_killed_tasks_are_removed(night: Night, mode: dict[str, Any]) -> None:
    """Old ones of this batch's own outputs; nobody else's, and none that may be in use."""
    place = Disk(night)
    write_pages(night, "scan.pdf", 100, 200)
    run(night, place, "one", **mode)
    old = [".scan.jpg.0123abcd.part", ".scan-2.jpg.0123abcd.part"]
    kept = [
        ".other.jpg.0123abcd.part",
        ".scan.jpg.notours.part",
        ".scan.jpg.0123abcd.partly",
        "scan.jpg.0123abcd.part",
    ]
    for name in (*old, *kept, ".scan.jpg.89abcdef.part"):
        (night.out / name).write_bytes(b"half")
        if name != ".scan.jpg.89abcdef.part":
            os.utime(night.out / name, (0, 0))

    night.run(TaskInstance(run_id="plan"), destination=place.uri, to_format="jpg", plan_only=True)
    assert {*old, *kept} < set(place.names())
    run(night, place, "two", **mode)

    assert [*sorted([*kept, ".scan.jpg.89abcdef.part"]), "scan-2.jpg", "scan.jpg"] == sorted(
        place.names(), key=lambda name: (name in {"scan.jpg", "scan-2.jpg"}, name)
    )


@EVERY_MODE
def test_page_of_somebody_else_in_the_place_of_a_former_one_stays(
    night: Night, place: Place, mode: dict[str, Any]
) -> None:
    """Once it is removed, its name is anybody's: a later version does not write over it."""
    for run_id, widths in (("one", (100, 200)), ("two", (300,))):
        write_pages(night, "scan.pdf", *widths)
        run(night, place, run_id, **mode)
    place.write("scan-2.jpg", b"somebody else's")
    write_pages(night, "scan.pdf", 400, 500)

    with pytest.raises(BatchFailedError, match="OutputExistsError"):
        run(night, place, "three", **mode)

    assert b"somebody else's" == place.read("scan-2.jpg")


@EVERY_MODE
def test_former_page_that_still_stands_is_replaced(
    night: Night, disk: Disk, mode: dict[str, Any]
) -> None:
    """Where it could not be removed, or came back from a backup, it is as it was recorded."""
    write_pages(night, "scan.pdf", 100, 200)
    run(night, disk, "one", **mode)
    page = disk.read("scan-2.jpg")
    write_pages(night, "scan.pdf", 300)
    run(night, disk, "two", **mode)
    disk.write("scan-2.jpg", page)
    write_pages(night, "scan.pdf", 400, 500)

    assert 1 == run(night, disk, "three", **mode)["converted"]
    assert page != disk.read("scan-2.jpg")
