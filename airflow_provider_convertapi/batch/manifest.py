"""The manifest: immutable parts of JSON lines beside the outputs, written by many tasks at once."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_convertapi.api.retry import RETENTION
from airflow_provider_convertapi.batch.index import Converted, Failed, Settled
from airflow_provider_convertapi.batch.record import Record
from airflow_provider_convertapi.batch.spending import Spending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

MANIFEST = "manifest/"
PLANS = "plans/"
SALT = "salt-"
MANY_PARTS = 50
"""Parts above which a run that ends well writes them together."""

_LINES_A_PART = 20_000
_CLEANED_AFTER = timedelta(minutes=1)
"""How long after its record a document may lie at the service: records are published every few
seconds, and documents go then, between two files."""

_TRIES = 5

_log = logging.getLogger(__name__)


class Files(Protocol):
    """A directory of small files, on the disk or in a store."""

    def names(self) -> list[str]:
        """Return the names of the files in it now."""
        ...

    def read(self, name: str) -> bytes:
        """Return a file's bytes; `FileNotFoundError` where it is gone."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Publish a file whole."""
        ...

    def delete(self, name: str) -> None:
        """Remove a file that may be gone already."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who writes: a task instance's try."""

    dag_id: str
    task_id: str
    run_id: str
    map_index: int
    try_number: int

    def part_name(self, sequence: int | str) -> str:
        """Return a name that no other part has."""
        number = f"{sequence:06d}" if isinstance(sequence, int) else sequence
        return f"{self._place}-{self.try_number}-{number}-{secrets.token_hex(4)}.jsonl"

    def plan_name(self) -> str:
        """Return the name of this try's plan."""
        return f"{self.plan_prefix}{self.try_number}.jsonl"

    @property
    def plan_prefix(self) -> str:
        """Return how the plans of all tries of this task instance begin."""
        # What is readable of the names is cut and cleaned: two tasks may have it in common.
        whose = json.dumps((self.dag_id, self.task_id, self.run_id))
        return f"{self._place}-{hashlib.sha256(whose.encode()).hexdigest()[:16]}-"

    @property
    def _place(self) -> str:
        task = re.sub(r"[^A-Za-z0-9_.-]", "_", f"{self.dag_id}.{self.task_id}")[:100]
        return f"{task}-{max(self.map_index, 0):04d}"

    def is_of(self, record: Record) -> bool:
        """Tell whether a record is of the same task instance, whichever its try."""
        return (record.dag_id, record.task_id, record.run_id, record.map_index) == (
            self.dag_id,
            self.task_id,
            self.run_id,
            self.map_index,
        )


@dataclass(slots=True)
class Manifest:
    """The records of everything that was converted into one destination.

    :param files: the directory of the parts.
    """

    files: Files

    def records(self) -> Iterator[tuple[str, Record]]:
        """Yield each record with the name of its part.

        A part that vanished was compacted: what took its place is read as well, so that a record
        may come twice and none is missed.
        """
        done: set[str] = set()
        for _ in range(_TRIES):
            waiting = [name for name in self.part_names() if name not in done]
            vanished = False
            for name in waiting:
                try:
                    data = self.files.read(name)
                except FileNotFoundError:
                    vanished = True
                    continue
                done.add(name)
                yield from ((name, record) for record in _parse(name, data))
            if not vanished:
                return
        _log.warning("The manifest is being compacted again and again; some records were missed.")

    def part_names(self) -> list[str]:
        """Return the names of the parts there are now."""
        return [name for name in self.files.names() if name.endswith(".jsonl")]

    def write(self, name: str, records: Iterable[Record]) -> None:
        """Publish a part."""
        self.files.write(name, b"".join(record.to_line() for record in records))

    def compact(self, author: Author) -> None:
        """Write all parts together, and remove them, where there are many.

        Only what no decision needs is lost: a file's records before its last conversion into
        the same outputs and its last failure, save those of the author's own run.  Two tasks may
        do so at once: both write the same records, and each removes what it has read.
        """
        if len(self.part_names()) <= MANY_PARTS:
            return
        read: set[str] = set()
        winners: dict[tuple[Any, ...], Record] = {}
        own: list[Record] = []
        for name, record in self.records():
            read.add(name)
            if record.run_id == author.run_id:
                own.append(record)
                continue
            key = (record.target, record.outcome, record.outputs)
            if key not in winners or winners[key].when <= record.when:
                winners[key] = record
        kept = [*winners.values(), *own]
        for start in range(0, len(kept), _LINES_A_PART):
            self.write(author.part_name("compacted"), kept[start : start + _LINES_A_PART])
        for name in read:
            self.files.delete(name)


def _parse(name: str, data: bytes) -> Iterator[Record]:
    for number, line in enumerate(data.splitlines(), 1):
        record = Record.from_line(line)
        if record is not None:
            yield record
        elif line.strip():
            _log.warning("Line %d of the manifest's part %s is no record.", number, name)


@dataclass(slots=True)
class Index:
    """What the manifest says of each output, as far as a plan needs it.

    :param author: whose own records are counted.
    :param only_own_run: leave the records of other runs out.
    """

    author: Author
    only_own_run: bool = False
    converted: dict[str, Converted] = field(default_factory=dict)
    failed: dict[str, Failed] = field(default_factory=dict)
    spending: Spending = field(default_factory=Spending)
    _several: dict[str, str] = field(default_factory=dict)
    _others: dict[str, str] = field(default_factory=dict)
    _counted: set[int] = field(default_factory=set)
    _own: deque[tuple[datetime, Settled]] = field(default_factory=deque)

    @property
    def spent(self) -> int:
        """Return the conversions that the author's task instance took, over all its tries."""
        return self.spending.total

    def read(self, manifest: Manifest) -> None:
        """Take in every record of the manifest."""
        for _, record in manifest.records():
            self.add(record)

    def add(self, record: Record) -> None:
        """Take in one record; the order does not matter."""
        if self.author.is_of(record):
            self._count(record)
        if self.only_own_run and record.run_id != self.author.run_id:
            for path in record.outputs:
                if self._others.get(path) != path:  # whose own it is wins
                    self._others[path] = record.target
            return
        if record.outcome == "converted":
            self._add_converted(record)
        elif record.outcome == "failed":
            self._add_failed(record)

    def _count(self, record: Record) -> None:
        key = hash((record.target, record.when))
        if key not in self._counted:  # compaction may show a record twice
            self._counted.add(key)
            self.spending.add(record)
            if record.try_number < self.author.try_number and record.outcome != "not_attempted":
                settled = Settled(record.target, record.fingerprint, record.attempt)
                self._add_own(datetime.fromisoformat(record.when), settled)

    def _add_own(self, when: datetime, settled: Settled) -> None:
        self._own.append((when, settled))
        while self._own[0][0] < when - _CLEANED_AFTER:  # parts come in their order, nearly
            self._own.popleft()

    def recent(self) -> dict[str, Settled]:
        """Return by output what earlier tries of the author's task instance recorded last.

        One that was killed then may have left the documents of those at the service.
        """
        own = sorted(self._own, key=lambda one: one[0])
        if not own or own[-1][0] < datetime.now(UTC) - RETENTION:
            return {}  # since then its ids may have become another run's
        since = own[-1][0] - _CLEANED_AFTER
        return {settled.target: settled for when, settled in own if when >= since}

    def _add_converted(self, record: Record) -> None:
        further = (path for path in record.outputs if path != record.target)
        self._several.update(dict.fromkeys(further, record.target))
        standing = self.converted.get(record.target)
        if standing is not None and standing.when > record.when:
            return
        as_planned = record.outputs == (record.target,) and len(record.sizes) == 1
        outputs: dict[str, int] | int = dict(zip(record.outputs, record.sizes, strict=False))
        self.converted[record.target] = Converted(
            record.match,
            record.match_seen,
            hash(record.source),
            record.sizes[0] if as_planned else outputs,
            record.when,
        )

    def _add_failed(self, record: Record) -> None:
        standing = self.failed.get(record.target)
        if standing is None or standing.when <= record.when:
            self.failed[record.target] = Failed(
                record.match,
                record.match_seen,
                hash(record.source),
                record.bars,
                record.when,
                record.run_id,
                record.try_number,
                record.attempt,
                record.error or "",
                record.code,
                record.timeout,
            )

    def is_output(self, path: str) -> bool:
        """Tell whether a path, relative to the destination, was written by a batch."""
        if path in self._several or path in self._others:
            return True
        return self._is_planned(path)

    def _is_planned(self, path: str) -> bool:
        return path in self.converted and path in self.converted[path].sizes(path)

    def is_from(self, target: str, source: str) -> bool | None:
        """Tell whether an output was made from this source, or was to be; None: from none."""
        known = self.converted.get(target) or self.failed.get(target)
        return None if known is None else known.source == hash(source)

    def found(self, path: str, size: int) -> None:
        """Note that a file stands in the destination."""
        for target in {path, self._several.get(path, path)} & self.converted.keys():
            self.converted[target].found(target, path, size)

    def outputs(self) -> Iterator[str]:
        """Yield every path that a batch wrote; some come twice."""
        for paths in (self.converted, self._several, self._others):
            yield from paths

    def makers(self, path: str) -> set[str]:
        """Return the outputs, as they were planned, whose conversions wrote a path."""
        claims = [self._several.get(path), self._others.get(path)]
        if self._is_planned(path):
            claims.append(path)
        return {target for target in claims if target is not None}


def totals(records: Iterable[Record]) -> Mapping[str, Record]:
    """Return the last word on each output: a conversion wins over a failure of the same file."""
    last: dict[str, Record] = {}
    for record in records:
        known = last.get(record.target)
        if known is None or _outranks(record, known):
            last[record.target] = record
    return last


def _outranks(record: Record, known: Record) -> bool:
    if record.match == known.match and record.outcome != known.outcome:
        order: Callable[[Record], int] = lambda r: _RANKS.index(r.outcome)  # noqa: E731 - three words, used twice
        return order(record) > order(known)
    return record.when >= known.when


_RANKS = ("not_attempted", "failed", "converted")
