"""The service's refusals as values: status, Code, Message and, for Code 4000, InvalidParameters.

Codes and their statuses: https://docs.convertapi.com/docs/response-codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convertapi_sandbox.settings import Settings

BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, UNSUPPORTED = 400, 401, 403, 404, 415
SERVER_ERROR, UNAVAILABLE = 500, 503

PARAMETER, NO_DISPOSITION, BAD_JSON, NO_FILE_DATA = 4000, 4001, 4002, 4005
BAD_JWT, NO_CREDENTIALS, ZERO_BALANCE, INACTIVE, BAD_BASIC = 4012, 4013, 4014, 4015, 4017
TIMED_OUT, FAILED, FILE_UNREACHABLE, BAD_FILE_ID, UNEXPECTED = 5000, 5001, 5008, 5009, 50050


class ServiceError(Exception):
    """An unsuccessful answer; raised anywhere, turned into a body in one place.

    With `code` None the body has no JSON. `headers` are added to the answer.
    """

    def __init__(
        self,
        status: int,
        code: int | None,
        message: str,
        invalid: Mapping[str, Sequence[str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.invalid = dict(invalid or {})
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """Return the JSON body of the service's `error` schema."""
        body: dict[str, Any] = {"Code": self.code, "Message": self.message}
        if self.invalid:
            body["InvalidParameters"] = {name: list(texts) for name, texts in self.invalid.items()}
        return body


def parameter_error(invalid: Mapping[str, Sequence[str]]) -> ServiceError:
    """Return the 400/4000 that names each invalid parameter and what is wrong with it."""
    return ServiceError(BAD_REQUEST, PARAMETER, "Parameter validation error.", invalid)


def bad_request(code: int, message: str) -> ServiceError:
    """Return a 400 with one of the Codes 4001 to 4005."""
    return ServiceError(BAD_REQUEST, code, message)


def not_found(what: str, settings: Settings) -> ServiceError:
    """Return the 404 of a document, job or endpoint that does not exist, or no longer exists."""
    code = None if settings.not_found_body == "empty" else NOT_FOUND
    expires = what in ("file", "job", "token")
    hint = "; it may have expired" if expires else ""
    return ServiceError(NOT_FOUND, code, f"There is no such {what}{hint}.")
