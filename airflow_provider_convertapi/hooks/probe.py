"""The hook's download of single files, and its connection test.

This module may change from release to release.
"""

from __future__ import annotations

import platform
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.account import account_calls
from airflow_provider_convertapi.api import endpoints
from airflow_provider_convertapi.api.account import Account
from airflow_provider_convertapi.api.retry import Backoff
from airflow_provider_convertapi.conversions.collection import ResultGoneError, fetch
from airflow_provider_convertapi.conversions.values import plain_text
from airflow_provider_convertapi.errors import (
    AuthenticationError,
    ConvertApiError,
    ResultExpiredError,
)
from airflow_provider_convertapi.hooks.credentials import Credentials
from airflow_provider_convertapi.storage import Destination, Publication

if TYPE_CHECKING:
    import logging

    from airflow_provider_convertapi.api.client import Client
    from airflow_provider_convertapi.connection import ConnectionSettings

_TEST_TIMEOUT = 10.0
"""Seconds; Airflow's web or API server runs the test in its own process, which must not hang if the
host is dead (`airflow/api_fastapi/core_api/routes/public/connections.py`)."""


def download(client: Client, file_id: str, destination: Any, log: logging.Logger) -> str:
    """Fetch a stored file and publish it whole; return its URI."""
    place = Destination.parse(plain_text("destination", destination))
    file = client.call(endpoints.find_file(plain_text("file_id", file_id)))
    gone = "ConvertAPI has no such file any more: it keeps one for three hours at most."
    if file is None:
        raise ResultExpiredError(gone)
    [uri] = place.outputs([file.name])
    with Publication(place, inputs=[], overwrite=True) as publication:
        try:
            fetch(client, publication, uri, file, log)
        except ResultGoneError:
            raise ResultExpiredError(gone) from None
        return publication.publish()[0]


def probe(settings: ConnectionSettings, client: Client, log: logging.Logger) -> tuple[bool, str]:
    """Test a connection without spending a conversion; return the result, and where it was tested.

    :param client: the client that tasks would use; only its timeout and retries are reduced.
    """
    quick = replace(
        client, http_timeout=min(settings.http_timeout, _TEST_TIMEOUT), backoff=Backoff(attempts=1)
    )
    credentials = Credentials(settings, None, quick.call, client.clock, log.warning)
    quick.token, quick.renew = credentials.secret, credentials.renew
    quick.both_refused = credentials.current.both_refused
    try:
        found = [_prove_credential(settings, quick, credentials)]
        if settings.master_token:
            found.append(_balance(settings, quick))
    except ConvertApiError as error:
        return False, f"{error} (tested on {platform.node()})"
    finally:
        quick.close()
    return True, f"{' '.join(found)} Nothing was spent. (tested on {platform.node()})"


def _prove_credential(settings: ConnectionSettings, client: Client, used: Credentials) -> str:
    """Check that the service accepts the credential of the connection's `auth`; say how it does."""
    try:
        some_left = client.call(endpoints.check_credential())
    except AuthenticationError as error:
        raise AuthenticationError(
            f"{settings.base_url} refuses this connection's credential (auth "
            f"{settings.auth!r}). Check the API token (password) and the Kid (login). ({error})",
            error.code,
        ) from None
    match settings.auth:
        case "jwt" if used.current.turned:
            shown = (
                "refuses the JWTs that are signed here, and accepts those that POST /token/jwt "
                "issues: after the first refusal a task asks for one. With extra auth set to "
                "'jwt_remote' it asks at once."
            )
        case "jwt":
            shown = "accepts the API token and the Kid."
        case "jwt_remote":
            shown = "accepts the API token and the Kid, with a JWT that POST /token/jwt issued."
        case _:
            shown = "accepts the API token."
    return f"{settings.base_url} {shown}" + ("" if some_left else " No conversions are left.")


def _balance(settings: ConnectionSettings, client: Client) -> str:
    with account_calls(lambda: settings):
        user = client.call(endpoints.get_user())
    account = Account.read(user)
    if account.remaining is None:
        return "The master token is accepted; the balance is not shown."
    left = f"{account.remaining} of {account.total} conversions are left"
    return f"The master token is accepted: {left}."
