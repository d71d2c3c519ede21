"""A plan that is kept beside the manifest, so that a resumed task need not list again.

This module may change from release to release.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.batch.decisions import RequestDigest
from airflow_provider_convertapi.batch.items import Items, as_item, as_row
from airflow_provider_convertapi.batch.manifest import name_prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from airflow_provider_convertapi.batch.decisions import Item
    from airflow_provider_convertapi.conversions.task import TaskTry

URL = "url-"
"""The prefix of a URL's fingerprint."""

_UNFIT = (
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,
    StopIteration,
    sqlite3.IntegrityError,
)
"""The errors, beside `ValueError`, of reading lines that are not a checkpoint."""

_LATEST = 253_402_300_799
"""The end of the year 9999, in seconds since the epoch."""


@dataclass(slots=True, kw_only=True)
class Checkpoint:
    """A plan, with everything that a task needs to resume it.

    :param started: seconds since the epoch at which the batch began.
    :param files: URI, fingerprint and size of each file parameter, including those of steps; only
        the fingerprint of a URL, which may be secret.
    :param known: number of known failures; `examples` names a few. The results of `known_lost` of
        them are lost.
    :param asked: keyed digest of the task's arguments; empty in a plan of a version without it.
    :param plan: id of the plan, which the records of its files name; empty as above.
    :param balance: conversions that the account had left; None if they are not a limit.
    """

    items: Items
    started: float
    spent: int
    reused: int
    known: int
    examples: list[str]
    to_format: str
    digests: tuple[str, ...]
    least_cost: int
    files: Mapping[str, list[str | int]] = field(default_factory=dict)
    asked: str = ""
    plan: str = ""
    balance: int | None = None
    known_lost: int = 0

    def lines(self) -> Iterator[bytes]:
        """Yield the plan as lines of JSON, without URLs, which may be secret."""
        head = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "items"}
        yield _as_line(head)
        for item in self.items:
            yield _as_line([None, *as_row(item)[1:]] if _is_of_url(item) else as_row(item))

    @classmethod
    def read(
        cls,
        lines: Iterable[bytes],
        url: Callable[[str], str | None],
        check: Callable[[Item], None],
    ) -> Checkpoint:
        """Read the lines of a checkpoint; `ValueError` if they are not one.

        :param url: returns the URL that has a fingerprint.
        :param check: raises `ValueError` for an item that is not part of the request: anyone with
            access to the destination may have written the checkpoint. A URL's item has None as URI.
        """
        rows = (json.loads(line) for line in lines)
        try:
            head: dict[str, Any] = next(rows)
            head["digests"] = tuple(head["digests"])
            found = cls(items=Items(_as_item(row, url, check) for row in rows), **head)
            found.check_types()
        except _UNFIT as error:
            raise ValueError(str(error)) from None
        return found

    def check_types(self) -> None:
        """Raise `ValueError` if a field has a wrong type."""
        counts = (self.spent, self.reused, self.known, self.known_lost, self.least_cost)
        texts = (self.to_format, self.plan, *self.examples, *self.digests)
        if (
            not all(isinstance(count, int) and count >= 0 for count in counts)
            or not all(isinstance(text, str) for text in texts)
            or not isinstance(self.balance, int | None)
            or not 0 <= self.started <= _LATEST
            or not all(isinstance(identity, list) for identity in self.files.values())
        ):
            raise ValueError("head")

    def check_asked(self, asked: str) -> None:
        """Raise `ValueError` if the plan was made for other arguments."""
        if self.asked and self.asked != asked:
            raise ValueError("the plan of other arguments")

    @property
    def request_digest(self) -> RequestDigest:
        """Return the digest by which records match."""
        return RequestDigest(
            to_format=self.to_format, digesting=lambda: self.digests, least_cost=self.least_cost
        )


def checkpoint_name(task: TaskTry) -> str:
    """Return the name of this try's checkpoint."""
    return f"{checkpoint_prefix(task)}{task.number}.jsonl"


def checkpoint_prefix(task: TaskTry) -> str:
    """Return the common prefix of the checkpoints of all tries of this task instance."""
    # Two tasks whose names differ only in odd characters have the same `name_prefix`; each would
    # delete the other's plan.
    whose = json.dumps((task.dag_id, task.task_id, task.run_id))
    return f"{name_prefix(task)}-{hashlib.sha256(whose.encode()).hexdigest()[:16]}-"


def _as_line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


# A signed URL gives access to its file, and the checkpoint may lie in a shared bucket.  So it holds
# the fingerprint, and the URL itself is taken from the task's arguments.
def _is_of_url(item: Item) -> bool:
    return item.fingerprint.startswith(URL)


def _as_item(
    row: list[Any], url: Callable[[str], str | None], check: Callable[[Item], None]
) -> Item:
    item = as_item(row)
    texts = (item.uri or "", item.target, item.fingerprint, item.seen or "")
    former = item.former_outputs
    outputs = (*item.own_outputs, *item.foreign_outputs, *former, *former.values())
    counts = (item.barred_attempts, item.prepaid)
    if not (
        all(isinstance(text, str) for text in (*texts, *outputs))
        and all(isinstance(count, int) and count >= 0 for count in counts)
    ):
        raise ValueError(str(item.target))
    check(item)
    if item.uri is None:
        found = url(item.fingerprint)
        if found is None:
            raise ValueError(item.fingerprint)
        item.uri = found
    return item
