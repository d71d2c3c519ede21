"""How the client package is used, as far as types go: checked by mypy, never run.

Each `assert_type` is what a caller can rely on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, assert_type

from airflow_provider_convertapi.api.auth import CurrentToken, find_jwt, mint
from airflow_provider_convertapi.api.endpoints import (
    Conversion,
    ConvertedFile,
    JobAnswer,
    convert_directly,
    delete_file,
    download,
    find_file,
    get_job,
    get_statistics,
    get_user,
    request_token,
    start_conversion,
    upload,
)
from airflow_provider_convertapi.api.ids import JobIds
from airflow_provider_convertapi.api.retry import Backoff, poll_delays
from airflow_provider_convertapi.api.wire import Credential, Endpoint, Request, Response
from airflow_provider_convertapi.connection import ConnectionSettings
from airflow_provider_convertapi.errors import (
    AuthenticationError,
    ConversionError,
    ConvertApiError,
    ParameterError,
    ThrottledError,
    TransientConversionError,
    TransportError,
)
from airflow_provider_convertapi.failures import as_failure, explicit_failures

if TYPE_CHECKING:
    from airflow_provider_convertapi.airflow_names import Connection
    from airflow_provider_convertapi.api.client import Client
    from airflow_provider_convertapi.storage import Source


def calls(client: Client, source: Source) -> None:
    """Get from each call what its endpoint says; any source of ours can be sent."""
    assert_type(client.call(get_job("id")), JobAnswer)
    assert_type(client.send(get_job("id")), JobAnswer)
    assert_type(client.call(find_file("id"), until=1.0), ConvertedFile | None)
    assert_type(client.call(delete_file("id")), bool)
    assert_type(client.call(upload(source)), ConvertedFile)
    assert_type(client.call(get_user()), dict[str, Any])
    assert_type(client.call(get_statistics("a", "b")), list[dict[str, Any]])
    assert_type(client.call(request_token("kid", 60, None)), str)
    submit = start_conversion("docx", "pdf", "id", [("File", source), ("PageRange", "1-2")])
    assert_type(submit, Endpoint[None])


def streams(client: Client) -> None:
    """Read a head and blocks."""
    with client.stream(download("id")) as (head, blocks):
        assert_type(head, Response)
        assert_type(blocks, Iterator[bytes])
    with client.stream(convert_directly("docx", "pdf", 60, []), fresh=True) as (head, _):
        assert_type(head.headers["content-type"], str)


def answers(answer: JobAnswer) -> None:
    """Tell apart by fields what the service says of a job."""
    if answer.conversion:
        assert_type(answer.conversion, Conversion)
        assert_type(answer.conversion.files[0].size, int)
    if answer.verdict:
        assert_type(answer.verdict, ConvertApiError)


def own_endpoint(client: Client) -> int:
    """Describe a call of one's own."""

    def parse(response: Response) -> int:
        return response.status

    endpoint = Endpoint(Request("GET", "/info", credential=Credential.TOKEN), parse)
    return client.call(endpoint)


def tokens(response: Response) -> None:
    """Make and find tokens: text, or none."""
    token = mint("secret", "kid", now=0.0, lifetime=60, client_ip=None)
    assert_type(token, str)
    assert_type(find_jwt(response), str | None)
    assert_type(CurrentToken(60, lambda: 0.0).set(token), str)


def waits(error: ConvertApiError) -> None:
    """Wait a number of seconds, or not at all."""
    assert_type(Backoff(attempts=3).delay(1, error), float | None)
    assert_type(next(poll_delays(10)), float)


def ids(seed: str) -> None:
    """Get ids as text."""
    assert_type(JobIds.from_seed("key", seed).job_id(0), str)


def errors(error: Exception) -> None:
    """Branch on what each class carries."""
    if isinstance(error, TransientConversionError | ConversionError):
        assert_type(error.code, int)
    if isinstance(error, AuthenticationError):
        assert_type(error.code, int | None)
    if isinstance(error, ThrottledError):
        assert_type(error.retry_after, float | None)
    if isinstance(error, TransportError):
        assert_type(error.sent, bool)
    if isinstance(error, ParameterError):
        assert_type(error.invalid, dict[str, list[str]])
    if isinstance(error, ConvertApiError):
        assert_type(error.transient, bool)
        assert_type(as_failure(error), ConvertApiError)
    with explicit_failures(quota="raise"):
        pass


def settings(connection: Connection) -> None:
    """Read Airflow's own connection."""
    assert_type(ConnectionSettings.from_connection(connection), ConnectionSettings)
