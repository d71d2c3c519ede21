"""The record of one file of a batch: a JSON line without secrets and job ids.

This module may change from release to release.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_convertapi.conversions.task import TaskTry

RecordStatus = Literal["converted", "failed", "not_attempted"]

T = TypeVar("T")

# Records hold digests of this length. With another one, or with other parameters of scrypt below,
# no record matches any more, and every file is paid again.
_MATCH_LENGTH = 16
_LARGEST = 2**63 - 1  # that SQLite holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What happened to one file.

    :param target: the planned output, relative to the destination.
    :param source: the input's URI without secrets; a URL's query is replaced by a digest.
    :param fingerprint: identified its content at that time.
    :param seen: the listing's fingerprint, if `fingerprint` is a hash of the content.
    :param parameters: a keyed digest of all arguments of the conversion except the target format.
    :param outputs: the files that were written, relative to the destination; `sizes` their bytes.
    :param digests: a digest of each output's content; empty if only the planned one was written.
    :param cost: conversions that it took from the balance; `charged` are those of this try, and
        equal `cost` in a record without this field.
    :param dag_id: empty in a record of code outside of any task.
    :param error: the error's class; `code` is ConvertAPI's Code, `message` the error's text.
    :param bars: whether the failure is final, because the document caused it and it was paid.
    :param timeout: the service's time limit in seconds when it timed out for good (Code 5000).
    :param attempt: which attempt of the conversion it was, counted from 0.
    :param outputs_gone: whether the file had been converted before, and its outputs were gone.
    :param plan: id of the file's plan; empty in a record of an older version.
    :param when: UTC time at which it was recorded, as ISO 8601.
    """

    target: str
    source: str
    fingerprint: str
    from_format: str
    to_format: str
    parameters: str
    outcome: RecordStatus
    when: str
    dag_id: str
    task_id: str
    run_id: str
    map_index: int
    try_number: int
    seen: str | None = None
    outputs: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    digests: tuple[str, ...] = ()
    cost: int = 0
    charged: int = 0
    attempt: int = 0
    error: str | None = None
    code: int | None = None
    message: str | None = None
    bars: bool = False
    timeout: int | None = None
    outputs_gone: bool = False
    plan: str = ""

    def to_line(self) -> bytes:
        """Return the record as one line of JSON."""
        # ASCII, in which a name that is not valid Unicode (a lone surrogate) survives as an escape.
        # Not `asdict`: it copies deeply and takes ten times as long, and 200 records at once would
        # delay every thread.
        values = {name: getattr(self, name) for name in _NAMES}
        return json.dumps(values, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Record | None:
        """Read a line; None if it is not a record."""
        try:
            value = json.loads(line.decode("ascii"))
            value = _OLDEST | {"charged": value.get("cost", 0)} | value
            known = {name: _CHECKS[name](value[name]) for name in _NAMES if name in value}
            return cls(**known)
        except (ValueError, TypeError, AttributeError, RecursionError, OverflowError):
            return None

    def is_of(self, task: TaskTry) -> bool:
        """Tell whether any try of this task instance wrote it."""
        return (self.dag_id, self.task_id, self.run_id, self.map_index) == (
            task.dag_id,
            task.task_id,
            task.run_id,
            task.map_index,
        )

    @property
    def match(self) -> bytes:
        """Return a digest that all records of the same conversion share."""
        return self._match(self.fingerprint)

    @property
    def match_seen(self) -> bytes | None:
        """Return the same digest for `seen`; None if there is no `seen`."""
        return None if self.seen is None else self._match(self.seen)

    def _match(self, fingerprint: str) -> bytes:
        return match_of(self.source, fingerprint, self.to_format, self.parameters)


@dataclass(slots=True)
class KnownCosts:
    """The highest recorded cost of a conversion between two formats."""

    _highest: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Learn from a conversion's record; a failure may cost less, so it is ignored."""
        if record.outcome == "converted":
            pair = record.from_format, record.to_format
            self._highest[pair] = max(self._highest.get(pair, 0), record.cost)

    def highest(self, to_format: str) -> dict[str, int]:
        """Return the highest cost by source format."""
        return {
            source: cost for (source, target), cost in self._highest.items() if target == to_format
        }


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(value)
    value.encode("utf-8", "surrogateescape")  # every text is encoded like this later
    return value


def _status(value: Any) -> str:
    if value not in get_args(RecordStatus):
        raise ValueError(value)
    return str(value)


def _number(value: Any) -> int:
    if type(value) is not int or not -_LARGEST <= value <= _LARGEST:
        raise TypeError(value)
    return value


def _amount(value: Any) -> int:
    if _number(value) < 0:
        raise ValueError(value)
    return int(value)


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise TypeError(value)
    return value


def _time(value: Any) -> str:
    """Return a time in the form of all records, since times are compared as text."""
    moment = datetime.fromisoformat(_text(value))
    if len(value) == _LENGTH and value[10] == "T" and value.endswith("+00:00"):
        return str(value)
    if moment.tzinfo is None:
        raise ValueError(value)
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _all(check: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...]]:
    def check_each(values: Any) -> tuple[T, ...]:
        if type(values) is not list:
            raise TypeError(values)
        return tuple(map(check, values))

    return check_each


def _or_none(check: Callable[[Any], T]) -> Callable[[Any], T | None]:
    return lambda value: None if value is None else check(value)


_LENGTH = len("2026-11-24T02:00:00.000001+00:00")

_KINDS: dict[str, Callable[[Any], Any]] = {
    "str": _text,
    "RecordStatus": _status,
    "int": _number,
    "bool": _truth,
    "str | None": _or_none(_text),
    "int | None": _or_none(_number),
    "tuple[str, ...]": _all(_text),
    "tuple[int, ...]": _all(_number),
}
_CHECKS = {one.name: _KINDS[str(one.type)] for one in fields(Record)} | {
    "when": _time,
    "cost": _amount,
    "charged": _amount,
}
"""Checks of a record's values: anyone with access to the destination may have written them."""

_NAMES = tuple(_CHECKS)

_OLDEST = {"dag_id": "", "from_format": ""}
"""Fields that only reports of costs need, and that old records lack."""


def match_of(source: str, fingerprint: str, *asked: str) -> bytes:
    """Return a short digest of what identifies a file's conversion.

    :param asked: the target format and the digest of the parameters.
    """
    text = "\0".join((source, fingerprint, *asked))
    return hashlib.blake2b(
        text.encode("utf-8", "surrogateescape"), digest_size=_MATCH_LENGTH
    ).digest()


def parameters_digest(parameters: Any, salt: str) -> str:
    """Return a digest of parameters that may hold passwords, keyed by the salt.

    With scrypt each guess of a password takes 16 MiB of memory and about 50 ms.
    """
    text = json.dumps(parameters, sort_keys=True, separators=(",", ":"))
    # 16 MiB (128 * n * r bytes) stay below the 32 MiB that OpenSSL allows without `maxmem`.
    digest = hashlib.scrypt(
        text.encode(), salt=salt.encode(), n=2**14, r=8, p=1, dklen=_MATCH_LENGTH
    )
    return f"{salt}:{digest.hex()}"
