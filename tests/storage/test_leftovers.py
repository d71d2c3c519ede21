"""What a killed process leaves is removed by the next that has the same to do, or needs a spool."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.storage import Destination, Publication

if TYPE_CHECKING:
    from pathlib import Path

    from tests.storage.conftest import DiskStore, S3Store

_STAGE_AND_WAIT = """
import sys
from airflow_provider_convertapi.storage import Destination, Publication

with Publication(Destination(sys.argv[1]), inputs=[], overwrite=True) as publication:
    with publication.stage(sys.argv[1] + "a.pdf", None) as sink:
        sink.write(b"killed")
        sink.flush()
        print("staged", flush=True)
        sys.stdin.read()
"""


def _stage_elsewhere(uri: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", _STAGE_AND_WAIT, uri],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": tempfile.gettempdir()},
    )
    assert process.stdout is not None
    assert b"staged\n" in process.stdout  # after what Airflow says while it is imported
    return process


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def _publish(uri: str) -> None:
    with Publication(Destination(uri), inputs=[], overwrite=True) as publication:
        with publication.stage(uri + "a.pdf", 3) as sink:
            sink.write(b"new")
        publication.publish()


def test_next_try_removes_the_hidden_file_of_a_killed_one(local_store: DiskStore) -> None:
    """It is named after the target, so the next result for it finds it without a listing."""
    _kill(_stage_elsewhere(local_store.uri))
    assert 1 == len(local_store.names())

    _publish(local_store.uri)
    assert ["a.pdf"] == local_store.names()
    assert local_store.read("a.pdf") == b"new"


def test_hidden_file_of_a_living_task_is_left_alone(local_store: DiskStore) -> None:
    """Two runners of one conversion do not write into one file."""
    process = _stage_elsewhere(local_store.uri)
    [hidden] = local_store.names()

    _publish(local_store.uri)
    assert sorted([hidden, "a.pdf"]) == local_store.names()
    assert local_store.read(hidden) == b"killed"
    _kill(process)


def test_published_file_is_not_a_leftover(local_store: DiskStore) -> None:
    """A task that is killed between giving the name and dropping the hidden one loses nothing."""
    local_store.write("a.pdf", b"published")
    os.link(local_store.root / "a.pdf", local_store.root / ".a.pdf.part")

    with (
        Publication(Destination(local_store.uri), inputs=[], overwrite=True) as publication,
        publication.stage(local_store.uri + "a.pdf", None) as sink,
    ):
        sink.write(b"x")
    assert ["a.pdf"] == local_store.names()
    assert local_store.read("a.pdf") == b"published"


def test_published_part_does_not_take_the_next_one_with_it(local_store: DiskStore) -> None:
    """Once a result has its name, the hidden name is free for another task, and stays its own."""
    uri = local_store.uri + "a.pdf"
    with Publication(Destination(local_store.uri), inputs=[], overwrite=True) as later:
        with Publication(Destination(local_store.uri), inputs=[], overwrite=True) as first:
            with first.stage(uri, 5) as sink:
                sink.write(b"first")
            first.publish()
            with later.stage(uri, 5) as sink:
                sink.write(b"later")
        later.publish()
    assert local_store.read("a.pdf") == b"later"


def test_many_results_do_not_take_all_descriptors(local_store: DiskStore) -> None:
    """A document of a thousand pages is published by a process that may open fewer files."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(600, limits[1]), limits[1]))
    try:
        with Publication(Destination(local_store.uri), inputs=[], overwrite=False) as publication:
            for number in range(1000):
                with publication.stage(f"{local_store.uri}{number}", 1) as sink:
                    sink.write(b"x")
            publication.publish()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert sorted(map(str, range(1000))) == local_store.names()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty directory for spools."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp"


def test_next_process_removes_the_spool_of_a_killed_one(s3_store: S3Store, temporary: Path) -> None:
    """A worker's temporary disk does not fill up; what a living task has spooled stays."""
    dead, living = (_stage_elsewhere(s3_store.uri) for _ in range(2))
    spools = {
        process.pid: path for process, path in zip((dead, living), _by_age(temporary), strict=True)
    }
    _kill(dead)
    _age(temporary)

    third = _stage_elsewhere(s3_store.uri)

    assert not spools[dead.pid].exists()
    assert [b"killed"] == [path.read_bytes() for path in spools[living.pid].iterdir()]
    _kill(living)
    _kill(third)


@pytest.mark.parametrize("name", ["convertapi-sandbox-x1", "convertapi-mine", "spool-x"])
def test_directories_of_others_are_spared(s3_store: S3Store, temporary: Path, name: str) -> None:
    """Nothing but a spool is removed, however old it is and whatever its name begins with."""
    (temporary / name).mkdir()
    (temporary / name / "kept").write_text("somebody else's")
    _age(temporary)

    process = _stage_elsewhere(s3_store.uri)
    _kill(process)

    assert "somebody else's" == (temporary / name / "kept").read_text()


def _by_age(directory: Path) -> list[Path]:
    return sorted(directory.iterdir(), key=lambda path: path.stat().st_mtime_ns)


def _age(directory: Path) -> None:
    """Make the spools look old: a fresh one may not have been locked yet."""
    for path in directory.iterdir():
        os.utime(path, (0, 0))
