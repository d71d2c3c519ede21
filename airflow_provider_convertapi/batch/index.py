"""The manifest's records, indexed by output, and what a task instance has spent.

This module may change from release to release.
"""

from __future__ import annotations

import json
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.converters import without_extension
from airflow_provider_convertapi.api.retry import RETENTION
from airflow_provider_convertapi.batch.outcomes import LastConversion
from airflow_provider_convertapi.batch.record import KnownCosts
from airflow_provider_convertapi.batch.tables import (
    FORMER,
    IS_OUTPUT,
    KEEP_PATH,
    pack,
    unpack,
)
from airflow_provider_convertapi.errors import facts_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Container, Iterable, Iterator

    from airflow_provider_convertapi.batch.manifest import Manifest
    from airflow_provider_convertapi.batch.record import Record
    from airflow_provider_convertapi.conversions.task import TaskTry
    from airflow_provider_convertapi.storage import Found

_CLEANED_AFTER = timedelta(minutes=1)
"""How long after its record a document may still be at the service: records are published every few
seconds, and documents are deleted after that, between two files."""

_MOST_SALTS = 16
"""The most salts of records that are tried: each takes 50 ms, and records may be forged."""

_OF_A_PATH = (
    "SELECT 1 FROM inputs WHERE target = ?",
    "SELECT 1 FROM conversions WHERE target = ?",
    "SELECT 1 FROM further WHERE path = ?",
    "SELECT 1 FROM overwritten WHERE path = ?",
)


class Index:
    """The manifest's records of each output, as far as a plan needs them.

    :param tables: the tables that hold them.
    :param task: the task whose spending is counted.
    :param now: seconds since the epoch.
    :param only_own_run: True uses the records of other runs only to know what may be overwritten.
    """

    def __init__(
        self,
        tables: sqlite3.Connection,
        task: TaskTry,
        now: float,
        *,
        only_own_run: bool = False,
    ) -> None:
        self._now = datetime.fromtimestamp(now, UTC)
        self._tables, self._task, self._only_own_run = tables, task, only_own_run
        self._own: deque[tuple[datetime, str, tuple[str, int]]] = deque()
        self._has_numbered = self._has_digests = False
        self.has_conversions = False
        self.costs = KnownCosts()
        self.salts: set[str] = set()
        """Salts under which the parameters of records were digested."""

    # --- records -------------------------------------------------------------------------------

    def read(self, manifest: Manifest) -> None:
        """Add every record of the manifest."""
        for _, record in manifest.records():
            self.add(record)

    def add(self, record: Record) -> None:
        """Add one record; the order does not matter."""
        if record.is_of(self._task):
            self._count(record)
        self.costs.add(record)
        if len(self.salts) < _MOST_SALTS:
            self.salts.add(record.parameters.partition(":")[0])
        self._has_digests = self._has_digests or bool(record.digests)
        # With `overwrite` other runs' records settle nothing, but their outputs may be replaced.
        if self._only_own_run and record.run_id != self._task.run_id:
            self._add_overwritten(record)
        elif record.outcome == "converted":
            self._add_conversion(record)
        elif record.outcome == "failed":
            self._add_failure(record)

    def _add_overwritten(self, record: Record) -> None:
        # A path belongs to the file that it was planned for, if there is one.
        self._tables.executemany(
            KEEP_PATH.format("overwritten", "target != path AND excluded.at >= at"),
            _rows_of_paths(record, record.outputs),
        )

    def _add_conversion(self, record: Record) -> None:
        self.has_conversions = True
        as_planned = record.outputs == (record.target,) and len(record.sizes) == 1
        if not as_planned:
            further = [path for path in record.outputs if path != record.target]
            self._tables.executemany(
                KEEP_PATH.format("further", "excluded.at >= at"), _rows_of_paths(record, further)
            )
        # Not strict: whoever can write into the destination may have written the record.
        outputs = dict(zip(record.outputs, record.sizes, strict=False))
        self._put(
            "conversions",
            pack(record.target),
            record.when,
            record.match,
            record.match_seen,
            hash(record.source),
            record.sizes[0] if as_planned else json.dumps(outputs),
            pack(record.to_format),
        )

    def _add_failure(self, record: Record) -> None:
        self._put(
            "failures",
            pack(record.target),
            record.when,
            record.match,
            record.match_seen,
            hash(record.source),
            record.bars,
            pack(record.run_id),
            record.try_number,
            record.attempt,
            record.error or "",
            record.code,
            record.timeout,
            record.message or "",
            record.outputs_gone,
        )

    def _put(self, table: str, *row: object) -> None:
        """Insert a row, which begins with output and time, unless there is a later one."""
        values = ", ".join("?" * len(row))
        self._tables.execute(
            f"INSERT OR REPLACE INTO {table} SELECT {values} WHERE NOT EXISTS "  # noqa: S608 - both are ours
            f"(SELECT 1 FROM {table} WHERE target = ? AND at > ?)",
            (*row, *row[:2]),
        )

    def conversion(self, target: str) -> LastConversion | None:
        """Return the last conversion into an output."""
        row = self._one(
            "SELECT match, match_seen, source, outputs FROM conversions WHERE target = ?", target
        )
        return row and LastConversion.from_row(row)

    def is_output(self, path: str, to_format: str) -> bool:
        """Tell whether a batch wrote a path, relative to the destination, in this format."""
        row = self._tables.execute(
            IS_OUTPUT, {"path": pack(path), "to_format": pack(to_format)}
        ).fetchone()
        if row is None:
            return False
        # The planned output may not be among those that were written.
        return not isinstance(row[0], str) or path in json.loads(row[0])

    def is_from(self, target: str, source: str) -> bool | None:
        """Tell whether an output was made from this source, or failed; None without a record."""
        row = self._one("SELECT source FROM conversions WHERE target = ?", target) or self._one(
            "SELECT source FROM failures WHERE target = ?", target
        )
        return None if row is None else bool(row[0] == hash(source))

    # --- existing files, and which conversion wrote them ---------------------------------------

    def note_standing(self, files: Iterable[Found]) -> None:
        """Add the files that the destination holds now."""
        rows = ((pack(file.path), file.size) for file in files)
        self._tables.executemany("INSERT OR REPLACE INTO standing VALUES (?, ?)", rows)

    def knows(self, path: str) -> bool:
        """Tell whether a path is a planned output, or one that a batch wrote."""
        return any(self._one(query, path) for query in _OF_A_PATH)

    def is_input(self, path: str) -> bool:
        """Tell whether a path was listed, and no record of this conversion has it as an output."""
        return self._one("SELECT 1 FROM used WHERE path = ?", path) is not None

    def note_planned(self, takes: Callable[[str], bool]) -> None:
        """Note the outputs with numbers, which a file with several results has.

        :param takes: tells whether a listed file is one that the batch converts; with `overwrite`,
            no result may have its name.
        """
        for table, column in (
            ("inputs", "target"),
            ("conversions", "target"),
            ("further", "path"),
            ("overwritten", "path"),
            *([("used", "path")] if self._only_own_run else []),
        ):
            dashed = f"SELECT {column} FROM {table} WHERE instr({column}, x'2d')"  # noqa: S608 - both are ours
            paths = (path for (path,) in self._tables.execute(dashed))
            if table == "used":
                paths = (path for path in paths if takes(unpack(path)))
            numbered = self._numbered(paths)
            self._tables.executemany("INSERT OR IGNORE INTO numbered VALUES (?, ?)", numbered)
        found = self._tables.execute("SELECT 1 FROM numbered LIMIT 1")
        self._has_numbered = found.fetchone() is not None

    @staticmethod
    def _numbered(paths: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
        for path in paths:
            stem, dash, number = without_extension(unpack(path)).rpartition("-")
            if dash and number.isdecimal():
                yield pack(stem), path

    def stands(
        self,
        target: str,
        conversion: LastConversion,
        look: Callable[[str], int | None] | None = None,
    ) -> bool:
        """Tell whether every output still exists as it was written.

        :param look: returns the size of an output that the destination's listing did not show.
        """
        return all(
            self._standing_size(path, look) == size and self._is_for(path, target)
            for path, size in conversion.sizes(target).items()
        )

    def _standing_size(self, path: str, look: Callable[[str], int | None] | None) -> int | None:
        row = self._one("SELECT size FROM standing WHERE path = ?", path)
        if row is not None:
            return int(row[0])
        return look(path) if look else None

    def _is_for(self, path: str, target: str) -> bool:
        """Tell whether no other output's conversion has written this path since."""
        row = path != target and self._one("SELECT target FROM further WHERE path = ?", path)
        return not row or row[0] == pack(target)

    def own_outputs(
        self, target: str, conversion: LastConversion, former: Container[str]
    ) -> tuple[str, ...]:
        """Return the files that conversions of an output wrote, the last one or earlier ones.

        :param former: the result of `former_outputs`; these are ours only while their content is as
            recorded, unless the last conversion wrote them.
        """
        last = conversion.sizes(target)
        written = dict.fromkeys([*last, *(p for p in self._near(target) if p not in former)])
        return tuple(path for path in written if path == target or self._is_of(path, target))

    def former_outputs(self, target: str, source: str, to_format: str) -> dict[str, str]:
        """Return the files that conversions of this file wrote beside the planned output.

        The values are digests of their content.  A later version may have fewer of them.  Files
        that are inputs now are left out.
        """
        if not self._has_digests:
            return {}
        asked = {"target": pack(target), "source": hash(source), "to_format": pack(to_format)}
        found = self._tables.execute(FORMER, asked)
        former = {unpack(path): str(digest) for path, digest in found}
        return {path: digest for path, digest in former.items() if self._is_of(path, target)}

    def foreign_outputs(self, target: str) -> tuple[str, ...]:
        """Return other files' outputs that have the names of its numbered results."""
        return tuple(path for path in self._near(target) if not self._is_of(path, target))

    def _near(self, target: str) -> list[str]:
        if not self._has_numbered:
            return []
        stem = pack(without_extension(target))
        found = self._tables.execute("SELECT path FROM numbered WHERE stem = ?", (stem,))
        return [unpack(path) for (path,) in found]

    def _is_of(self, path: str, target: str) -> bool:
        if self._one("SELECT 1 FROM inputs WHERE target = ?", path):
            return False
        return self._makers(path) == {pack(target)}

    def _makers(self, path: str) -> set[bytes]:
        """Return the planned outputs whose conversions wrote a path."""
        makers = {
            target
            for (target,) in self._tables.execute(
                "SELECT target FROM further WHERE path = :path "
                "UNION ALL SELECT target FROM overwritten WHERE path = :path",
                {"path": pack(path)},
            )
        }
        conversion = self.conversion(path)
        if conversion is not None and path in conversion.sizes(path):
            makers.add(pack(path))
        return makers

    # --- spending ------------------------------------------------------------------------------

    def _count(self, record: Record) -> None:
        found = self._tables.execute(
            "INSERT OR IGNORE INTO counted VALUES (?, ?)", (pack(record.target), record.when)
        )
        if not found.rowcount:
            return  # compaction may show a record twice
        if record.cost or record.charged:
            self._spend(record)
        if record.try_number < self._task.number and record.outcome != "not_attempted":
            self._add_own(datetime.fromisoformat(record.when), record)

    def _spend(self, record: Record) -> None:
        """Count a try's conversions; its cost includes those that an earlier try paid."""
        is_kept = datetime.fromisoformat(record.when) > self._now - RETENTION
        # A result that is younger than the service's retention can be collected without paying
        # again; a conversion that ended with a verdict, or was lost, has no result.
        is_for_nothing = facts_of(record.error).concerns in ("document", "result")
        kept = record.cost - is_for_nothing if is_kept else 0
        self._tables.execute(
            "INSERT INTO spending VALUES (?, ?, ?, ?, max(?, 0)) ON CONFLICT DO UPDATE SET "
            "charged = charged + excluded.charged, most = max(most, excluded.most), "
            "kept = max(kept, excluded.kept)",
            (pack(record.target), record.match, record.charged, record.cost, kept),
        )

    @property
    def spent(self) -> int:
        """Return the conversions that the task instance took, over all its tries."""
        query = "SELECT coalesce(sum(max(charged, most)), 0) FROM spending"
        return int(self._tables.execute(query).fetchone()[0])

    def prepaid(self, target: str, matches: Iterable[bytes]) -> int:
        """Return a file's paid conversions whose results the next try can collect.

        :param matches: digests that records of its conversion may have.
        """
        query = "SELECT kept FROM spending WHERE target = ? AND match = ?"
        found = (self._tables.execute(query, (pack(target), match)).fetchone() for match in matches)
        return max((row[0] for row in found if row), default=0)

    def _add_own(self, when: datetime, record: Record) -> None:
        self._own.append((when, record.target, (record.fingerprint, record.attempt)))
        while self._own[0][0] < when - _CLEANED_AFTER:  # parts are read nearly in order
            self._own.popleft()

    def recent(self) -> dict[str, tuple[str, int]]:
        """Return fingerprint and attempt of the files that earlier tries recorded last, by output.

        A try that was killed just after that may have left their documents at the service, under
        ids that are derived from fingerprint and attempt.
        """
        own = sorted(self._own)
        if not own or own[-1][0] < self._now - RETENTION:
            return {}  # by now another run may use the same ids
        since = own[-1][0] - _CLEANED_AFTER
        return {target: answered for when, target, answered in own if when >= since}

    def _one(self, query: str, path: str) -> Any:
        return self._tables.execute(query, (pack(path),)).fetchone()


def _rows_of_paths(record: Record, paths: Iterable[str]) -> Iterator[tuple[Any, ...]]:
    """Yield a row for each of a record's outputs that the plan did not name."""
    digests = dict(zip(record.outputs, record.digests, strict=False))
    target, to_format = pack(record.target), pack(record.to_format)
    for path in paths:
        digest = digests.get(path, "")
        yield pack(path), target, to_format, record.when, hash(record.source), digest
