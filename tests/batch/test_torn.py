"""A file that somebody writes while it is read for a request: a torn one is not converted."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import InputChangedError, TransientBatchFailedError
from tests.batch.test_waves import run_deferred
from tests.tries import TaskInstance, run_try

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.batch.nights import Night

MODES = {
    "durable": {"durable": True, "deferrable": False},
    "durable, deferrable": {"durable": True, "deferrable": True},
    "direct": {"durable": False, "deferrable": False},
    "direct, deferrable": {"durable": False, "deferrable": True},
}
LARGE = 1_500_000
"""Bytes that are uploaded first, or streamed in direct mode."""


@dataclass
class Writer:
    """Somebody who writes a file whenever it is opened to be read.

    :param path: the file.
    :param writes: what to do at each opening, in order.
    """

    path: Path | None = None
    writes: list[Callable[[Path], object]] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Get an audit event of the interpreter."""
        if event != "open" or self.path is None:
            return
        path, mode, _ = arguments
        is_read = (
            mode in {"r", "rb"} and not isinstance(path, int) and os.fspath(path) == str(self.path)
        )
        # Who opens it meanwhile in another thread waits, and reads what was written.
        with self.lock if is_read else nullcontext():
            if is_read and self.writes:
                self.writes.pop(0)(self.path)


WRITER = Writer()


@pytest.fixture(scope="module", autouse=True)
def _audit() -> None:
    """Listen to what is opened; a hook cannot be removed, but it stays idle."""
    sys.addaudithook(WRITER)


@pytest.fixture
def writer() -> Iterator[Writer]:
    """Provide a writer, who stops with the test."""
    yield WRITER
    WRITER.path, WRITER.writes = None, []


def leave(_: Path) -> None:
    """Leave it as it is."""


def append(path: Path) -> None:
    """Make it longer."""
    _write(path, os.SEEK_END, 0, b"and more")


def rewrite(path: Path) -> None:
    """Write other letters into it, as many."""
    _write(path, os.SEEK_SET, 0, b"J")


def rewrite_end(path: Path) -> None:
    """Write another last letter into it."""
    _write(path, os.SEEK_END, -1, b"!")


def shorten(path: Path) -> None:
    """Cut it."""
    os.truncate(path, path.stat().st_size // 2)


def replace(path: Path) -> None:
    """Put another file of the same size in its place."""
    other = path.with_name("other")
    other.write_bytes(b"J" * path.stat().st_size)
    other.replace(path)


def in_one_tick(write: Callable[[Path], object]) -> Callable[[Path], object]:
    """Write so early after another write that the clock of the file system does not show it."""

    def written(path: Path) -> None:
        before = path.stat().st_mtime_ns
        write(path)
        os.utime(path, ns=(before, before))

    return written


def _write(path: Path, whence: int, offset: int, data: bytes) -> None:
    descriptor = os.open(path, os.O_RDWR)
    os.lseek(descriptor, offset, whence)
    os.write(descriptor, data)
    os.close(descriptor)


WRITES = [
    pytest.param([append], id="append"),
    pytest.param([rewrite], id="in place"),
    pytest.param([shorten], id="shorten"),
    pytest.param([replace], id="replace"),
    pytest.param([in_one_tick(rewrite), in_one_tick(rewrite_end)], id="in one tick"),
]
SIZES = pytest.mark.parametrize("size", [40, LARGE], ids=["small", "large"])
EVERY_MODE = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


def _letter(night: Night, size: int) -> Path:
    """Write a letter whose time is so young that another write may not change it."""
    letter = night.source / "letter.txt"
    letter.write_bytes((b"Hello\n" * (size // 6 + 1))[:size])
    os.utime(letter, (letter.stat().st_mtime + 60,) * 2)
    return letter


@EVERY_MODE
@SIZES
@pytest.mark.parametrize("writes", WRITES)
def test_torn_file_is_not_converted(
    night: Night,
    writer: Writer,
    mode: dict[str, Any],
    size: int,
    writes: list[Callable[[Path], object]],
) -> None:
    """Only the version that was looked at is sent: nothing is paid; the next try pays once."""
    from airflow_provider_convertapi.operators.convert import ConvertApiOperator

    letter = _letter(night, size)

    def operator() -> Any:
        place = str(night.out / "letter.zip")
        return ConvertApiOperator(
            task_id="convert", source=str(letter), to_format="zip", destination=place, **mode
        )

    # A small one is opened to be looked at, before it is opened to be sent.
    writer.path, writer.writes = letter, [leave, writes[-1]] if size < LARGE else list(writes)
    with pytest.raises(InputChangedError, match="nothing was paid"):
        run_try(operator, TaskInstance(1, 1))
    assert 0 == night.sandbox.billed
    assert [] == writer.writes

    run_try(operator, TaskInstance(2, 1))

    assert ["letter.zip"] == night.outputs()
    assert 1 == night.sandbox.billed


def _run(night: Night, ti: TaskInstance, **arguments: Any) -> dict[str, Any]:
    """Run a batch, resuming it as often as it defers."""
    if not arguments.pop("deferrable"):
        return night.run(ti, to_format="zip", **arguments)
    summary: dict[str, Any] = run_deferred(night, ti, to_format="zip", **arguments)[0]
    return summary


@pytest.mark.once
@EVERY_MODE
@SIZES
@pytest.mark.parametrize("writes", WRITES)
def test_torn_file_of_a_batch_is_not_converted(
    night: Night,
    writer: Writer,
    mode: dict[str, Any],
    size: int,
    writes: list[Callable[[Path], object]],
) -> None:
    """It fails alone, unpaid; the next try converts it."""
    writer.path, writer.writes = _letter(night, size), list(writes)
    night.write("other.txt")

    with pytest.raises(TransientBatchFailedError, match=r"1 of 2 files .*InputChangedError"):
        _run(night, TaskInstance(1, 1), **mode)
    assert ["other.zip"] == night.outputs()
    assert 1 == night.sandbox.billed
    (night.source / "other").unlink(missing_ok=True)

    summary = _run(night, TaskInstance(2, 1), **mode)

    assert (1, 1) == (summary["converted"], summary["reused"])
    assert 2 == night.sandbox.billed


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "direct"])
def test_torn_file_parameter_is_not_used(night: Night, writer: Writer, durable: bool) -> None:
    """A stamp of half a version is not put on anything: no file is paid."""
    night.write("a.txt", "b.txt", "stamp.txt")
    night.run(TaskInstance(run_id="one"))
    stamp = night.out / "stamp.pdf"
    given = {
        "source": f"{night.out}/[ab].pdf",
        "to_format": "pdf-watermark",
        "destination": str(night.out.parent / "stamped"),
        "parameters": {"OverlayFile": str(stamp)},
        "durable": durable,
    }

    writer.path, writer.writes = stamp, [append]
    with pytest.raises(TransientBatchFailedError, match=r"2 of 2 files .*InputChangedError"):
        night.run(TaskInstance(1, 1, run_id="two"), **given)
    assert 3 == night.sandbox.billed

    assert 2 == night.run(TaskInstance(2, 1, run_id="two"), **given)["converted"]
    assert 5 == night.sandbox.billed
    assert {} == night.sandbox.files
