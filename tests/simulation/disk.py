"""The local disk: what is written below a story's directory can be counted, refused and cut off.

Python tells an audit hook of every file that is about to be opened, renamed, linked or removed, and
what the hook raises comes out of that call.
"""

from __future__ import annotations

import fcntl
import os
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.trouble import Present

_CHANGES = {"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir"}
_LISTINGS = {"os.listdir", "os.scandir"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass
class Disk:
    """The directory of a story.

    :param written: paths that were written, renamed to, or removed.
    """

    root: str
    present: Present
    written: set[str] = field(default_factory=set)
    is_watched: bool = True

    def check(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note a write; raise what the story wants."""
        paths = _paths(event, arguments)
        if not self.is_watched or not any(path.startswith(self.root) for path in paths):
            return
        if event in _LISTINGS or (event == "open" and not arguments[2] & _WRITES):
            if not paths[-1].startswith(f"{self.root}/tmp"):  # a spool is read where it is written
                self.present.trouble.before_read(paths[-1])
            return
        self.written.update(paths)
        if event == "os.remove" or event == "os.rmdir":  # noqa: PLR1714 - a set costs more here
            self.present.trouble.check_alive()  # a full disk lets files be removed
        else:
            self.present.trouble.before_write(paths[-1])

    @contextmanager
    def unwatched(self) -> Iterator[None]:
        """Let the story itself write."""
        before, self.is_watched = self.is_watched, False
        try:
            yield
        finally:
            self.is_watched = before

    def release_locks(self) -> None:
        """Close what a killed process had open and locked."""
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names are numbers here
            with suppress(OSError):
                if os.readlink(f"/proc/self/fd/{name}").startswith(self.root):  # noqa: PTH115
                    fcntl.flock(int(name), fcntl.LOCK_UN)
                    os.close(int(name))


def _paths(event: str, arguments: tuple[Any, ...]) -> list[str]:
    if event == "open":
        path, _, flags = arguments
        is_read = not flags & _WRITES
        # Whatever opens a directory does not read a file.
        if isinstance(path, int) or (is_read and flags & os.O_DIRECTORY):
            return []
        return [os.fsdecode(path)]
    if event in {"os.rename", "os.link"}:
        return [os.fsdecode(arguments[0]), os.fsdecode(arguments[1])]
    path = arguments[0]
    return [] if path is None or isinstance(path, int) else [os.fsdecode(path)]


_watched: list[Disk] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watched and (event == "open" or event in _CHANGES or event in _LISTINGS):
        _watched[-1].check(event, arguments)


_installed: list[bool] = []


@contextmanager
def watching(disk: Disk) -> Iterator[None]:
    """Watch a directory while the block runs."""
    if not _installed:
        sys.addaudithook(_hook)  # for good: there is no way to remove it
        _installed.append(True)
    _watched.append(disk)
    try:
        yield
    finally:
        _watched.pop()
