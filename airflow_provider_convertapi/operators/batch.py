"""The operator for many conversions in one task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_convertapi.airflow_names import conf
from airflow_provider_convertapi.batch.arguments import BatchArguments
from airflow_provider_convertapi.operators.base import ConvertApiBaseOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.sdk import Context, XComArg

    from airflow_provider_convertapi.batch.arguments import (
        BatchOnQuota,
        BatchSource,
        FailurePolicy,
        OnCollision,
        OnEmpty,
        OnInsufficient,
        OnMissingOutput,
    )
    from airflow_provider_convertapi.batch.batch import Batch
    from airflow_provider_convertapi.batch.waves import Deferral
    from airflow_provider_convertapi.conversions.arguments import (
        PathArgument,
        ResultCheck,
        Seconds,
        StepArguments,
    )
    from airflow_provider_convertapi.conversions.values import Options
    from airflow_provider_convertapi.operators.lineage import Lineage

__all__ = ["ConvertApiBatchOperator"]


class ConvertApiBatchOperator(ConvertApiBaseOperator[BatchArguments]):
    """Convert the new and changed files of a directory, a bucket or a list with ConvertAPI.

    A manifest beside the outputs records each file, so that the next run, a retry or a cleared task
    converts only files that are new, changed or missing, or that failed with a transient error, and
    reports "reused, no charge" for the rest.  A failure that the file itself causes is paid once.

    Returns a summary of the same size for any batch: `converted`, `reused`, `failed`,
    `not_attempted`, `cost` (conversions that this try paid for, or may have), `manifest` (its URI)
    and `task` (the task instance); pushes the cost as the XCom `conversion_cost`.  With `plan_only`
    it returns the plan's totals instead.

    :param source: a directory (all files below it), a glob (``/data/**/*.docx``), a list of files,
        directories and URLs, or a shard of one of those: ``{"source": ..., "shard": [i, n]}``.
        Hidden files are left out. (templated)
    :param to_format: target format or tool: ``pdf``, ``jpg``, ``protect``, … (templated)
    :param destination: a directory; relative paths of the source are mirrored below it. (templated)
    :param from_format: source format of every file; None infers it from each extension. (templated)
    :param parameters: the converter's own parameters. Those that are files, such as
        ``OverlayFile``, take a file or a URI, which is uploaded once for all files. (templated)
    :param steps: further conversions of each result, which stays at the service between them, as
        for `ConvertApiOperator`; each is billed. When deferrable, the triggerer waits for the first
        step and the worker for those after it. (templated)
    :param convertapi_conn_id: the connection's id. (templated)
    :param timeout: seconds that one conversion may take.
    :param poll_interval: the longest time in seconds between two polls of one job.
    :param durable: True converts by jobs that survive a crash of the task; False converts each file
        in one streamed exchange, but an answer that is lost may have been billed.
    :param deferrable: wait in the triggerer, in waves of `defer_batch` jobs; the default is
        Airflow's ``[operators] default_deferrable``. With ``durable=False`` the task runs directly.
    :param on_quota_exhausted: what happens when no conversions are left, once what is in flight is
        saved: ``fail`` fails the task at once; ``raise`` leaves it to Airflow's retries and
        retry policies; ``partial`` succeeds, and marks the rest `not_attempted`.
    :param overwrite: False converts only what the manifest does not list as done, and keeps files
        that no batch wrote; True ignores the records of other runs, and overwrites any file but an
        input.
    :param conversion_key: part of every job's id: another key converts and pays again. (templated)
    :param result_check: a callable that accepts or refuses the results of each conversion before
        they are published: it gets the list of their local paths, returns True or None to accept
        and False to refuse, or raises `ResultCheckError` with a reason. A refused result is paid,
        kept below ``_convertapi/refused/`` beside the outputs, and not paid for again. Ready-made
        checks are in `airflow_provider_convertapi.checks`.
    :param cancel_on_kill: delete jobs and documents when a user ends the deferred task (Airflow
        3.3 and later), or when the task is stopped or out of time on its last try. Conversions that
        were paid are then lost.
    :param plan_only: list the files, log what would be done and its least cost, and send nothing.
    :param max_in_flight: how many files are converted at a time; fewer while the service is busy.
    :param max_conversions: the most that this task instance may pay for, over all its tries; None
        for no limit. A plan above it is refused before anything is paid.
    :param on_insufficient: what happens if the account's balance, read with the connection's
        `master_token` before anything is paid, does not cover the plan: ``fail`` fails the task at
        once, ``skip`` skips it, and ``partial`` converts what the balance covers, marks the rest
        `not_attempted`, and succeeds. With any of them the balance limits what is paid, as
        `max_conversions` does, and the task fails if it cannot be read. Without a master token they
        have no effect, and the log says so. None only logs the balance.
    :param failure_policy: ``any`` fails the task if any file failed, a share such as ``0.05`` if
        more than that failed, and ``never`` does not fail it. Every file is attempted once in any
        case.
    :param on_collision: what happens when two inputs have one output (`a.docx`, `a.odt`): ``fail``
        refuses the batch; ``suffix`` adds their extensions (`a.docx.pdf`, `a.odt.pdf`), and never
        gives two results one name.
    :param defer_batch: jobs of one wave when deferrable.
    :param retry_failed: pay once more for files that are known to fail.
    :param min_age: leave out files that were written less than this many seconds ago.
    :param on_empty: a source without files: ``succeed``, ``skip`` or ``fail``.
    :param on_missing_output: what happens when an output was removed: ``convert`` the file again,
        or ``ignore`` that, for outputs that are moved away downstream.
    :param content_hash: identify files by a hash of their content, not by size and time or ETag.
    """

    # Airflow's registry reads this from the class itself, not from a base class.
    __supports_durable_execution: ClassVar[bool] = True

    _batch_run: Batch | None = None
    """What this try converts; None until it has begun."""

    def __init__(
        self,
        *,
        source: BatchSource | XComArg,
        to_format: str,
        destination: PathArgument | XComArg,
        from_format: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        steps: Sequence[StepArguments] | None = None,
        convertapi_conn_id: str = "convertapi_default",
        timeout: Seconds = 1800,
        poll_interval: Seconds = 10,
        durable: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        on_quota_exhausted: BatchOnQuota = "fail",
        overwrite: bool = False,
        conversion_key: str | None = None,
        result_check: ResultCheck | None = None,
        cancel_on_kill: bool = False,
        plan_only: bool = False,
        max_in_flight: int = 4,
        max_conversions: int | None = None,
        on_insufficient: OnInsufficient | None = None,
        failure_policy: FailurePolicy = "any",
        on_collision: OnCollision = "fail",
        defer_batch: int = 500,
        retry_failed: bool = False,
        min_age: Seconds = 0,
        on_empty: OnEmpty = "succeed",
        on_missing_output: OnMissingOutput = "convert",
        content_hash: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        arguments = BatchArguments(
            source=source,
            to_format=to_format,
            destination=destination,
            from_format=from_format,
            parameters=parameters,
            steps=steps,
            timeout=timeout,
            poll_interval=poll_interval,
            durable=durable,
            on_quota_exhausted=on_quota_exhausted,
            overwrite=overwrite,
            conversion_key=conversion_key,
            result_check=result_check,
            max_in_flight=max_in_flight,
            max_conversions=max_conversions,
            on_insufficient=on_insufficient,
            failure_policy=failure_policy,
            on_collision=on_collision,
            defer_batch=defer_batch,
            retry_failed=retry_failed,
            min_age=min_age,
            on_empty=on_empty,
            on_missing_output=on_missing_output,
            content_hash=content_hash,
        )
        self._keep(
            arguments,
            convertapi_conn_id=convertapi_conn_id,
            deferrable=deferrable,
            cancel_on_kill=cancel_on_kill,
            plan_only=plan_only,
        )

    def _checks(self) -> tuple[Options, Callable[[Any], Any] | None]:
        from airflow_provider_convertapi.batch.options import BATCH_OPTIONS, source_and_shard

        return BATCH_OPTIONS, source_and_shard

    def execute(self, context: Context) -> dict[str, Any]:
        """Convert what the manifest does not settle, and return the summary."""
        from airflow_provider_convertapi.batch.calls import skip_if_empty

        with self._explicit_failures():
            batch = self._batch(context)
            planned = batch.plan(only=self.plan_only)
            skip_if_empty(batch, planned)
            if self.plan_only:
                return batch.preview(planned)
            if batch.request.durable:
                self._warn_of_late_retries()
            if self.deferrable and batch.request.durable:
                from airflow_provider_convertapi.batch.waves import Waves

                return self._end(context, self._or_defer(batch, Waves(batch).start(planned)))
            if self.deferrable:
                self.log.info("durable=False makes no job to wait for: the task runs directly.")
            return self._end(context, batch.run(planned))

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Collect the wave that the trigger waited for, and submit the next."""
        from airflow_provider_convertapi.batch.waves import Waves

        with self._explicit_failures(resumed=context):
            # A paid result can be collected even if the files among the parameters are gone.
            batch = self._batch(context, is_resumed=True)
            return self._end(context, self._or_defer(batch, Waves(batch).resume(event)))

    def _or_defer(self, batch: Batch, result: Deferral | dict[str, Any]) -> dict[str, Any]:
        """Return the summary, or let the triggerer wait, which raises `TaskDeferred`."""
        if not isinstance(result, dict):
            jobs = result.jobs
            self.log.info("%d jobs run at ConvertAPI; the triggerer waits for them.", len(jobs))
            how = {"share": result.share, "report_at": result.report_at}
            self._defer_for(batch.session, jobs, result.deadline, **how)
        return result

    def _batch(self, context: Context, *, is_resumed: bool = False) -> Batch:
        from airflow_provider_convertapi.batch.batch import Batch
        from airflow_provider_convertapi.batch.board import board_of
        from airflow_provider_convertapi.batch.request import check_request

        arguments = self._arguments_of_jobs() if is_resumed else self._arguments()
        request = check_request(arguments, find_step_files=not is_resumed)
        session = self._open_session(context)
        session.new_board = board_of(context, self._logger)
        # A plan never resumes, and must work without a connection, which the digest needs.
        asked = "" if self.plan_only else self._asked(session)
        if not self.plan_only:
            self._note_digest(session)
        self._batch_run = Batch(session, request, asked=asked)
        return self._batch_run

    def _lineage(self) -> Lineage | None:
        if self._batch_run is None:
            return None
        from airflow_provider_convertapi.operators.lineage import of_batch

        return of_batch(self._batch_run, self._digest)

    def _end(self, context: Context, summary: dict[str, Any]) -> dict[str, Any]:
        batch = self._batch_run
        # Without a place, an alias among the outlets gets no event, which would start DAGs in vain.
        made = batch.request.destination.uri if batch and summary["converted"] else None
        self._note_outlets(context, made)
        context["ti"].xcom_push(key="conversion_cost", value=summary["cost"])
        return summary
