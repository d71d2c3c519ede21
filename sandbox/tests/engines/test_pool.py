"""Workers: started when needed, ended in time, replaced after a crash, and never left behind."""

from __future__ import annotations

import asyncio
import io
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pikepdf
import pytest

from convertapi_sandbox.jobs import EngineError
from convertapi_sandbox.pool import JOBS_PER_WORKER, Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from convertapi_sandbox.jobs import EngineJob, EngineOutput
    from tests.engines.conftest import Loop, Prepare


PANDOC = "--data-dir"  # pandoc at a document; pypandoc runs `pandoc --version` before it


def processes(text: str, parent: int | None = None) -> set[int]:
    """Return the processes whose command line contains a text, below a parent where given."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode("utf-8", "replace")
            above = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if text in command and parent in (None, above):
            found.add(int(folder.name))
    return found


def workers() -> set[int]:
    """Return the worker processes of this test process."""
    return processes("sandbox.worker", os.getpid())


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "It never became so."
        time.sleep(0.01)


@pytest.fixture
def crew(loop: Loop) -> Iterator[Pool]:
    """Give a pool of one worker for one test."""
    pool = Pool(1)
    yield pool
    loop.run(pool.close())


@pytest.fixture
def endless(prepare: Prepare) -> Callable[..., EngineJob]:
    """Make jobs that never end: the pattern tries every way to split a row of letters."""
    document = pikepdf.Pdf.new()
    document.add_blank_page()
    font = pikepdf.Dictionary(
        Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica
    )
    page = document.pages[0]
    page.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F=font))
    page.Contents = document.make_stream(b"BT /F 5 Tf 9 9 Td (" + b"a" * 60 + b"!) Tj ET")
    target = io.BytesIO()
    document.save(target)

    def make(timeout: float = 60.0) -> EngineJob:
        pattern = "(a|aa)+$"
        return prepare(
            "pdf", "split", target.getvalue(), timeout=timeout, SplitByTextPattern=pattern
        )

    return make


def test_timeout_is_5000_and_the_next_conversion_works(
    loop: Loop, crew: Pool, prepare: Prepare, endless: Callable[..., EngineJob]
) -> None:
    """A conversion that hangs is ended at its Timeout, and its worker with it."""
    started = time.monotonic()
    with pytest.raises(EngineError) as caught:
        loop.run(crew.convert(endless(timeout=1)))

    assert (500, 5000) == (caught.value.status, caught.value.code)
    assert time.monotonic() - started < 30  # without it, the hanging one would take 60
    assert loop.run(crew.convert(prepare("png", "jpg")))


def test_step_without_end_is_5000(
    loop: Loop, crew: Pool, prepare: Prepare, endless: Callable[..., EngineJob]
) -> None:
    """A step that the kernel's alarm ends was too slow, whatever its Timeout."""
    others = workers()
    running = loop.start(crew.convert(endless()))
    wait_for(lambda: bool(workers() - others))
    (pid,) = workers() - others

    os.kill(pid, signal.SIGALRM)

    with pytest.raises(EngineError) as caught:
        running.result()
    assert 5000 == caught.value.code
    assert loop.run(crew.convert(prepare("png", "jpg")))


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_crash_is_5001_and_the_next_conversion_works(
    loop: Loop, prepare: Prepare, endless: Callable[..., EngineJob], number: int
) -> None:
    """A worker that dies fails only its own conversion."""
    others, pool = workers(), Pool(2)
    doomed = loop.start(pool.convert(endless()))
    wait_for(lambda: bool(workers() - others))
    (pid,) = workers() - others
    beside = loop.run(pool.convert(prepare("md", "pdf")))

    os.kill(pid, number)

    with pytest.raises(EngineError) as caught:
        doomed.result()
    assert (500, 5001) == (caught.value.status, caught.value.code)
    assert beside
    assert loop.run(pool.convert(prepare("png", "jpg")))
    loop.run(pool.close())
    assert workers() <= others


def test_worker_that_died_at_rest_is_replaced(loop: Loop, prepare: Prepare) -> None:
    """No conversion fails because of it."""
    others, pool = workers(), Pool(1)
    loop.run(pool.convert(prepare("png", "jpg")))
    (pid,) = workers() - others
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: pid not in workers())

    assert loop.run(pool.convert(prepare("png", "jpg")))
    loop.run(pool.close())


def test_worker_that_dies_unnoticed_is_replaced(loop: Loop, prepare: Prepare) -> None:
    """The event loop learns of a death late; the job then goes to the next worker."""
    others, pool = workers(), Pool(3)

    async def kill_and_convert() -> list[EngineOutput]:
        for pid in workers() - others:
            os.kill(pid, signal.SIGKILL)
        return await pool.convert(prepare("png", "jpg"))

    jobs = [loop.start(pool.convert(prepare("md", "pdf"))) for _ in range(3)]
    for job in jobs:
        job.result()

    assert loop.run(kill_and_convert())
    loop.run(pool.close())


def test_worker_that_never_starts_is_not_replaced(
    loop: Loop, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one would do no better, so its conversion fails at once."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    pool = Pool(1)

    with pytest.raises(EngineError) as caught:
        loop.run(pool.convert(prepare("png", "jpg")))

    assert (500, 5001) == (caught.value.status, caught.value.code)
    loop.run(pool.close())


def test_cancelled_conversion_ends_its_worker(
    loop: Loop, prepare: Prepare, endless: Callable[..., EngineJob]
) -> None:
    """A conversion ends when its caller goes away."""
    others, pool = workers(), Pool(1)
    running = loop.start(pool.convert(endless()))
    wait_for(lambda: bool(workers() - others))
    (pid,) = workers() - others

    running.cancel()

    wait_for(lambda: pid not in processes("sandbox.worker"))
    assert loop.run(pool.convert(prepare("png", "jpg")))
    loop.run(pool.close())


def test_program_of_a_worker_ends_with_it(loop: Loop, prepare: Prepare) -> None:
    """A timeout while pandoc runs also ends pandoc."""
    others, pool, programs = workers(), Pool(1), set[int]()
    for timeout in (2, 20):  # a busy machine may not come to pandoc in the shorter one
        slow = prepare("md", "pdf", b"*a_ [" * 300_000, timeout=timeout)
        running = loop.start(pool.convert(slow))
        while not (programs or running.done()):
            for worker in workers() - others:
                programs |= processes(PANDOC, worker)
        with pytest.raises(EngineError) as caught:
            running.result()
        assert 5000 == caught.value.code
        if programs:
            break

    assert programs
    wait_for(lambda: not programs & processes(PANDOC))
    loop.run(pool.close())


def test_program_that_crashes_is_5001_and_the_worker_lives_on(loop: Loop, prepare: Prepare) -> None:
    """Only the conversion is lost."""
    others, pool = workers(), Pool(1)
    running = loop.start(pool.convert(prepare("md", "pdf", b"*a_ [" * 300_000)))
    wait_for(lambda: bool(workers() - others))
    (worker,) = workers() - others
    wait_for(lambda: bool(processes(PANDOC, worker)))

    for program in processes(PANDOC, worker):
        os.kill(program, signal.SIGSEGV)

    with pytest.raises(EngineError) as caught:
        running.result()
    assert 5001 == caught.value.code
    assert loop.run(pool.convert(prepare("md", "pdf")))
    assert {worker} == workers() - others
    loop.run(pool.close())


def test_close_ends_all_work_and_leaves_no_process(
    loop: Loop, prepare: Prepare, endless: Callable[..., EngineJob]
) -> None:
    """Conversions at work and waiting get an error; later ones too."""
    others, pool = workers(), Pool(2)
    running = [loop.start(pool.convert(endless())) for _ in range(5)]
    wait_for(lambda: len(workers() - others) == 2)

    loop.run(pool.close())

    for one in running:
        with pytest.raises(EngineError):
            one.result()
    assert workers() <= others
    with pytest.raises(EngineError):
        loop.run(pool.convert(prepare("png", "jpg")))


def test_close_without_work(loop: Loop) -> None:
    """An unused pool has started no worker; it can be closed twice."""
    others, pool = workers(), Pool(2)
    loop.run(pool.close())
    loop.run(pool.close())
    assert workers() <= others


def test_no_more_workers_than_asked_for(loop: Loop, prepare: Prepare) -> None:
    """Ten conversions share two workers."""
    others, pool, most = workers(), Pool(2), 0
    running = [loop.start(pool.convert(prepare("png", "jpg"))) for _ in range(10)]
    while not all(one.done() for one in running):
        most = max(most, len(workers() - others))

    assert all(one.result() for one in running)
    assert most == 2
    loop.run(pool.close())


def test_worker_retires(loop: Loop, prepare: Prepare) -> None:
    """After many conversions a new worker takes over, without an effect on results."""
    others, pool = workers(), Pool(1)

    async def many() -> None:
        for _ in range(JOBS_PER_WORKER - 1):
            await pool.convert(prepare("file", "zip", b"x", name="a.txt"))

    loop.run(many())
    (before,) = workers() - others
    loop.run(pool.convert(prepare("file", "zip", b"x", name="a.txt")))
    assert before not in workers()
    loop.run(pool.convert(prepare("file", "zip", b"x", name="a.txt")))
    (after,) = workers() - others
    assert before != after
    loop.run(pool.close())


def test_first_document_within_two_seconds(loop: Loop, prepare: Prepare) -> None:
    """From nothing to a PDF; processor time, because others work on this machine, too."""
    times = []
    for _ in range(3):
        before, pool = resource.getrusage(resource.RUSAGE_CHILDREN), Pool(1)
        loop.run(pool.convert(prepare("docx", "pdf")))
        loop.run(pool.close())
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    assert min(times) < 2


def test_worker_knows_nothing_of_the_server(
    loop: Loop, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its environment has no secrets, its memory is limited, its group is its own."""
    monkeypatch.setenv("AIRFLOW_CONN_CONVERTAPI_DEFAULT", "secret")
    others, pool = workers(), Pool(1)
    loop.run(pool.convert(prepare("png", "jpg")))
    (pid,) = workers() - others

    environment = Path(f"/proc/{pid}/environ").read_bytes()
    limits = Path(f"/proc/{pid}/limits").read_text()

    assert b"secret" not in environment
    assert str(2 << 30) in limits.split("Max address space")[1].split("\n")[0]
    assert pid == os.getpgid(pid)
    loop.run(pool.close())


def test_scratch_folders_are_removed(
    loop: Loop, prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of a worker stays on the disk."""
    job, scratch = prepare("docx", "pdf"), tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    pool = Pool(1)
    loop.run(pool.convert(job))
    assert list(scratch.iterdir())
    loop.run(pool.close())

    assert [] == list(scratch.iterdir())


_SERVER = """
import asyncio, os, signal, sys
from pathlib import Path
from convertapi_sandbox import samples
from convertapi_sandbox.pool import Pool

async def main():
    pool = Pool(1)
    await pool.convert(samples.job("png", "jpg", Path(sys.argv[1])))
    print("ready", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_worker_does_not_outlive_a_killed_server(tmp_path: Path) -> None:
    """Workers end even if the server is killed."""
    command = [sys.executable, "-c", _SERVER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout
        assert b"ready\n" == server.stdout.readline()
        (pid,) = processes("sandbox.worker", server.pid)

        server.kill()

        wait_for(lambda: pid not in processes("sandbox.worker"))


def test_worker_ends_when_it_hears_nothing_more() -> None:
    """The end of its standard input is the end of its work, and its answers are JSON alone."""
    command = [sys.executable, "-m", "convertapi_sandbox.worker", str(os.getpid())]
    done = subprocess.run(command, input=b"", capture_output=True, check=False)

    assert (0, b"") == (done.returncode, done.stdout)


def test_pool_in_a_loop_of_its_own(prepare: Prepare) -> None:
    """It binds to the first loop that uses it, also in the main thread."""

    async def once() -> int:
        pool = Pool(1)
        made = await pool.convert(prepare("md", "pdf"))
        await pool.close()
        return len(made)

    assert 1 == asyncio.run(once())
