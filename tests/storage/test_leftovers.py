"""What a killed process leaves is removed by the next that has the same to do, or needs a spool."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.storage import Destination, Publication
from tests.tries import TaskInstance, run_try

if TYPE_CHECKING:
    from convertapi_sandbox import Sandbox
    from tests.storage.conftest import DiskStore, S3Store

pytestmark = pytest.mark.long

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


def _stage_elsewhere(
    uri: str, script: str = _STAGE_AND_WAIT, *marks: str
) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", script, uri, *marks],
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


_UPLOAD_AND_WAIT = """
import sys, tempfile
from pathlib import Path
from airflow_provider_convertapi.storage.schemes import locate

part = locate(sys.argv[1] + "a.pdf", "x").part(lambda: Path(tempfile.mkdtemp()), sys.argv[2:])
with part.open() as sink:
    sink.write(b"killed")
part.prepare()
print("staged", flush=True)
sys.stdin.read()
"""


def _publish_marked(uri: str, *marks: str) -> None:
    with Publication(Destination(uri), inputs=[], overwrite=True, marks=marks) as publication:
        with publication.stage(uri + "a.pdf", 3) as sink:
            sink.write(b"new")
        publication.publish()


def test_next_try_removes_what_a_killed_one_has_uploaded(sftp_store: DiskStore) -> None:
    """A server has no locks: a try's hidden file has its mark, and the next try knows it."""
    other = _stage_elsewhere(sftp_store.uri, _UPLOAD_AND_WAIT, "0ther0ne")
    _kill(_stage_elsewhere(sftp_store.uri, _UPLOAD_AND_WAIT, "f1rst"))
    _kill(_stage_elsewhere(sftp_store.uri, _UPLOAD_AND_WAIT, "sec0nd", "f1rst"))
    sftp_store.write(".b.pdf.f1rst.part", b"another file's")

    _publish_marked(sftp_store.uri, "th1rd", "sec0nd", "f1rst")

    assert [".a.pdf.0ther0ne.part", ".b.pdf.f1rst.part", "a.pdf"] == sftp_store.names()
    assert b"new" == sftp_store.read("a.pdf")
    _kill(other)


_CONVERT = """
import sys
from tests.tries import TaskInstance, run_try
from airflow_provider_convertapi.operators.convert import ConvertApiOperator

source, destination, durable = sys.argv[1:]
run_try(
    lambda: ConvertApiOperator(
        task_id="convert", source=source, to_format="pdf", destination=destination,
        durable=durable == "True", poll_interval=0.5,
    ),
    TaskInstance(1, 3),
)
"""


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "direct"])
def test_task_that_is_killed_before_it_renames(
    convertapi_sandbox: Sandbox,
    sftp_store: DiskStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    durable: bool,
) -> None:
    """Its next try leaves nothing but the output."""
    from airflow_provider_convertapi.operators.convert import ConvertApiOperator

    monkeypatch.setenv("AIRFLOW__CONVERTAPI__SETTLE", "0.3")
    (tmp_path / "a.txt").write_text("Hello")
    given = [str(tmp_path / "a.txt"), f"{sftp_store.uri}a.pdf"]
    processes: list[subprocess.Popen[bytes]] = []

    def kill(event: str, arguments: tuple[object, ...]) -> None:
        """Kill the task in the moment in which the server, which is this process, renames."""
        if event == "os.rename" and processes and "/.a.pdf." in str(arguments[0]):
            _kill(processes.pop())
            raise OSError("the connection is gone")

    sys.addaudithook(kill)
    root = str(Path(__file__).parents[2])
    processes.append(
        subprocess.Popen([sys.executable, "-c", _CONVERT, *given, str(durable)], cwd=root)
    )
    processes[0].wait(60)
    assert 1 == len(sftp_store.names())

    def operator() -> ConvertApiOperator:
        return ConvertApiOperator(
            task_id="convert",
            source=given[0],
            to_format="pdf",
            destination=given[1],
            durable=durable,
            poll_interval=0.5,
        )

    run_try(operator, TaskInstance(2, 3))

    assert ["a.pdf"] == sftp_store.names()
    assert 1 + (not durable) == convertapi_sandbox.billed


def test_same_try_uploads_over_what_it_left(sftp_store: DiskStore) -> None:
    """A deferred task that is killed when it resumes may resume again within one try."""
    _kill(_stage_elsewhere(sftp_store.uri, _UPLOAD_AND_WAIT, "f1rst"))

    _publish_marked(sftp_store.uri, "f1rst")

    assert ["a.pdf"] == sftp_store.names()


def test_two_results_of_one_try_do_not_share_a_hidden_file(sftp_store: DiskStore) -> None:
    """Two threads of one task may publish to one name: each result is whole."""
    uri = sftp_store.uri + "a.pdf"
    one, two = (
        Publication(Destination(sftp_store.uri), inputs=[], overwrite=True, marks=["f1rst"])
        for _ in range(2)
    )
    with one, two:
        for publication in (one, two):
            with publication.stage(uri, 6) as sink:
                sink.write(b"result")
        names = {str(publication._results[uri].part._hidden.uri) for publication in (one, two)}  # type: ignore[attr-defined] # noqa: SLF001 - the race itself cannot be timed
        assert 2 == len(names)
        one.publish()
        two.publish()
    assert ["a.pdf"] == sftp_store.names()


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
