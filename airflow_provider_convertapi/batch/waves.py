"""A deferrable batch: waves of jobs, resumed with the manifest, a checkpoint and derived ids.

This module may change from release to release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.batch.checkpoint import (
    Checkpoint,
    checkpoint_name,
    checkpoint_prefix,
)
from airflow_provider_convertapi.batch.inputs import asked_files, url_fingerprint
from airflow_provider_convertapi.batch.items import ItemStream
from airflow_provider_convertapi.batch.manifest import StateDirectory
from airflow_provider_convertapi.batch.parameter_files import (
    all_files,
    identities,
    of_first_step,
    restore_files,
    with_step_files,
)
from airflow_provider_convertapi.batch.plan import Plan, find_file_parameters
from airflow_provider_convertapi.batch.record import KnownCosts
from airflow_provider_convertapi.batch.summary import Summary
from airflow_provider_convertapi.conversions.checking import with_found_files
from airflow_provider_convertapi.conversions.deferral import JobEvent
from airflow_provider_convertapi.conversions.values import flatten, plain_text
from airflow_provider_convertapi.errors import (
    ConversionInterrupted,
    ConversionTimeoutError,
    InputChangedError,
    InputNotFoundError,
    ParameterError,
)
from airflow_provider_convertapi.storage import is_url, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_convertapi.batch.batch import Batch
    from airflow_provider_convertapi.batch.decisions import Item
    from airflow_provider_convertapi.batch.items import Items
    from airflow_provider_convertapi.batch.parameter_files import Files
    from airflow_provider_convertapi.batch.record import Record
    from airflow_provider_convertapi.batch.running import BatchRun
    from airflow_provider_convertapi.conversions.deferral import JobRef
    from airflow_provider_convertapi.errors import ConvertApiError

_ENOUGH = 0.8
"""Share of a wave's jobs whose answers resume the task while there are more files to submit."""

_LONGEST_WAVE = 600.0
"""Seconds after which the task resumes with the answers so far."""

_LAST_LOOK = 5.0
"""Seconds for which a job whose time is over is checked once more, since it is paid."""


@dataclass(frozen=True, slots=True)
class Deferral:
    """What a trigger waits for.

    :param jobs: the jobs of all files, each file's in the order of its steps.
    :param deadline: seconds since the epoch at which the time of the last job is over.
    :param share: the share of answered jobs after which the task resumes.
    :param report_at: seconds since the epoch at which it resumes in any case; None for never.
    """

    jobs: list[JobRef]
    deadline: float
    share: float
    report_at: float | None


Waiting = tuple["Item", tuple["JobRef", ...]]
"""A file, and its jobs at the service; the last of them still runs."""


@dataclass(slots=True)
class Waves:
    """Submit a wave, let the task defer, collect the answers, and submit the next wave."""

    batch: Batch
    _plan: Plan = field(init=False)
    _is_left: bool = field(default=False, init=False)
    """Whether the plan was written beside the manifest."""
    _unfit: ConvertApiError | None = field(default=None, init=False)

    def start(self, plan: Plan) -> Deferral | dict[str, Any]:
        """Submit the first wave; return the summary if there is nothing to wait for."""
        self._plan = plan
        plan.state.checkpoints.check_writable()
        run = self.batch.prepare(plan, Summary.of(plan), plan.spent)
        with self.batch.cancelling(run):
            return self._next(run, ItemStream(plan.items, len(plan.items)), [])

    def resume(self, event: object) -> Deferral | dict[str, Any]:
        """Collect the answered jobs, and submit the next wave."""
        found = JobEvent.parse(event, expected=None)
        # Before anything else: with another key all ids differ, and every file would be paid again.
        self.batch.session.check_key(found.key_check, f"{len(found.jobs)} jobs were")
        found.check_asked(self.batch.asked, f"{len(found.jobs)} jobs")
        left = self._read_plan()
        self._is_left = True
        plan = self._plan = self._as_plan(left)
        summary, taken = self._settle_recorded(left, plan)
        run = self.batch.prepare(plan, summary, left.spent + taken)
        jobs = _by_file(found)
        outstanding, fresh = self._sorted(run, left.items, jobs)
        with self.batch.cancelling(run):
            return self._go_on(run, found, outstanding, fresh)

    def _go_on(
        self,
        run: BatchRun,
        found: JobEvent,
        outstanding: Sequence[Waiting],
        fresh: ItemStream,
    ) -> Deferral | dict[str, Any]:
        """Collect the jobs that the trigger reports as answered, and submit the next wave."""
        answered = {
            job.derivation for job, flag in zip(found.jobs, found.answered, strict=True) if flag
        }
        if found.status == "error":
            self.batch.log.warning(
                "The triggerer could not watch the jobs; this task waits for them."
            )
            answered = {job.derivation for job in found.jobs}
        waiting = self._collect(run, outstanding, answered)
        if found.status == "timeout" and waiting:
            raise ConversionTimeoutError(
                f"execution_timeout passed while {len(waiting)} jobs went on at ConvertAPI. "
                f"{self.batch.session.what_becomes_of_jobs} What was converted is saved; "
                f"{run.summary.cost} conversion(s) were paid for it by this try."
            )
        if fresh and self._unfit:
            if waiting:
                return self._deferral(waiting, more=False)
            run.halted = run.halted or self._unfit
        return self._next(run, fresh, waiting)

    def _next(
        self, run: BatchRun, fresh: ItemStream, waiting: list[Waiting]
    ) -> Deferral | dict[str, Any]:
        """Submit as many files as the wave has room for; conclude if none of them runs."""
        most = self.batch.request.defer_batch
        # Files that are settled without a new job leave room for others.
        while fresh and len(waiting) < most and run.halted is None:
            wave = fresh.take(most - len(waiting))
            run.expect(waiting)
            with self.batch.grouped(f"Submit {len(wave)} files"):
                known = len(run.underway)
                postponed = run.begin(wave)
            waiting += [(task.item, tuple(task.refs)) for task in run.underway[known:]]
            fresh.put_back(postponed)
            if postponed and waiting:
                break
        if run.halted is None and waiting:
            # After the submits: if the task is killed in between, the next try plans again and
            # finds the jobs by their derived ids.
            with run.adding_the_bill():
                self._leave_plan()
            run.show_last()
            return self._deferral(waiting, more=bool(fresh))
        if waiting:
            # Halted: nothing more is sent, but running jobs are paid, so they are collected.
            self._collect(run, waiting, {refs[-1].derivation for _, refs in waiting})
        self._plan.state.checkpoints.delete(checkpoint_name(self.batch.task))
        return self.batch.conclude(self._plan, run, fresh)

    def _deferral(self, waiting: Sequence[Waiting], *, more: bool) -> Deferral:
        timeout = self.batch.request.timeout
        now = self.batch.session.clock.time()
        return Deferral(
            jobs=[job for _, refs in waiting for job in refs],
            deadline=max(refs[-1].submitted or now for _, refs in waiting) + timeout,
            share=_ENOUGH if more else 1.0,
            report_at=now + _LONGEST_WAVE if more else None,
        )

    def _collect(
        self,
        run: BatchRun,
        outstanding: Sequence[Waiting],
        answered: set[str],
    ) -> list[Waiting]:
        """Collect the files that are answered or out of time; return those that still run."""
        run.underway.clear()
        # Not monotonic time: another process submitted the jobs.
        now, timeout = self.batch.session.clock.time(), self.batch.request.timeout
        jobs: list[tuple[Item, Sequence[JobRef], float | None]] = []
        for item, refs in outstanding:
            last = refs[-1]
            is_late = last.submitted is not None and now - last.submitted > timeout
            seconds = timeout if last.derivation in answered else None
            # A late job is checked once more: if it has a result by now, that is paid.
            jobs.append((item, refs, _LAST_LOOK if is_late else seconds))
        if jobs:
            with self.batch.grouped(f"Collect {len(jobs)} files"):
                run.finish(jobs)
        return [(task.item, tuple(task.refs)) for task in run.underway]

    def _sorted(
        self,
        run: BatchRun,
        items: Items,
        jobs: Mapping[str, tuple[JobRef, ...]],
    ) -> tuple[list[Waiting], ItemStream]:
        """Separate files whose jobs run from files that no wave has reached.

        Waves follow the plan's order, so the former are among the first unsettled files.
        """
        left = items.unsettled()
        outstanding: list[Waiting] = []
        fresh: list[Item] = []
        while len(outstanding) < len(jobs):
            item = next(left, None)
            if item is None:
                break
            refs = jobs.get(run.converter.ids(item).derivation)
            if refs is None:
                fresh.append(item)
            else:
                outstanding.append((item, refs))
        count = items.unsettled_count - len(outstanding)
        return outstanding, ItemStream(chain(fresh, left), count)

    def _settle_recorded(self, left: Checkpoint, plan: Plan) -> tuple[Summary, int]:
        """Settle the files that this try has recorded; return their summary and their cost."""
        summary, taken = Summary.of(plan), 0
        costs, manifest = KnownCosts(), plan.state.manifest
        for _, record in manifest.records():
            costs.add(record)
            item = left.items.settle(record.target) if self._is_of(record, left) else None
            if item is not None:  # after compaction a record may come twice
                taken += item.newly_taken(record.cost, record.charged)
                summary.add_record(record)
        plan.highest = costs.highest(left.to_format)
        plan.has_wrong_times = manifest.has_wrong_times
        return summary, taken

    def _is_of(self, record: Record, left: Checkpoint) -> bool:
        """Tell whether a record was written by this try, for this plan.

        A run that was deleted and created again has the same names and numbers, but another plan.
        """
        task = self.batch.task
        is_of_try = record.is_of(task) and record.try_number == task.number
        return is_of_try and (not left.plan or record.plan == left.plan)

    def _leave_plan(self) -> None:
        """Write the plan beside the manifest, once for each try."""
        plan, task = self._plan, self.batch.task
        if self._is_left:
            return
        plans, name = plan.state.checkpoints, checkpoint_name(task)
        for old in plans.names():
            # Left by a killed try, or, under this name, by a deleted run.
            if old.startswith(checkpoint_prefix(task)):
                plans.delete(old)
        files = all_files(self.batch.request, plan.file_parameters)
        plans.write_lines(name, _checkpoint_of(plan, files, self.batch.asked).lines())
        self._is_left = True

    def _read_plan(self) -> Checkpoint:
        plans = StateDirectory.beside(self.batch.request.destination.uri).checkpoints
        source = self.batch.request.source
        # The files of a batch's summary, a mapping, are never URLs.
        items = (item for item in flatten(source) if not isinstance(item, Mapping))
        given = (plain_text("source", item) for item in items)
        urls = {url_fingerprint(uri): uri for uri in given if is_url(uri)}
        lines = plans.read_lines(checkpoint_name(self.batch.task))
        try:
            left = Checkpoint.read(lines, urls.get, self._check(asked_files(source)))
            left.check_asked(self.batch.asked)
        except (FileNotFoundError, ValueError) as error:
            raise ConversionInterrupted(
                f"The plan beside the manifest cannot be used ({type(error).__name__}): it is "
                "gone, or not what was asked for. The jobs go on at ConvertAPI; the next try "
                "plans again and collects them without paying."
            ) from None
        return left

    def _check(self, is_asked: Callable[[str], bool]) -> Callable[[Item], None]:
        """Return a check that refuses items outside of the source or of the destination.

        The checkpoint lies in the destination, where others may be able to write.
        """
        destination = self.batch.request.destination

        def check(item: Item) -> None:
            if item.uri is not None and not is_asked(item.uri):
                raise ValueError(f"{shown(item.uri)} is not an input of this task")
            try:
                for path in _paths(item):
                    destination.check_within(destination.uri + path)
            except ParameterError as error:
                raise ValueError(str(error)) from None

        return check

    def _as_plan(self, left: Checkpoint) -> Plan:
        files = self._files(left)
        request = self.batch.request = with_step_files(self.batch.request, files)
        own = of_first_step(request, files)
        return Plan(
            items=left.items,
            reused=left.reused,
            known=left.known,
            known_examples=left.examples,
            known_lost=left.known_lost,
            spent=left.spent,
            request_digest=left.request_digest,
            state=StateDirectory.beside(request.destination.uri),
            source_files=len(left.items),
            file_parameters=own,
            started=left.started,
            id=left.plan,
            balance=left.balance,
        )

    def _files(self, left: Checkpoint) -> Files:
        """Return the files among the parameters; set `_unfit` if they are gone or changed.

        Then no more jobs are submitted, but those that were submitted, and paid, can be collected.
        """
        request = self.batch.request
        try:
            steps = tuple(with_found_files(step) for step in request.steps)
            files = all_files(replace(request, steps=steps), find_file_parameters(request))
        except InputNotFoundError as error:
            self._unfit = error
        else:
            if identities(files) == dict(left.files):
                return files
            self._unfit = InputChangedError("A file among the parameters was written meanwhile.")
        return restore_files(left.files, all_files(request, request.files), self._unfit)


def _paths(item: Item) -> tuple[str, ...]:
    return (item.target, *item.own_outputs, *item.foreign_outputs, *item.former_outputs)


def _by_file(found: JobEvent) -> dict[str, tuple[JobRef, ...]]:
    """Return the jobs of each file, by the derivation of its first job."""
    files: list[list[JobRef]] = []
    for job in found.jobs:
        if job.step == 1:
            files.append([])
        files[-1].append(job)
    return {jobs[0].derivation: tuple(jobs) for jobs in files}


def _checkpoint_of(plan: Plan, files: Files, asked: str) -> Checkpoint:
    return Checkpoint(
        items=plan.items,
        started=plan.started,
        spent=plan.spent,
        reused=plan.reused,
        known=plan.known,
        examples=plan.known_examples,
        known_lost=plan.known_lost,
        to_format=plan.request_digest.to_format,
        digests=plan.request_digest.digests,
        least_cost=plan.request_digest.least_cost,
        files=identities(files),
        asked=asked,
        plan=plan.id,
        balance=plan.balance,
    )
