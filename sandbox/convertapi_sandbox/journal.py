"""The journal: every request that reached the sandbox, and its outcome."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_ENTRIES = 100_000


@dataclass(slots=True)
class Entry:
    """One request.

    Attributes:
        method: HTTP method.
        path: Path without its query.
        query: Query parameters, last value of each, names as they were sent.
        headers: Request headers, names in lower case.
        at: Unix time of arrival.
        status: Status of the answer; None until there is one, and always if it was dropped.
        code: `Code` of the answer's error body, or None.
        job_id: The asynchronous job that it started, joined, polled or deleted, or None.
        paid: Whether it asked for a conversion that is billed, granted or refused (403).
        cost: Conversions billed for it, known when the conversion has ended.
        authorization_kind: "jwt", "api_token", "master", "secret", "token", or None for anonymous.
            Only an accepted credential counts.
        claims: Claims of an accepted JWT, or None.
        fault: Name of the injected fault that acted on it, or None.
        canned: Whether a canned answer is its result.
        ignored: Parameters that were sent although the converter does not have them.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    at: float = field(default_factory=time.time)
    status: int | None = None
    code: int | None = None
    job_id: str | None = None
    paid: bool = False
    cost: int = 0
    authorization_kind: str | None = None
    claims: dict[str, Any] | None = None
    fault: str | None = None
    canned: bool = False
    ignored: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the entry as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Entry:
        """Return the entry that `as_dict` described."""
        known = {item.name for item in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})

    @classmethod
    def from_scope(cls, scope: Mapping[str, Any]) -> Entry:
        """Return the entry of a request that has just arrived."""
        return cls(
            method=scope["method"],
            path=scope["path"],
            query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
            headers={k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]},
        )


class Requests(list[Entry]):
    """Journal entries in order of arrival."""

    def filter(
        self, *, method: str | None = None, path: str | None = None, **values: Any
    ) -> Requests:
        """Return the entries that match.

        Args:
            method: HTTP method; None for any.
            path: A path, the beginning of one up to a slash, or a pattern such as "/convert/*";
                None for any.
            values: Other attributes of `Entry` and the value each must have.
        """
        return Requests(
            entry
            for entry in self
            if (method is None or entry.method == method)
            and (path is None or path_matches(path, entry.path))
            and all(getattr(entry, name) == value for name, value in values.items())
        )


class Journal:
    """The last 100,000 requests; those before a reset are still available."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=MAX_ENTRIES)
        self._fresh = 0

    def begin(self, scope: Mapping[str, Any]) -> Entry:
        """Record a request that has just arrived."""
        entry = Entry.from_scope(scope)
        self._entries.append(entry)
        self._fresh = min(self._fresh + 1, MAX_ENTRIES)
        return entry

    def entries(self) -> Requests:
        """Return the entries since the last reset, oldest first."""
        return Requests(islice(self._entries, len(self._entries) - self._fresh, None))

    def history(self) -> Requests:
        """Return the entries since the start, oldest first."""
        return Requests(self._entries)

    def clear(self) -> None:
        """Start over: `entries` returns only later requests."""
        self._fresh = 0


def path_matches(pattern: str, path: str) -> bool:
    """Tell whether a path equals the pattern, is below it, or matches its wildcards."""
    return (
        path == pattern or path.startswith(pattern.rstrip("/") + "/") or fnmatchcase(path, pattern)
    )
