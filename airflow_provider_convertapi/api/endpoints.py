"""All calls of ConvertAPI that this provider makes.

This module may change from release to release.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_provider_convertapi.api.auth import find_jwt
from airflow_provider_convertapi.api.forms import (
    FileBody,
    FormBody,
    JsonBody,
    content_disposition,
    disposition_name,
)
from airflow_provider_convertapi.api.openapi import converters_of
from airflow_provider_convertapi.api.wire import (
    ID_LENGTH,
    Credential,
    Endpoint,
    Request,
    check,
    error_code,
    error_of,
    unexpected,
    whole_number,
)
from airflow_provider_convertapi.errors import (
    AuthenticationError,
    QuotaExhaustedError,
    ResultExpiredError,
    ResultLostError,
    TransportError,
    UnexpectedAnswerError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_convertapi.api.wire import Openable, Response
    from airflow_provider_convertapi.errors import ConvertApiError

_ID = re.compile(rf"[a-z0-9]{{{ID_LENGTH}}}")
_FILE_PATH = re.compile(rf"/d/({_ID.pattern})(?![^/?#])")
_CREDENTIALS = frozenset({"secret", "apikey"})
"""Fields of `GET /user` that echo a credential (legacy)."""

DIRECT_MARGIN = 30.0
"""Seconds that a direct conversion's answer may take beyond the service's own `Timeout`.

The service is silent until then, so with less patience a paid answer would be lost.
"""


@dataclass(frozen=True, slots=True)
class ConvertedFile:
    """A result that the service keeps: its announced name, its size in bytes, its id."""

    name: str
    size: int
    file_id: str


@dataclass(frozen=True, slots=True)
class Conversion:
    """A finished conversion: its cost (conversions taken from the balance) and its results."""

    cost: int
    files: tuple[ConvertedFile, ...]


@dataclass(frozen=True, slots=True)
class JobAnswer:
    """The service's answer about a job; all fields are empty while it runs.

    :param unknown: the job was never submitted, is forgotten, or is not visible yet (404).
    :param conversion: the result of a finished job.
    :param verdict: the error that ended the job; paid, unless `unpaid`.
    :param unpaid: the stored answer is a refusal before any work (no quota, credential, overload).
    :param has_code: False for a 403 without a Code: it comes from the service if all jobs are
        answered like that, from a proxy if only this one is.
    """

    unknown: bool = False
    conversion: Conversion | None = None
    verdict: ConvertApiError | None = None
    unpaid: bool = False
    has_code: bool = True


def start_conversion(
    source_format: str,
    target_format: str,
    job_id: str,
    fields: Sequence[tuple[str, str | Openable]],
) -> Endpoint[None]:
    """Submit a conversion as a job under an id that we chose; it is paid once it is accepted.

    A 200 with a JSON object means acceptance, whether or not it names the job; others do not.
    `ResultLostError` if it was accepted under another id.
    """

    def parse(response: Response) -> None:
        check(response, verdicts=True)
        answer = response.json()
        if not isinstance(answer, dict):
            raise unexpected(response, "job id")
        accepted = answer.get("JobId") or job_id
        if accepted != job_id:
            # It must not be submitted again: each submit would be accepted and paid.
            raise ResultLostError(
                "ConvertAPI accepted the conversion under an id other than the one it was given, "
                "so that its result cannot be found again. It may have been billed."
            )

    return Endpoint(
        Request(
            "POST",
            _convert_path("/async/convert", source_format, target_format),
            # With our id the job is found even if the answer is lost:
            # https://docs.convertapi.com/docs/async-conversions
            query={"JobId": job_id},
            # The result is kept for three hours, so that repeating a download is free:
            # https://help.convertapi.com/en/article/how-long-are-my-files-stored-a5ihko/
            body=FormBody([*fields, ("StoreFile", "true")]),
        ),
        parse,
    )


def convert_directly(
    source_format: str,
    target_format: str,
    timeout: int,
    fields: Sequence[tuple[str, str | Openable]],
) -> Endpoint[None]:
    """Convert in one exchange and store nothing; the answer is `multipart/mixed`, streamed.

    :param timeout: seconds; the service's `Timeout`.
    """
    return Endpoint(
        Request(
            "POST",
            _convert_path("/convert", source_format, target_format),
            # Any number of results, as they are: JSON would hold them in base64, and a raw answer
            # only one (https://help.convertapi.com/en/article/response-content-types-ivb2d8/).
            accept="multipart/mixed",
            body=FormBody([*fields, ("StoreFile", "false")]),
            timeout=timeout + DIRECT_MARGIN,
        ),
        lambda response: check(response, verdicts=True),
    )


def _convert_path(prefix: str, source_format: str, target_format: str) -> str:
    # Both come from the user or from a file's name: a slash must not lead to another endpoint.
    return f"{prefix}/{quote(source_format, safe='')}/to/{quote(target_format, safe='')}"


def get_job(job_id: str) -> Endpoint[JobAnswer]:
    """Look up a job once.

    A 4xx or 5xx with a Code is the job's verdict, except 401, 429, 503 and a gateway's answers.
    Without a Code it is a `TransportError`, except a 403.
    """

    def parse(response: Response) -> JobAnswer:
        match response.status:
            case 200:
                return JobAnswer(conversion=parse_conversion(response))
            case 202:
                return JobAnswer()
            case 404:
                return JobAnswer(unknown=True)
        return _job_verdict(response)

    return Endpoint(Request("GET", f"/async/job/{job_id}"), parse)


def _job_verdict(response: Response) -> JobAnswer:
    error = error_of(response, verdicts=True)
    # These concern this look and not the job, which may still succeed: the credential is refused,
    # or polls come too fast (503 according to https://github.com/ConvertAPI/docs, of 2021).
    if response.status in {401, 429, 503} and not error.is_of_quota:
        raise error
    if response.status < 400 or isinstance(error, TransportError):
        raise error
    has_code = error_code(response) is not None
    if not has_code and not error.is_of_quota:
        # Probably a proxy's error page.  Treated as a verdict, it would give up a paid job.
        raise TransportError(error.message)
    return JobAnswer(verdict=error, unpaid=error.is_of_quota, has_code=has_code)


def delete_job(job_id: str) -> Endpoint[bool]:
    """Cancel a job or delete its record; returns False if it was unknown."""
    return Endpoint(Request("DELETE", f"/async/job/{job_id}"), _deleted)


def parse_conversion(response: Response) -> Conversion:
    """Read the JSON of a finished conversion."""
    body = response.json()
    files = body.get("Files") if isinstance(body, dict) else None
    if not isinstance(files, list) or not files:
        raise unexpected(response, "list of files")
    cost = whole_number(body.get("ConversionCost"))
    return Conversion(
        # A success is billed: without the field, count the least possible cost.
        cost=1 if cost is None else cost,
        files=tuple(_converted_file(entry, response) for entry in files),
    )


def _converted_file(entry: object, response: Response) -> ConvertedFile:
    if not isinstance(entry, dict):
        raise unexpected(response, "file entry")
    file_id = _file_id(entry)
    size = whole_number(entry.get("FileSize"))
    if file_id is None or size is None:
        raise unexpected(response, "id and size of a stored file")
    return ConvertedFile(name=str(entry.get("FileName") or ""), size=size, file_id=file_id)


def _file_id(entry: dict[str, Any]) -> str | None:
    """Return the file's id, else the id in its `Url`; host and name of that are not trusted."""
    file_id = entry.get("FileId")
    # It becomes part of the path of a download and of a deletion, so it must be an id.
    if isinstance(file_id, str) and _ID.fullmatch(file_id):
        return file_id
    found = _FILE_PATH.search(str(entry.get("Url") or entry.get("FileUrl")))
    return found.group(1) if found else None


def upload(file: Openable, file_id: str | None = None) -> Endpoint[ConvertedFile]:
    """Store a file at the service for up to three hours, which is free.

    :param file_id: the id under which to store it; None lets the service choose.
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
    """Look up a stored file; None if the service has no file with the id."""

    def parse(response: Response) -> ConvertedFile | None:
        if response.status == 404:
            return None
        _check_access(response)
        # `file-size` is documented; an answer to HEAD may come without `Content-Length` (RFC 9110).
        sizes = (whole_number(response.headers.get(n)) for n in ("file-size", "content-length"))
        size = next((size for size in sizes if size is not None), None)
        if size is None:
            raise unexpected(response, "file size")
        name = disposition_name(response.headers.get("content-disposition", ""))
        return ConvertedFile(name, size, file_id)

    return Endpoint(Request("HEAD", f"/d/{file_id}", accept="*/*"), parse)


def download(file_id: str) -> Endpoint[None]:
    """Fetch a stored file, streamed; `ResultExpiredError` if the service does not have it."""

    def parse(response: Response) -> None:
        if response.status == 404:
            raise ResultExpiredError(
                "ConvertAPI has no such file any more: it keeps files for three hours at most, or "
                "until they are deleted."
            )
        _check_access(response)

    return Endpoint(Request("GET", f"/d/{file_id}", accept="application/octet-stream, */*"), parse)


def _check_access(response: Response) -> None:
    """Raise the error of an answer about a stored file, for which no quota is needed."""
    try:
        check(response)
    except QuotaExhaustedError as error:
        # The task would be told that nothing was paid, although this may be a paid result.
        raise AuthenticationError(
            f"A stored file cannot be read. {error}", error_code(response)
        ) from None


def delete_file(file_id: str) -> Endpoint[bool]:
    """Delete a stored file; returns False if the service did not have it."""
    return Endpoint(Request("DELETE", f"/d/{file_id}"), _deleted)


def _deleted(response: Response) -> bool:
    if response.status == 404:
        return False
    check(response)
    return True


def check_credential() -> Endpoint[bool]:
    """Request a conversion without a file, which shows for free whether the credential converts.

    The service checks the credential first, so a complaint about the missing file proves that it
    accepts the credential.  The result is True, or False if no conversions are left.
    `AuthenticationError` if the credential is refused; any other error proves nothing.
    """

    def parse(response: Response) -> bool:
        from_service = error_code(response) is not None  # a proxy's page has none
        # That this complaint is free is not documented, but n8n's ConvertAPI node tests its
        # credentials in the same way: https://github.com/n8n-io/n8n/pull/12663
        if response.status in {400, 415} and from_service:
            return True
        try:
            check(response)
        except QuotaExhaustedError:
            if from_service:
                return False
            raise
        raise unexpected(response, "complaint about the missing file")

    return Endpoint(Request("GET", _convert_path("/convert", "docx", "pdf")), parse)


def request_token(kid: str, lifetime: int, client_ip: str | None) -> Endpoint[str]:
    """Request a JWT from the service, with the API token.

    :param lifetime: seconds.
    :param client_ip: comma-separated hosts that may use it; None means any.
    """
    body = {"Kid": kid, "ExpiresInSec": lifetime} | ({"ClientIp": client_ip} if client_ip else {})

    def parse(response: Response) -> str:
        check(response)
        token = find_jwt(response)
        if token is None:
            # The answer is not quoted, since it may contain a token of an unknown kind.
            raise UnexpectedAnswerError(
                f"ConvertAPI's answer to POST /token/jwt (HTTP {response.status}) holds no JWT. "
                "Set the connection's auth to 'jwt' or 'api_token', which need no such answer."
            )
        return token

    return Endpoint(
        Request(
            "POST",
            "/token/jwt",
            body=JsonBody(body),
            credential=Credential.API_TOKEN,
            accept="*/*",  # the form of the answer is not documented
        ),
        parse,
    )


def get_user() -> Endpoint[dict[str, Any]]:
    """Read the account: `Active`, `ConversionsTotal`, `ConversionsConsumed`, ….

    Fields that echo a credential are left out, since a task may push the account to XCom.
    """

    def parse(response: Response) -> dict[str, Any]:
        user = _json(response, dict, "account")
        return {name: value for name, value in user.items() if name.lower() not in _CREDENTIALS}

    return Endpoint(Request("GET", "/user", credential=Credential.MASTER), parse)


def get_converters() -> Endpoint[list[dict[str, Any]]]:
    """Read all converters and their parameters, as the lines of a catalogue."""

    def parse(response: Response) -> list[dict[str, Any]]:
        try:
            return converters_of(_json(response, dict, "OpenAPI document"))
        except (AttributeError, TypeError, ValueError):  # its parts are not what they must be
            raise unexpected(response, "OpenAPI document of converters") from None

    return Endpoint(Request("GET", "/info/openapi"), parse)


def get_statistics(start_date: str, end_date: str) -> Endpoint[list[dict[str, Any]]]:
    """Read the conversions between two dates (`YYYY-MM-DD`, both required)."""
    return Endpoint(
        _statistics(start_date, end_date),
        lambda response: _json(response, list, "list of conversions"),
    )


def stream_statistics(start_date: str, end_date: str) -> Endpoint[None]:
    """Read any number of conversions between two dates: the caller streams the JSON array."""
    return Endpoint(_statistics(start_date, end_date), check)


def _statistics(start_date: str, end_date: str) -> Request:
    query = {"startDate": start_date, "endDate": end_date}
    return Request("GET", "/user/statistic", query=query, credential=Credential.MASTER)


def _json(response: Response, kind: type[Any], wanted: str) -> Any:
    check(response)
    value = response.json()
    if not isinstance(value, kind):
        raise unexpected(response, wanted)
    return value
