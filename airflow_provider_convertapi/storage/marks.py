"""Marks of local files: whoever writes to a file, or replaces it, removes its mark.

A disk keeps no data beside a file's own that every program would drop when it writes.  But it keeps
the time of the last write in digits that nobody reads, and those carry the beginning of a mark.

This module may change from release to release.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_TICK = 100
"""Nanoseconds; the finest time that common file systems keep."""

_SECOND = 1_000_000_000

_MARK = 0xFFFF
"""The bits of a time, in ticks, that carry a mark: the last 6.5 milliseconds."""

_MARK_DIGITS = 4


def put_mark(file: Path, mark: str) -> None:
    """Write the beginning of a mark into the last digits of a file's time of modification.

    Whoever writes to the file, or replaces it, changes them.
    """
    found = file.stat()
    before = found.st_mtime_ns // _TICK
    marked = before & ~_MARK | int(mark[:_MARK_DIGITS], 16)
    if marked > before:  # never in the future
        marked -= _MARK + 1
    with suppress(OSError):  # what cannot be marked is published all the same
        os.utime(file, ns=(found.st_atime_ns, marked * _TICK))
        if mark_in(file.stat().st_mtime_ns) != mark[:_MARK_DIGITS]:
            # The disk keeps coarser times: whole seconds say that it cannot tell.
            whole = found.st_mtime_ns // _SECOND * _SECOND
            os.utime(file, ns=(found.st_atime_ns, whole))


def mark_in(nanoseconds: int) -> str | None:
    """Return the mark in a time of modification; None where it has whole seconds only."""
    if nanoseconds % _SECOND == 0:
        return None
    ticks, rest = divmod(nanoseconds, _TICK)
    return "" if rest else f"{ticks & _MARK:0{_MARK_DIGITS}x}"
