"""Run a batch: convert, publish, record and clean up many files at a time.

This module may change from release to release.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.endpoints import get_job
from airflow_provider_convertapi.batch.board import INTERVAL
from airflow_provider_convertapi.batch.budget import PostponedError
from airflow_provider_convertapi.batch.converter import quiet
from airflow_provider_convertapi.batch.filetask import FileTask
from airflow_provider_convertapi.batch.former import remove_former
from airflow_provider_convertapi.batch.items import ItemStream
from airflow_provider_convertapi.batch.limit import ConcurrencyLimit
from airflow_provider_convertapi.batch.pool import SPARE, StoppedError, WorkerPool
from airflow_provider_convertapi.batch.summary import Progress
from airflow_provider_convertapi.conversions.cancellation import cancel
from airflow_provider_convertapi.conversions.collection import delete_files
from airflow_provider_convertapi.errors import (
    BudgetExceededError,
    ConnectionConfigError,
    ConvertApiError,
    OutputNotWritableError,
    QuotaExhaustedError,
    ThrottledError,
    TransportError,
    with_facts,
)
from airflow_provider_convertapi.metrics import count_end
from airflow_provider_convertapi.storage import shown

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from airflow_provider_convertapi.api.client import Client
    from airflow_provider_convertapi.batch.board import Board
    from airflow_provider_convertapi.batch.budget import Budget
    from airflow_provider_convertapi.batch.converter import Converter
    from airflow_provider_convertapi.batch.decisions import Item
    from airflow_provider_convertapi.batch.filetask import Action
    from airflow_provider_convertapi.batch.items import Items
    from airflow_provider_convertapi.batch.recorder import Recorder
    from airflow_provider_convertapi.batch.summary import Summary
    from airflow_provider_convertapi.clock import Clock
    from airflow_provider_convertapi.conversions.deferral import JobRef
    from airflow_provider_convertapi.conversions.result import ConversionResult

_TICK = 0.1
"""Seconds after which, at the latest, records are published and progress is logged."""

_FOR_WANT_OF_CONVERSIONS = (QuotaExhaustedError, BudgetExceededError)

_MOST_UNJUDGED = 5
"""Files without a verdict of `result_check` after which the batch ends, if there was none at all:
every file is paid, and a check that always fails lets none be published."""

_ABANDONED_AFTER = 10
"""Seconds for which a task that must end waits for its threads."""
_CLEANING = 60.0
_DOCUMENTS_AT_ONCE = 10
_SOURCE_KEY = "0"
"""Key of a file's own upload; the file parameters of a batch are uploaded once for all files."""


@dataclass(slots=True)
class BatchRun:
    """Convert files with one thread, and one connection, for each file in flight.

    :param budget: what the task instance may still pay.
    :param wanted: files to convert in all; this run may get them in waves.
    :param board: where progress is shown while it runs; None shows it only in the log.
    """

    converter: Converter
    recorder: Recorder
    summary: Summary
    budget: Budget
    wanted: int
    log: logging.Logger
    board: Board | None = None
    halted: ConvertApiError | None = field(default=None, init=False)
    underway: list[FileTask] = field(default_factory=list, init=False)
    """Files whose jobs run at the service and are left to a later wave."""
    goes_on: list[FileTask] = field(default_factory=list, init=False)
    """Files whose jobs ran at the service when the batch was halted; how they end is unknown."""
    late: list[FileTask] = field(default_factory=list, init=False)
    """Files that failed because their time was over; their jobs go on, too."""
    _halted_items: list[Item] = field(default_factory=list, init=False)
    """Files that were begun and not finished when the batch was halted."""
    _untouched: ItemStream = field(default_factory=ItemStream, init=False)
    """Files that were not begun; a stream, because a halted batch may leave a million of them."""
    _is_over: bool = field(default=False, init=False)
    _postponed: list[Item] = field(default_factory=list, init=False)
    """Files of a wave that have to wait until running files have ended."""
    _pool: WorkerPool[Client] | None = field(default=None, init=False)
    _progress: Progress = field(init=False)
    _limits: list[ConcurrencyLimit] = field(default_factory=list, init=False)
    _next_post: float = field(default=0.0, init=False)
    _verdicts: Counter[bool | None] = field(default_factory=Counter, init=False)
    """How many failed files `result_check` has judged (True), and for how many it failed."""
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        elapsed = self._clock.time() - self.converter.shared.since
        self._progress = Progress(self.log, self._clock, self.summary, self.wanted, elapsed)

    def convert(self, items: Items) -> None:
        """Convert the items; record what happens to each, and count it in the summary."""
        self._begin(items, FileTask.convert)

    def begin(self, items: list[Item]) -> list[Item]:
        """Submit the first job of each item; items whose jobs run are in `underway` afterwards.

        :returns: the items that the budget allows only after others have ended.
        """
        self._begin(items, FileTask.begin)
        postponed, self._postponed = self._postponed, []
        if not postponed or self.halted is not None:
            self._halted_items += postponed
            return []
        left, self._untouched, self._is_over = [*self._untouched], ItemStream(), False
        return [*postponed, *left]

    def _begin(self, items: Items | list[Item], action: Action) -> None:
        count = len(items)
        self._untouched = ItemStream(items, count)
        self._work(self._tasks(self._untouched, action), count)

    def finish(self, jobs: list[tuple[Item, Sequence[JobRef], float | None]]) -> None:
        """Collect jobs that were submitted, and wait for each file for its number of seconds.

        Files with None are looked up once; those that still run are in `underway` afterwards.
        """
        self.expect((item, refs) for item, refs, _ in jobs)
        tasks = [
            self._task(item, FileTask.collect if limit is None else FileTask.convert, refs, limit)
            for item, refs, limit in jobs
        ]
        self._work(iter(tasks), len(tasks))

    def clean(self, settled: list[tuple[Item, int]]) -> None:
        """Delete documents that a killed try may have left at the service.

        :param settled: files that have an answer, each with the attempt that has it.
        """
        cleanups = [partial(self._clean, item, attempt) for item, attempt in settled]
        self._work(iter(()), len(cleanups), cleanups)

    def _clean(self, item: Item, attempt: int, client: Client) -> None:
        client.pause(0)  # raises if the task was told to stop
        ids = self.converter.ids(item)
        # The upload is deleted even if the job is forgotten: its id is derived, not looked up.
        documents = [ids.file_id(attempt, _SOURCE_KEY)]
        if self.converter.request.steps:
            with self.converter.session.using(client):
                documents += self.converter.left_behind(item)
        else:
            with suppress(ConvertApiError):  # the service deletes the rest within three hours
                answer = client.call(get_job(ids.job_id(attempt)))
                if answer.conversion:
                    documents += [file.file_id for file in answer.conversion.files]
        _delete(documents, client)

    def _task(
        self,
        item: Item,
        action: Action,
        known: Sequence[JobRef] = (),
        seconds: float | None = None,
    ) -> FileTask:
        return FileTask(item, self.converter, self.budget, action, self._run, known, seconds)

    def expect(self, files: Iterable[tuple[Item, Sequence[JobRef]]]) -> None:
        """Count the files of earlier waves, whose jobs run, against the budget."""
        if not self.budget.is_bounded:
            return
        for item, refs in files:
            found = sum(ref.submitted is None for ref in refs)
            self.budget.expect(item, self.converter.source_format(item), found)

    @property
    def _clock(self) -> Clock:
        return self.converter.session.clock

    def _tasks(self, items: Iterator[Item], action: Action) -> Iterator[FileTask]:
        """Yield a task for each item until the batch is halted."""
        while not self._is_over and (item := next(items, None)) is not None:
            yield self._task(item, action)

    def _work(
        self,
        tasks: Iterator[FileTask],
        count: int,
        cleanups: Iterable[Callable[[Client], None]] = (),
    ) -> None:
        request = self.converter.request
        limit = ConcurrencyLimit(min(request.max_in_flight, max(count, 1)))
        self._limits.append(limit)
        # With a budget no file starts early: it would occupy a thread while it waits for its share.
        # There are not more spare files than files at the service: each holds blocks in memory.
        spare = 0 if self.budget.is_bounded else min(SPARE, limit.most)
        clients = [self.converter.session.new_client() for _ in range(limit.most + spare)]
        new_pool = self.converter.session.new_pool or WorkerPool
        pool = self._pool = new_pool(
            clients, tasks, limit, self._give_up, request.timeout, spare=spare, clock=self._clock
        )
        pool.add_cleanups(cleanups)
        try:
            pool.start()
            self._supervise(pool)
        except BaseException:
            self._is_over = True
            # Threads that wait raise `ConversionInterrupted`; their jobs go on for the next try.
            self.converter.session.stop()
            # Save now and every second: Airflow may kill the task before the threads end. Airflow 3
            # does so 5 s after SIGTERM (`kill` in airflow/sdk/execution_time/supervisor.py).
            self._save()
            for _ in range(_ABANDONED_AFTER):
                have_ended = pool.abandon(1.0)
                self._save()
                if have_ended:
                    break
            self._leave_all(pool)
            raise
        finally:
            for client in clients:
                client.close()
        self._leave_all(pool)

    def _leave_all(self, pool: WorkerPool[Client]) -> None:
        for task in pool.leftover():
            if isinstance(task, FileTask):
                self._leave(task)

    def _show(self) -> None:
        """Show the progress, every few seconds."""
        now = self._clock.monotonic()
        if self.board is not None and now >= self._next_post:
            self._next_post = now + INTERVAL
            self.board.post(self._progress_now())

    def show_last(self) -> None:
        """Show the progress once more, before the task ends or defers."""
        if self.board is not None:
            with self._lock:
                values = self._progress_now()
            self.board.close(values)

    def _progress_now(self) -> dict[str, Any]:
        """Return numbers without file names, since any user of Airflow may read them."""
        summary = self.summary
        return {
            "done": summary.converted,
            "failed": summary.failed,
            "reused": summary.reused,
            "left": self._progress.left,
            "cost": summary.cost,
            "throttled": sum(limit.refusals for limit in self._limits),
            "seconds_left": self._progress.seconds_left,
        }

    def _save(self) -> None:
        with suppress(Exception):  # the error that ended the batch is the one to report
            self.recorder.publish()

    def _supervise(self, pool: WorkerPool[Client]) -> None:
        while not pool.is_idle:
            pool.wait(_TICK)
            # In this thread: a store that is slow to write a part delays no conversion.
            if self.recorder.is_due:
                pool.add_cleanups(_deletions(self._publish()))
            with self._lock:
                self._progress.tick()
                self._show()
        # Documents are deleted only after their record is published: until then, a try after a
        # crash collects them without paying.
        pool.add_cleanups(_deletions(self._publish()))
        pool.close()

    def _publish(self) -> list[str]:
        with self.adding_the_bill():
            return self.recorder.publish()

    @contextmanager
    def adding_the_bill(self) -> Iterator[None]:
        """Add to the error of a place that cannot be written what was paid, and what is left."""
        try:
            yield
        except (OutputNotWritableError, ConnectionConfigError) as error:
            kept = (
                "ConvertAPI keeps what has no record for two hours: clear the task to collect it "
                "without paying again."
                if self.converter.request.durable
                else "A cleared task converts, and pays for, what has no record again."
            )
            said = f"{error} {self.bill} {kept}"
            raise error.saying(said) from error.__cause__

    @property
    def bill(self) -> str:
        """Say what this try has paid, and how many files may be billed, too."""
        under_way = len(self.goes_on) + len(self.underway)
        return (
            f"By then this try had paid {self.summary.cost} conversion(s); "
            f"{under_way} file(s) under way may be billed, too."
        )

    def _run(self, task: FileTask) -> None:
        """Run the action of one file, and record how it ended."""
        try:
            self.converter.session.client.pause(0)  # raises if the task was told to stop
            result = task.act()
        except (ThrottledError, StoppedError):
            raise  # the pool starts the file again, or returns it; it has not failed
        except PostponedError:
            if task.action is not FileTask.begin:
                raise
            # Running files end only in a later wave, so no more files begin in this one.
            with self._lock:
                self._is_over = True
                self._postponed.append(task.item)
        except Exception as error:  # noqa: BLE001 - each store has its own errors, and one file's must not end the others
            self._ended_badly(task, error)
        else:
            self._succeeded(task, result)

    def _ended_badly(self, task: FileTask, error: Exception) -> None:
        facts = with_facts(error)
        if isinstance(error, TransportError):
            what = shown(task.item.uri)
            error = self.converter.session.unreachable(error, what, task.bill[1])
        # Not recorded as a failure: the next try converts a file that met an exhausted quota or a
        # refused token.
        if facts.halts_batch:
            self._halt(facts, task)
            return
        if facts.job_goes_on:
            self.late.append(task)
        self._failed(task, error)

    def _succeeded(self, task: FileTask, result: ConversionResult | None) -> None:
        if result is None:
            with self._lock:
                self.underway.append(task)
            return
        # Before the new record: after a kill the old record still names the former outputs.
        remove_former(task, result, self.log)
        self.recorder.converted(task, result)
        with self._lock:
            self._pay(task, result.cost, result.charged, learned=result.cost, has_result=True)
            outputs = [shown(uri) for uri in result.outputs]
            self.summary.add_conversion(shown(task.item.uri), outputs, result.sizes)

    def _failed(self, task: FileTask, error: BaseException) -> None:
        cost, charged = task.bill
        self.recorder.failed(task, error)
        with self._lock:
            self._pay(task, cost, charged, goes_on=with_facts(error).job_goes_on)
            name, said = type(error).__name__, str(error)
            self.summary.add_failure(shown(task.item.uri), name, said, charged)
            self._progress.failed(task.item, error)
        self._note_verdict(with_facts(error))

    def _note_verdict(self, error: ConvertApiError) -> None:
        """Halt the batch if `result_check` has failed for the first files, and judged none."""
        with self._lock:
            self._verdicts[error.is_judged] += 1
            unjudged = self._verdicts[False]
            is_judged = self.summary.converted or self._verdicts[True]
        if is_judged or unjudged < _MOST_UNJUDGED:
            return
        said = (
            f"result_check failed for {unjudged} files and judged none, so no more files are "
            f"converted: {error}"
        )
        self._end(error.saying(said))

    def _pay(
        self, task: FileTask, cost: int, charged: int, *, has_result: bool = False, **how: Any
    ) -> None:
        self.budget.settle(task.item, task.source_format, cost, charged, **how)
        self.summary.cost += charged
        self._count_end(task, charged, has_result=has_result, goes_on=how.get("goes_on", False))

    def _count_end(self, task: FileTask, charged: int, *, goes_on: bool, has_result: bool) -> None:
        pair = task.source_format, self.converter.request.to_formats[-1]
        count = self.converter.session.count
        count_end(count, pair, charged, has_result=has_result, goes_on=goes_on)

    def _give_up(self, task: Callable[..., None], error: ThrottledError) -> None:
        assert isinstance(task, FileTask)  # noqa: S101 - for the type checker
        self._failed(task, error)

    def _halt(self, error: ConvertApiError, task: FileTask) -> None:
        self._end(error)
        with self._lock:
            self._leave(task, error)

    def _end(self, error: ConvertApiError) -> None:
        """Begin no more files."""
        with self._lock:
            # The first error is the cause and is reported; other threads then get the same error.
            self.halted = self.halted or error
            self._is_over = True
        # Without the lock: the pool has one of its own.
        if self._pool:
            self._pool.stop()

    def _leave(self, task: FileTask, error: ConvertApiError | None = None) -> None:
        """Note a file that is not finished; if the service has its job, that may be billed."""
        self.budget.release(task.item)
        # A refusal for lack of conversions ends the job unpaid; earlier steps are paid.
        is_refused = isinstance(error, _FOR_WANT_OF_CONVERSIONS) and error.paid is False
        is_submitted = bool(task.refs) and not is_refused
        if is_submitted or (task.jobs and error is not None and error.job_goes_on):
            self.goes_on.append(task)
        else:
            self._halted_items.append(task.item)
            self.summary.halfway += bool(task.ended_bill[0])
        charged = task.ended_bill[1]
        self.summary.cost += charged
        self._count_end(task, charged, has_result=False, goes_on=True)

    def cancel(self) -> None:
        """Delete the jobs, and their documents, that the task no longer waits for."""
        for task in [*self.goes_on, *self.late, *self.underway]:
            for job, uploads in task.jobs:
                cancel(job, uploads)

    def record_not_attempted(self, more: ItemStream) -> None:
        """Record the files that were not finished because the batch was halted.

        :param more: files that no wave has reached.
        """
        unsent = [task.item for task in self.goes_on if not task.refs]
        begun, self._halted_items = [*self._halted_items, *unsent], []
        self.summary.not_attempted += len(begun) + len(self._untouched) + len(more)
        self.summary.underway = len(self.goes_on) - len(unsent)
        self.summary.ready = sum(task.has_ended for task in self.goes_on)
        if self.halted is not None and not self.halted.job_goes_on:
            self.recorder.not_attempted(chain(begun, self._untouched, more), self.halted)
        self._publish()


def _deletions(documents: list[str]) -> list[Callable[[Client], None]]:
    """Return the deletions as cleanups that threads run between two files."""
    return [
        partial(_delete, documents[start : start + _DOCUMENTS_AT_ONCE])
        for start in range(0, len(documents), _DOCUMENTS_AT_ONCE)
    ]


def _delete(documents: list[str], client: Client) -> None:
    delete_files(client, documents, client.monotonic() + _CLEANING, quiet)
