"""The manifest: immutable parts of JSON lines beside the outputs, written by many tasks at once.

This module may change from release to release.
"""

from __future__ import annotations

import logging
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_convertapi.batch.record import Record
from airflow_provider_convertapi.storage import OWN_DIRECTORY, Folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from airflow_provider_convertapi.batch.record import Author

MANIFEST = "manifest/"
PLANS = "plans/"
SALT = "salt-"
MANY_PARTS = 50
"""Parts above which a run that ends well writes them together."""

_LINES_A_PART = 20_000
_SALT_BYTES = 8
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
            self.write(part_name(author, "compacted"), kept[start : start + _LINES_A_PART])
        for name in read:
            self.files.delete(name)


def _parse(name: str, data: bytes) -> Iterator[Record]:
    for number, line in enumerate(data.splitlines(), 1):
        record = Record.from_line(line)
        if record is not None:
            yield record
        elif line.strip():
            _log.warning("Line %d of the manifest's part %s is no record.", number, name)


def last_records(records: Iterable[Record]) -> Mapping[str, Record]:
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


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """The directory of our own files beside the outputs: manifest, salts, checkpoints.

    :param own: that directory.
    """

    own: Folder

    @classmethod
    def beside(cls, destination: str) -> StateDirectory:
        """Return that of a destination; `destination` ends in ``/``."""
        return cls(Folder(f"{destination}{OWN_DIRECTORY}/"))

    @property
    def manifest(self) -> Manifest:
        """Return the manifest."""
        return Manifest(Folder(self.own.uri + MANIFEST))

    @property
    def checkpoints(self) -> Folder:
        """Return where plans wait for a task to resume."""
        return Folder(self.own.uri + PLANS)

    def salts(self) -> list[str]:
        """Return the salts that keyed the digests of parameters; mostly one.

        Two tasks that write a destination's first records at once may each make one.  So every
        record names its own, and a reader knows them all.
        """
        return [name.removeprefix(SALT) for name in self.own.names() if name.startswith(SALT)]

    def new_salt(self) -> str:
        """Keep a new salt, and return it."""
        salt = secrets.token_hex(_SALT_BYTES)
        self.own.write(SALT + salt, salt.encode())
        return salt


def part_name(author: Author, sequence: int | str) -> str:
    """Return a name that no other part has."""
    number = f"{sequence:06d}" if isinstance(sequence, int) else sequence
    return f"{name_prefix(author)}-{author.try_number}-{number}-{secrets.token_hex(4)}.jsonl"


def name_prefix(author: Author) -> str:
    """Return how the names of a task instance's files begin; two tasks may have it in common."""
    task = re.sub(r"[^A-Za-z0-9_.-]", "_", f"{author.dag_id}.{author.task_id}")[:100]
    return f"{task}-{max(author.map_index, 0):04d}"
