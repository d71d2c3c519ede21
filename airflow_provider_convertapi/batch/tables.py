"""The tables of a plan, on disk, so that memory does not grow with the number of files.

This module may change from release to release.
"""

from __future__ import annotations

import sqlite3

_CACHE = 16 * 1024  # KiB of each database that are held in memory

_SCHEMA = """
CREATE TABLE seen (uri BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE inputs (
    number INTEGER PRIMARY KEY, uri BLOB, path BLOB, fingerprint BLOB, inside BLOB, is_named INT,
    target BLOB, is_left_out INT DEFAULT 0
);
CREATE TABLE conversions (
    target BLOB PRIMARY KEY, at TEXT, match BLOB, match_seen BLOB, source INT, outputs,
    to_format BLOB
) WITHOUT ROWID;
CREATE TABLE failures (
    target BLOB PRIMARY KEY, at TEXT, match BLOB, match_seen BLOB, source INT, bars INT,
    run_id BLOB, try_number INT, attempt INT, error TEXT, code INT, timeout INT, message TEXT,
    outputs_gone INT
) WITHOUT ROWID;
CREATE TABLE used (path BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE further (
    path BLOB PRIMARY KEY, target BLOB, to_format BLOB, at TEXT, source INT, digest TEXT
) WITHOUT ROWID;
CREATE TABLE overwritten (
    path BLOB PRIMARY KEY, target BLOB, to_format BLOB, at TEXT, source INT, digest TEXT
) WITHOUT ROWID;
CREATE INDEX further_of ON further (target);
CREATE INDEX overwritten_of ON overwritten (target);
CREATE TABLE standing (path BLOB PRIMARY KEY, size INT) WITHOUT ROWID;
CREATE TABLE numbered (stem BLOB, path BLOB, PRIMARY KEY (stem, path)) WITHOUT ROWID;
CREATE TABLE counted (target BLOB, at TEXT, PRIMARY KEY (target, at)) WITHOUT ROWID;
CREATE TABLE spending (
    target BLOB, match BLOB, charged INT, most INT, kept INT, PRIMARY KEY (target, match)
) WITHOUT ROWID;
"""

IS_OUTPUT = """
SELECT NULL FROM further WHERE path = :path AND to_format = :to_format
UNION ALL SELECT NULL FROM overwritten WHERE path = :path AND to_format = :to_format
UNION ALL SELECT outputs FROM conversions WHERE target = :path AND to_format = :to_format
"""


KEEP_PATH = """
INSERT INTO {0} VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET target = excluded.target,
to_format = excluded.to_format, at = excluded.at, source = excluded.source, digest = excluded.digest
WHERE {1}
"""

FORMER = """
SELECT path, digest FROM (SELECT * FROM further UNION ALL SELECT * FROM overwritten)
WHERE target = :target AND source = :source AND to_format = :to_format AND digest != ''
AND path NOT IN (SELECT path FROM used) ORDER BY at
"""


def open_database(schema: str = "") -> sqlite3.Connection:
    """Open an empty database in an unnamed temporary file, which is removed when it is closed.

    The file lies where SQLite puts temporary files: in `SQLITE_TMPDIR` or `TMPDIR`.
    """
    # The pool's threads read in turns, under its lock, so SQLite's check of the thread is off.
    database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    database.executescript(
        f"PRAGMA temp_store = FILE; PRAGMA journal_mode = OFF; PRAGMA cache_size = -{_CACHE};"
        f"BEGIN; {schema}"  # never committed, since no other process reads it
    )
    return database


def open_tables() -> sqlite3.Connection:
    """Open the empty tables of a plan."""
    return open_database(_SCHEMA)


def pack(text: str) -> bytes:
    """Return text in the form of the tables: sorted by code point, lone surrogates allowed."""
    return text.encode("utf-8", "surrogatepass")


def unpack(data: bytes) -> str:
    """Return the text that was packed."""
    return data.decode("utf-8", "surrogatepass")
