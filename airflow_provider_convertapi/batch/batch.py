"""One try of a batch: plan, run and conclude it.

This module may change from release to release.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.batch.balance import (
    about,
    covers,
    insufficient,
    needed,
    read_account,
)
from airflow_provider_convertapi.batch.budget import Budget
from airflow_provider_convertapi.batch.converter import Converter, quiet
from airflow_provider_convertapi.batch.items import ItemStream
from airflow_provider_convertapi.batch.parameter_files import all_files
from airflow_provider_convertapi.batch.plan import plan_batch
from airflow_provider_convertapi.batch.recorder import Recorder
from airflow_provider_convertapi.batch.running import BatchRun
from airflow_provider_convertapi.batch.shared_files import SharedFiles
from airflow_provider_convertapi.batch.summary import Summary
from airflow_provider_convertapi.conversions.chain import MERGE_OF_ONE
from airflow_provider_convertapi.conversions.collection import delete_files
from airflow_provider_convertapi.errors import (
    AuthenticationError,
    ConversionTimeoutError,
    ConvertApiError,
    InputNotFoundError,
    QuotaExhaustedError,
)
from airflow_provider_convertapi.metrics import REUSED
from airflow_provider_convertapi.storage import Source, shown
from airflow_provider_convertapi.wording import labelled, listed, on_one_line, wrapped

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Sequence

    from airflow_provider_convertapi.batch.plan import Plan
    from airflow_provider_convertapi.batch.request import BatchRequest
    from airflow_provider_convertapi.conversions.session import Session
    from airflow_provider_convertapi.conversions.task import TaskTry

# Seconds. It need not be longer: the service deletes what is left within three hours, see
# https://help.convertapi.com/en/article/how-long-are-my-files-stored-a5ihko/
_CLEANING = 60.0
_EXAMPLES = 5


@dataclass(slots=True)
class Batch:
    """A batch, run by one try of a task.

    :param asked: keyed digest of the task's arguments.
    """

    session: Session
    request: BatchRequest
    asked: str = ""
    summary: Summary | None = field(default=None, init=False)
    """What has happened so far, even if the batch failed; None before it runs."""
    _shared: SharedFiles | None = field(default=None, init=False)

    @property
    def task(self) -> TaskTry:
        """Return the try that writes the records."""
        return self.session.task

    @property
    def log(self) -> logging.Logger:
        """Return the task's log."""
        return self.session.log

    def plan(self, *, only: bool) -> Plan:
        """List the files, name the outputs, compare with the manifest, and check the budget.

        :param only: True writes nothing, since no run follows.
        """
        plan = plan_batch(
            self.request, self.task, now=self.session.clock.time(), keeps_salt=not only
        )
        if not plan.source_files and self.request.on_empty == "fail":
            raise InputNotFoundError(
                "source has no files, and on_empty='fail'. Check the path, and what writes it."
            )
        # `plan_only` sends nothing, and a plan without a file to convert needs no balance.
        asks = not only and len(plan.items) > 0
        choice = self.request.on_insufficient
        account = read_account(self.session, is_needed=choice is not None) if asks else None
        cost = needed(plan, self.request) if account else plan.least_cost
        self._describe(plan, about(account, cost))
        if not only:
            plan.check_budget(self.request.max_conversions)
        if account and choice is not None:
            plan.balance = account.check_remaining(self.session.conn_id)
            self._check_balance(plan, plan.balance, cost)
        if not only:
            self._count_reused(plan)
        return plan

    def _count_reused(self, plan: Plan) -> None:
        given, target = self.request.from_format, self.request.to_formats[-1]
        for found, files in plan.reused_from.items():
            self.session.count(REUSED, files, (given or found, target))

    def _check_balance(self, plan: Plan, balance: int, cost: int) -> None:
        """End the task if the balance does not cover the plan, unless ``partial`` is allowed."""
        if covers(balance, cost) or self.request.on_insufficient == "partial":
            return
        error = insufficient(self.session, balance, len(plan.items), cost)
        raise error if self.request.on_insufficient == "fail" else _skip(error)

    def _describe(self, plan: Plan, balance: str) -> None:
        title = (
            f"{plan.total} files: {len(plan.items)} to convert, for at least {plan.least_cost} "
            f"conversion(s); {plan.reused} reused, no charge; {plan.known} known failures, nothing "
            f"paid.{balance}"
        )
        with self.grouped(title):
            for item in islice(plan.items, _EXAMPLES):
                self.log.info("%s becomes %s", shown(item.uri), on_one_line(item.target))
            if (more := len(plan.items) - _EXAMPLES) > 0:
                self.log.info("And %d more.", more)
            if plan.told_by_content:
                self.log.info(
                    "%d files were read to tell whether they changed: their store says neither an "
                    "ETag nor a time, and files of one size would be the same one.",
                    plan.told_by_content,
                )
            if left_out := [
                f"{count} {reason}" for reason, count in sorted(plan.left_out.items()) if count
            ]:
                self.log.info("Left out of the listing: %s.", ", ".join(left_out))
        if self.request.to_formats[0] == "merge":
            self.log.warning(MERGE_OF_ONE, "Each file of this batch is converted by itself: it")

    def preview(self, plan: Plan) -> dict[str, Any]:
        """Return the plan: totals, and a few files as examples."""
        return {
            "to_convert": len(plan.items),
            "reused": plan.reused,
            "failed": plan.known,
            "least_cost": plan.least_cost,
            "max_conversions": self.request.max_conversions,
            "manifest": self.manifest_uri(plan),
            "examples": [
                {"source": shown(item.uri), "output": item.target}
                for item in islice(plan.items, _EXAMPLES)
            ],
        }

    def run(self, plan: Plan) -> dict[str, Any]:
        """Convert the plan's files and return the summary; raise as the policies demand."""
        run = self.prepare(plan, Summary.of(plan), plan.spent)
        title = f"Convert {len(plan.items)} files"
        with self.cancelling(run), self.grouped(title):
            run.convert(plan.items)
        return self.conclude(plan, run)

    def prepare(self, plan: Plan, summary: Summary, spent: int) -> BatchRun:
        """Return the run of a plan, or of a wave of it."""
        self.summary = summary
        if self.request.durable:
            self.session.warn_of_limits(is_of_batch=True)
        # Read the connection here: worker threads would compete for Airflow's supervisor.
        _ = self.session.settings
        named = all_files(self.request, plan.file_parameters)
        files = {name: file for name, file in named.items() if isinstance(file, Source)}
        self._shared = SharedFiles(self.session, files, plan.started)
        converter = Converter(self.session, self.request, self._shared, plan.file_parameters)
        recorder = Recorder(
            plan.state.manifest,
            self.task,
            plan.request_digest,
            plan.id,
            self.request.destination.uri,
            self.request.from_format,
            self.session.clock,
            self.request.secrets,
        )
        each = plan.request_digest.least_cost
        budget = Budget(
            self.request.max_conversions,
            each,
            spent,
            plan.highest,
            balance=plan.balance,
            paid=summary.cost,
        )
        board = self.session.new_board() if self.session.new_board else None
        run = BatchRun(converter, recorder, summary, budget, len(plan.items), self.log, board)
        self.session.bill = lambda: (summary.cost, summary.cost)
        if plan.uncleaned and self.request.durable:
            run.clean(plan.uncleaned)
        return run

    @contextmanager
    def grouped(self, title: str) -> Iterator[None]:
        """Group the log lines of the block, which Airflow's page then folds."""
        self.log.info("::group::%s", title)
        try:
            yield
        finally:
            self.log.info("::endgroup::")

    @contextmanager
    def cancelling(self, run: BatchRun) -> Iterator[None]:
        """Delete the jobs at the service if the task is out of time and has no try left."""
        ends: tuple[type[BaseException], ...] = (ConversionTimeoutError,)
        try:
            with self._adding_the_bill(run):
                yield
        except ends + self.session.time_is_up:
            if self.session.cancels:
                run.cancel()
            raise

    @contextmanager
    def _adding_the_bill(self, run: BatchRun) -> Iterator[None]:
        """Add this try's cost to errors of other libraries; our own errors state it already."""
        try:
            yield
        except ConvertApiError:
            raise
        except BaseException as error:
            error.add_note(run.bill)
            self.log.warning("The task ends before its batch. %s", run.bill)
            raise

    def conclude(self, plan: Plan, run: BatchRun, left: ItemStream | None = None) -> dict[str, Any]:
        """Write the last records, clean up, and return or raise as the policies demand.

        :param left: files that no wave has reached.
        """
        # Records come first: until a file's record is published, only its documents at the service
        # let another try have the result without paying again.
        run.record_not_attempted(left or ItemStream())
        run.show_last()
        manifest, summary = self.manifest_uri(plan), run.summary
        self._list("converted", summary.converted, summary.conversions, manifest)
        self._list("failed", summary.failed, summary.examples, manifest)
        goes_on = run.halted is not None and run.halted.job_goes_on
        # If the quota or the token ended the batch, the jobs stay: a person fixes that and clears
        # the task, which then collects what was paid.
        cancels = self.session.cancels and (run.halted is None or goes_on)
        underway = _of_underway(summary, cancels=cancels)
        self._say(summary, manifest, underway)
        if cancels:
            run.cancel()
        # Jobs that still run at the service may have to read the shared files.
        if cancels or not (run.goes_on or run.late):
            self._delete_shared()
        if not goes_on:
            # After a failure, too: a batch that fails every night would accumulate parts.
            self._compact(plan)
        if run.halted is not None and not self._is_accepted(run.halted, summary, plan):
            error = self._halted(run.halted, summary, manifest, underway)
            raise _skip(error) if self._skips(run.halted, summary, plan) else error
        summary.raise_for_failures(self.request.failures_allowed, manifest)
        return summary.to_dict(manifest, self.task)

    def _delete_shared(self) -> None:
        if self._shared is not None and self._shared.files:
            client = self.session.client
            documents = self._shared.uploaded(client)
            delete_files(client, documents, client.monotonic() + _CLEANING, quiet)

    def _compact(self, plan: Plan) -> None:
        try:
            plan.state.manifest.compact(self.task, always=plan.has_wrong_times)
        except Exception as error:  # noqa: BLE001 - each store has its own; how the batch ended is what matters
            self.log.warning("The manifest could not be compacted; the next run tries. %s", error)

    def manifest_uri(self, plan: Plan) -> str:
        """Return the URI of the manifest, in a form that may be shown."""
        return str(plan.state.manifest.files)

    def _say(self, summary: Summary, manifest: str, underway: str) -> None:
        said = (
            f"{summary.converted} converted; {summary.reused} reused, no charge; "
            f"{summary.failed} failed; {summary.not_attempted} not attempted."
        )
        unsure = f"; {summary.unsure} of them may not have been billed" if summary.unsure else ""
        for line in (
            said,
            f"Charged now: {summary.cost} conversion(s){unsure}.",
            *wrapped(underway),
            *labelled("Manifest", manifest),
        ):
            self.log.info("%s", line)

    def _list(self, what: str, count: int, examples: Sequence[str], manifest: str) -> None:
        """Log the first converted, or failed, files in a group."""
        if not count:
            return
        with self.grouped(f"{count} {what}"):
            for example in examples:
                # A file and its outputs stay on one line, so that a search finds both.
                lines = [example] if what == "converted" else wrapped(example, indent="    ")
                for line in lines:
                    self.log.info("%s", line)
            if count > len(examples):
                self.log.info("And %d more, which %s names.", count - len(examples), manifest)

    def _is_accepted(self, halted: ConvertApiError, summary: Summary, plan: Plan) -> bool:
        # Others may have used the balance, too: a refusal before it is used up counts the same.
        covered = self.request.on_insufficient == "partial" and plan.balance is not None
        partial = covered or self.request.on_quota_exhausted == "partial"
        return partial and not summary.underway and halted.is_of_quota

    def _skips(self, halted: ConvertApiError, summary: Summary, plan: Plan) -> bool:
        # Others had used up what was left before this task paid for anything.
        looked = self.request.on_insufficient == "skip" and plan.balance is not None
        paid = summary.cost or summary.underway
        return looked and not paid and halted.is_of_quota

    def _halted(
        self, error: ConvertApiError, summary: Summary, manifest: str, underway: str
    ) -> ConvertApiError:
        """Return the error with what is done, what is left, and what to do."""
        done = (
            f"{summary.converted} of {summary.total} files were converted now and are saved, "
            f"{summary.reused} were reused, {summary.failed} failed, {summary.not_attempted} are "
            f"left. In all, {summary.cost} conversion(s) were paid now, none for those that are "
            f"left{_of_halfway(summary)}. {underway}".strip()
        )
        conn_id, details = self.session.conn_id, [f"Details: {manifest}"]
        if error.is_of_quota:
            said = (
                f"Connection {conn_id!r} has no conversions left. {done} Buy conversions or raise "
                "the token's limit at ConvertAPI, then clear this task: it converts the rest, and "
                f"pays for nothing twice. ({error})"
            )
            return QuotaExhaustedError(listed(said, details), error.paid)
        if isinstance(error, AuthenticationError):
            said = (
                f"Connection {conn_id!r} is not accepted. {done} Check its API token (password) "
                f"and Kid (login), then clear this task. ({error})"
            )
            return AuthenticationError(listed(said, details), error.code)
        if error.job_goes_on:
            done = f"{summary.cost} conversion(s) were paid by this try so far."
        return error.saying(listed(f"{error} {done}", details))


def _skip(error: ConvertApiError) -> Exception:
    from airflow_provider_convertapi.airflow_names import AirflowSkipException

    return AirflowSkipException(f"{error} (on_insufficient='skip')")


def _of_halfway(summary: Summary) -> str:
    return f", save the steps that {summary.halfway} of them had done" if summary.halfway else ""


def _of_underway(summary: Summary, *, cancels: bool) -> str:
    """Say what becomes of the jobs that the batch no longer waits for; empty if there are none."""
    ready, running, said = summary.ready, summary.underway - summary.ready, []
    if ready:
        place = "are deleted" if cancels else "wait"
        said.append(
            f"{ready} more were converted and paid, which is counted here, and {place} at "
            "ConvertAPI"
        )
    if running:
        place = "billed; they are deleted" if cancels else "billed, and go on"
        said.append(f"{running} more were submitted, may be {place} at ConvertAPI")
    if not said:
        return ""
    if cancels:
        return ". ".join(said) + " (cancel_on_kill=True)."
    collects = "a try within two hours of that (clear this task) collects them"
    return ". ".join(said) + f": {collects} without paying again."
