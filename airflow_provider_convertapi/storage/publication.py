"""Publish results whole or not at all.

Closing a file publishes what was written so far, even after an exception, and fsspec's
transactions belong to all threads at once.  So a result is staged first, checked against the size
that was announced, and shows up in one step once every result of its conversion is staged.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from airflow_provider_convertapi.errors import OutputExistsError
from airflow_provider_convertapi.storage.location import BLOCK, LocalLocation, accepted
from airflow_provider_convertapi.storage.names import temporary_name
from airflow_provider_convertapi.storage.uris import locate, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from airflow_provider_convertapi.storage.destination import Destination
    from airflow_provider_convertapi.storage.location import Location, StoreLocation

_log = logging.getLogger(__name__)

_MOST_PARTS = 10_000
"""Parts of one multipart upload (Amazon S3's limit)."""

_PARTS_AT_ONCE = 2
_REQUESTS_AT_ONCE = 128
"""Writes that asyncssh sends ahead."""


class SizeMismatch(ValueError):  # noqa: N818 - it says what is, as a standard exception does
    """A staged result has another size than the service announced; nothing was published.

    :param announced: bytes that the service announced.
    :param received: bytes that were written.
    """

    def __init__(self, announced: int, received: int) -> None:
        super().__init__(announced, received)
        self.announced = announced
        self.received = received

    def __str__(self) -> str:
        return f"{self.announced} bytes were announced, {self.received} arrived"


class Publication:
    """Stage the results of one conversion, then publish them all.

    Local results wait beside their target under a hidden name, others in a local spool.  Leaving
    the context removes whatever was not published.  Not to be shared by threads.

    :param destination: where the results belong.
    :param inputs: URIs that must not be overwritten, whatever `overwrite` says.
    :param overwrite: false spares every file that does not hold the very bytes of its result, save
        what the destination knows as its own.
    """

    def __init__(self, destination: Destination, *, inputs: Sequence[str], overwrite: bool) -> None:
        self._destination = destination
        self._inputs = inputs
        self._overwrite = overwrite
        self._parts: dict[str, _Part] = {}
        self._published: set[str] = set()
        self._spool: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for part in self._parts.values():
            part.discard()
        if self._spool is not None:
            shutil.rmtree(self._spool, ignore_errors=True)

    @contextmanager
    def stage(self, uri: str, size: int | None) -> Iterator[BinaryIO]:
        """Yield a sink for the bytes of the result that belongs to `uri`.

        :param uri: one of the destination's outputs; staging it again replaces what was staged.
        :param size: bytes that the service announced, None where it did not.

        `SizeMismatch` when the size differs.  After any exception nothing of it is left.
        """
        if uri in self._parts:
            self._parts.pop(uri).discard()
        part = self._part(locate(uri, self._destination.field))
        try:
            with part.open() as sink:
                yield sink
                sink.flush()
                _check_size(sink, size)
        except BaseException:
            part.discard()
            raise
        self._parts[uri] = part

    def publish(self) -> list[str]:
        """Publish everything that was staged; return the URIs in the order of staging.

        A file that already holds the bytes of its result stays as it is.  `ParameterError` when an
        output is an input, `OutputExistsError` when a directory, or without `overwrite` another
        file, stands at an output: in either case nothing at all is published.  After any other
        exception it may be called again: what was staged is still there.
        """
        self._destination.check_not_input(self._parts, self._inputs)
        waiting = [uri for uri, part in self._parts.items() if not self._is_published(uri, part)]
        for uri in waiting:
            self._parts[uri].prepare()
        for uri in waiting:
            self._parts[uri].publish()
            self._published.add(uri)
        return list(self._parts)

    def _part(self, target: Location) -> _Part:
        if isinstance(target, LocalLocation):
            return _LocalPart(target)
        if self._spool is None:
            self._spool = Path(tempfile.mkdtemp(prefix="convertapi-"))
        return _SpooledPart(target, self._spool)

    def _is_published(self, uri: str, part: _Part) -> bool:
        """Tell whether the target holds the result already; raise where it must not be replaced."""
        if uri in self._published:
            return True
        state = part.target.state()
        if state is None or (state.kind == "directory" and not part.target.has_directories):
            return False
        what = f"{self._destination.field}: {shown(part.target.uri)}"
        if state.kind == "directory":
            raise OutputExistsError(
                f"{what} is a directory; move it away, or choose another place."
            )
        if self._overwrite or self._destination.is_ours(uri):
            return False
        if state.size == part.staged.stat().st_size and _same_bytes(part):
            return True
        raise OutputExistsError(f"{what} is another file. {self._destination.remedy}")


def _check_size(sink: BinaryIO, announced: int | None) -> None:
    received = os.fstat(sink.fileno()).st_size
    if announced is not None and received != announced:
        raise SizeMismatch(announced, received)


class _LocalPart:
    """A result beside its local target."""

    def __init__(self, target: LocalLocation) -> None:
        self.target = target
        target.path.parent.mkdir(parents=True, exist_ok=True)
        self.staged = target.path.with_name(temporary_name(target.name, secrets.token_hex(4)))

    def open(self) -> BinaryIO:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return os.fdopen(os.open(self.staged, flags, 0o666), "wb")  # the kernel applies the umask

    def prepare(self) -> None:
        """Bring it to the disk: a name must not show what a power cut can still take away."""
        with self.staged.open("rb") as file:
            os.fsync(file.fileno())

    def publish(self) -> None:
        self.staged.replace(self.target.path)
        directory = os.open(self.target.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def discard(self) -> None:
        self.staged.unlink(missing_ok=True)


class _SpooledPart:
    """A result in the local spool, which belongs into a store."""

    def __init__(self, target: StoreLocation, spool: Path) -> None:
        self.target = target
        token = secrets.token_hex(4)
        # Stores tell the content type by the extension.
        self.staged = spool / f"{token}{Path(target.name).suffix[:20]}"
        self._hidden = target.sibling(temporary_name(target.name, token))
        self._leftover = False

    def open(self) -> BinaryIO:
        return self.staged.open("xb")

    def prepare(self) -> None:
        """Bring the bytes to the store, where that does not show them already."""
        if self.target.puts_atomically:
            return
        self._leftover = True
        _put(self.staged, self._hidden)
        state = self._hidden.state()
        size = self.staged.stat().st_size
        if state is None or state.size != size:
            kept = f"{state.size if state else 0} of {size} bytes"
            raise OSError(f"{shown(self.target.uri)}: the store kept {kept}; nothing was published")

    def publish(self) -> None:
        if self.target.puts_atomically:
            _put(self.staged, self.target)
        else:
            _rename(self._hidden, self.target, self.staged.stat().st_size)
            self._leftover = False

    def discard(self) -> None:
        self.staged.unlink(missing_ok=True)
        if self._leftover:
            try:
                self._hidden.fs.rm_file(self._hidden.path)
            except FileNotFoundError:
                pass
            except Exception as error:  # noqa: BLE001 - each store has its own; the first failure is the one to tell
                _log.warning("%s could not be removed: %s", shown(self._hidden.uri), error)
            self._leftover = False


_Part = _LocalPart | _SpooledPart


def _put(file: Path, target: StoreLocation) -> None:
    """Upload a local file in blocks, few at a time, so that memory stays bounded."""
    put = target.fs.put_file
    options: dict[str, Any] = {
        "chunksize": _block_for(file.stat().st_size),
        "max_concurrency": _PARTS_AT_ONCE,
        "block_size": BLOCK // _REQUESTS_AT_ONCE,
    }
    put(str(file), target.path, **accepted(put, **options))


def _block_for(size: int) -> int:
    """Return bytes for each part: above 78 GiB, 10,000 parts of 8 MiB are not enough."""
    blocks = -(-size // (BLOCK * _MOST_PARTS))
    return BLOCK * max(blocks, 1)


def _rename(old: StoreLocation, new: StoreLocation, size: int) -> None:
    """Give a complete file its name, over a file that has it."""
    try:
        _move(old, new)
    except Exception:  # each store has its own; whatever it was, the answer is to look
        here, there = old.state(), new.state()
        if here is None and there is not None and there.size == size:
            return  # done, and only the answer was lost
        if here is None or there is None:
            raise
        # SMB and HDFS do not rename over a file: for a moment there is none.
        new.fs.rm_file(new.path)
        _move(old, new)
    if old.state() is not None:  # WebHDFS answers a rename that it did not make with "false"
        raise OSError(f"{shown(new.uri)}: the store did not rename the finished file")


def _move(old: StoreLocation, new: StoreLocation) -> None:
    from fsspec import AbstractFileSystem  # noqa: PLC0415 - for stores only, which have loaded it

    if getattr(old.fs.mv, "__func__", None) is AbstractFileSystem.mv:
        # The inherited `mv` takes brackets in a name for a pattern.
        old.fs.cp_file(old.path, new.path)
        old.fs.rm_file(old.path)
    else:
        old.fs.mv(old.path, new.path)


def _same_bytes(part: _Part) -> bool:
    with part.staged.open("rb") as ours, part.target.open() as theirs:
        while block := ours.read(BLOCK):
            if theirs.read(BLOCK) != block:
                return False
        return not theirs.read(1)
