"""Each call of ConvertAPI that this provider makes, described once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TYPE_CHECKING
from urllib.parse import quote

from airflow_provider_convertapi.api.auth import find_jwt
from airflow_provider_convertapi.api.forms import (
    FileBody,
    FormBody,
    JsonBody,
    content_disposition,
    disposition_name,
)
from airflow_provider_convertapi.api.wire import (
    Credential,
    Endpoint,
    Request,
    check,
    error_of,
    unexpected,
)
from airflow_provider_convertapi.errors import (
    AuthenticationError,
    QuotaExhaustedError,
)

if TYPE_CHECKING:
    from airflow_provider_convertapi.api.wire import (
        Openable,
        Response,
    )
    from airflow_provider_convertapi.errors import (
        ConvertApiError,
    )
    from collections.abc import Mapping, Sequence

_FILE_PATH = re.compile(r"/d/([a-z0-9]{32})(?:/|$)")
DIRECT_MARGIN = 30.0
"""Seconds that a direct conversion's answer may take beyond the service's own `Timeout`."""


@dataclass(frozen=True, slots=True)
class ConvertedFile:
    """A result that the service keeps: its name as announced, its size in bytes, its id."""

    name: str
    size: int
    file_id: str


@dataclass(frozen=True, slots=True)
class Conversion:
    """A finished conversion: what it cost (conversions taken from the balance) and its results."""

    cost: int
    files: tuple[ConvertedFile, ...]


@dataclass(frozen=True, slots=True)
class JobAnswer:
    """What the service says of a job; all fields empty when it runs.

    :param unknown: never asked for, forgotten, or not visible yet (404).
    :param conversion: the result, once it is there.
    :param verdict: the error that ended it; paid, unless `unpaid`.
    :param unpaid: it was refused before any work (quota), and the refusal is what is stored.
    """

    unknown: bool = False
    conversion: Conversion | None = None
    verdict: ConvertApiError | None = None
    unpaid: bool = False


def start_conversion(
    source_format: str,
    target_format: str,
    job_id: str,
    fields: Sequence[tuple[str, str | Openable]],
) -> Endpoint[None]:
    """Submit a conversion as a job under an id of ours; paid once it is accepted.

    Any 200 that names the job, or names none, is an acceptance; a 200 without JSON is not.
    """

    def parse(response: Response) -> None:
        check(response, verdicts=True)
        answer = response.json()
        if not isinstance(answer, dict) or answer.get("JobId", job_id) != job_id:
            raise unexpected(response, "job id")

    return Endpoint(
        Request(
            "POST",
            _convert_path("/async/convert", source_format, target_format),
            query={"JobId": job_id},
            body=FormBody([*fields, ("StoreFile", "true")]),
        ),
        parse,
    )


def convert_directly(
    source_format: str,
    target_format: str,
    timeout: int,
    fields: Sequence[tuple[str, str | Openable]],
) -> Request:
    """Convert in one streamed exchange and store nothing; the answer is `multipart/mixed`."""
    return Request(
        "POST",
        _convert_path("/convert", source_format, target_format),
        accept="multipart/mixed",
        body=FormBody([*fields, ("StoreFile", "false")]),
        timeout=timeout + DIRECT_MARGIN,
    )


def _convert_path(prefix: str, source_format: str, target_format: str) -> str:
    return f"{prefix}/{quote(source_format, safe='')}/to/{quote(target_format, safe='')}"


def get_job(job_id: str) -> Endpoint[JobAnswer]:
    """Ask for a job once.

    A 4xx or 5xx with a Code is the job's verdict; 401, 404, 429 and 503 never are, and without a
    Code it is the wire's trouble.
    """

    def parse(response: Response) -> JobAnswer:
        if response.status == 202:
            return JobAnswer()
        if response.status == 404:
            return JobAnswer(unknown=True)
        if response.status == 200:
            return JobAnswer(conversion=parse_conversion(response))
        error = error_of(response, verdicts=True)
        if isinstance(error, QuotaExhaustedError) and _has_code(response):
            return JobAnswer(verdict=error, unpaid=True)
        if _is_verdict(response):
            return JobAnswer(verdict=error)
        raise error

    return Endpoint(Request("GET", f"/async/job/{job_id}"), parse)


def _has_code(response: Response) -> bool:
    body = response.json()
    return isinstance(body, dict) and isinstance(body.get("Code"), int)


def _is_verdict(response: Response) -> bool:
    """Tell a verdict on the document from the service's or the wire's own trouble."""
    return (
        response.status not in {401, 403, 429, 502, 503, 504}
        and response.status >= 400
        and _has_code(response)
    )


def delete_job(job_id: str) -> Endpoint[bool]:
    """Cancel a job or forget its record; false where it was unknown."""
    return Endpoint(Request("DELETE", f"/async/job/{job_id}"), _deleted)


def parse_conversion(response: Response) -> Conversion:
    """Read the JSON of a finished conversion."""
    body = response.json()
    files = body.get("Files") if isinstance(body, dict) else None
    if not isinstance(files, list) or not files:
        raise unexpected(response, "list of files")
    cost = body.get("ConversionCost")
    return Conversion(
        cost=cost if isinstance(cost, int) else 1,
        files=tuple(_converted_file(entry, response) for entry in files),
    )


def _converted_file(entry: Any, response: Response) -> ConvertedFile:
    if not isinstance(entry, dict):
        raise unexpected(response, "file entry")
    file_id = entry.get("FileId") or _id_in_url(entry.get("Url") or entry.get("FileUrl"))
    size = entry.get("FileSize")
    if (
        not isinstance(file_id, str)
        or not _FILE_PATH.search(f"/d/{file_id}")
        or not isinstance(size, int)
    ):
        raise unexpected(response, "id and size of a stored file")
    return ConvertedFile(name=str(entry.get("FileName") or ""), size=size, file_id=file_id)


def _id_in_url(url: object) -> str | None:
    """Return the file id in a result `Url`; its host and name are not to be trusted, and not used."""
    found = _FILE_PATH.search(url) if isinstance(url, str) else None
    return found.group(1) if found else None


def upload(file: Openable, file_id: str | None = None) -> Endpoint[ConvertedFile]:
    """Store a file at the service for up to three hours; costs nothing.

    :param file_id: the id it shall have; None lets the service choose.
    """

    def parse(response: Response) -> ConvertedFile:
        check(response)
        return _converted_file(response.json(), response)

    return Endpoint(
        Request(
            "POST",
            "/upload",
            query={"fileId": file_id} if file_id else {},
            headers={"Content-Disposition": content_disposition(file.name)},
            body=FileBody(file),
        ),
        parse,
    )


def find_file(file_id: str) -> Endpoint[ConvertedFile | None]:
    """Look up a stored file; None where the service has none under the id."""

    def parse(response: Response) -> ConvertedFile | None:
        if response.status == 404:
            return None
        check(response)
        size = response.headers.get("file-size") or response.headers.get("content-length") or ""
        if not size.isdigit():
            raise unexpected(response, "file size")
        return ConvertedFile(
            disposition_name(response.headers.get("content-disposition", "")), int(size), file_id
        )

    return Endpoint(Request("HEAD", f"/d/{file_id}", accept="*/*"), parse)


def download(file_id: str) -> Request:
    """Fetch a stored file; the answer is streamed."""
    return Request("GET", f"/d/{file_id}", accept="application/octet-stream, */*")


def delete_file(file_id: str) -> Endpoint[bool]:
    """Delete a stored file; false where the service had none."""
    return Endpoint(Request("DELETE", f"/d/{file_id}"), _deleted)


def _deleted(response: Response) -> bool:
    if response.status == 404:
        return False
    check(response)
    return True


def request_token(kid: str, lifetime: int, client_ip: str | None) -> Endpoint[str]:
    """Ask the service for a JWT with the API token.

    :param lifetime: seconds.
    """
    body = {"Kid": kid, "ExpiresInSec": lifetime} | ({"ClientIp": client_ip} if client_ip else {})

    def parse(response: Response) -> str:
        check(response)
        token = find_jwt(response)
        if token is None:
            # Not described by its first bytes: a token of an unknown kind may be among them.
            message = "ConvertAPI's answer to POST /token/jwt holds no JWT; set the connection's auth to 'jwt'"
            raise AuthenticationError(message)
        return token

    return Endpoint(
        Request(
            "POST", "/token/jwt", body=JsonBody(body), credential=Credential.API_TOKEN, accept="*/*"
        ),
        parse,
    )


def get_user() -> Endpoint[dict[str, Any]]:
    """Ask for the account: `Active`, `ConversionsTotal`, `ConversionsConsumed`, …."""
    return Endpoint(
        Request("GET", "/user", credential=Credential.MASTER), lambda r: _json(r, dict, "account")
    )


def get_statistics(start_date: str, end_date: str) -> Endpoint[list[dict[str, Any]]]:
    """Ask for the conversions between two dates (`YYYY-MM-DD`, both required)."""
    query: Mapping[str, str] = {"startDate": start_date, "endDate": end_date}
    return Endpoint(
        Request("GET", "/user/statistic", query=query, credential=Credential.MASTER),
        lambda r: _json(r, list, "list of conversions"),
    )


def _json(response: Response, kind: type[Any], wanted: str) -> Any:
    check(response)
    value = response.json()
    if not isinstance(value, kind):
        raise unexpected(response, wanted)
    return value
