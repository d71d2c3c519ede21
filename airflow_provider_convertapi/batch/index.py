"""What the manifest says of each output, and what a task instance spent, as a plan needs it.

This module may change from release to release.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.retry import RETENTION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_provider_convertapi.batch.manifest import Manifest
    from airflow_provider_convertapi.batch.record import Author, Record

_CLEANED_AFTER = timedelta(minutes=1)
"""How long after its record a document may lie at the service: records are published every few
seconds, and documents go then, between two files."""


@dataclass(slots=True)
class LastConversion:
    """The last conversion into an output."""

    match: bytes
    match_seen: bytes | None
    source: int
    """The hash of the source: of 100,000 files the names alone are megabytes."""
    outputs: dict[str, int] | int
    """The size of each output; of the one that was planned its size alone."""
    when: str
    standing: int = 0
    """How many of the outputs stand with their sizes."""

    @property
    def stands(self) -> bool:
        """Tell whether every output is there as it was written."""
        return self.standing >= (1 if isinstance(self.outputs, int) else len(self.outputs))

    def is_from(self, source: str) -> bool:
        """Tell whether it was made from this source."""
        return self.source == hash(source)

    def sizes(self, target: str) -> Mapping[str, int]:
        """Return what was written, with sizes; `target` is the output that was planned."""
        return {target: self.outputs} if isinstance(self.outputs, int) else self.outputs

    def found(self, target: str, path: str, size: int) -> None:
        """Note that a file stands in the destination."""
        self.standing += self.sizes(target).get(path) == size


@dataclass(slots=True)
class LastFailure:
    """The last failure on the way to an output."""

    match: bytes
    match_seen: bytes | None
    source: int
    """The hash of the source, as above."""
    bars: bool
    when: str
    run_id: str
    try_number: int
    attempt: int
    error: str
    code: int | None
    timeout: int | None


@dataclass(frozen=True, slots=True)
class AnsweredAttempt:
    """A conversion that has an answer, by what its job's id is derived from."""

    target: str
    fingerprint: str
    attempt: int


_FOR_NOTHING = frozenset({"ConversionError", "TransientConversionError", "ResultLostError"})
"""Errors of which one conversion has nothing to show."""


@dataclass(slots=True)
class _File:
    """What a file's conversion took.

    :param charged: conversions, in all tries together.
    :param most: the highest cost of a record: who collects what a killed try paid for says so.
    :param kept: conversions whose results the next try finds.
    """

    charged: int = 0
    most: int = 0
    kept: int = 0


@dataclass(slots=True)
class Spending:
    """What the records of one task instance say that it took from the balance.

    A try names the whole cost of what it ends, also what an earlier one had paid of it.
    """

    _files: dict[tuple[str, bytes], _File] = field(default_factory=dict, init=False)

    @property
    def total(self) -> int:
        """Return the conversions."""
        return sum(max(file.charged, file.most) for file in self._files.values())

    def add(self, record: Record) -> None:
        """Count a record of the task instance; each is to be given once, in any order."""
        if not (record.cost or record.charged):
            return
        file = self._files.setdefault((record.target, record.match), _File())
        file.charged += record.charged
        file.most = max(file.most, record.cost)
        if datetime.fromisoformat(record.when) > datetime.now(UTC) - RETENTION:
            file.kept = max(file.kept, record.cost - (record.error in _FOR_NOTHING))

    def kept(self, target: str, matches: Iterable[bytes]) -> int:
        """Return the conversions of a file that were paid and that the next try finds done.

        :param matches: what records of its conversion may be known by.
        """
        files = [self._files.get((target, match)) for match in matches]
        return max((file.kept for file in files if file), default=0)


@dataclass(slots=True)
class Index:
    """What the manifest says of each output, as far as a plan needs it.

    :param author: whose own records are counted.
    :param only_own_run: leave the records of other runs out.
    """

    author: Author
    only_own_run: bool = False
    converted: dict[str, LastConversion] = field(default_factory=dict)
    failed: dict[str, LastFailure] = field(default_factory=dict)
    spending: Spending = field(default_factory=Spending)
    _several: dict[str, str] = field(default_factory=dict)
    _others: dict[str, str] = field(default_factory=dict)
    _counted: set[int] = field(default_factory=set)
    _own: deque[tuple[datetime, AnsweredAttempt]] = field(default_factory=deque)

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
        if record.is_of(self.author):
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
                settled = AnsweredAttempt(record.target, record.fingerprint, record.attempt)
                self._add_own(datetime.fromisoformat(record.when), settled)

    def _add_own(self, when: datetime, settled: AnsweredAttempt) -> None:
        self._own.append((when, settled))
        while self._own[0][0] < when - _CLEANED_AFTER:  # parts come in their order, nearly
            self._own.popleft()

    def recent(self) -> dict[str, AnsweredAttempt]:
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
        self.converted[record.target] = LastConversion(
            record.match,
            record.match_seen,
            hash(record.source),
            record.sizes[0] if as_planned else outputs,
            record.when,
        )

    def _add_failed(self, record: Record) -> None:
        standing = self.failed.get(record.target)
        if standing is None or standing.when <= record.when:
            self.failed[record.target] = LastFailure(
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
