"""The hook: authenticated calls of ConvertAPI, with the settings of an Airflow connection."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Unpack, cast

from airflow_provider_convertapi.airflow_names import BaseHook
from airflow_provider_convertapi.api import endpoints
from airflow_provider_convertapi.api.wire import Credential
from airflow_provider_convertapi.configuration import settle_time
from airflow_provider_convertapi.conversions.session import Session
from airflow_provider_convertapi.conversions.task import TaskTry
from airflow_provider_convertapi.errors import ConnectionConfigError, ConversionInterrupted
from airflow_provider_convertapi.failures import explicit_failures
from airflow_provider_convertapi.hooks.credentials import Credentials, read_settings
from airflow_provider_convertapi.hooks.masking import mask_arguments
from airflow_provider_convertapi.metrics import count, count_decision
from airflow_provider_convertapi.surroundings import surroundings

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

    import requests

    from airflow_provider_convertapi.api.client import Client
    from airflow_provider_convertapi.api.wire import Endpoint
    from airflow_provider_convertapi.batch.arguments import BatchKeywords, BatchSource
    from airflow_provider_convertapi.connection import ConnectionSettings
    from airflow_provider_convertapi.conversions.arguments import (
        ConversionArguments,
        ConversionKeywords,
        OnQuota,
        PathArgument,
        ReportFormat,
        ResultCheck,
        Seconds,
        SourceArgument,
        StepArguments,
    )
    from airflow_provider_convertapi.conversions.result import ConversionResult

__all__ = ["ConvertApiHook"]


class ConvertApiHook(BaseHook):
    """Call ConvertAPI with the token and the Kid of an Airflow connection.

    The constructor reads nothing and sends nothing.  In a task the hook signs one JWT, renews it
    before it expires, and registers it with Airflow's masker at once.  Permanent errors are raised
    as `airflow_provider_convertapi.failures`, so that a `@task` fails without using up retries.

    :param convertapi_conn_id: the connection's id.
    """

    conn_name_attr = "convertapi_conn_id"
    default_conn_name = "convertapi_default"
    conn_type = "convertapi"
    hook_name = "ConvertAPI"

    def __init__(self, convertapi_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.convertapi_conn_id = convertapi_conn_id
        self._stop = threading.Event()
        self._opened: Session | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs: it opens a session, and reads the connection, itself.

        Airflow copies the hooks among a task's arguments: `airflow tasks clear` does, for example.
        """
        own = {"_stop", "_opened", "_settings", "_credentials", "_log"}
        return {name: value for name, value in vars(self).items() if name not in own}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state, _stop=threading.Event(), _opened=None)

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the connection form's extra fields for Airflow before 3.2."""
        from airflow_provider_convertapi.hooks.form import connection_form_widgets

        return connection_form_widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the connection form's labels for Airflow before 3.2."""
        from airflow_provider_convertapi.hooks.form import ui_field_behaviour

        return ui_field_behaviour()

    def open_session(
        self,
        task: TaskTry | None = None,
        log: logging.Logger | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Session:
        """Return the session of this hook, for this provider's own operators and sensors.

        It may change from release to release.  The first call opens the session; later calls return
        the same one.

        :param task: the try that converts; None means the one that Airflow is running, if any.
        :param log: None means the hook's own logger.
        :param tags: tags of Airflow's metrics; None means the hook's name as the operator.
        """
        if self._opened is None:
            task = task or _running_try()
            self._opened = Session(
                conn_id=self.convertapi_conn_id,
                read_settings=lambda: self._settings,
                task=task,
                settle=settle_time(),
                clock=surroundings().clock,
                new_pool=surroundings().new_pool,
                time_is_up=_what_ends(task),
                log=log or self._logger,
                count=count,
                new_client=self._new_client,
                stop=self._stop.set,
                count_decision=partial(count_decision, tags or {"operator": type(self).__name__}),
            )
        return self._opened

    @cached_property
    def _settings(self) -> ConnectionSettings:
        return read_settings(self.convertapi_conn_id, self.get_connection)

    @property
    def _client(self) -> Client:
        return self.open_session().client

    def _new_client(self) -> Client:
        from airflow_provider_convertapi.api.client import Client

        settings, outside = self._settings, surroundings()
        return Client(
            settings.base_url,
            self._credentials.secret,
            renew=self._credentials.renew,
            both_refused=self._credentials.current.both_refused,
            http_timeout=settings.http_timeout,
            pause=self._pause,
            clock=outside.clock.time,
            monotonic=outside.clock.monotonic,
            new_adapter=outside.new_adapter,
        )

    @cached_property
    def _credentials(self) -> Credentials:
        limit = self.open_session().task.execution_timeout
        return Credentials(
            self._settings,
            limit,
            self._ask,
            surroundings().clock.time,
            self.open_session().log.warning,
        )

    def _ask(self, endpoint: Endpoint[str]) -> str:
        # The client is only opened here, because it needs the credentials itself.
        return self._client.call(endpoint)

    def get_conn(self) -> requests.Session:
        """Return a `requests.Session` that sends the token to the connection's host only."""
        with explicit_failures():
            # Made now: an error that comes later, from a request in the caller's code, would not be
            # one of our failures, and would use up the task's retries.
            self._credentials.secret(Credential.TOKEN)
            return self._client.session

    def issue_token(self, lifetime: Seconds | None = None, client_ip: str | None = None) -> str:
        """Return a fresh JWT, for example for a browser; it is registered with Airflow's masker.

        :param lifetime: seconds, at least 1; None means the connection's `jwt_lifetime`.
        :param client_ip: comma-separated addresses that may use it; None means the connection's.
        """
        from airflow_provider_convertapi.conversions.values import plain_text, seconds

        with explicit_failures():
            limit = None if lifetime is None else int(seconds("lifetime", lifetime, 1))
            hosts = None if client_ip is None else plain_text("client_ip", client_ip)
            return self._credentials.new_token(limit, hosts)

    def convert(
        self,
        source: SourceArgument | Mapping[str, Any] | None,
        to_format: str,
        destination: PathArgument,
        *,
        from_format: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        steps: Sequence[StepArguments] | None = None,
        timeout: Seconds = 1800,
        poll_interval: Seconds = 10,
        durable: bool = True,
        overwrite: bool | None = None,
        conversion_key: str | None = None,
        result_check: ResultCheck | None = None,
        on_quota_exhausted: OnQuota = "fail",
    ) -> list[str]:
        """Convert, publish the results under `destination`, and return their URIs.

        The arguments are those of `ConvertApiOperator`.  In a task the conversion is durable: a
        retry, or a second call with the same arguments, finds it and does not pay again.  Outside
        of tasks no other process can find it again.  If `source` is the summary of a batch that
        made nothing, the list is empty.
        """
        return self.run(
            source,
            to_format,
            destination,
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
        ).outputs

    def run(
        self,
        source: SourceArgument | Mapping[str, Any] | None,
        to_format: str,
        destination: PathArgument,
        **arguments: Unpack[ConversionKeywords],
    ) -> ConversionResult:
        """Convert as `convert` does; return the `outputs`, the `cost`, and what was `charged` now.

        `charged` is 0 if an earlier try has paid.  The arguments are those of `ConvertApiOperator`.
        """
        from airflow_provider_convertapi.batch.calls import convert
        from airflow_provider_convertapi.conversions.arguments import conversion_arguments

        given = conversion_arguments(
            source=source, to_format=to_format, destination=destination, **arguments
        )
        with self._session_for(given) as session:
            return convert(session, given)

    def convert_batch(
        self,
        source: BatchSource,
        to_format: str,
        destination: PathArgument,
        **arguments: Unpack[BatchKeywords],
    ) -> dict[str, Any]:
        """Convert what the manifest beside the outputs does not list as done; return the summary.

        The arguments are those of `ConvertApiBatchOperator`; the call waits, and does not defer.
        """
        from airflow_provider_convertapi.batch.arguments import batch_arguments
        from airflow_provider_convertapi.batch.board import board_of
        from airflow_provider_convertapi.batch.calls import convert_batch

        given = batch_arguments(
            source=source, to_format=to_format, destination=destination, **arguments
        )
        with self._session_for(given) as session:
            session.new_board = board_of(_running_context() or {}, session.log)
            return convert_batch(session, given)

    def plan(
        self,
        source: BatchSource,
        to_format: str,
        destination: PathArgument,
        **arguments: Unpack[BatchKeywords],
    ) -> dict[str, Any]:
        """Return what `convert_batch` would do, and its least cost; send and write nothing.

        If `destination` names a file, with an extension, return what `convert` would do.

        The totals are `to_convert`, `reused`, `failed` and `least_cost`, with a few `examples`.
        The arguments are those of `ConvertApiBatchOperator`.
        """
        from airflow_provider_convertapi.batch.arguments import batch_arguments
        from airflow_provider_convertapi.batch.calls import plan

        given = batch_arguments(
            source=source, to_format=to_format, destination=destination, **arguments
        )
        with self._session_for(given) as session:
            return plan(session, given)

    @contextmanager
    def _session_for(self, given: ConversionArguments) -> Iterator[Session]:
        """Mask the secrets, log errors, and raise permanent ones as failures without retries."""
        from airflow_provider_convertapi.conversions.failure_log import FailureLog
        from airflow_provider_convertapi.conversions.values import check_readable

        with explicit_failures():
            for name in ("source", "parameters", "steps", "destination"):
                check_readable(name, getattr(given, name))
        session = self.open_session()
        session.bill = None  # it may be that of an earlier call
        failure_log = FailureLog(session.log, lambda: given.source, lambda: session.bill)
        with explicit_failures(quota=given.on_quota_exhausted, tell=failure_log.tell):
            mask_arguments(given.source, given.parameters, given.steps, given.destination)
            yield session

    @property
    def _logger(self) -> logging.Logger:
        # Airflow 3.3 types its mixin's logger wider than what it is at run time.
        return cast("logging.Logger", self.log)

    def upload(self, source: Any) -> str:
        """Store a file at ConvertAPI for up to three hours and return its file id.

        Anyone who has the id can read the file: treat it as a secret.

        :param source: a local path or an object storage URI.
        """
        from airflow_provider_convertapi.conversions.values import plain_text
        from airflow_provider_convertapi.storage import find_source

        with explicit_failures():
            found = find_source(plain_text("source", source))
            return self._client.call(endpoints.upload(found)).file_id

    def download(self, file_id: str, destination: Any) -> str:
        """Fetch a stored file, publish it whole, and return its URI.

        `ResultExpiredError` if the service no longer has it.

        :param file_id: what `upload` returned, or a result's id.
        :param destination: a file, or a directory when it ends in ``/`` (the file keeps its name).
        """
        from airflow_provider_convertapi.hooks.probe import download

        with explicit_failures():
            return download(self._client, file_id, destination, self._logger)

    def delete(self, file_id: str) -> bool:
        """Delete a stored file at ConvertAPI; return False if there was none.

        :param file_id: what `upload` returned, or a result's id.
        """
        from airflow_provider_convertapi.conversions.values import plain_text

        with explicit_failures():
            given = plain_text("file_id", file_id)
            return self._client.call(endpoints.delete_file(given))

    def get_user(self) -> dict[str, Any]:
        """Return the account (`Active`, `ConversionsTotal`, …); needs the master token."""
        from airflow_provider_convertapi.account import account_calls

        with account_calls(lambda: self._settings):
            return self._client.call(endpoints.get_user())

    def get_statistics(self, start_date: str | date, end_date: str | date) -> list[dict[str, Any]]:
        """Return the conversions between two dates; needs the master token.

        The answer may have at most 8 MiB; `write_statistics` has no such limit.

        :param start_date: the first day, a date or ``YYYY-MM-DD``.
        :param end_date: the last day, included.
        """
        from airflow_provider_convertapi.account import account_calls, checked_days

        with account_calls(lambda: self._settings):
            days = checked_days(start_date, end_date, ("start_date", "end_date"))
            return self._client.call(endpoints.get_statistics(*days))

    def write_statistics(
        self,
        first_day: str | date,
        last_day: str | date,
        destination: PathArgument,
        *,
        format: ReportFormat = "csv",  # noqa: A002 - what the user calls it
    ) -> str:
        """Write the conversions of some days to a file, and return its URI.

        Needs the master token.

        :param first_day: the first day, a date or ``YYYY-MM-DD``.
        :param last_day: the last day, included.
        :param destination: a file, or a directory when it ends in ``/``.
        :param format: ``csv``, or ``jsonl`` for a JSON object on each line.
        """
        from airflow_provider_convertapi.account import (
            account_calls,
            checked_days,
            write_statistics,
        )

        with account_calls(lambda: self._settings):
            days = checked_days(first_day, last_day)
            return write_statistics(self._client, days, destination, format, self._logger)

    def test_connection(self) -> tuple[bool, str]:
        """Tell whether ConvertAPI accepts the connection; spends no conversion, never raises.

        It asks for a conversion without a file, with the credential that tasks would send.
        """
        from airflow_provider_convertapi.hooks.probe import probe

        try:
            return probe(self._settings, self._client, self._logger)
        except ConnectionConfigError as error:
            return False, str(error)

    def _pause(self, seconds: float) -> None:
        # `on_kill` runs in another thread or a signal handler: every wait must notice it.
        stop = self._stop
        if surroundings().clock.wait(stop, seconds) if seconds else stop.is_set():
            left = self.open_session().what_becomes_of_jobs
            raise ConversionInterrupted(f"The task was told to stop. {left}")


def _what_ends(task: TaskTry) -> tuple[type[BaseException], ...]:
    """Return the exceptions that end a try at any moment."""
    from airflow_provider_convertapi.airflow_names import (
        AirflowTaskTerminated,
        AirflowTaskTimeout,
    )

    # All are BaseExceptions, which no `except Exception` stops.  Airflow 2's handler of SIGTERM
    # raises the first (`airflow/models/taskinstance.py`); that of Airflow 3 only calls `on_kill`.
    # Ctrl+C ends a task of `airflow dags test`; a script outside of tasks must see it unchanged.
    interrupt = (KeyboardInterrupt,) if task.is_durable else ()
    return AirflowTaskTerminated, AirflowTaskTimeout, *interrupt


def _running_try() -> TaskTry:
    """Return the try of the task that Airflow is running; a random one outside of tasks."""
    context = _running_context()
    if context is None:
        return TaskTry.outside(surroundings().clock.time())
    return TaskTry.from_context(context, surroundings().clock.time())


def _running_context() -> Mapping[str, Any] | None:
    from airflow_provider_convertapi.airflow_names import get_current_context

    try:
        return cast("Mapping[str, Any]", get_current_context())
    except Exception:  # noqa: BLE001 - the class differs between Airflow versions; each means "no task"
        return None
