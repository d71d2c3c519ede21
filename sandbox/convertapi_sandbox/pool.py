"""Worker processes: started on demand, ended at a timeout, replaced after a crash."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convertapi_sandbox.engines import verdicts
from convertapi_sandbox.jobs import EngineError, EngineOutput
from convertapi_sandbox.worker import TAKEN, encode

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from convertapi_sandbox.jobs import EngineJob

log = logging.getLogger(__name__)

JOBS_PER_WORKER = 200  # then it is replaced, to limit what the libraries leak
# They say where libraries are, and let coverage.py measure child processes.
_KEPT = ("LD_LIBRARY_PATH", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
_GRACE = 10.0  # seconds for an idle worker to end
_LONGEST_LINE = 16 << 20  # bytes of an answer that names thousands of pages


class Pool:
    """Converts documents in worker processes.

    It belongs to one event loop. A worker is started when a job finds none free.

    Args:
        workers: How many to run; None means one for each core.
        path: Where they look for LibreOffice, in the form of PATH; None means the server's PATH.
    """

    def __init__(self, workers: int | None = None, path: str | None = None) -> None:
        self._path = os.environ.get("PATH", "") if path is None else path
        self._size = workers or os.cpu_count() or 1
        self._free = asyncio.Semaphore(self._size)
        self._idle: list[_Worker] = []
        self._workers: set[_Worker] = set()
        self._closed = False

    async def convert(self, job: EngineJob) -> list[EngineOutput]:
        """Convert one job; the time spent waiting for a worker does not count.

        Raises:
            EngineError: As in the service's error table: 5000 at the timeout, 5001 for a worker
                that crashed, and the engines' own verdicts.
        """
        async with self._free:
            while True:
                worker = await self._take()
                reply, status = await self._ask(worker, job)
                if not worker.died_at_rest:
                    return _outputs(reply, status)

    async def _ask(
        self, worker: _Worker, job: EngineJob
    ) -> tuple[dict[str, Any] | None, int | None]:
        """Return a worker's answer, and its exit status if it has ended."""
        reply: dict[str, Any] | None = None
        try:
            async with asyncio.timeout(job.timeout):
                reply = await worker.ask(job)
        except TimeoutError:
            raise verdicts.timed_out(job.timeout) from None
        finally:
            reusable = bool(reply and not reply.get("retire"))
            status = await self._give_back(worker, reusable=reusable)
        return reply, status

    async def close(self) -> None:
        """End every worker, busy or idle, and wait until they are gone."""
        self._closed = True
        idle, self._idle = self._idle, []
        for worker in self._workers.difference(idle):
            worker.kill()
        await asyncio.gather(*map(self._dismiss, idle))
        for _ in range(self._size):  # a running conversion ends its own worker
            await self._free.acquire()
        for _ in range(self._size):
            self._free.release()

    async def _take(self) -> _Worker:
        if self._closed:
            raise verdicts.closed()
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
            await self._discard(worker)
        worker = await _Worker.start(self._path)
        self._workers.add(worker)
        if self._closed:  # while the worker started
            await self._discard(worker)
            raise verdicts.closed()
        return worker

    async def _give_back(self, worker: _Worker, *, reusable: bool) -> int | None:
        """Keep a worker for the next job, or end it; return its exit status, None if kept."""
        if not reusable or self._closed:
            return await self._discard(worker)
        if worker.jobs >= JOBS_PER_WORKER:
            return await self._dismiss(worker)
        self._idle.append(worker)
        return None

    async def _dismiss(self, worker: _Worker) -> int:
        """End an idle worker, and make sure that it ends."""
        await worker.ask_to_end()
        return await self._discard(worker)

    async def _discard(self, worker: _Worker) -> int:
        self._workers.discard(worker)
        return await worker.end()


class _Worker:
    """One worker process and its scratch folder."""

    def __init__(self, process: Process, folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._has_taken = False  # the last job
        self.jobs = 0

    @classmethod
    async def start(cls, path: str) -> _Worker:
        folder = Path(tempfile.mkdtemp(prefix="convertapi-worker-"))
        command = [
            sys.executable,
            "-m",
            "convertapi_sandbox.worker",
            str(os.getpid()),
        ]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,  # libraries print to it; our own traceback is in the answer
            cwd=folder,
            env=_environment(folder, path),
            limit=_LONGEST_LINE,
            start_new_session=True,  # so that its own children can be ended with it
        )
        return cls(process, folder)

    @property
    def alive(self) -> bool:
        """Tell whether the process runs, as far as the event loop knows."""
        return self._process.returncode is None

    @property
    def died_at_rest(self) -> bool:
        """Tell whether it died after an earlier job, before it took the last one.

        The event loop learns of a death late, so such a worker can still be given a job.  A new
        worker that takes nothing is not one of them: the next would do no better.
        """
        return self.jobs > 1 and not self._has_taken

    async def ask(self, job: EngineJob) -> dict[str, Any] | None:
        """Return the answer to one job, None if the process died."""
        assert self._process.stdin  # noqa: S101 - for the type checker: both are pipes
        assert self._process.stdout  # noqa: S101 - the same
        self.jobs += 1
        self._has_taken = False
        try:
            self._process.stdin.write(encode(job))
            await self._process.stdin.drain()
            self._has_taken = await self._process.stdout.readline() == TAKEN
            line = await self._process.stdout.readline()
        except (BrokenPipeError, ConnectionResetError):
            return None
        reply: dict[str, Any] | None = json.loads(line) if line.endswith(b"\n") else None
        return reply

    async def ask_to_end(self) -> None:
        """Close its input, which makes it end, and wait for a while."""
        assert self._process.stdin  # noqa: S101 - the same
        self._process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), _GRACE)

    def kill(self) -> None:
        """Kill the process and everything that it started."""
        # macOS raises EPERM for a group of zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def end(self) -> int:
        """Kill the process, wait for it, and return its status."""
        self.kill()
        # Reads until the pipes are closed, so that the event loop need not clean them up.
        await self._process.communicate()
        shutil.rmtree(self._folder, ignore_errors=True)
        return self._process.returncode or 0


def _environment(folder: Path, path: str) -> dict[str, str]:
    """Return a worker's environment: of the server's, only _KEPT."""
    kept = {key: os.environ[key] for key in _KEPT if key in os.environ}
    scratch = str(folder)
    return kept | {
        "HOME": scratch,
        "LANG": "C.UTF-8",
        "PATH": path,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "TMPDIR": scratch,
    }


def _outputs(reply: dict[str, Any] | None, status: int | None) -> list[EngineOutput]:
    if reply is None:
        raise verdicts.step_too_long() if status == -signal.SIGALRM else verdicts.crashed()
    if "trace" in reply:
        log.debug("An engine failed:\n%s", reply["trace"])
    if "error" in reply:
        raise EngineError(*reply["error"])
    return [EngineOutput(Path(path), name) for path, name in reply["outputs"]]
