"""The base class of both conversion operators.

This module may change from release to release.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, cast

from airflow_provider_convertapi.airflow_names import BaseOperator
from airflow_provider_convertapi.conversions.arguments import ConversionArguments, values_of
from airflow_provider_convertapi.screens import (
    UI_COLOR,
    UI_FGCOLOR,
    ConvertApiOutputLink,
    ConvertApiUsageLink,
)
from airflow_provider_convertapi.surroundings import surroundings

# Import nothing else here: parsing a DAG file must not load what only a running task needs.
if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from airflow.sdk import Context

    from airflow_provider_convertapi.conversions.deferral import JobRef
    from airflow_provider_convertapi.conversions.job import Job
    from airflow_provider_convertapi.conversions.session import Session
    from airflow_provider_convertapi.conversions.values import Options
    from airflow_provider_convertapi.errors import ConvertApiError
    from airflow_provider_convertapi.operators.lineage import Lineage

Arguments = TypeVar("Arguments", bound=ConversionArguments)

_TRIGGER_MARGIN = 1.0
"""Seconds before `execution_timeout` at which the trigger gives up by itself: Airflow's own error
would only say that a trigger timed out."""

_CONCEALED = ("source", "destination", "parameters", "steps")
"""The arguments that may hold secrets."""


class ConvertApiBaseOperator(BaseOperator, Generic[Arguments]):
    """Hold the arguments, mask their secrets, and defer, cancel or stop the task."""

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
    # A source named a.sql is not a template.
    template_ext: Sequence[str] = ()
    template_fields_renderers = {"parameters": "json", "steps": "json"}  # noqa: RUF012 - Airflow reads it from the class
    ui_color = UI_COLOR
    ui_fgcolor = UI_FGCOLOR
    operator_extra_links = (ConvertApiOutputLink(), ConvertApiUsageLink())

    source: Any
    to_format: str
    destination: Any
    parameters: Any
    steps: Any
    convertapi_conn_id: str
    deferrable: bool
    cancel_on_kill: bool
    plan_only: bool
    _arguments_class: type[Arguments]
    _session: Session | None
    _digest: str
    """Keyed digest of parameters and steps; empty before the task converts."""
    _wrong: ConvertApiError | None
    """What is wrong with the arguments of a mapped task; `execute` raises it."""
    _is_rendered = False

    def _keep(self, arguments: Arguments, **own: Any) -> None:
        """Keep the arguments as attributes, as Airflow renders them.

        :param own: those that only operators have.
        """
        given = values_of(arguments, type(arguments)) | own
        # One update, because a DAG file has many tasks: Airflow's `__setattr__` would run for each
        # attribute, and has nothing to do before `__init__` ends (`airflow/sdk/bases/operator.py`).
        vars(self).update(
            given, _arguments_class=type(arguments), _session=None, _digest="", _wrong=None
        )
        self._check_declared(given)

    def _check_declared(self, given: Mapping[str, Any]) -> None:
        """Raise the errors of the arguments that are known when the DAG file is parsed."""
        from airflow_provider_convertapi.conversions.declared import check_declared
        from airflow_provider_convertapi.errors import ConvertApiError

        try:
            options, source_of = self._checks()
            check_declared(given, self.template_fields, options, source_of)
        except ConvertApiError as error:
            # Airflow makes a mapped task when it runs, and once more when it resumes: an error here
            # would not be logged for people, and would stop a task that has paid.  The name is
            # private: airflow/sdk/bases/operator.py, airflow/models/baseoperator.py in Airflow 2.
            if getattr(self, "_BaseOperator__from_mapped", False):
                self._wrong = error
                return
            from airflow_provider_convertapi.failures import as_failure

            raise as_failure(error) from None

    def _checks(self) -> tuple[Options, Callable[[Any], Any] | None]:
        """Return the checks of single arguments, and the function that finds a shard's source."""
        from airflow_provider_convertapi.conversions.values import OPTIONS

        return OPTIONS, None

    def _arguments(self) -> Arguments:
        """Return the rendered arguments, with their secrets."""
        from airflow_provider_convertapi.conversions.secrets import revealed

        given = values_of(self, self._arguments_class)
        return self._arguments_class(**given | {name: revealed(given[name]) for name in _CONCEALED})

    def _arguments_of_jobs(self) -> Arguments:
        """Return the arguments of a task that resumes; `durable` is True, since it has jobs."""
        arguments = self._arguments()
        if arguments.durable is True:
            return arguments
        self.log.info("durable was turned off meanwhile: this task goes on with the jobs it has.")
        return replace(arguments, durable=True)

    def _do_render_template_fields(self, *args: Any, **kwargs: Any) -> None:
        """Render the fields, then mask and conceal their secrets before anything copies them.

        Mapped tasks also call this method, but not `render_template_fields`.
        """
        # For mapped tasks see `airflow/sdk/definitions/mappedoperator.py`.  Airflow then stores the
        # fields in its database (`airflow/sdk/execution_time/task_runner.py`), and its pages show
        # them: to conceal them in `execute` would be too late.
        from airflow_provider_convertapi.hooks.masking import mask_arguments

        self._reveal()  # the fields may have been rendered and concealed before
        super()._do_render_template_fields(*args, **kwargs)
        self._reveal()  # which makes lists of lazy sequences
        mask_arguments(self.source, self.parameters, self.steps, self.destination)
        self._conceal()
        self._is_rendered = True

    def _conceal(self) -> None:
        """Hide the secrets in the attributes: OpenLineage sends those to its server."""
        from airflow_provider_convertapi.conversions.secrets import (
            conceal_given,
            concealed_parameters,
            concealed_steps,
            concealed_uris,
        )

        self._reveal()
        self.source = concealed_uris(self.source)
        self.destination = concealed_uris(self.destination)
        self.parameters = concealed_parameters(self.parameters)
        self.steps = concealed_steps(self.steps)
        conceal_given(self, _CONCEALED)

    def _reveal(self) -> None:
        from airflow_provider_convertapi.conversions.secrets import revealed

        for name in _CONCEALED:
            setattr(self, name, revealed(getattr(self, name)))

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002 - OpenLineage's interface
        """Return inputs, outputs and cost; only OpenLineage's provider calls this.

        It calls this after a failure, too.
        """
        from airflow_provider_convertapi.operators.openlineage import operator_lineage

        return operator_lineage(self._lineage(), deferrable=self.deferrable)

    def _lineage(self) -> Lineage | None:
        """Return what this try has done so far; None if it has not begun to convert."""
        raise NotImplementedError

    def _note_outlets(self, context: Context, place: str | None) -> None:
        """Record in the events of the outlets what the task did.

        Never raises: the task has paid, and must not fail now.

        :param place: URI of what was written; None if nothing was.
        """
        if not self.outlets:
            return
        from airflow_provider_convertapi.operators.assets import note_outlets

        note_outlets(context, self.outlets, self._lineage, place, self._logger)

    def _note_digest(self, session: Session) -> None:
        from airflow_provider_convertapi.operators.lineage import digest_of

        self._digest = digest_of(session, self._arguments())

    def _open_session(self, context: Context) -> Session:
        from airflow_provider_convertapi.conversions.task import TaskTry
        from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

        _check_context(context)
        task = TaskTry.from_context({**context, "task": self}, surroundings().clock.time())
        hook = ConvertApiHook(self.convertapi_conn_id)
        tags = {"operator": type(self).__name__}
        if team := getattr(context["ti"], "stats_tags", {}).get("team_name"):
            tags["team_name"] = team
        self._session = hook.open_session(task, self._logger, tags)
        self._session.cancels = self.cancel_on_kill and task.is_last
        return self._session

    @contextmanager
    def _explicit_failures(self, *, resumed: Context | None = None) -> Iterator[None]:
        """Log the errors of the block, and raise the permanent ones as failures without retries.

        :param resumed: the context of a task that submitted something before it deferred.
        """
        from airflow_provider_convertapi.conversions.failure_log import FailureLog
        from airflow_provider_convertapi.failures import explicit_failures

        if resumed and not self._is_rendered:
            # `airflow tasks test` of Airflow 2 resumes the task as it is in the DAG file
            # (`task_test` in airflow/cli/commands/task_command.py).
            self.render_template_fields(resumed)
        failure_log = FailureLog(
            self._logger,
            lambda: self.source,
            lambda: self._session.bill if self._session else None,
            resumed is not None,
        )
        quota = self._arguments().on_quota_exhausted
        with explicit_failures(quota=quota, tell=failure_log.tell):
            if self._wrong is not None and resumed is None:
                raise self._wrong
            yield

    @property
    def _logger(self) -> logging.Logger:
        # Airflow 3.3 types its mixin's logger wider than what it is at run time.
        return cast("logging.Logger", self.log)

    def _defer_for(
        self, session: Session, jobs: Sequence[JobRef], deadline: float, **how: Any
    ) -> NoReturn:
        """Let the triggerer wait; raises `TaskDeferred`.

        :param deadline: seconds since the epoch at which the trigger gives up.
        :param how: further arguments of the trigger.
        """
        from airflow_provider_convertapi.conversions.values import seconds
        from airflow_provider_convertapi.triggers.job import ConvertApiJobTrigger

        if self.execution_timeout:
            latest = session.clock.time() + self.execution_timeout.total_seconds() - _TRIGGER_MARGIN
            deadline = min(deadline, latest)
        trigger = ConvertApiJobTrigger(
            convertapi_conn_id=self.convertapi_conn_id,
            key_check=session.key_check,
            deadline=deadline,
            poll_interval=seconds("poll_interval", self._arguments().poll_interval),
            settle=session.settle,
            jobs=[job.to_list() for job in jobs],
            cancel_on_kill=self.cancel_on_kill,
            # Templates render anew, and the DAG file may change, while the task is deferred: the
            # resumed task must not publish this job's result under another name.
            asked=self._asked(session),
            sealed_source=self._sealed_source(session),
            **how,
        )
        # Airflow's own limit still applies, in case the triggerer never reports back.
        self.defer(trigger=trigger, method_name="execute_complete", timeout=self.execution_timeout)
        raise AssertionError  # `defer` raises

    def _sealed_source(self, session: Session) -> str:  # noqa: ARG002 - for the decorator
        """Return an encrypted source that the resumed task cannot compute; empty if it can."""
        return ""

    def _asked(self, session: Session) -> str:
        """Return a keyed digest of the arguments, which the resumed task compares with its own."""
        from airflow_provider_convertapi.conversions.checking import what_is_asked

        return session.digest_of(what_is_asked(self._arguments()))

    @contextmanager
    def _cancelling(
        self, session: Session, begun: Callable[[], Iterable[tuple[Job, Iterable[str]]]]
    ) -> Iterator[None]:
        """Delete the jobs of a task that is stopped, if the user wants that and no try is left.

        A later try would collect the jobs without paying, so an earlier try leaves them alone.

        :param begun: returns each job with the keys of the inputs that it may have uploaded.
        """
        from airflow_provider_convertapi.errors import (
            ConversionInterrupted,
            ConversionTimeoutError,
        )

        ends: tuple[type[BaseException], ...] = (ConversionInterrupted, ConversionTimeoutError)
        try:
            yield
        except ends + session.time_is_up:
            if session.cancels:
                from airflow_provider_convertapi.conversions.cancellation import cancel

                for job, uploads in begun():
                    cancel(job, uploads)
            raise

    def _warn_of_late_retries(self) -> None:
        """Log a warning if a retry would come after ConvertAPI has forgotten the jobs."""
        from airflow_provider_convertapi.api.retry import RETENTION

        delay = self.retry_delay
        if self.retries and isinstance(delay, timedelta) and delay > RETENTION:
            self.log.warning(
                "retry_delay is %s, but ConvertAPI forgets a job after %s: a retry that late pays "
                "again for what was in flight.",
                delay,
                RETENTION,
            )

    def on_kill(self) -> None:
        """Tell the running `execute` to stop; a submitted job stays for the next try to collect."""
        # Airflow also calls this on SIGTERM and at `execution_timeout`, while `execute` goes on
        # (`airflow/sdk/execution_time/task_runner.py`): an evicted task is tried again, and must
        # find the job that it has paid for.  So nothing is deleted here.
        if self._session:
            self._session.stop()


def _check_context(context: Context | None) -> None:
    """Raise `ParameterError` if `execute` was called without a task, as in a notebook."""
    if not context or "ti" not in context:
        from airflow_provider_convertapi.errors import ParameterError

        complaint = "has no task instance, from whose names the jobs' ids are derived"
        raise ParameterError(
            f"The context {complaint}. Run the DAG with dag.test(), or call ConvertApiHook, which "
            "works outside of tasks.",
            {"context": [complaint]},
        )
