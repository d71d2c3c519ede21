"""Results that are uploaded under a hidden name, and then renamed.

This module may change from release to release.
"""

from __future__ import annotations

import logging
import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, Self

from airflow_provider_convertapi.storage.location import Location
from airflow_provider_convertapi.storage.names import temporary_name
from airflow_provider_convertapi.storage.uris import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

_log = logging.getLogger(__name__)

_in_use: set[str] = set()
"""URIs of hidden files that this process writes; two threads may publish to one name."""
_in_use_lock = threading.Lock()


class Place(Location, Protocol):
    """A location in a store that can rename."""

    def sibling(self, name: str) -> Self:
        """Return the location called `name` in the same directory."""

    def put(self, file: Path, *, replace: bool) -> None:
        """Upload a local file."""

    def rename(self, new: Self, size: int, *, replace: bool) -> None:
        """Give a complete file its name."""


class RenamedPart:
    """A result in the local spool, for a store that shows a file while it is written.

    Its hidden name contains the mark of its try, so that the next try can remove the files of a
    killed one: such stores have no locks that would show whether a file is in use.
    """

    def __init__(self, target: Place, spool: Path, marks: Sequence[str]) -> None:
        token = secrets.token_hex(4)
        self._target = target
        self.staged = spool / spooled_name(target.name, token)
        self._hidden = _reserved(target, marks[0] if marks else token, token)
        self._dead = [target.sibling(temporary_name(target.name, mark)) for mark in marks[1:]]
        self._leftover = False

    def open(self) -> BinaryIO:
        """Create the file."""
        return self.staged.open("xb")

    def prepare(self) -> None:
        """Upload the bytes under a hidden name."""
        self._leftover = True  # before the upload, since a failed one may leave a part of the file
        self._hidden.put(self.staged, replace=True)
        state = self._hidden.state()
        size = self.staged.stat().st_size
        if state is None or state.size != size:
            kept = f"{state.size if state else 0} of {size} bytes"
            raise OSError(
                f"{shown(self._target.uri)}: the store kept {kept}; nothing was published"
            )
        while self._dead:
            remove(self._dead.pop())

    def publish(self, *, replace: bool) -> None:
        """Rename it."""
        self._hidden.rename(self._target, self.staged.stat().st_size, replace=replace)
        self._leftover = False

    def discard(self) -> None:
        """Remove it from the spool, and its hidden file from the store."""
        self.staged.unlink(missing_ok=True)
        if self._leftover:
            remove(self._hidden)
            self._leftover = False
        with _in_use_lock:
            _in_use.discard(self._hidden.uri)


def _reserved(target: Place, mark: str, token: str) -> Place:
    """Return the hidden location with this mark, or with the token if this process uses it."""
    hidden = target.sibling(temporary_name(target.name, mark))
    with _in_use_lock:
        if hidden.uri in _in_use:
            return target.sibling(temporary_name(target.name, token))
        _in_use.add(hidden.uri)
    return hidden


def remove(place: Place) -> None:
    """Delete a file that may be gone; a failure is only logged."""
    try:
        place.delete()
    except FileNotFoundError:
        pass
    except Exception as error:  # noqa: BLE001 - each store has its own; the first failure is the one to report
        _log.warning("%s could not be removed: %s", shown(place.uri), error)


def spooled_name(name: str, token: str) -> str:
    """Return the name in the spool; stores infer the content type from its extension."""
    return f"{token}{Path(name).suffix[:20]}"
