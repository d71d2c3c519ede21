"""Places that cannot be written: found before paying, or while what is paid can be collected."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.errors import OutputNotWritableError
from tests.tries import TaskInstance

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


def fill(disk: Path) -> None:
    """Write until nothing more can be written."""
    with (disk / "ballast").open("wb", 0) as file, suppress(OSError):
        while True:
            file.write(bytes(1024))
