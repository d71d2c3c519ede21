"""The operator for many conversions in one task."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.sdk import BaseOperator, conf

if TYPE_CHECKING:
    import logging
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_convertapi.batch.batch import Batch
    from airflow_provider_convertapi.batch.waves import Deferral
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

_TRIGGER_MARGIN = 1.0
"""Seconds before `execution_timeout` at which the trigger gives up by itself: Airflow would only
say that a trigger timed out."""

_MASKED = 100
"""URLs whose queries are registered with Airflow's masker, which compiles its pattern for each;
Airflow cuts a rendered field long before."""


class ConvertApiBatchOperator(BaseOperator):
    """Convert every file of a directory, a bucket or a list with ConvertAPI: only what is new.

    A manifest beside the outputs remembers each file, so that the next run, a retry and a clear
    convert what is new, changed, missing, or failed for a passing reason, and say "reused, no
    charge" for the rest.  A file whose failure is its own and paid for is not paid for again.

    Returns a summary of the same size for any batch: `converted`, `reused`, `failed`,
    `not_attempted`, `cost` (conversions paid by this try) and `manifest` (its URI); pushes the
    cost as the XCom `conversion_cost`.  With `plan_only` it returns the plan's totals instead.

    :param source: a directory (all files below it), a glob (``/data/**/*.docx``), a list of files,
        directories and URLs, or a shard of one of those: ``{"source": ..., "shard": [i, n]}``.
        Hidden files are left out. (templated)
    :param to_format: target format or tool: ``pdf``, ``jpg``, ``protect``, … (templated)
    :param destination: a directory; relative paths of the source are mirrored below it. (templated)
    :param from_format: source format of every file; None infers it from each extension. (templated)
    :param parameters: the converter's own parameters. Those whose name ends in ``File`` take a
        file or a URI, which is uploaded once for all. (templated)
    :param steps: further conversions of each result, at the service and without moving a byte, as
        `ConvertApiOperator` has them; each is billed. When deferrable, the triggerer waits for the
        first step and the worker for those after it. (templated)
    :param convertapi_conn_id: the connection's id. (templated)
    :param timeout: seconds that one conversion may take.
    :param poll_interval: the longest distance in seconds between two polls of one job.
    :param durable: True converts by jobs that survive a crash of the task; False in one streamed
        exchange each, at the price that a lost answer may have been billed.
    :param deferrable: wait in the triggerer, in waves of `defer_batch` jobs; the default is
        Airflow's ``[operators] default_deferrable``. With ``durable=False`` the task runs directly.
    :param on_quota_exhausted: what follows when no conversions are left, after what is in flight
        was saved: ``fail`` fails the task at once; ``raise`` leaves it to Airflow's retries and
        retry policies; ``partial`` succeeds, and marks the rest `not_attempted`.
    :param overwrite: False converts only what the manifest does not settle, and spares files that
        no batch wrote; True ignores the records of other runs, and writes over any file but an
        input.
    :param conversion_key: part of every job's id: another one converts, and pays, anew. (templated)
    :param cancel_on_kill: delete jobs and documents when a user ends the deferred task (Airflow
        3.3 and later), or when the task is stopped, or out of time, on its last try. Then nobody
        collects what may have been paid.
    :param plan_only: list, name and count, and send nothing.
    :param max_in_flight: how many files are converted at a time; fewer while the service is busy.
    :param max_conversions: the most that this task instance may pay for, over all its tries; None
        for no limit. A plan above it is refused before anything is paid.
    :param failure_policy: ``any`` fails the task when a file failed, ``never`` does not, and a
        share such as ``0.05`` when more than that failed. Every file is attempted once in any case.
    :param on_collision: two inputs with one output (`a.docx`, `a.odt`): ``fail`` refuses the
        batch; ``suffix`` keeps their extensions apart (`a.docx.pdf`, `a.odt.pdf`), and gives no
        file a name that another one's result has.
    :param defer_batch: jobs of one wave when deferrable.
    :param retry_failed: pay once more for files whose failure is known and their own.
    :param min_age: seconds since its last write for which a file is left alone.
    :param on_empty: a source without files: ``succeed``, ``skip`` or ``fail``.
    :param on_missing_output: an output that was removed: ``convert`` it anew, or ``ignore`` that,
        for outputs that are moved away downstream.
    :param content_hash: tell files by a hash of their content instead of size and time or ETag.
    """

    template_fields: Sequence[str] = [
        "source",
        "to_format",
        "destination",
        "from_format",
        "parameters",
        "steps",
        "convertapi_conn_id",
        "conversion_key",
    ]
    # A source named a.sql is no template.
    template_ext: Sequence[str] = ()
    template_fields_renderers = {"parameters": "json", "steps": "json"}  # noqa: RUF012 - Airflow reads it from the class
    ui_color = "#e8f1fb"

    def __init__(
        self,
        *,
        source: Any,
        to_format: str,
        destination: Any,
        from_format: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        steps: Sequence[Mapping[str, Any]] | None = None,
        convertapi_conn_id: str = "convertapi_default",
        timeout: float = 1800,
        poll_interval: float = 10,
        durable: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        on_quota_exhausted: str = "fail",
        overwrite: bool = False,
        conversion_key: str | None = None,
        cancel_on_kill: bool = False,
        plan_only: bool = False,
        max_in_flight: int = 4,
        max_conversions: int | None = None,
        failure_policy: str | float = "any",
        on_collision: str = "fail",
        defer_batch: int = 500,
        retry_failed: bool = False,
        min_age: float = 0,
        on_empty: str = "succeed",
        on_missing_output: str = "convert",
        content_hash: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.to_format = to_format
        self.destination = destination
        self.from_format = from_format
        self.parameters = parameters
        self.steps = steps
        self.convertapi_conn_id = convertapi_conn_id
        self.timeout = timeout
        self.poll_interval = poll_interval
        self.durable = durable
        self.deferrable = deferrable
        self.on_quota_exhausted = on_quota_exhausted
        self.overwrite = overwrite
        self.conversion_key = conversion_key
        self.cancel_on_kill = cancel_on_kill
        self.plan_only = plan_only
        self.max_in_flight = max_in_flight
        self.max_conversions = max_conversions
        self.failure_policy = failure_policy
        self.on_collision = on_collision
        self.defer_batch = defer_batch
        self.retry_failed = retry_failed
        self.min_age = min_age
        self.on_empty = on_empty
        self.on_missing_output = on_missing_output
        self.content_hash = content_hash
        self._hook: ConvertApiHook | None = None

    def _do_render_template_fields(self, *args: Any, **kwargs: Any) -> None:
        """Render, and mask what is secret before Airflow stores the rendered fields.

        A mapped task comes by here too, `render_template_fields` it leaves out.
        """
        super()._do_render_template_fields(*args, **kwargs)
        from airflow.providers.common.compat.sdk import mask_secret

        from airflow_provider_convertapi.hooks.masking import secrets_in, secrets_in_steps

        source = self.source.get("source") if isinstance(self.source, dict) else self.source
        secrets = secrets_in(source, self.parameters)[:_MASKED]
        for secret in [*secrets, *secrets_in_steps(self.steps)]:
            mask_secret(secret)

    def execute(self, context: Context) -> dict[str, Any]:
        """Convert what the manifest does not settle, and return the summary."""
        from airflow_provider_convertapi.failures import explicit_failures
        from airflow_provider_convertapi.operators.retries import warn_of_late_retries

        with explicit_failures(quota=self.on_quota_exhausted):
            batch = self._batch(context)
            planned = batch.plan(only=self.plan_only)
            if not planned.source_files and self.on_empty == "skip":
                from airflow.providers.common.compat.sdk import AirflowSkipException

                raise AirflowSkipException("source has no files, and on_empty='skip'.")
            if self.plan_only:
                return batch.preview(planned)
            if self.durable:
                warn_of_late_retries(self)
            if self.deferrable and self.durable:
                from airflow_provider_convertapi.batch.waves import Waves

                return self._end(context, self._awaited(batch, Waves(batch).start(planned)))
            if self.deferrable:
                self.log.info("durable=False makes no job to wait for: the task runs directly.")
            return self._end(context, batch.run(planned))

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Collect the wave that the trigger waited for, and submit the next."""
        from airflow_provider_convertapi.batch.waves import Waves
        from airflow_provider_convertapi.failures import explicit_failures

        with explicit_failures(quota=self.on_quota_exhausted):
            # To collect what was paid not even a file among the parameters has to be there.
            batch = self._batch(context, find_files=False)
            return self._end(context, self._awaited(batch, Waves(batch).resume(event)))

    def _awaited(self, batch: Batch, result: Deferral | dict[str, Any]) -> dict[str, Any]:
        """Return the summary, or leave the waiting to the triggerer; that raises `TaskDeferred`."""
        if isinstance(result, dict):
            return result
        from airflow_provider_convertapi.hooks.convertapi import settle_time
        from airflow_provider_convertapi.triggers.job import ConvertApiJobTrigger

        deadline = result.deadline
        if self.execution_timeout:
            latest = time.time() + self.execution_timeout.total_seconds() - _TRIGGER_MARGIN
            deadline = min(deadline, latest)
        trigger = ConvertApiJobTrigger(
            convertapi_conn_id=self.convertapi_conn_id,
            key_check=batch.hook.key_check,
            deadline=deadline,
            poll_interval=self.poll_interval,
            settle=settle_time(),
            jobs=result.jobs,
            share=result.share,
            report_at=result.report_at,
            cancel_on_kill=self.cancel_on_kill,
        )
        self.log.info("%d jobs run at ConvertAPI; the triggerer waits for them.", len(result.jobs))
        self.defer(trigger=trigger, method_name="execute_complete", timeout=self.execution_timeout)
        raise AssertionError  # `defer` raises

    def _batch(self, context: Context, *, find_files: bool = True) -> Batch:
        from airflow_provider_convertapi.batch.batch import Batch
        from airflow_provider_convertapi.batch.request import check_request
        from airflow_provider_convertapi.conversions.task import Scope
        from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

        hook = self._hook = ConvertApiHook(self.convertapi_conn_id)
        hook.scope = Scope.from_context(context)
        request = check_request(
            find_files=find_files,
            source=self.source,
            to_format=self.to_format,
            destination=self.destination,
            from_format=self.from_format,
            parameters=self.parameters,
            steps=self.steps,
            timeout=self.timeout,
            poll_interval=self.poll_interval,
            durable=self.durable,
            on_quota_exhausted=self.on_quota_exhausted,
            overwrite=self.overwrite,
            conversion_key=self.conversion_key,
            max_in_flight=self.max_in_flight,
            max_conversions=self.max_conversions,
            failure_policy=self.failure_policy,
            on_collision=self.on_collision,
            defer_batch=self.defer_batch,
            retry_failed=self.retry_failed,
            min_age=self.min_age,
            on_empty=self.on_empty,
            on_missing_output=self.on_missing_output,
            content_hash=self.content_hash,
        )
        # Airflow 3.3 types its mixin's logger wider than what it is at run time.
        log = cast("logging.Logger", self.log)
        ti = context["ti"]
        is_last = self.cancel_on_kill and ti.try_number > ti.max_tries
        return Batch(hook, request, log, self._first_try(context), cancels=is_last)

    def _first_try(self, context: Context) -> int:
        """Return the number of the first try since the task was last cleared."""
        return max(context["ti"].max_tries - (self.retries or 0) + 1, 1)

    def _end(self, context: Context, summary: dict[str, Any]) -> dict[str, Any]:
        context["ti"].xcom_push(key="conversion_cost", value=summary["cost"])
        return summary

    def on_kill(self) -> None:
        """Tell the running `execute` to stop; submitted jobs stay for the next try to collect."""
        if self._hook:
            self._hook.stop()
