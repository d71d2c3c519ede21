"""Single transfers and the connection test: what the hook does besides converting.

This module may change from release to release.
"""

from __future__ import annotations

import platform
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_convertapi.api import endpoints
from airflow_provider_convertapi.api.retry import Backoff
from airflow_provider_convertapi.conversions.collection import ResultGoneError, fetch
from airflow_provider_convertapi.errors import ConvertApiError, ResultExpiredError
from airflow_provider_convertapi.storage import Destination, Publication

if TYPE_CHECKING:
    import logging

    from airflow_provider_convertapi.api.client import Client
    from airflow_provider_convertapi.connection import ConnectionSettings

_TEST_TIMEOUT = 10.0
"""Seconds: the test runs inside the web server, which must not hang for a dead host."""

_PROBE_LIFETIME = 60


def download(client: Client, file_id: str, destination: str, log: logging.Logger) -> str:
    """Fetch a stored file and publish it whole; return its URI."""
    place = Destination.parse(destination)
    file = client.call(endpoints.find_file(file_id))
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


def probe(settings: ConnectionSettings, client: Client) -> tuple[bool, str]:
    """Test a connection without spending a conversion; say what was shown, and on which host."""
    quick = replace(
        client, http_timeout=min(settings.http_timeout, _TEST_TIMEOUT), backoff=Backoff(attempts=1)
    )
    try:
        found = [_prove_token(settings, quick)]
        if settings.master_token:
            found.append(_balance(quick))
    except ConvertApiError as error:
        return False, f"{error} (tested on {platform.node()})"
    finally:
        quick.close()
    return True, f"{' '.join(found)} Nothing was spent. (tested on {platform.node()})"


def _prove_token(settings: ConnectionSettings, client: Client) -> str:
    if settings.kid:
        client.call(endpoints.request_token(settings.kid, _PROBE_LIFETIME, None))
        return f"{settings.base_url} accepts the API token and the Kid."
    client.call(endpoints.find_file(secrets.token_hex(16)))
    return f"{settings.base_url} was reached; without a Kid the API token cannot be verified."


def _balance(client: Client) -> str:
    user = client.call(endpoints.get_user())
    total, consumed = user.get("ConversionsTotal"), user.get("ConversionsConsumed")
    if not isinstance(total, int) or not isinstance(consumed, int):
        return "The master token is accepted; the balance is not shown."
    return f"The master token is accepted: {total - consumed} of {total} conversions are left."
