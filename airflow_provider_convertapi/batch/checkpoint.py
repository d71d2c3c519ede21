"""A plan that waits beside the manifest, so that a task that resumes lists nothing again.

This module may change from release to release.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.batch.decisions import Item, RequestDigest
from airflow_provider_convertapi.batch.manifest import name_prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_convertapi.batch.record import Author

URL = "url-"
"""How the fingerprint of a URL begins."""


@dataclass(slots=True, kw_only=True)
class Checkpoint:
    """A plan, and what else a task has to know when it resumes.

    :param started: seconds since the epoch at which the batch began.
    :param files: URI, fingerprint and size of each file parameter, those of steps included; a URL,
        which may be a secret, has its fingerprint only.
    :param known: how many failures were known, with examples.
    """

    items: list[Item]
    started: float
    spent: int
    reused: int
    known: int
    examples: list[str]
    to_format: str
    digests: tuple[str, ...]
    least_cost: int
    files: Mapping[str, list[str | int]] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the plan as lines of JSON; what may be secret in a URL is left out."""
        head = {name: value for name, value in asdict(self).items() if name != "items"}
        lines = [head, *(_as_row(item) for item in self.items)]
        return b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)

    @classmethod
    def from_bytes(cls, data: bytes, url: Callable[[str], str | None]) -> Checkpoint:
        """Read what `to_bytes` wrote; `ValueError` where it is something else.

        :param url: returns the URL that has a fingerprint.
        """
        lines = [json.loads(line) for line in data.splitlines()]
        try:
            head: dict[str, Any] = lines[0]
            head["digests"] = tuple(head["digests"])
            return cls(items=[_as_item(row, url) for row in lines[1:]], **head)
        except (TypeError, KeyError, IndexError) as error:
            raise ValueError(str(error)) from None

    @property
    def request_digest(self) -> RequestDigest:
        """Return what records match by."""
        return RequestDigest(
            to_format=self.to_format, digesting=lambda: self.digests, least_cost=self.least_cost
        )


def checkpoint_name(author: Author) -> str:
    """Return the name of this try's checkpoint."""
    return f"{checkpoint_prefix(author)}{author.try_number}.jsonl"


def checkpoint_prefix(author: Author) -> str:
    """Return how the checkpoints of all tries of this task instance begin."""
    whose = json.dumps((author.dag_id, author.task_id, author.run_id))
    return f"{name_prefix(author)}-{hashlib.sha256(whose.encode()).hexdigest()[:16]}-"


def _as_row(item: Item) -> list[Any]:
    uri = None if item.fingerprint.startswith(URL) else item.uri
    row = [uri, item.target, item.fingerprint, item.seen, item.own_outputs, item.foreign_outputs]
    return [*row, item.barred_attempts, item.is_second_attempt, item.prepaid]


def _as_item(row: list[Any], url: Callable[[str], str | None]) -> Item:
    uri, target, fingerprint, seen, ours, others, *rest = row
    found = url(fingerprint) if uri is None else uri
    if found is None:
        raise ValueError(fingerprint)
    return Item(found, target, fingerprint, seen, tuple(ours), tuple(others), *rest)
