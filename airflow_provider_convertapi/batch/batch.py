"""One try of a batch: plan, run, concluded."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.batch.converter import Converter, quiet
from airflow_provider_convertapi.batch.parameter_files import all_files
from airflow_provider_convertapi.batch.plan import plan_batch
from airflow_provider_convertapi.batch.record import Author
from airflow_provider_convertapi.batch.recorder import Recorder
from airflow_provider_convertapi.batch.running import BatchRun
from airflow_provider_convertapi.batch.shared_files import SharedFiles
from airflow_provider_convertapi.batch.summary import Tally
from airflow_provider_convertapi.conversions.collection import delete_files
from airflow_provider_convertapi.errors import (
    AuthenticationError,
    BudgetExceededError,
    ConversionInterrupted,
    ConversionTimeoutError,
    InputChangedError,
    InputNotFoundError,
    QuotaExhaustedError,
)
from airflow_provider_convertapi.storage import Source, shown

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Iterator

    from airflow_provider_convertapi.batch.decisions import Item
    from airflow_provider_convertapi.batch.plan import Plan
    from airflow_provider_convertapi.batch.request import BatchRequest
    from airflow_provider_convertapi.errors import (
        ConvertApiError,
    )
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

_CLEANING = 60.0
_EXAMPLES = 5


@dataclass(slots=True)
class Batch:
    """A batch in the hands of one try of a task.

    :param first_try: the number of the first try since the task was last cleared.
    :param cancels: whether jobs are deleted when the task is told to stop, since nobody would
        collect them.
    """

    hook: ConvertApiHook
    request: BatchRequest
    log: logging.Logger
    first_try: int = 1
    cancels: bool = False
    _shared: SharedFiles | None = field(default=None, init=False)

    @property
    def author(self) -> Author:
        """Return who writes the records."""
        names = self.hook.scope.names
        return Author(
            dag_id=str(names.get("dag", "")),
            task_id=str(names.get("task", "")),
            run_id=str(names.get("run", "")),
            map_index=int(names.get("map", -1)),
            try_number=self.hook.scope.try_number,
        )

    def plan(self, *, only: bool) -> Plan:
        """List, name and compare; check the budget.

        :param only: leave no trace, since nothing follows.
        """
        plan = plan_batch(self.request, self.author, first_try=self.first_try, keeps_salt=not only)
        if not plan.source_files and self.request.on_empty == "fail":
            raise InputNotFoundError(
                "source has no files, and on_empty='fail'. Look at the path and at what writes it."
            )
        self._describe(plan)
        if not only:
            plan.check_budget(self.request.max_conversions)
        return plan

    def _describe(self, plan: Plan) -> None:
        self.log.info(
            "%d files: %d to convert, for at least %d conversion(s); %d reused, no charge; "
            "%d known failures, nothing paid.",
            plan.total,
            len(plan.items),
            plan.least_cost,
            plan.reused,
            plan.known,
        )
        if left_out := [f"{count} {reason}" for reason, count in plan.left_out.items() if count]:
            self.log.info("Left out of the listing: %s.", ", ".join(left_out))

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
        """Convert what the plan says, and return the summary; or say what went wrong."""
        run = self.prepare(plan, Tally.of(plan), plan.spent)
        title = f"Convert {len(plan.items)} files"
        with self.cancelling(run), self.grouped(title):
            run.convert(plan.items)
        return self.conclude(plan, run)

    def prepare(self, plan: Plan, tally: Tally, spent: int) -> BatchRun:
        """Return what runs a plan, or a wave of it."""
        if self.request.durable:
            self.hook.warn_of_limits()
        # Read here: a thread would ask the supervisor for the connection beside all others.
        settings = self.hook.settings
        del settings
        named = all_files(self.request, plan.file_parameters)
        files = {name: file for name, file in named.items() if isinstance(file, Source)}
        self._shared = SharedFiles(self.hook, files, self.hook.scope.names, plan.started)
        converter = Converter(self.hook, self.request, self._shared, plan.file_parameters)
        recorder = Recorder(
            plan.state.manifest,
            self.author,
            plan.request_digest,
            self.request.destination.uri,
            self.request.from_format,
        )
        wanted = len(plan.items)
        run = BatchRun(converter, recorder, tally, spent, wanted, self.log)
        # A chain's documents are named by jobs that are not derived from its file alone.
        if plan.uncleaned and self.request.durable and not self.request.steps:
            run.clean(plan.uncleaned)
        return run

    @contextmanager
    def grouped(self, title: str) -> Iterator[None]:
        """Fold what is logged meanwhile, in the task's log."""
        self.log.info("::group::%s", title)
        try:
            yield
        finally:
            self.log.info("::endgroup::")

    @contextmanager
    def cancelling(self, run: BatchRun) -> Iterator[None]:
        """Let no job stay at the service where the task is out of time and nobody comes back."""
        from airflow.providers.common.compat.sdk import AirflowTaskTimeout

        try:
            yield
        except (AirflowTaskTimeout, ConversionTimeoutError):
            if self.cancels:
                run.cancel()
            raise

    def conclude(self, plan: Plan, run: BatchRun, left: Iterable[Item] = ()) -> dict[str, Any]:
        """Write the last records, clean up, and end as the policies say.

        :param left: files that no wave had got to.
        """
        run.record_not_attempted(left)
        manifest, tally = self.manifest_uri(plan), run.tally
        self._say(tally, manifest)
        cancels = self.cancels and isinstance(run.halted, ConversionInterrupted | None)
        if cancels:
            run.cancel()
        if cancels or not (run.goes_on or run.late):  # else jobs that go on still read them
            self._delete_shared()
        if not isinstance(run.halted, ConversionInterrupted):
            self._compact(plan)  # whether or not it ends well: a folder may fail every night
        if run.halted is not None and not self._is_accepted(run.halted, tally):
            raise self._halted(run.halted, tally, manifest)
        tally.check(self.request.failures_allowed, manifest)
        return tally.summary(manifest)

    def _delete_shared(self) -> None:
        if self._shared is not None and self._shared.files:
            client = self.hook.client
            documents = self._shared.uploaded(client)
            delete_files(client, documents, client.monotonic() + _CLEANING, quiet)

    def _compact(self, plan: Plan) -> None:
        try:
            plan.state.manifest.compact(self.author)
        except Exception as error:  # noqa: BLE001 - each store has its own; how the batch ended is what counts
            self.log.warning("The manifest could not be compacted; the next run does. %s", error)

    def manifest_uri(self, plan: Plan) -> str:
        """Return where the manifest lies, as it may be shown."""
        return str(plan.state.manifest.files)

    def _say(self, tally: Tally, manifest: str) -> None:
        self.log.info(
            "%d converted; %d reused, no charge; %d failed; %d not attempted.%s Charged now: %d "
            "conversion(s). Manifest: %s",
            tally.converted,
            tally.reused,
            tally.failed,
            tally.not_attempted,
            _of_underway(tally),
            tally.cost,
            manifest,
        )

    def _is_accepted(self, halted: ConvertApiError, tally: Tally) -> bool:
        partial = self.request.on_quota_exhausted == "partial" and not tally.underway
        return partial and isinstance(halted, QuotaExhaustedError)

    def _halted(self, error: ConvertApiError, tally: Tally, manifest: str) -> ConvertApiError:
        """Say what is done, what is left, and what to do about it."""
        done = (
            f"{tally.converted} of {tally.total} files were converted now and are saved, "
            f"{tally.reused} were reused, {tally.failed} failed, {tally.not_attempted} are left; "
            f"nothing was paid for those now{_of_halfway(tally)}.{_of_underway(tally)} {manifest} "
            f"says what happened to each{' of the others' if tally.underway else ''}"
        )
        conn_id = self.hook.convertapi_conn_id
        if isinstance(error, QuotaExhaustedError):
            return QuotaExhaustedError(
                f"Connection {conn_id!r} has no conversions left. {done}. Buy conversions or "
                "raise the token's limit at ConvertAPI, then clear this task: it converts the "
                f"rest, and pays for nothing twice. ({error})"
            )
        if isinstance(error, AuthenticationError):
            return AuthenticationError(
                f"Connection {conn_id!r} is not accepted. {done}. Check its API token (password) "
                f"and Kid (login), then clear this task. ({error})",
                error.code,
            )
        if isinstance(error, BudgetExceededError | InputNotFoundError | InputChangedError):
            return type(error)(f"{error} {done}.")
        return error


def _of_halfway(tally: Tally) -> str:
    return f", save the steps that {tally.halfway} of them had behind them" if tally.halfway else ""


def _of_underway(tally: Tally) -> str:
    if not tally.underway:
        return ""
    return (
        f" {tally.underway} more were submitted, may be billed and go on at ConvertAPI: a try "
        "within two hours of that (clear this task) collects them without paying again."
    )
