"""The hook: an Airflow connection in, authenticated calls of ConvertAPI out."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.sdk import BaseHook, conf

from airflow_provider_convertapi.api import endpoints
from airflow_provider_convertapi.api.ids import JobIds, key_check, seed_text
from airflow_provider_convertapi.api.wire import Credential
from airflow_provider_convertapi.connection import ConnectionSettings
from airflow_provider_convertapi.conversions.task import Scope
from airflow_provider_convertapi.errors import (
    AuthenticationError,
    ConnectionConfigError,
    ConversionInterrupted,
    ParameterError,
    QuotaExhaustedError,
)
from airflow_provider_convertapi.failures import explicit_failures
from airflow_provider_convertapi.hooks.clock import SYSTEM_CLOCK
from airflow_provider_convertapi.hooks.credentials import Credentials
from airflow_provider_convertapi.hooks.masking import mask, secrets_in

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Mapping

    import requests

    from airflow_provider_convertapi.api.client import Client
    from airflow_provider_convertapi.api.wire import Endpoint
    from airflow_provider_convertapi.conversions.direct import DirectConversion
    from airflow_provider_convertapi.conversions.durable import DurableConversion
    from airflow_provider_convertapi.conversions.request import Order
    from airflow_provider_convertapi.conversions.result import Outcome, Try

DEFAULT_SETTLE = 30.0


class ConvertApiHook(BaseHook):
    """Talk to ConvertAPI with the token and the Kid of an Airflow connection.

    Constructing it reads nothing and sends nothing.  In a task it mints one JWT, renews it before
    it expires, and registers it with Airflow's masker at once.  Permanent errors leave it as
    `airflow_provider_convertapi.failures`, so that a `@task` fails without burning retries.

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

    @cached_property
    def settings(self) -> ConnectionSettings:
        """The connection, read once and checked; `ConnectionConfigError` names a wrong field."""
        settings = ConnectionSettings.from_connection(self.get_connection(self.convertapi_conn_id))
        for secret in settings.secrets:
            mask(secret)
        return settings

    @cached_property
    def scope(self) -> Scope:
        """The task that this hook works for; random outside of tasks."""
        from airflow.providers.common.compat.sdk import get_current_context

        try:
            context = get_current_context()
        except Exception:  # noqa: BLE001 - the class differs between Airflow versions; each means "no task"
            return Scope.outside()
        return Scope.from_context(context)

    @property
    def settle(self) -> float:
        """The seconds that an accepted job may stay invisible at the service."""
        return settle_time()

    @cached_property
    def client(self) -> Client:
        """The HTTP client for this connection; made when it is first needed."""
        return self.new_client()

    def new_client(self) -> Client:
        """Return another client, with a TCP connection of its own; its user closes it."""
        from airflow_provider_convertapi.api.client import Client

        settings = self.settings
        return Client(
            settings.base_url,
            self._credentials.secret,
            renew=self._credentials.renew,
            http_timeout=settings.http_timeout,
            pause=self._pause,
            clock=SYSTEM_CLOCK.time,
            monotonic=SYSTEM_CLOCK.monotonic,
        )

    @cached_property
    def _credentials(self) -> Credentials:
        limit = self.scope.execution_timeout
        return Credentials(self.settings, limit, self._ask, SYSTEM_CLOCK.time)

    def _ask(self, endpoint: Endpoint[str]) -> str:
        return self.client.call(endpoint)  # made when it is asked: the client needs credentials

    def get_conn(self) -> requests.Session:
        """Return a `requests.Session` that authenticates at the connection's host only."""
        with explicit_failures():
            self._credentials.secret(Credential.TOKEN)
            return self.client.session

    def issue_token(self, lifetime: int | None = None, client_ip: str | None = None) -> str:
        """Return a fresh JWT, for example for a browser; registered with Airflow's masker.

        :param lifetime: seconds; None means the connection's `jwt_lifetime`.
        :param client_ip: comma-separated hosts that may use it; None means the connection's.
        """
        with explicit_failures():
            return self._credentials.new_token(lifetime, client_ip)

    def convert(
        self,
        source: Any,
        to_format: str,
        destination: Any,
        *,
        from_format: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        timeout: float = 1800,
        poll_interval: float = 10,
        durable: bool = True,
        overwrite: bool = True,
        conversion_key: str | None = None,
        on_quota_exhausted: str = "fail",
    ) -> list[str]:
        """Convert, publish the results under `destination`, and return their URIs.

        The arguments are those of `ConvertApiOperator`.  In a task the conversion is durable: a
        retry finds it and does not pay again.  Outside of tasks nothing can find it again.
        """
        with explicit_failures(quota=on_quota_exhausted):
            order = self.place_order(
                source=source,
                to_format=to_format,
                destination=destination,
                from_format=from_format,
                parameters=parameters,
                timeout=timeout,
                poll_interval=poll_interval,
                overwrite=overwrite,
                on_quota_exhausted=on_quota_exhausted,
            )
            return self.run_order(order, durable=durable, conversion_key=conversion_key).outputs

    def place_order(self, *, on_quota_exhausted: str = "fail", **arguments: Any) -> Order:
        """Check a conversion's arguments, find its inputs and mask its secrets; nothing is sent."""
        from airflow_provider_convertapi.conversions.arguments import place_order

        if on_quota_exhausted not in {"fail", "raise"}:
            complaint = f"is {on_quota_exhausted!r}; it must be 'fail' or 'raise'"
            raise ParameterError(
                f"on_quota_exhausted {complaint}.", {"on_quota_exhausted": [complaint]}
            )
        for secret in secrets_in(arguments.get("source"), arguments.get("parameters")):
            mask(secret)
        return place_order(**arguments)

    def run_order(
        self, order: Order, *, durable: bool, conversion_key: str | None = None
    ) -> Outcome:
        """Make a conversion that was checked; errors name connection, file, cost and remedy."""
        with self.named(order):
            if durable:
                outcome = self.durable(order, conversion_key).run()
            else:
                outcome = self._direct(order).run()
        self.report(order, outcome)
        self.scope.count_call(order.seed())
        return outcome

    def durable(self, order: Order, conversion_key: str | None = None) -> DurableConversion:
        """Return the conversion as a job: `begin` it here, `finish` it anywhere."""
        seed = order.seed() | {"namespace": self.settings.namespace, "key": conversion_key}
        scope = {**self.scope.names, "call": self.scope.call_number(order.seed())}
        ids = JobIds.from_seed(self.settings.id_key, seed_text(seed | {"scope": scope}))
        self.warn_of_limits()
        return self.resumed(order, ids.derivation)

    def resumed(
        self, order: Order, derivation: str, *, seconds: float | None = None
    ) -> DurableConversion:
        """Return a conversion that is underway, by the derivation that its ids come from.

        :param seconds: how long the task waits for it from now on; None means the order's timeout.
        """
        from airflow_provider_convertapi.conversions.durable import (
            DurableConversion,
        )
        from airflow_provider_convertapi.conversions.job import Work

        ids = JobIds(self.settings.id_key, derivation)
        deadline = self.client.monotonic() + (order.timeout if seconds is None else seconds)
        return DurableConversion(
            Work(self.client, ids, order, self._this_try(), deadline, self._logger)
        )

    @property
    def key_check(self) -> str:
        """What tells, in another process, whether the key of the job ids is still the same."""
        return key_check(self.settings.id_key)

    def check_key(self, expected: str, order: Order) -> None:
        """Raise `AuthenticationError` when the key was changed since the job was begun."""
        if self.key_check == expected:
            return
        raise AuthenticationError(
            f"The token of connection {self.convertapi_conn_id!r} was changed while "
            f"{order.describe()} was being converted, so its job cannot be found any more. It may "
            "have been billed, and nothing is sent anew by itself. Put the token back and clear "
            "the task to collect it without paying; cleared with the new one, it converts and "
            "pays anew. With extra job_key set, a new token loses no running conversion."
        )

    def _direct(self, order: Order) -> DirectConversion:
        from airflow_provider_convertapi.conversions.direct import (
            DirectConversion,
        )

        deadline = self.client.monotonic() + order.timeout
        return DirectConversion(self.client, order, self._this_try(), deadline, self._logger)

    def report(self, order: Order, outcome: Outcome) -> None:
        """Say in the task's log what was converted, and what it cost."""
        self.log.info(
            "Converted %s into %s. Cost: %d conversion(s); charged now: %d.",
            order.describe(),
            ", ".join(outcome.outputs),
            outcome.cost,
            outcome.charged,
        )

    def _this_try(self) -> Try:
        from airflow_provider_convertapi.conversions.result import Try

        return Try(self.scope.try_number, self.scope.started, settle_time())

    @property
    def _logger(self) -> logging.Logger:
        # Airflow 3.3 types its mixin's logger wider than what it is at run time.
        return cast("logging.Logger", self.log)

    def warn_of_limits(self) -> None:
        """Say in the task's log what durable conversions cannot promise here."""
        if not self.scope.is_durable:
            self.log.warning(
                "Outside of a task a conversion is not durable: if this process dies, nobody "
                "finds it."
            )
        if self.settings.is_geo_routed:
            self.log.warning(
                "Connection %r uses the worldwide host, which may answer from another region "
                "next time, where "
                "ids are unknown. Set a regional host such as https://eu-v2.convertapi.com.",
                self.convertapi_conn_id,
            )

    @contextmanager
    def named(self, order: Order) -> Iterator[None]:
        """Let the errors that concern the account name the connection and what is left undone."""
        try:
            yield
        except QuotaExhaustedError as error:
            raise QuotaExhaustedError(
                f"Connection {self.convertapi_conn_id!r} has no conversions left. "
                f"{order.describe()} was not converted; nothing was paid for it and nothing more "
                "is sent. Buy conversions or raise the token's limit at ConvertAPI, then clear "
                f"this task. ({error})"
            ) from None
        except AuthenticationError as error:
            raise AuthenticationError(
                f"Connection {self.convertapi_conn_id!r} is not accepted, so {order.describe()} "
                "was not finished. A refused request costs nothing; a job that was submitted "
                "before stays to be collected. Check the connection's API token (password) and "
                f"Kid (login), then clear this task. ({error})",
                error.code,
            ) from None

    def upload(self, source: Any) -> str:
        """Store a file at ConvertAPI for up to three hours and return its file id.

        The id opens the file without credentials: treat it as a secret.
        """
        from airflow_provider_convertapi.storage import find_source

        with explicit_failures():
            return self.client.call(endpoints.upload(find_source(str(source)))).file_id

    def download(self, file_id: str, destination: Any) -> str:
        """Fetch a stored file, publish it whole, and return its URI.

        `ResultExpiredError` when the service does not have it any more.

        :param destination: a file, or a directory when it ends in ``/`` (the file keeps its name).
        """
        from airflow_provider_convertapi.hooks.probe import download

        with explicit_failures():
            return download(self.client, file_id, str(destination), self._logger)

    def delete(self, file_id: str) -> bool:
        """Delete a stored file at ConvertAPI; false where there was none."""
        with explicit_failures():
            return self.client.call(endpoints.delete_file(file_id))

    def get_user(self) -> dict[str, Any]:
        """Return the account (`Active`, `ConversionsTotal`, …); needs the master token."""
        with explicit_failures():
            self._require_master_token()
            return self.client.call(endpoints.get_user())

    def get_statistics(self, start_date: str, end_date: str) -> list[dict[str, Any]]:
        """Return the conversions between two dates (`YYYY-MM-DD`); needs the master token."""
        with explicit_failures():
            self._require_master_token()
            return self.client.call(endpoints.get_statistics(start_date, end_date))

    def _require_master_token(self) -> None:
        if not self.settings.master_token:
            raise ConnectionConfigError(
                f"Connection {self.convertapi_conn_id!r}: extra master_token is empty, and "
                "ConvertAPI shows the account "
                "to nothing else. Enter the Master Token of the ConvertAPI dashboard."
            )

    def test_connection(self) -> tuple[bool, str]:
        """Say whether token and Kid are accepted; spends no conversion, never raises."""
        from airflow_provider_convertapi.hooks.probe import probe

        try:
            return probe(self.settings, self.client)
        except ConnectionConfigError as error:
            return False, str(error)

    def stop(self) -> None:
        """Make what this hook does end with `ConversionInterrupted`; jobs stay to be collected."""
        self._stop.set()

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds) if seconds else self._stop.is_set():
            raise ConversionInterrupted(
                "The task was told to stop. A job that was submitted goes on at ConvertAPI; the "
                "next try collects it "
                "without paying, and what nobody collects the service deletes within three hours."
            )


def settle_time() -> float:
    """Return the seconds that an accepted job may stay invisible at the service."""
    return float(conf.getfloat("convertapi", "settle", fallback=DEFAULT_SETTLE))
