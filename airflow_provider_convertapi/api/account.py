"""The account as ConvertAPI describes it, and its statistics with uniform names.

This module may change from release to release.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO

import ijson

from airflow_provider_convertapi.api.wire import CHECK_HOST, whole_number
from airflow_provider_convertapi.errors import (
    AuthenticationError,
    QuotaExhaustedError,
    UnexpectedAnswerError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COLUMNS = (
    "CreatedAt",
    "Result",
    "Converter",
    "SourceFormat",
    "DestinationFormat",
    "ConversionCost",
    "ExecutionTime",
    "Source",
    "Error",
)
"""The first columns of a report, even if the service does not report them; others follow.

The unit of `ExecutionTime` is not documented; samples look like milliseconds.
"""

# The names that an SAP client of 2023 reads; the OpenAPI document of 2026 has the present names.
_FORMER_NAMES = {
    "datestamp": "CreatedAt",
    "conversiontime": "ExecutionTime",
    "sourcefileformat": "SourceFormat",
    "destinationfileformat": "DestinationFormat",
}
_NAMES = {name.lower(): name for name in COLUMNS} | _FORMER_NAMES


@dataclass(frozen=True, slots=True)
class Account:
    """An account; a value that the service does not report is None.

    :param active: whether it may convert.
    :param total: conversions of its plan; `consumed`: those that were used.
    """

    active: bool | None
    total: int | None
    consumed: int | None

    @classmethod
    def read(cls, user: Mapping[str, Any]) -> Account:
        """Read the answer to ``GET /user``."""
        active = user.get("Active")
        return cls(
            active=active if isinstance(active, bool) else None,
            total=_whole(user.get("ConversionsTotal")),
            consumed=_whole(user.get("ConversionsConsumed")),
        )

    @property
    def remaining(self) -> int | None:
        """Return the conversions that are left; below 0 if the plan bills beyond its size."""
        if self.total is None or self.consumed is None:
            return None
        return self.total - self.consumed

    def check_remaining(self, conn_id: str) -> int:
        """Return the conversions that are left; raise if they are unknown or cannot be used."""
        if self.active is False:
            raise QuotaExhaustedError(
                f"The account of connection {conn_id!r} is not active, so it cannot convert, "
                "whatever its balance. Activate it in the ConvertAPI dashboard, then clear this "
                "task. Nothing was paid.",
                paid=False,
            )
        if self.remaining is None:
            raise UnexpectedAnswerError(
                f"ConvertAPI's answer to GET /user for connection {conn_id!r} does not tell the "
                f"balance, and nothing was paid. {CHECK_HOST}"
            )
        return self.remaining


def refused_master_token(conn_id: str, error: AuthenticationError) -> AuthenticationError:
    """Return the error for a refused master token; it names connection and field."""
    return AuthenticationError(
        f"Connection {conn_id!r}: extra master_token is not accepted. ConvertAPI shows the account "
        "to the Master Token of its dashboard only, which an owner or administrator of the account "
        f"sees there; refreshing it ends the old one at once. ({error})",
        error.code,
    )


def _whole(value: object) -> int | None:
    """Return a whole number, which may be below 0; read leniently like `whole_number`."""
    if isinstance(value, int | float) and value < 0:
        positive = whole_number(-value)
        return None if positive is None else -positive
    return whole_number(value)


def read_rows(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """Yield each conversion of the answer to ``GET /user/statistic``, in constant memory.

    The names are the present ones, and times are ISO 8601 in UTC if they can be parsed.
    `UnexpectedAnswerError` if the answer is not an array of objects.
    """
    try:
        for row in ijson.items(file, "item", use_float=True):
            if not isinstance(row, dict):
                raise _unexpected("entries that are not objects")
            yield _in_present_names(row)
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise _unexpected(f"something that is not JSON ({type(error).__name__})") from None


def _unexpected(what: str) -> UnexpectedAnswerError:
    return UnexpectedAnswerError(
        f"ConvertAPI's answer to GET /user/statistic holds {what}. {CHECK_HOST}"
    )


def _in_present_names(row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in row.items():
        present = _NAMES.get(name.lower(), name)
        if value is not None or present not in found:  # a row may have both spellings
            found[present] = value
    if isinstance(found.get("CreatedAt"), str):
        found["CreatedAt"] = _in_utc(found["CreatedAt"])
    return found


def _in_utc(text: str) -> str:
    """Return a time in UTC; a fraction of seven digits, which .NET writes, is cut to six."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    # A time without a zone is UTC in all samples of the service.
    in_utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return in_utc.isoformat()
