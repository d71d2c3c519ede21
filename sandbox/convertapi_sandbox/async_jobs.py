"""Asynchronous jobs: conversions that go on after their POST was answered.

A job keeps its answer (status, Code or the list of results) after its documents are deleted.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from convertapi_sandbox import fetch
from convertapi_sandbox.answers import ResultFile
from convertapi_sandbox.errors import FAILED, SERVER_ERROR, ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from convertapi_sandbox.faults import Fault
    from convertapi_sandbox.settings import Settings
    from convertapi_sandbox.spool import Scratch


# The Accept header of a request, None for none, and its content type without parameters.
Asked = tuple[str | None, str]


@dataclass(slots=True)
class Outcome:
    """How a conversion ended: its results or its error, and its cost."""

    cost: int = 0
    files: list[ResultFile] = field(default_factory=list)
    error: ServiceError | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as JSON values."""
        error = self.error and [self.error.status, self.error.code, self.error.message]
        files = [[f.name, f.size, f.path and f.path.name, f.file_id] for f in self.files]
        return {"cost": self.cost, "files": files, "error": error}

    @classmethod
    def from_dict(cls, values: dict[str, Any], folder: Path) -> Outcome:
        """Return the outcome that `as_dict` described; unstored results are in `folder`."""
        files = [
            ResultFile(name, size, folder / path if path else None, file_id)
            for name, size, path, file_id in values["files"]
        ]
        error = ServiceError(*values["error"]) if values["error"] else None
        return cls(values["cost"], files, error)


@dataclass(slots=True)
class Job:
    """One asynchronous job.

    Attributes:
        id: 32 lower-case letters and digits, the caller's or ours.
        asked: What its start asked for.
        store: StoreFile of its start.
        started: Unix seconds.
        visible_at: Unix seconds before which a poll gets 404.
        fault: The injected fault of its start, if it affects the answers.
        outcome: None while it runs.
        polls: Polls answered so far.
        polls_left: Further polls that answer 202 although the conversion is done.
        open_polls: Polls being answered now.
        folder: Where it converts, and later its unstored results; None if there are none.
        hook: URL to call when it ends, or None.
        waive: Makes it cost nothing and give no results, if it has not ended.
        task: The running conversion; None for a job of an earlier run of the sandbox.
    """

    id: str
    asked: Asked
    store: bool
    started: float = field(default_factory=time.time)
    visible_at: float = 0.0
    fault: Fault | None = None
    outcome: Outcome | None = None
    finished: float | None = None
    polls: int = 0
    polls_left: int = 0
    open_polls: int = 0
    folder: Path | None = None
    hook: str | None = None
    waive: Callable[[], None] = field(default=lambda: None, repr=False)
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def state(self) -> str:
        """Return "running", "done" or "failed"."""
        if self.outcome is None:
            return "running"
        return "failed" if self.outcome.error else "done"


class Jobs:
    """The jobs that are known now; `persistent` keeps finished ones across restarts.

    A job that was running when the sandbox stopped is unknown afterwards, like an expired one.
    """

    def __init__(
        self, folder: Path, scratch: Scratch, settings: Settings, *, persistent: bool
    ) -> None:
        self._folder = folder
        self._scratch = scratch
        self._settings = settings
        self._persistent = persistent
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("*.json"):
            job = self._load(json.loads(path.read_text("utf-8")))
            self._jobs[job.id] = job

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._jobs.values()))

    @property
    def running(self) -> int:
        """Return how many are running."""
        return len(self._tasks)

    def find(self, job_id: str) -> Job | None:
        """Return a job that is known and has not expired."""
        job = self._jobs.get(job_id)
        if job is None or job.finished is None:
            return job
        if time.time() - job.finished > self._settings.job_lifetime:
            self.forget(job_id)
            return None
        return job

    def start(self, job: Job, work: Coroutine[Any, Any, Outcome]) -> None:
        """Register a job and start it; this object now owns its folder."""
        self.forget(job.id)
        self._jobs[job.id] = job
        job.task = asyncio.create_task(self._run(job, work))
        self._tasks.add(job.task)
        job.task.add_done_callback(self._tasks.discard)

    async def _run(self, job: Job, work: Coroutine[Any, Any, Outcome]) -> None:
        outcome = await work
        if job.folder is not None:
            try:
                job.folder = self._keep(outcome, job.folder)
            except OSError as error:  # the disk failed, but the conversion is billed
                lost = ServiceError(SERVER_ERROR, FAILED, f"Conversion failed: {error.strerror}.")
                outcome = Outcome(cost=outcome.cost, error=lost)
        job.finished = time.time()
        job.outcome = outcome
        if self._jobs.get(job.id) is not job:
            self._drop(job)  # it was deleted, or the sandbox reset, while it ran
        elif self._persistent:
            self._save(job, outcome)
        if job.hook and (outcome.error is None or self._settings.webhook_on_failure):
            await fetch.call(job.hook, {"JobId": job.id})

    def _keep(self, outcome: Outcome, work: Path) -> Path | None:
        """Move results that are not stored out of the working folder, and remove it."""
        kept = None
        if any(file.file_id is None for file in outcome.files):
            kept = (work / "out").rename(self._folder / uuid4().hex)
            outcome.files = [
                replace(file, path=kept / file.path.name) if file.path else file
                for file in outcome.files
            ]
        self._scratch.give_back(work)
        return kept

    def forget(self, job_id: str) -> bool:
        """Forget a job with its unstored results; return whether it was known.

        If it is running it goes on, because a conversion that has started is billed, unless it was
        waived.
        """
        job = self._jobs.pop(job_id, None)
        if job is None:
            return False
        (self._folder / f"{job_id}.json").unlink(missing_ok=True)
        if job.outcome is not None:
            self._drop(job)
        return True

    def forget_of_document(self, file_id: str) -> None:
        """Forget the job that made a document."""
        for job in self:
            if job.outcome and any(file.file_id == file_id for file in job.outcome.files):
                self.forget(job.id)

    def clear(self) -> None:
        """Forget every job."""
        for job_id in list(self._jobs):
            self.forget(job_id)

    async def close(self) -> None:
        """Stop waiting for jobs that still run."""
        for task in list(self._tasks):
            task.cancel()
        for task in list(self._tasks):
            with suppress(asyncio.CancelledError):
                await task

    def _drop(self, job: Job) -> None:
        if job.folder is not None:
            shutil.rmtree(job.folder, ignore_errors=True)

    def _save(self, job: Job, outcome: Outcome) -> None:
        values = {
            "id": job.id,
            "asked": list(job.asked),
            "store": job.store,
            "started": job.started,
            "finished": job.finished,
            "folder": job.folder and job.folder.name,
            "outcome": outcome.as_dict(),
        }
        part = self._folder / f"{job.id}.tmp"
        part.write_text(json.dumps(values), "utf-8")
        part.replace(self._folder / f"{job.id}.json")

    def _load(self, values: dict[str, Any]) -> Job:
        folder = self._folder / (values["folder"] or "")
        return Job(
            id=values["id"],
            asked=(values["asked"][0], values["asked"][1]),
            store=values["store"],
            started=values["started"],
            finished=values["finished"],
            outcome=Outcome.from_dict(values["outcome"], folder),
            folder=folder if values["folder"] else None,
        )
