"""Places that cannot be written: found before paying, or while what is paid can be collected."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import OutputNotWritableError
from tests.tries import TaskInstance, execute

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.batch.nights import Night

MODES = pytest.mark.parametrize("durable", [True, False], ids=["durable", "direct"])
NAMES = [f"sub/{letter}.txt" for letter in "abcdefgh"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Provide a file system of 64 KiB."""
    path = tmp_path / "small"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a file system can only be mounted by root")
    yield path
    subprocess.run(["umount", str(path)], check=True)


@MODES
def test_file_where_a_directory_is_needed(night: Night, durable: bool) -> None:
    """It is found before paying, and ends the batch; once it is gone everything is converted."""
    night.write(*NAMES)
    night.out.mkdir()
    (night.out / "sub").write_text("somebody else's")

    with pytest.raises(OutputNotWritableError, match="8 are left"):
        night.run(durable=durable)
    assert 0 == night.sandbox.billed == night.paid

    (night.out / "sub").unlink()
    assert 8 == night.run(TaskInstance(2, 1), durable=durable)["converted"]
    assert 8 == night.sandbox.billed


def test_full_disk_before_paying(night: Night, small_disk: Path) -> None:
    """Nothing is sent where not a byte can be written."""
    night.write(*NAMES)
    (small_disk / "out").mkdir()
    night.run(destination=str(small_disk / "out"), source=str(night.source / "sub" / "none*.txt"))
    fill(small_disk)

    with pytest.raises((OutputNotWritableError, OSError)):
        night.run(destination=str(small_disk / "out"))

    assert 0 == night.paid


def test_disk_that_is_full_while_publishing(night: Night, small_disk: Path) -> None:
    """The batch stops with what was in flight; the cleared task collects that, and pays once."""
    night.write(*NAMES, text="{name} " + "word " * 200)
    out = small_disk / "out"
    out.mkdir()
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(44 * 1024))

    with pytest.raises(OutputNotWritableError, match="No space"):
        night.run(TaskInstance(1, 1), destination=str(out), max_in_flight=1)
    assert night.sandbox.billed < len(NAMES)

    ballast.unlink()
    subprocess.run(
        ["mount", "-o", "remount,size=8m", str(small_disk)],
        check=True,
    )
    night.run(TaskInstance(2, 1), destination=str(out), max_in_flight=1)
    assert len(NAMES) == night.sandbox.billed == len(list(out.glob("sub/*.pdf")))


@pytest.mark.parametrize(
    ("place", "arguments", "bill"),
    [
        ("manifest", {}, r"paid 8 conversion\(s\); 0 file.*clear the task to collect it without"),
        ("manifest", {"durable": False}, r"paid 8 conversion\(s\); 0 file.*and pays for, what has"),
        ("plans", {"deferrable": True}, r"paid 0 conversion\(s\); 8 file\(s\) under way may"),
    ],
    ids=["durable", "direct", "deferrable"],
)
def test_records_cannot_be_written_any_more(
    night: Night, place: str, arguments: dict[str, Any], bill: str
) -> None:
    """The error says what was paid, and what becomes of it; the cleared task converts the rest."""
    night.write(*NAMES)
    for path in ("/convert", "/async/convert"):
        night.sandbox.fail(f"POST {path}", delay=0.3, times=None)
    state = night.out / "_convertapi"

    with ThreadPoolExecutor(1) as worker:
        running = worker.submit(execute, night.operator(arguments), TaskInstance(1, 1))
        while not night.sandbox.requests.filter(method="POST"):
            time.sleep(0.01)
        (state / place).rename(state / "away")
        (state / place).symlink_to("/proc/nowhere")
        with pytest.raises(OutputNotWritableError, match=bill):
            running.result()
    (state / place).unlink()
    (state / "away").rename(state / place)

    assert 8 == night.run(TaskInstance(2, 1), durable=arguments.get("durable", True))["converted"]
    assert night.sandbox.billed == (8 if arguments.get("durable", True) else 16)


def fill(disk: Path) -> None:
    """Write until nothing more can be written."""
    with (disk / "ballast").open("wb", 0) as file, suppress(OSError):
        while True:
            file.write(bytes(1024))
