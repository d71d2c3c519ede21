"""Stamps of local files: whoever writes to a file, or replaces it, removes its stamp.

A disk keeps no data beside a file's own that every program would drop when it writes.  But it keeps
the time of the last write in digits that nobody reads, and those carry the beginning of a stamp.

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
"""The bits of a time, in ticks, that carry a stamp: the last 6.5 milliseconds."""

_STAMP_DIGITS = 4


def put_stamp(file: Path, stamp: str) -> None:
    """Write the beginning of a stamp into the last digits of a file's time of modification.

    Whoever writes to the file, or replaces it, changes them.
    """
    found = file.stat()
    before = found.st_mtime_ns // _TICK
    stamped = before & ~_STAMP | int(stamp[:_STAMP_DIGITS], 16)
    if stamped > before:  # never in the future
        stamped -= _STAMP + 1
    with suppress(OSError):  # what cannot be stamped is published all the same
        os.utime(file, ns=(found.st_atime_ns, stamped * _TICK))
        if stamp_in(file.stat().st_mtime_ns) != stamp[:_STAMP_DIGITS]:
            # The disk keeps coarser times: whole seconds say that it cannot tell.
            whole = found.st_mtime_ns // _SECOND * _SECOND
            os.utime(file, ns=(found.st_atime_ns, whole))


def stamp_in(nanoseconds: int) -> str | None:
    """Return the stamp in a time of modification; None where it has whole seconds only."""
    if nanoseconds % _SECOND == 0:
        return None
    ticks, rest = divmod(nanoseconds, _TICK)
    return "" if rest else f"{ticks & _STAMP:0{_STAMP_DIGITS}x}"
