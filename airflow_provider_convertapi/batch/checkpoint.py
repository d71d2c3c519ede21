"""A plan that is kept beside the manifest, so that a task that resumes need not list again.

This module may change from release to release.
"""

from __future__ import annotations

import hashlib
import json
import math
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
"""What lines raise that are not those of a checkpoint, beside `ValueError`."""


@dataclass(slots=True, kw_only=True)
class Checkpoint:
    """A plan, and what else a task has to know to resume it.

    :param started: seconds since the epoch at which the batch began.
    :param files: URI, fingerprint and size of each file parameter, those of steps included; a URL,
        which may be a secret, has its fingerprint only.
    :param known: how many failures were known, with examples.
    :param asked: keyed digest of what the task was asked for; empty in a plan of a version that did
        not tell.
    :param plan: id of the plan, which the records of its files name; empty likewise.
    :param balance: conversions that the account had left; None: it is not a bound.
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

    def lines(self) -> Iterator[bytes]:
        """Yield the plan as lines of JSON; what may be secret in a URL is left out."""
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
        """Read what `lines` yielded; `ValueError` where it is something else.

        :param url: returns the URL that has a fingerprint.
        :param check: raises `ValueError` for an item that nobody asked for: whoever may write into
            the destination may have written this. The item of a URL has None for its URI.
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
        """Raise `ValueError` where a field holds something else than it should."""
        counts = (self.spent, self.reused, self.known, self.least_cost)
        texts = (self.to_format, self.plan, *self.examples, *self.digests)
        if (
            not all(isinstance(count, int) and count >= 0 for count in counts)
            or not all(isinstance(text, str) for text in texts)
            or not isinstance(self.balance, int | None)
            or not math.isfinite(self.started)
            or not all(isinstance(identity, list) for identity in self.files.values())
        ):
            raise ValueError("head")

    def check_asked(self, asked: str) -> None:
        """Raise `ValueError` where the plan is for something else."""
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
