"""The manifest: immutable parts of JSON lines beside the outputs, written by many tasks at once.

This module may change from release to release.
"""

from __future__ import annotations

import logging
import re
import secrets
from codecs import BOM_UTF8
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_convertapi.batch.record import Record
from airflow_provider_convertapi.batch.tables import open_database, pack
from airflow_provider_convertapi.clock import SYSTEM_CLOCK
from airflow_provider_convertapi.storage import OWN_DIRECTORY, Folder
from airflow_provider_convertapi.surroundings import surroundings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_provider_convertapi.clock import Clock
    from airflow_provider_convertapi.conversions.task import TaskTry

MANIFEST = "manifest/"
PLANS = "plans/"
SALT = "salt-"
_SALT_NAME = re.compile(SALT + "([0-9a-f]+)")
MANY_PARTS = 50
"""The number of parts above which a run compacts them."""

_LINES_A_PART = 20_000
_TOLERANCE = 60.0
"""Seconds by which clocks may differ before their records are written again, corrected."""

_LONG_AGO = 1000
"""A time divided by this lies in 1970 or soon after, and the order of times is kept."""

_SALT_BYTES = 8

_KEPT = "CREATE TABLE kept (key BLOB PRIMARY KEY, at TEXT, line BLOB) WITHOUT ROWID;"
_KEEP = """
INSERT INTO kept VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET at = excluded.at, line = excluded.line WHERE excluded.at >= at
"""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Manifest:
    """The records of everything that was converted into one destination.

    :param files: the directory of the parts.
    """

    files: Folder
    clock: Clock = SYSTEM_CLOCK
    has_wrong_times: bool = field(default=False, init=False)
    """Whether a record that was read came from a clock that was ahead."""
    _mixed: set[str] = field(default_factory=set, init=False)
    """Parts with lines that are not records: a later version may have written them."""

    def records(self) -> Iterator[tuple[str, Record]]:
        """Yield each record with the name of its part.

        A part that vanishes was compacted by another task.  Its replacement is read as well, so a
        record may come twice, but none is missed.
        """
        done: set[str] = set()
        # Repeated as often as necessary: a file whose record is missed would be paid again.
        vanished = True
        while vanished:
            vanished = False
            for name in self.part_names():
                if name in done:
                    continue
                done.add(name)  # names of parts are never used again
                try:
                    data = self.files.read(name)
                except FileNotFoundError:
                    vanished = True
                    continue
                records = self._dated(name, self._parse(name, data))
                yield from ((name, record) for record in records)

    def _parse(self, name: str, data: bytes) -> Iterator[Record]:
        foreign = []
        # An editor may have added a byte order mark.
        for number, line in enumerate(data.removeprefix(BOM_UTF8).splitlines(), 1):
            record = Record.from_line(line)
            if record is not None:
                yield record
            elif line.strip():
                foreign.append(number)
        if foreign:
            self._mixed.add(name)
            _log.warning(
                "%d lines of the manifest's part %s are not records and are left out; the first is "
                "line %d.",
                len(foreign),
                name,
                foreign[0],
            )

    def _dated(self, name: str, records: Iterable[Record]) -> Iterator[Record]:
        """Yield records; a record from the future gets the time at which its part was written.

        Its writer's clock was ahead: unchanged, it would outrank all newer records until then.
        """
        present, written = self.clock.time(), None
        now = _as_text(present)
        for record in records:
            if record.when <= now:
                yield record
                continue
            when = datetime.fromisoformat(record.when).timestamp()
            self.has_wrong_times = self.has_wrong_times or when - present > _TOLERANCE
            if written is None:
                written = self.files.modified(name) or 0.0
            # If the store's clock is ahead, too, only the order of these records is kept.
            is_known = 0 < written <= present
            yield replace(record, when=_as_text(written if is_known else when / _LONG_AGO))

    def part_names(self) -> list[str]:
        """Return the names of the existing parts."""
        return [name for name in self.files.names() if name.endswith(".jsonl")]

    def write(self, name: str, records: Iterable[Record]) -> None:
        """Publish a part."""
        self.files.write(name, b"".join(record.to_line() for record in records))

    def compact(self, task: TaskTry, *, always: bool = False) -> None:
        """Replace many parts by a few.

        This also corrects the times of records whose writer's clock was ahead; otherwise they would
        count as the newest once that time has come.

        Only records that no decision needs are lost: a file's records before its last conversion
        into the same outputs and before its last failure.  Records of the task's own run are kept,
        and those of paid conversions, so that reports of costs stay complete.  Two tasks may do
        this at once: both write the same records, and each removes the parts that it has read.

        :param always: True compacts even if there are few parts.
        """
        if not always and len(self.part_names()) <= MANY_PARTS:
            return
        read: set[str] = set()
        with closing(open_database(_KEPT)) as database:
            for name, record in self.records():
                read.add(name)
                row = (_compaction_key(record, task), record.when, record.to_line())
                database.execute(_KEEP, row)
            kept = database.execute("SELECT line FROM kept ORDER BY key")
            while lines := kept.fetchmany(_LINES_A_PART):
                self.files.write(part_name(task, "compacted"), b"".join(line for (line,) in lines))
        # Only after the new parts are published, so that a task that is killed loses no record.
        for name in read - self._mixed:
            self.files.delete(name)


def _as_text(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds")


def _compaction_key(record: Record, task: TaskTry) -> bytes:
    """Return the key under which only the last record is kept; unique if all are needed."""
    # Of a conversion that a killed try paid, only the record of the try that collected it tells.
    if record.run_id == task.run_id or record.charged or record.cost:
        return pack(f"{record.target}\0\0") + record.to_line()
    return pack("\0".join((record.target, record.outcome, *record.outputs)))


def last_records(records: Iterable[Record]) -> Mapping[str, Record]:
    """Return the last record of each output.

    A conversion outranks a failure of the same file, unless the file was converted again because
    its outputs were gone.
    """
    last: dict[str, Record] = {}
    for record in records:
        known = last.get(record.target)
        if known is None or _outranks(record, known):
            last[record.target] = record
    return last


def _outranks(record: Record, known: Record) -> bool:
    is_failure_newer = "converted" in (record.outcome, known.outcome) and (
        record.outputs_gone or known.outputs_gone
    )
    if record.match == known.match and record.outcome != known.outcome and not is_failure_newer:
        return _RANKS[record.outcome] > _RANKS[known.outcome]
    return record.when >= known.when


_RANKS = {"not_attempted": 0, "failed": 1, "converted": 2}


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """The directory of our own files beside the outputs: manifest, salts, checkpoints.

    :param own: the directory.
    """

    own: Folder
    clock: Clock = SYSTEM_CLOCK

    @classmethod
    def beside(cls, destination: str) -> StateDirectory:
        """Return the state directory of a destination, which ends in ``/``."""
        return cls(Folder(f"{destination}{OWN_DIRECTORY}/"), surroundings().clock)

    @property
    def manifest(self) -> Manifest:
        """Return the manifest."""
        return Manifest(Folder(self.own.uri + MANIFEST), self.clock)

    @property
    def checkpoints(self) -> Folder:
        """Return the directory of the plans that a task resumes."""
        return Folder(self.own.uri + PLANS)

    def salts(self) -> list[str]:
        """Return the salts that key the digests of parameters; usually there is one.

        Two tasks that write a destination's first records at once may each create one.  Therefore
        every record names its salt, and readers try them all.
        """
        found = map(_SALT_NAME.fullmatch, self.own.names())
        return [match[1] for match in found if match]

    def new_salt(self) -> str:
        """Store a new salt, and return it."""
        salt = secrets.token_hex(_SALT_BYTES)
        self.own.write(SALT + salt, salt.encode())
        return salt


def part_name(task: TaskTry, sequence: int | str) -> str:
    """Return a name for a part, distinct from all others."""
    number = f"{sequence:06d}" if isinstance(sequence, int) else sequence
    return f"{name_prefix(task)}-{task.number}-{number}-{secrets.token_hex(4)}.jsonl"


def name_prefix(task: TaskTry) -> str:
    """Return the prefix of a task instance's files; two tasks may have the same."""
    # A name that begins with a dot would be hidden, and never be read.
    name = re.sub(r"^[.]|[^A-Za-z0-9_.-]", "_", f"{task.dag_id}.{task.task_id}")[:100]
    return f"{name}-{max(task.map_index, 0):04d}"
