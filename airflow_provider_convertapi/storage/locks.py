"""Distinguish leftovers of killed processes from files in use: a lock ends with its process.

This module may change from release to release.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def try_to_lock(descriptor: int) -> None:
    """Lock an open file or directory until it is closed; `BlockingIOError` if it is locked.

    If the file system has no locks, nothing is locked, and nothing counts as a leftover.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        pass


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock a leftover of a killed process while it is removed.

    `OSError` if it is gone, if a living process has locked it, or if there are no locks.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not is_at(descriptor, path):
            raise FileNotFoundError(path)
        yield
    finally:
        os.close(descriptor)


def is_at(descriptor: int, path: Path) -> bool:
    """Tell whether an open file still has this path: another task may have removed it."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False
