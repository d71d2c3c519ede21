"""/token and /user: JWTs on request, and the state of the account."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.routing import Route

from convertapi_sandbox import answers
from convertapi_sandbox.answers import Answer, json_answer, text_answer
from convertapi_sandbox.errors import (
    BAD_JSON,
    BAD_JWT,
    PARAMETER,
    UNAUTHORIZED,
    ServiceError,
    bad_request,
    not_found,
    parameter_error,
)
from convertapi_sandbox.front import Exchange
from convertapi_sandbox.request import lower_query

if TYPE_CHECKING:
    from starlette.requests import Request

    from convertapi_sandbox.state import State

_LEGACY_LIMITS = {
    "requestcount": (1, 999_999_999),
    "lifetime": (3600, 315_569_520),
    "count": (1, 100),
}
_MAX_BODY = 1 << 16


class AccountRoutes:
    """The endpoints that describe the account and issue tokens."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Return the routes, including those of earlier years."""
        return [
            Route("/token/jwt", self.issue, methods=["POST"]),
            Route("/token/create", self.create_legacy, methods=["POST"]),
            Route("/token/{token_id}", self.delete_legacy, methods=["DELETE"]),
            Route("/user", self.user, methods=["GET"]),
            Route("/user/statistic", self.statistic, methods=["GET"]),
        ]

    # --- tokens ------------------------------------------------------------------------------

    async def issue(self, request: Request) -> Answer:
        """Issue a JWT for the API token of the request."""
        credentials = self._state.credentials
        caller = credentials.minting(request)
        Exchange.of(request).entry.authorization_kind = caller.kind
        fields = await _fields(request)
        invalid = {}
        if not isinstance(fields.get("kid"), str) or not fields["kid"]:
            invalid["Kid"] = ["The Kid field is required."]
        lifetime = _integer(fields.get("expiresinsec"))
        if lifetime is None or lifetime <= 0:
            invalid["ExpiresInSec"] = ["The ExpiresInSec field is required, in seconds."]
        if invalid or lifetime is None:
            raise parameter_error(invalid)
        token = caller.api_token
        if token is None or fields["kid"] != token.kid:
            status = self._state.settings.wrong_kid_status
            code = BAD_JWT if status == UNAUTHORIZED else PARAMETER
            raise ServiceError(status, code, "The Kid does not belong to this token.")
        return self._token_answer(
            credentials.issue(token, lifetime, fields.get("clientip") or None)
        )

    def _token_answer(self, token: str) -> Answer:
        shape = self._state.settings.token_answer
        if shape == "text":
            return text_answer(token)
        return json_answer(token if shape == "json_string" else {shape: token})

    async def create_legacy(self, request: Request) -> Answer:
        """Create tokens of the kind used before JWTs; only for the secret."""
        Exchange.of(request).entry.authorization_kind = self._state.credentials.administering(
            request
        ).kind
        fields = {**lower_query(request), **await _fields(request)}
        values, invalid = {}, {}
        for name, (default, highest) in _LEGACY_LIMITS.items():
            number = _integer(fields.get(name, default))
            if number is None or not 1 <= number <= highest:
                invalid[name] = [f"The field {name} must be between 1 and {highest}."]
            else:
                values[name] = number
        if invalid:
            raise parameter_error(invalid)
        tokens = []
        for _ in range(values["count"]):
            token_id, end = self._state.credentials.create_legacy(values["lifetime"])
            tokens.append({"Id": token_id, "ValidUntil": _round_trip(end)})
        return json_answer({"Tokens": tokens})

    async def delete_legacy(self, request: Request) -> Answer:
        """Delete a token of that kind."""
        Exchange.of(request).entry.authorization_kind = self._state.credentials.administering(
            request
        ).kind
        if not self._state.credentials.delete_legacy(request.path_params["token_id"]):
            raise not_found("token", self._state.settings)
        return Answer(200, [], {})

    # --- the account -------------------------------------------------------------------------

    async def user(self, request: Request) -> Answer:
        """Describe the account."""
        Exchange.of(request).entry.authorization_kind = self._state.credentials.administering(
            request
        ).kind
        account, settings = self._state.account, self._state.settings
        fields: dict[str, Any] = {
            "Active": settings.account_active,
            "Email": "sandbox@example.com",
            "FullName": "Sandbox",
            "ConversionsTotal": account.total,
            "ConversionsConsumed": account.consumed,
        }
        if settings.legacy_user_fields:
            secret = self._state.credentials.secret
            fields |= {
                "Secret": secret,
                "ApiKey": 1,
                "Status": "Active",
                "SecondsLeft": account.balance,
            }
        return json_answer(fields)

    async def statistic(self, request: Request) -> Answer:
        """List the conversions between two dates, inclusive, as JSON or CSV."""
        Exchange.of(request).entry.authorization_kind = self._state.credentials.administering(
            request
        ).kind
        query = lower_query(request)
        invalid, days = {}, []
        for name in ("startDate", "endDate"):
            try:
                days.append(date.fromisoformat(query.get(name.lower(), "")))
            except ValueError:
                invalid[name] = [f"The field {name} must be a date, YYYY-MM-DD."]
        if invalid:
            raise parameter_error(invalid)
        rows = [
            _row(line)
            for line in self._state.statistics
            if days[0] <= datetime.fromtimestamp(line["at"], UTC).date() <= days[1]
        ]
        accept = request.headers.get("accept")
        if answers.preferred(accept, (answers.JSON, "text/csv")) == "text/csv":
            return _csv(rows)
        return json_answer(rows)


_COLUMNS = (
    "Result",
    "CreatedAt",
    "ExecutionTime",
    "Converter",
    "SourceFormat",
    "DestinationFormat",
    "Ip",
    "Source",
    "Error",
)


def _row(line: dict[str, Any]) -> dict[str, Any]:
    return {
        "Result": line["ok"],
        "CreatedAt": _round_trip(line["at"]),
        "ExecutionTime": line["milliseconds"],
        "Converter": f"{line['source']} to {line['target']}",
        "SourceFormat": line["source"],
        "DestinationFormat": line["target"],
        "Ip": line["ip"],
        "Source": line["file"],
        "Error": line["error"],
    }


def _csv(rows: list[dict[str, Any]]) -> Answer:
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return Answer(200, [text.getvalue().encode()], {"content-type": "text/csv; charset=utf-8"})


async def _fields(request: Request) -> dict[str, Any]:
    """Return a small JSON or urlencoded body, with its names in lower case."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            raise bad_request(BAD_JSON, "The body is too large.")
    kind = request.headers.get("content-type", "")
    if kind.startswith("application/x-www-form-urlencoded"):
        return {name.lower(): value for name, value in parse_qsl(body.decode("utf-8", "replace"))}
    try:
        fields = json.loads(body or b"{}")
        return {name.lower(): value for name, value in fields.items()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise bad_request(BAD_JSON, "The JSON body cannot be read.") from error


def _integer(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _round_trip(seconds: float) -> str:
    """Return a time as .NET writes it, with seven decimal places."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}0Z"
