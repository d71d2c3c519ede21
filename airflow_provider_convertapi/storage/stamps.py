"""Stamps of local files, which vanish when any program writes to the file or replaces it.

A file system has no attribute for that purpose.  But the last digits of a file's time of
modification, which nobody reads, change with every write: they hold the beginning of the stamp.

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

_STAMP = 0xFFFF
"""The bits of a time, in ticks, that hold a stamp: the last 6.5 milliseconds."""

_STAMP_DIGITS = 4


def put_stamp(file: Path, stamp: str) -> None:
    """Write the beginning of a stamp into the last digits of a file's time of modification."""
    found = file.stat()
    before = found.st_mtime_ns // _TICK
    stamped = before & ~_STAMP | int(stamp[:_STAMP_DIGITS], 16)
    if stamped > before:  # never in the future
        stamped -= _STAMP + 1
    with suppress(OSError):  # a file that cannot be stamped is published without a stamp
        os.utime(file, ns=(found.st_atime_ns, stamped * _TICK))
        if stamp_in(file.stat().st_mtime_ns) != stamp[:_STAMP_DIGITS]:
            # The disk keeps coarser times: whole seconds mean that it keeps no stamps.
            whole = found.st_mtime_ns // _SECOND * _SECOND
            os.utime(file, ns=(found.st_atime_ns, whole))


def stamp_in(nanoseconds: int) -> str | None:
    """Return the stamp in a time of modification; None if it has only whole seconds."""
    if nanoseconds % _SECOND == 0:
        return None
    ticks, rest = divmod(nanoseconds, _TICK)
    return "" if rest else f"{ticks & _STAMP:0{_STAMP_DIGITS}x}"
