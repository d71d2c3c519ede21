"""The interface of all locations of files and directories, in any kind of store.

This module may change from release to release.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence
    from pathlib import Path

BLOCK = 8 * 1024 * 1024
"""Bytes that are read and written at a time: S3 takes no part below 5 MiB except the last, and each
conversion holds a few blocks in memory at once."""

LOST_LINK = "links that lead nowhere or in a circle"
LINKED_DIRECTORY = "linked directories"
LINK = "links, which this store does not follow"
IRREGULAR = "no regular files"
TOO_DEEP = "directories whose path is too long"
"""The reasons why a listing leaves a file out, worded for the log."""

Note = Callable[[str, str], None]
"""Takes the reason why a listing leaves something out, and its URI."""

OWN_DIRECTORY = "_convertapi"
"""The directory of our own records beside the outputs; it holds neither inputs nor outputs."""


def unnoted(reason: str, uri: str) -> None:
    """Ignore what a listing leaves out."""


@dataclass(frozen=True, slots=True)
class State:
    """The present state of a file in a store.

    :param size: bytes.
    :param version: ETag, generation or modification time; empty if the store has none of them.
    :param modified: seconds since the epoch at which it was written; None if the store does not
        record that.
    :param stamp: the stamp with which it was written, or as much of it as the store keeps; empty if
        it has none, None if the store keeps no stamps.
    """

    size: int
    version: str
    kind: Literal["file", "directory", "other"] = "file"
    modified: float | None = field(default=None, compare=False)
    stamp: str | None = field(default=None, compare=False)

    @property
    def fingerprint(self) -> str:
        """Return a text that changes with the content, as far as the store shows it."""
        return f"{self.size}-{self.version}"

    @property
    def obstacle(self) -> str:
        """Say what is there instead of a file; empty if it is a file."""
        return {"directory": "a directory", "other": "not a regular file"}.get(self.kind, "")

    def bears(self, stamp: str) -> bool | None:
        """Tell whether it is unchanged since it was written with this stamp; None if unknown."""
        if self.stamp is None:
            return None
        return bool(self.stamp) and stamp.startswith(self.stamp)

    @classmethod
    def of_file(cls, fingerprint: str) -> State:
        """Return the state of the file that had this fingerprint."""
        size, _, version = fingerprint.partition("-")
        return cls(int(size), version)


@dataclass(frozen=True, slots=True)
class Found:
    """A file that a listing showed.

    :param uri: as for `find_source`.
    :param path: relative to the directory that was listed, its parts divided by ``/``.
    :param size: bytes.
    :param fingerprint: that of `find_source`, without a hash of the content.
    :param modified: seconds since the epoch at which it was written; None if the store does not
        record that.
    """

    uri: str
    path: str
    size: int
    fingerprint: str
    modified: float | None

    @classmethod
    def of(cls, uri: str, path: str, state: State) -> Found:
        """Return the file that has this state."""
        return cls(uri, path, state.size, state.fingerprint, state.modified)


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of a URI, with its scheme's row in the table of schemes.

    :param scheme: in lower case.
    :param conn_id: id of the Airflow connection; None if the URI names none.
    :param host: the host, bucket or container after the connection; may be empty.
    :param key: everything after the first slash, unparsed: ``#`` and ``?`` are plain characters.
    :param family: one name for all schemes that reach the same files.
    :param remedy: what to do if no file system is found for the scheme.
    """

    uri: str
    scheme: str
    conn_id: str | None
    host: str
    key: str
    family: str
    remedy: str


class Part(Protocol):
    """One result.

    :param staged: the local file that holds it.
    """

    staged: Path

    def open(self) -> BinaryIO:
        """Create the file, and open it for writing."""

    def prepare(self) -> None:
        """Do the slow part of publishing, without showing anything under the target's name."""

    def publish(self, *, replace: bool) -> None:
        """Give the result its name in one step.

        :param replace: False raises `FileExistsError` if a file has the name already.
        """

    def discard(self) -> None:
        """Remove the result if it was not published."""


class Location(Protocol):
    """The location of a file or a directory, which need not exist."""

    has_directories: ClassVar[bool]
    """False if directories are only common prefixes of names."""

    block: ClassVar[int]
    """Bytes to read at a time."""

    @classmethod
    def at(cls, address: Address, argument: str) -> Location:
        """Resolve an address without a request to the store.

        :param argument: the user's name of it, which `ParameterError` names.
        """

    @property
    def uri(self) -> str:
        """Return the absolute path of a local location, else the URI as the user gave it."""

    @property
    def name(self) -> str:
        """Return the last part of the path; empty if the path ends in a slash."""

    @property
    def key(self) -> Hashable:
        """Return a key that is equal for the same spelling of the same location."""

    @property
    def dataset(self) -> tuple[str, str]:
        """Return OpenLineage's namespace and name of the location, without secrets or I/O."""

    def canonical(self) -> str:
        """Return the same text for every spelling of the location, without its connection."""

    def identities(self) -> set[Hashable]:
        """Return keys; two spellings of the same file have at least one key in common."""

    def state(self) -> State | None:
        """Return the state of the file or directory there now; None if there is none."""

    def file(self) -> State | None:
        """Return the same, in as few requests as possible.

        If directories are only common prefixes of names, None may be returned for a directory.
        """

    def open(self, state: State | None = None) -> BinaryIO:
        """Open the file for reading, in order, from its start.

        :param state: the file's state when it was found; it saves a request, and if the store can
            check it, a changed file raises `InputChangedError`.
        """

    def pins(self, state: State) -> bool:
        """Tell whether `open` reads the file in exactly this state, or raises."""

    def below(self, note: Note = unnoted) -> Iterator[Found]:
        """Yield all files below the directory; `FileNotFoundError` if it is missing.

        Directories are not followed through symbolic links; `_convertapi` is left out.

        :param note: called for everything that is left out, except `_convertapi`.
        """

    def names(self) -> list[str]:
        """Return the names of the files in the directory; `FileNotFoundError` as above."""

    def read(self) -> bytes:
        """Return the bytes of a small file; `FileNotFoundError` if it is gone."""

    def delete(self) -> None:
        """Delete the file; `FileNotFoundError` if it is gone."""

    def is_link(self) -> bool:
        """Tell whether this is a symbolic link, which may be broken."""

    def check_destination(self, argument: str) -> None:
        """Raise `ParameterError` if results certainly cannot be written here."""

    def check_writable(self, root: str) -> None:
        """Make the directory and write a byte there; an `OSError` says why that is not possible.

        In an object store an upload is begun and aborted, so nothing is written.
        `ConnectionConfigError` if the store refuses the connection.

        :param root: URI of the directory for which a slow store is checked only once.
        """

    def part(self, spool: Callable[[], Path], marks: Sequence[str] = (), stamp: str = "") -> Part:
        """Return a result that waits for its publication at this location.

        :param spool: returns a local directory for results that cannot wait beside their target.
        :param marks: for a hidden file's name; see `Publication`.
        :param stamp: hexadecimal digits that its file keeps until a program writes to it, if the
            store can keep them; empty for none.
        """
