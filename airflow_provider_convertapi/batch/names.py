"""Name every output of a batch before anything is paid, and find those that collide.

This module may change from release to release.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.converters import (
    extension_of,
    result_extension,
    without_extension,
)
from airflow_provider_convertapi.batch.tables import pack, unpack
from airflow_provider_convertapi.errors import ParameterError
from airflow_provider_convertapi.storage import OWN_DIRECTORY, fitting_directory, safe_name

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from airflow_provider_convertapi.batch.arguments import OnCollision

_SHOWN = 5
_DIGITS = 8
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LEADS_AWAY = re.compile(rf"(?:^|/)(?:{OWN_DIRECTORY})?[. ]*(?:/|$)", re.IGNORECASE)
"""A part of a path that leads out of the directory, or into our own; Windows ignores dots and
spaces at the end of a name."""

_AT_ONCE = 1000


def shard_of(path: str, shards: int) -> int:
    """Return which of `shards` a file belongs to, counted from 0; it never changes."""
    return shard_number(path) % shards


def shard_number(path: str) -> int:
    """Return the 64-bit number that decides a file's shard.

    Files whose outputs may collide, such as `a.docx` and `a.odt`, are in one shard: it ignores the
    extension, and everything else that the name of an output does not keep.
    """
    # Two shards that both had a file would both pay for it, so this may not change between releases
    # while shards of the old one are mapped or retried.
    kept = _in_directory(path, safe_name(without_extension(path.rpartition("/")[2])))
    digest = hashlib.sha256(kept.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big")


@dataclass(frozen=True, slots=True)
class Naming:
    """How outputs are named.

    :param to_formats: target format or tool of each step.
    :param on_collision: ``fail`` refuses a batch in which two inputs have the same output;
        ``suffix`` adds their extensions: `a.docx.pdf`, `a.odt.pdf`.
    :param safe: turns a single name into one that every store accepts.
    :param from_formats: source format of each step, None if it was not given; used for inputs
        without an extension.
    """

    to_formats: Sequence[str]
    on_collision: OnCollision
    safe: Callable[[str], str]
    from_formats: Sequence[str | None] = ()

    def plain(self, path: str) -> str:
        """Return the relative path of an input's output."""
        return self._named(path, without_extension(path.rpartition("/")[2]))

    def suffixed(self, path: str) -> str:
        """Return the path with the input's extension in it."""
        return self._named(path, path.rpartition("/")[2])

    def hashed(self, path: str, source: str) -> str:
        """Return the path with a digest of the input's location, for inputs of the same name."""
        # From the input alone: a name that depended on other files would change with them, and a
        # file whose output has another name is paid again.
        digest = hashlib.sha256(source.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]
        return self._named(path, f"{path.rpartition('/')[2]}-{digest}")

    def _named(self, path: str, stem: str) -> str:
        made = path
        for to_format, origin in zip_longest(self.to_formats, self.from_formats):
            if origin and not extension_of(made):
                made = f"x.{origin}"
            made = f"x.{result_extension(made, to_format)}"
        return _in_directory(path, self.safe(f"{stem}.{made[2:]}"))

    def assign(
        self,
        tables: sqlite3.Connection,
        record_uri: Callable[[str], str],
        is_from: Callable[[str, str], bool | None],
    ) -> None:
        """Make the outputs in the tables, which have their plain names, distinct.

        `ParameterError` lists the outputs that still collide.

        :param record_uri: returns the name of an input in records.
        :param is_from: tells whether an output was made from an input before, which then keeps its
            name; None if no record has the output.
        """
        tables.execute("CREATE TABLE colliding (target BLOB PRIMARY KEY) WITHOUT ROWID")
        tables.execute("CREATE TABLE taken (target BLOB PRIMARY KEY) WITHOUT ROWID")
        if self.on_collision == "suffix":
            self._rename(tables, record_uri, is_from, "TRUE")
        # New names may collide again, so this repeats until none do, or no free name is left.
        while _find_colliding(tables):
            if self.on_collision == "fail" or not _take(tables):
                raise _collision(tables)
            condition = "target IN (SELECT target FROM colliding)"
            self._rename(tables, record_uri, is_from, condition)

    def _rename(
        self,
        tables: sqlite3.Connection,
        record_uri: Callable[[str], str],
        is_from: Callable[[str, str], bool | None],
        condition: str,
    ) -> None:
        def is_taken(target: str) -> bool:
            query = "SELECT 1 FROM taken WHERE target = ?"
            return tables.execute(query, (pack(target),)).fetchone() is not None

        number = 0
        query = (
            f"SELECT number, path, uri FROM inputs WHERE number > ? AND {condition} "  # noqa: S608 - both are ours
            f"ORDER BY number LIMIT {_AT_ONCE}"
        )
        while rows := tables.execute(query, (number,)).fetchall():
            named = [
                (pack(self._choice(unpack(path), record_uri(unpack(uri)), is_from, is_taken)), row)
                for row, path, uri in rows
            ]
            tables.executemany("UPDATE inputs SET target = ? WHERE number = ?", named)
            number = rows[-1][0]

    def _choice(
        self,
        path: str,
        source: str,
        is_from: Callable[[str, str], bool | None],
        is_taken: Callable[[str], bool],
    ) -> str:
        """Return the name that an input had before, else the first free one."""
        choices = (self.plain(path), self.suffixed(path), self.hashed(path, source))
        made = {choice: is_from(choice, source) for choice in choices}
        # The old name stays even if its collision is gone: under another name it is paid again.
        had = [choice for choice in choices if made[choice]]
        free = [choice for choice in choices if made[choice] is None and not is_taken(choice)]
        return [*had[-1:], *free, choices[-1]][0]


def _in_directory(path: str, name: str) -> str:
    """Return the relative path of an output with this name, for the input at `path`."""
    directory, slash, _ = path.rpartition("/")
    return f"{_safe_directory(directory)}/{name}" if slash else name


def _safe_directory(path: str) -> str:
    """Return the directory of an output, within the destination and outside our own files.

    Harmless names stay as they are, because a renamed output would be paid again.
    """
    path = _CONTROL.sub("_", path)
    parts = [f"_{part}" if _LEADS_AWAY.search(part) else part for part in path.split("/")]
    return "/".join(map(fitting_directory, parts))


def _find_colliding(tables: sqlite3.Connection) -> bool:
    """Note the outputs that several inputs have; tell whether there are any."""
    tables.execute("DELETE FROM colliding")
    found = tables.execute(
        "INSERT INTO colliding SELECT target FROM inputs GROUP BY target HAVING count(*) > 1"
    )
    return found.rowcount > 0


def _take(tables: sqlite3.Connection) -> bool:
    """Reserve the colliding names, which no input may get; tell whether any is new."""
    found = tables.execute("INSERT OR IGNORE INTO taken SELECT target FROM colliding")
    return found.rowcount > 0


def _collision(tables: sqlite3.Connection) -> ParameterError:
    [[count]] = tables.execute("SELECT count(*) FROM colliding")
    several = []
    for (target,) in tables.execute(f"SELECT target FROM colliding ORDER BY 1 LIMIT {_SHOWN}"):  # noqa: S608 - our own number
        query = "SELECT path FROM inputs WHERE target = ? ORDER BY number LIMIT 3"
        paths = [unpack(path) for (path,) in tables.execute(query, (target,))]
        several.append(f"{' and '.join(paths)} to {unpack(target)}")
    more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
    complaint = (
        f"would write several files to one output: {'; '.join(several)}{more}. Nothing was paid. "
        "Set on_collision='suffix' to keep their extensions apart, or convert them in two tasks"
    )
    return ParameterError(f"source {complaint}.", {"source": [complaint]})
