"""The local directory in which results wait before they are uploaded to a store.

This module may change from release to release.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from airflow_provider_convertapi.clock import SYSTEM_CLOCK
from airflow_provider_convertapi.storage.locks import locked, try_to_lock

_PREFIX = "airflow-provider-convertapi-spool-"
"""A prefix that no other program uses, because leftovers with it are removed."""

_FRESH = 60.0
"""Seconds for which a new spool is left alone, since it may not be locked yet."""


class Spool:
    """A directory that is created when it is needed, and locked while its process lives."""

    def __init__(self) -> None:
        self._directory: Path | None = None
        self._lock: int | None = None

    def directory(self) -> Path:
        """Return the directory; the first call creates it."""
        if self._directory is None:
            _remove_leftovers(tempfile.gettempdir())
            self._directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
            self._lock = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
            try_to_lock(self._lock)
        return self._directory

    def remove(self) -> None:
        """Remove the directory and everything in it."""
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
        self._directory = self._lock = None


@cache
def _remove_leftovers(directory: str) -> None:
    """Remove the spools of killed processes; runs once in each process."""
    for path in Path(directory).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            # A spool in use is locked; a new one may not be locked yet.
            if path.stat().st_mtime < SYSTEM_CLOCK.time() - _FRESH:
                with locked(path):
                    shutil.rmtree(path, ignore_errors=True)
