"""The settings of a connection, and the secrets of its requests: tokens and JWTs.

This module may change from release to release.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api import auth, endpoints
from airflow_provider_convertapi.api.wire import Credential
from airflow_provider_convertapi.connection import ConnectionSettings
from airflow_provider_convertapi.errors import ConnectionConfigError, ConvertApiError
from airflow_provider_convertapi.hooks.masking import mask

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_convertapi.api.wire import Endpoint

_LIFETIME_MARGIN = 60
"""Seconds that a JWT outlives the task's `execution_timeout`."""


def turned_to_the_service(conn_id: str) -> str:
    """Return the log line for a JWT that was signed here and refused."""
    return (
        f"Connection {conn_id!r}: ConvertAPI refused a JWT that was signed here with the API token "
        "(HTTP 401), which cost nothing. It is asked for one with POST /token/jwt, which is used "
        "from now on. With extra auth set to 'jwt_remote' tasks ask for one at once."
    )


def read_settings(conn_id: str, find: Callable[[str], Any]) -> ConnectionSettings:
    """Return a connection's settings, and mask its secrets; an error if it does not exist."""
    from airflow_provider_convertapi.airflow_names import AirflowNotFoundException

    try:
        connection = find(conn_id)
    except AirflowNotFoundException:
        raise _unknown_connection(conn_id) from None
    settings = ConnectionSettings.from_connection(connection)
    for secret in settings.secrets:
        mask(secret)
    return settings


def _unknown_connection(conn_id: str) -> ConnectionConfigError:
    """Return the error for a connection that Airflow does not find.

    Airflow also says "not found" of a value that it cannot parse.
    """
    variable = f"AIRFLOW_CONN_{str(conn_id).upper()}"
    if os.environ.get(variable):
        return ConnectionConfigError(
            f"Connection {conn_id!r} cannot be read from the environment variable {variable}; "
            "nothing was paid. It must be a complete JSON object whose host, login and password "
            "are text, or a URI in which / and other special characters of the token are "
            "percent-encoded."
        )
    return ConnectionConfigError(
        f"Connection {conn_id!r} does not exist; nothing was paid. Create it with the type "
        "ConvertAPI (API token as password, Kid as login), or correct convertapi_conn_id. If a "
        "secrets backend holds it, what is stored there may be incomplete JSON or an invalid URI."
    )


class Credentials:
    """The credentials of one connection; all threads share a JWT until it is about to expire.

    :param execution_timeout: seconds that the task may run; None if it has no limit.
    :param ask: calls the service's endpoint that returns a JWT.
    :param clock: seconds since the epoch.
    :param say: logs a warning.
    """

    def __init__(
        self,
        settings: ConnectionSettings,
        execution_timeout: float | None,
        ask: Callable[[Endpoint[str]], str],
        clock: Callable[[], float],
        say: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._ask = ask
        self._clock = clock
        self._say = say
        self.lifetime = settings.jwt_lifetime
        if execution_timeout is not None:
            self.lifetime = min(self.lifetime, int(execution_timeout) + _LIFETIME_MARGIN)
        self.current = auth.CurrentToken(self.lifetime, clock, settings.auth == "jwt_remote")
        self._renewing = threading.Lock()

    def secret(self, kind: Credential) -> str:
        """Return the secret of a kind; `TOKEN` is a JWT, unless `auth` is ``api_token``."""
        if kind is Credential.MASTER:
            return self._settings.master_token or ""
        if kind is Credential.API_TOKEN or self._settings.auth == "api_token":
            return self._settings.api_token
        with self._renewing:  # one JWT for all threads: Airflow's masker keeps each one for ever
            since = self._clock()
            return self.current.get() or self.current.set(self._next(), since)

    def renew(self, refused: str) -> bool:
        """Stop using a JWT that was refused; False if there are no JWTs to renew."""
        if self._settings.auth == "api_token":
            return False
        with self._renewing:
            if self.current.turn(refused):
                self._say(turned_to_the_service(self._settings.conn_id))
        return True

    def _next(self) -> str:
        try:
            return self.new_token()
        except ConvertApiError as error:
            # A lost or throttled answer says nothing about the JWTs that the service issues.
            if error.transient or not self.current.turned:
                raise
            raise self.current.turn_back(error) from None

    def new_token(self, lifetime: int | None = None, client_ip: str | None = None) -> str:
        """Return a fresh JWT that Airflow masks.

        :param lifetime: seconds; None means the connection's, limited to how long the task may run.
        :param client_ip: comma-separated hosts that may use it; None means the connection's.
        """
        settings = self._settings
        lifetime, client_ip = lifetime or self.lifetime, client_ip or settings.client_ip
        if not settings.kid:
            raise ConnectionConfigError(
                f"Connection {settings.conn_id!r}: login (the Kid) is empty, and a JWT needs it."
            )
        if self.current.remote:
            token = self._ask(endpoints.request_token(settings.kid, lifetime, client_ip))
        else:
            token = auth.mint(
                settings.api_token,
                settings.kid,
                now=self._clock(),
                lifetime=lifetime,
                client_ip=client_ip,
            )
        # Masked before it is used, so that no log line can show it.
        mask(token)
        return token
