"""What a listing leaves out is counted by reason, and ends no batch."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from dev.s3 import connected_s3
from tests.batch.test_waves import run_deferred
from tests.tries import TaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.batch.nights import Night

MODES = {
    "durable": {"durable": True, "deferrable": False},
    "durable, deferrable": {"durable": True, "deferrable": True},
    "direct": {"durable": False, "deferrable": False},
}
EVERY_MODE = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


@pytest.fixture
def left_out(said: Callable[[], str]) -> Callable[[], set[str]]:
    """Return what the log says since the last call was left out, with the counts."""

    def read() -> set[str]:
        told = re.findall(r"Left out of the listing: (.*?)\.(?:\s|$)", said())
        assert 1 >= len(told)
        return {reason for line in told for reason in line.split(", ")}

    return read


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[None]:
    """Run a test as nobody where it would run as root, who may look anywhere."""
    if os.geteuid() != 0:
        yield
        return
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o777)
    for path in tmp_path.parents:
        path.chmod(path.stat().st_mode | 0o711)
    os.setresuid(65534, 65534, 0)
    yield
    os.setresuid(0, 0, 0)


def run(night: Night, **arguments: Any) -> dict[str, Any]:
    """Run a batch, and resume it as often as it defers."""
    if not arguments.pop("deferrable"):
        return night.run(**arguments)
    summary: dict[str, Any] = run_deferred(night, **arguments)[0]
    return summary


def strange(folder: Path) -> None:
    """Put into a folder what is not a document."""
    (folder / "nowhere.txt").symlink_to(folder / "absent.txt")
    (folder / "self.txt").symlink_to("self.txt")
    (folder / "ping.txt").symlink_to("pong.txt")
    (folder / "pong.txt").symlink_to("ping.txt")
    (folder / "through.txt").symlink_to("a.txt/b.txt")
    (folder / "too-long.txt").symlink_to("n" * 300)
    (folder / "circle").symlink_to(folder)
    os.mkfifo(folder / "pipe.txt")
    for name in (".hidden.txt", "~$lock.txt", ".git/x.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")


STRANGE = {
    "6 links that lead nowhere or in a circle",
    "1 linked directories",
    "1 no regular files",
    "3 hidden",
}


@EVERY_MODE
def test_strange_files_are_counted_and_end_no_batch(
    night: Night, mode: dict[str, Any], left_out: Callable[[], set[str]]
) -> None:
    """One link that leads to itself costs the other files nothing."""
    night.write("a.txt", "sub/b.txt")
    strange(night.source)

    summary = run(night, **mode)

    assert {"converted": 2, "failed": 0}.items() <= summary.items()
    assert STRANGE == left_out()


def test_overlapping_listings_count_once(night: Night, left_out: Callable[[], set[str]]) -> None:
    """What two listings show is one file; what a list names is not left out."""
    night.write("a.txt", "sub/.b.txt", "sub/.c.txt")
    here = str(night.source)

    night.run(source=[f"{here}/", f"{here}/sub/", f"{here}/sub/.c.txt"])

    assert {"1 hidden"} == left_out()
    assert ["a.pdf"] == [name for name in night.outputs() if not name.endswith("c.pdf")]
    assert 2 == len(night.outputs())


def test_strange_outputs_end_no_batch(night: Night) -> None:
    """A link in the destination that leads to itself is an output that is not there."""
    night.write("a.txt", "b.txt")
    night.run(TaskInstance(run_id="one"))
    (night.out / "a.pdf").unlink()
    (night.out / "a.pdf").symlink_to("a.pdf")
    (night.out / "c.pdf").symlink_to("c.pdf")

    summary = night.run(TaskInstance(run_id="two"))

    assert (1, 1) == (summary["converted"], summary["reused"])
    assert (night.out / "a.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("name", ["self.txt", "through.txt", "nowhere.txt", "pipe.txt"])
def test_strange_file_of_a_list_fails_alone(night: Night, name: str) -> None:
    """It is named, and the other file is converted."""
    night.write("a.txt")
    strange(night.source)

    with pytest.raises(Exception, match=rf"1 of 2 files failed.*{name}"):
        night.run(source=[str(night.source / "a.txt"), str(night.source / name)])

    assert ["a.pdf"] == night.outputs()


def test_file_of_the_future_is_counted(night: Night, left_out: Callable[[], set[str]]) -> None:
    """With `min_age` it would be left out for ever, so the log tells it from a young one."""
    night.write("old.txt", "young.txt", "future.txt")
    os.utime(night.source / "old.txt", (0, 0))
    os.utime(night.source / "future.txt", (time.time() + 86_400,) * 2)

    assert 1 == night.run(min_age=3600)["converted"]

    assert {"1 younger than min_age", "1 dated in the future"} == left_out()


@pytest.fixture
def bucket() -> Iterator[Any]:
    """Run an S3 server, reachable through the connection `s3_keys`; give a client of it."""
    with connected_s3("s3_keys", "keys") as client:
        yield client


def test_keys_with_dots_are_counted(
    night: Night, bucket: Any, left_out: Callable[[], set[str]]
) -> None:
    """A part `.` or `..` is not a hidden name, and the log says what it is."""
    for key in ("a.txt", "./b.txt", "sub/./c.txt", "sub/../d.txt", "sub/.e.txt"):
        bucket.put_object(Bucket="keys", Key=f"in/{key}", Body=b"Hello\n")

    assert 1 == night.run(source="s3://s3_keys@keys/in/")["converted"]

    assert {"3 with './' or '../' in their path", "1 hidden"} == left_out()


def test_named_file_that_may_not_be_looked_at_ends_no_plan(
    night: Night, unprivileged: None
) -> None:
    """Another directory's permissions do not end the batch: the file itself will fail."""
    night.write("a.txt", "closed/b.txt")
    (night.source / "closed").chmod(0)
    named = [str(night.source / "a.txt"), str(night.source / "closed/b.txt")]
    try:
        plan = night.run(source=named, plan_only=True)
    finally:
        (night.source / "closed").chmod(0o755)

    assert 2 == plan["to_convert"]
