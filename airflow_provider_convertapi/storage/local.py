"""The local disk.

This module may change from release to release.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import secrets
import stat
import threading
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal

from airflow_provider_convertapi.api.wire import SLICE
from airflow_provider_convertapi.storage.location import (
    BLOCK,
    IRREGULAR,
    LINKED_DIRECTORY,
    LOST_LINK,
    OWN_DIRECTORY,
    TOO_DEEP,
    Found,
    State,
    unnoted,
)
from airflow_provider_convertapi.storage.locks import is_at, locked, try_to_lock
from airflow_provider_convertapi.storage.names import temporary_name
from airflow_provider_convertapi.storage.stamps import put_stamp, stamp_in
from airflow_provider_convertapi.storage.uris import shown, wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from airflow_provider_convertapi.storage.location import Address, Note

_NOTHING_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_locks = threading.Semaphore(256)
"""Limits the number of locks: each needs a file descriptor, of which a process may have 1,024."""


@dataclass(frozen=True, slots=True)
class LocalLocation:
    """A location on the local disk.

    :param uri: the absolute path; it ends in ``/`` for a directory.
    :param path: the same as a `Path`.
    """

    uri: str
    path: Path = field(repr=False, compare=False)

    has_directories: ClassVar[bool] = True
    block: ClassVar[int] = SLICE

    @classmethod
    def at(cls, address: Address, argument: str) -> LocalLocation:
        """Return the location of a ``file://`` URI."""
        if address.host not in {"", "localhost"}:
            absolute = f"file:///{address.host}/{address.key}"
            raise wrong(
                argument,
                f"{shown(address.uri)} names a host; an absolute path has three slashes: "
                f"{absolute}",
            )
        return cls.at_path(f"/{address.key}")

    @classmethod
    def at_path(cls, path: str) -> LocalLocation:
        """Return the location of an absolute or relative path."""
        # Made absolute before it is cached: the working directory may change.
        return _absolute(os.path.join(os.getcwd(), path))  # noqa: PTH109, PTH118 - text is what is remembered

    @property
    def name(self) -> str:
        """Return the last part of the path."""
        return self.path.name

    @property
    def key(self) -> Hashable:
        """Return the path."""
        return self.uri

    @property
    def dataset(self) -> tuple[str, str]:
        """Return OpenLineage's namespace of local files, and the path."""
        return "file", self.uri.rstrip("/") or "/"

    def canonical(self) -> str:
        """Return the path without links and dots."""
        return os.path.realpath(self.uri)

    def identities(self) -> set[Hashable]:
        """Return the path, and the inode if the file exists."""
        try:
            found = self.path.stat()
        except OSError:  # nothing there: only the path identifies it
            return {self.uri, os.path.realpath(self.uri)}
        return {self.uri, (found.st_dev, found.st_ino)}  # for links, and disks that ignore case

    def state(self) -> State | None:
        """Return the state of the file or directory there now; None if there is none."""
        try:
            return _state_of(self.path.stat())
        except OSError as error:
            if error.errno in _NOTHING_THERE:
                return None
            raise

    def file(self) -> State | None:
        """Return the same."""
        return self.state()

    def open(self, state: State | None = None) -> BinaryIO:  # noqa: ARG002 - costs nothing to ask again
        """Open the file for reading from its start."""
        return open(self.path, "rb", buffering=self.block, opener=_without_waiting)

    def pins(self, state: State) -> bool:  # noqa: ARG002 - whatever it is
        """Return False: a file may be written while it is read."""
        return False

    def below(self, note: Note = unnoted) -> Iterator[Found]:
        """Yield all files below the directory."""
        root = self.uri.rstrip("/") + "/"
        waiting = [root]  # not a recursion: a path may have more parts than Python has frames
        while waiting:
            place, inner = waiting.pop(), []
            try:
                entries = os.scandir(place)
            except OSError as error:
                if place == root or not _is_passed_over(error, place, note):
                    raise
                continue
            with entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name != OWN_DIRECTORY:
                            inner.append(entry.path)
                    elif (found := _found(entry, root, note)) is not None:
                        yield found
            waiting += sorted(inner, reverse=True)

    def names(self) -> list[str]:
        """Return the names of the files in the directory."""
        with os.scandir(self.path) as entries:
            return [entry.name for entry in entries if not _is_directory(entry)]

    def read(self) -> bytes:
        """Return the bytes of a small file."""
        return self.path.read_bytes()

    def delete(self) -> None:
        """Delete the file."""
        self.path.unlink()

    def is_link(self) -> bool:
        """Tell whether a symbolic link is here."""
        return self.path.is_symlink()

    def check_destination(self, argument: str) -> None:
        """Raise `ParameterError` if the task may not write, or something is in the way."""
        wants_directory = self.uri.endswith("/")
        try:
            state = self.state()
        except OSError as error:
            raise wrong(argument, f"{self.uri} cannot be used: {error.strerror}.") from error
        is_directory = state is not None and state.kind == "directory"
        if is_directory and not wants_directory:
            raise wrong(
                argument, f"{self.uri} is a directory; write {self.uri}/ to put results into it."
            )
        if state is not None and not is_directory and wants_directory:
            complaint = "is not a directory; remove the '/' at its end, or choose another."
            raise wrong(argument, f"{self.uri} {complaint}")
        if state is not None and state.kind == "other":
            complaint = "is a device, a pipe or a socket, which a file would replace."
            raise wrong(argument, f"{self.uri} {complaint}")
        nearest = _nearest(self.path if wants_directory else self.path.parent)
        if not nearest.is_dir():
            raise wrong(argument, f"{self.uri} cannot be made: {nearest} is not a directory.")
        if not os.access(nearest, os.W_OK | os.X_OK):
            complaint = f"cannot be used: the task may not write into {nearest}."
            remedy = "Let it write there, or choose another destination, then clear the task."
            raise wrong(argument, f"{self.uri} {complaint} {remedy}")

    def check_writable(self, root: str) -> None:  # noqa: ARG002 - a disk is asked for each directory
        """Make the directory, and write a byte beside the future result."""
        trial = LocalPart(self.path / "result" if self.uri.endswith("/") else self.path)
        try:
            with trial.open() as file:
                file.write(b"-")
        finally:
            trial.discard()

    def part(
        self,
        spool: Callable[[], Path],  # noqa: ARG002 - it waits beside its target
        marks: Sequence[str] = (),  # noqa: ARG002 - it is locked while its task lives
        stamp: str = "",
    ) -> LocalPart:
        """Return a result that waits beside this location; its time holds the stamp."""
        return LocalPart(self.path, stamp)


class LocalPart:
    """A result beside its local target.

    Its hidden name is derived from the target's, so that the next task can remove the file of a
    killed one.  It is locked while its task lives, and other tasks then use another name.
    """

    def __init__(self, target: Path, stamp: str = "") -> None:
        self._target = target
        self._stamp = stamp
        self._lock = ExitStack()
        self._waits = False
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            reason = os.strerror(errno.ENOTDIR)
            raise NotADirectoryError(errno.ENOTDIR, reason, error.filename) from None
        except FileNotFoundError as error:  # no directory can be made there, as in /proc
            raise NotADirectoryError(errno.ENOENT, error.strerror, error.filename) from None
        self.staged = target.with_name(temporary_name(target.name))

    def open(self) -> BinaryIO:
        """Create the file with the mode that the umask allows."""
        # A killed task's file is not locked any more, and is removed.
        with suppress(OSError), locked(self.staged):
            self.staged.unlink()
        file = self._create_locked()
        if file is None:
            name = temporary_name(self._target.name, secrets.token_hex(4))
            self.staged = self._target.with_name(name)
            file = _WrittenBack(self.staged, "x")
        self._waits = True
        return io.BufferedWriter(file)

    def _create_locked(self) -> _WrittenBack | None:
        """Create and lock the file; None if another task has it, or too many are locked."""
        if not _locks.acquire(blocking=False):
            return None
        self._lock.callback(_locks.release)
        try:
            file = _WrittenBack(self.staged, "x")
        except FileExistsError:
            self._lock.close()
            return None
        lock = os.dup(file.fileno())  # the file itself is closed long before it is published
        self._lock.callback(os.close, lock)
        with suppress(BlockingIOError):  # another task may have locked it first, as a leftover
            try_to_lock(lock)
            if is_at(lock, self.staged):
                return file
        file.close()
        self._lock.close()
        return None

    def prepare(self) -> None:
        """Flush it to the disk: a published file must survive a power cut."""
        # Before the file gets its name: without the stamp, a later try would not recognise its own
        # output once the documents are deleted at the service, and would pay again.
        if self._stamp:
            put_stamp(self.staged, self._stamp)
        with self.staged.open("rb") as file:
            os.fsync(file.fileno())

    def publish(self, *, replace: bool) -> None:
        """Rename it; without `replace` link it, which never replaces an existing file."""
        if replace:
            self.staged.replace(self._target)
        else:
            self._link()
        self._waits = False  # from now on another task may use the hidden name
        self._lock.close()
        # Some network file systems cannot flush a directory, and a write-only one cannot be opened.
        with suppress(OSError), _opened(self._target.parent) as directory:
            os.fsync(directory)

    def discard(self) -> None:
        """Remove the hidden file."""
        if self._waits:
            self.staged.unlink(missing_ok=True)
            self._waits = False
        self._lock.close()

    def _link(self) -> None:
        try:
            os.link(self.staged, self._target)
        except FileExistsError:
            raise
        except OSError:  # FAT, and some network file systems, have no links
            self._rename_to_new()
        else:
            self.staged.unlink()

    def _rename_to_new(self) -> None:
        """Rename unless the name is taken; a lock keeps other tasks from taking it meanwhile."""
        with ExitStack() as stack:
            with suppress(OSError):
                directory = stack.enter_context(_opened(self._target.parent))
                fcntl.flock(directory, fcntl.LOCK_EX)
            if os.path.lexists(self._target):
                raise FileExistsError(self._target)
            self.staged.rename(self._target)


class _WrittenBack(io.FileIO):
    """A file that is written back while it grows, so that the flush at the end is short."""

    _waiting = 0

    def write(self, data: Any) -> int:
        """Write; after each block, ask the kernel to start writing it to the disk."""
        written = super().write(data)
        self._waiting += written
        if self._waiting >= BLOCK and hasattr(os, "posix_fadvise"):  # macOS does not have it
            # Linux starts to write dirty pages back before it drops them, without waiting.
            begin = self.tell() - self._waiting
            os.posix_fadvise(self.fileno(), begin, self._waiting, os.POSIX_FADV_DONTNEED)
            self._waiting = 0
        return written


@lru_cache(maxsize=1024)
def _absolute(path: str) -> LocalLocation:
    """Return a location; cached, because a batch resolves each file eight times."""
    # Not normalised: after a symbolic link, `..` leads elsewhere than the text says.
    absolute = Path(path)
    uri = f"{str(absolute).rstrip('/')}/" if path.endswith("/") else str(absolute)
    return LocalLocation(uri, absolute)


def _state_of(found: os.stat_result) -> State:
    kind: Literal["file", "directory", "other"] = "other"
    if stat.S_ISDIR(found.st_mode):
        kind = "directory"
    elif stat.S_ISREG(found.st_mode):
        kind = "file"
    version, stamp = str(found.st_mtime_ns), stamp_in(found.st_mtime_ns)
    return State(found.st_size, version, kind, found.st_mtime, stamp)


def _nearest(path: Path) -> Path:
    """Return the path, or the first above it, that exists."""
    return next(candidate for candidate in (path, *path.parents) if candidate.exists())


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a circular link: reading it raises the error
        return False


def _is_passed_over(error: OSError, place: str, note: Note) -> bool:
    """Tell whether a listing goes on without a directory."""
    if error.errno == errno.ENAMETOOLONG:
        note(TOO_DEEP, place)
        return True
    return error.errno in _NOTHING_THERE  # it was removed since its own directory was listed


def _found(entry: os.DirEntry[str], root: str, note: Note) -> Found | None:
    try:
        state = _state_of(entry.stat())
    except FileNotFoundError:  # gone since it was listed, unless it is a link
        if entry.is_symlink():
            note(LOST_LINK, entry.path)
        return None
    except OSError:  # such as a link to itself
        if not entry.is_symlink():
            raise
        note(LOST_LINK, entry.path)
        return None
    if state.kind == "file":
        return Found.of(entry.path, entry.path.removeprefix(root), state)
    note(LINKED_DIRECTORY if state.kind == "directory" else IRREGULAR, entry.path)
    return None


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; without `O_NONBLOCK`, a pipe that replaced the file would block for ever."""
    return os.open(path, flags | os.O_NONBLOCK)


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
