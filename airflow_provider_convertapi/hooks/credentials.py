"""The secrets that requests carry: the API token, the master token, and JWTs made of the first.

This module may change from release to release.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from airflow_provider_convertapi.api import auth, endpoints
from airflow_provider_convertapi.api.wire import Credential
from airflow_provider_convertapi.errors import ConnectionConfigError
from airflow_provider_convertapi.hooks.masking import mask

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_convertapi.api.wire import Endpoint
    from airflow_provider_convertapi.connection import ConnectionSettings

_LIFETIME_MARGIN = 60
"""Seconds that a JWT outlives the task's `execution_timeout`."""


class Credentials:
    """The credentials of one connection; one JWT serves until it is about to expire.

    :param execution_timeout: seconds that the task may run; None where it has no limit.
    :param ask: sends a call to the service, which makes the JWT with ``auth`` `jwt_remote`.
    """

    def __init__(
        self,
        settings: ConnectionSettings,
        execution_timeout: float | None,
        ask: Callable[[Endpoint[str]], str],
    ) -> None:
        self._settings = settings
        self._ask = ask
        self.lifetime = settings.jwt_lifetime
        if execution_timeout is not None:
            self.lifetime = min(self.lifetime, int(execution_timeout) + _LIFETIME_MARGIN)
        self._issuer = auth.TokenIssuer(self.new_token, self.lifetime, time.time)
        self._minting = threading.Lock()

    def secret(self, kind: Credential) -> str:
        """Return the secret of a kind, a JWT where the connection says so."""
        if kind is Credential.MASTER:
            return self._settings.master_token or ""
        if kind is Credential.API_TOKEN or self._settings.auth == "api_token":
            return self._settings.api_token
        with self._minting:  # many threads, one token: the masker forgets none
            return self._issuer.token()

    def renew(self) -> bool:
        """Forget a JWT that was refused; false where there is none to make anew."""
        if self._settings.auth == "api_token":
            return False
        self._issuer.forget()
        return True

    def new_token(self, lifetime: int | None = None, client_ip: str | None = None) -> str:
        """Return a fresh JWT that Airflow masks.

        :param lifetime: seconds; None means the connection's, no longer than the task may run.
        :param client_ip: comma-separated hosts that may use it; None means the connection's.
        """
        settings = self._settings
        lifetime, client_ip = lifetime or self.lifetime, client_ip or settings.client_ip
        if not settings.kid:
            raise ConnectionConfigError(
                f"Connection {settings.conn_id!r}: login (the Kid) is empty, and a JWT needs it."
            )
        if settings.auth == "jwt_remote":
            token = self._ask(endpoints.request_token(settings.kid, lifetime, client_ip))
        else:
            token = auth.mint(
                settings.api_token,
                settings.kid,
                now=time.time(),
                lifetime=lifetime,
                client_ip=client_ip,
            )
        mask(token)
        return token
