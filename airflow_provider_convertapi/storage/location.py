"""What every location of a file or directory can do, whatever kind of store it belongs to.

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
"""Bytes that are read, and written, at a time."""

LOST_LINK = "links that lead nowhere or in a circle"
LINKED_DIRECTORY = "linked directories"
LINK = "links, which this store does not follow"
IRREGULAR = "no regular files"
TOO_DEEP = "directories whose path is too long"
"""Why a listing leaves a file out, in the words of the log."""

Note = Callable[[str, str], None]
"""Takes why a listing leaves something out, and its URI."""

OWN_DIRECTORY = "_convertapi"
"""The directory of our own records beside the outputs; it holds neither inputs nor outputs."""


def unnoted(reason: str, uri: str) -> None:
    """Take no note of what a listing leaves out."""


@dataclass(frozen=True, slots=True)
class State:
    """What a store says about a file at the moment.

    :param version: ETag, generation or modification time; empty where the store has none of them.
    :param modified: seconds since the epoch at which it was written, None where the store does
        not say.
    :param stamp: the stamp with which it was written, or as much of it as the store keeps; empty
        for none, None where the store keeps no stamps.
    """

    size: int
    version: str
    kind: Literal["file", "directory", "other"] = "file"
    modified: float | None = field(default=None, compare=False)
    stamp: str | None = field(default=None, compare=False)

    @property
    def fingerprint(self) -> str:
        """Return text that differs when the content does, as far as the store tells."""
        return f"{self.size}-{self.version}"

    def bears(self, stamp: str) -> bool | None:
        """Tell whether it is as it was written with this stamp; None where that is unknown."""
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

    :param uri: as `find_source` takes it.
    :param path: relative to the directory that was listed, its parts divided by ``/``.
    :param size: bytes.
    :param fingerprint: what `find_source` calls its fingerprint, without a hash of the content.
    :param modified: seconds since the epoch at which it was written, None where the store does
        not say.
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
    """A URI in its parts, and what the table of schemes says about its scheme.

    :param scheme: in lower case.
    :param conn_id: id of the Airflow connection, None where the URI names none.
    :param host: what follows the connection: a host, bucket or container; may be empty.
    :param key: everything after the first slash, unparsed: ``#`` and ``?`` are plain characters.
    :param family: one name for all schemes that reach the same files.
    :param remedy: what to do where no file system is found for the scheme.
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
        """Do the slow part, without showing anything under the target's name."""

    def publish(self, *, replace: bool) -> None:
        """Give the result its name in one step.

        :param replace: false raises `FileExistsError` where a file has the name already.
        """

    def discard(self) -> None:
        """Remove what was not published."""


class Location(Protocol):
    """A place for a file or a directory, which need not exist."""

    has_directories: ClassVar[bool]
    """Whether directories are more than a common prefix of names."""

    @classmethod
    def at(cls, address: Address, argument: str) -> Location:
        """Resolve an address without looking at what lies there.

        :param argument: what the user calls it; `ParameterError` names it.
        """

    @property
    def uri(self) -> str:
        """Return the absolute path of a local place, else the URI as the user gave it."""

    @property
    def name(self) -> str:
        """Return the last part of the path; empty where the path ends in a slash."""

    @property
    def key(self) -> Hashable:
        """Return a key that is equal for the same spelling of the same place."""

    @property
    def dataset(self) -> tuple[str, str]:
        """Return namespace and name as OpenLineage names what lies here; no secret, no I/O."""

    def canonical(self) -> str:
        """Return one text for every spelling of the place; the connection is not part of it."""

    def identities(self) -> set[Hashable]:
        """Return keys of which two spellings of one file share at least one."""

    def state(self) -> State | None:
        """Return what is there now, a directory too; None where nothing is."""

    def file(self) -> State | None:
        """Return what is there now, in as few requests as possible.

        Where directories are only a common prefix of names, one may count as nothing.
        """

    def open(self, state: State | None = None) -> BinaryIO:
        """Open the file for reading, in order, from its start.

        :param state: what the file was when it was found; it saves a request, and a store that can
            tell raises `InputChangedError` when the file is another one now.
        """

    def pins(self, state: State) -> bool:
        """Tell whether `open` reads the file in this very state, or raises."""

    def below(self, note: Note = unnoted) -> Iterator[Found]:
        """Yield all files below the directory; `FileNotFoundError` where it is missing.

        Directories are not followed through symbolic links; `_convertapi` is left out.

        :param note: is told what is left out and not listed either, except `_convertapi`.
        """

    def names(self) -> list[str]:
        """Return the names of the files in the directory; `FileNotFoundError` as above."""

    def read(self) -> bytes:
        """Return the bytes of a small file; `FileNotFoundError` where it is gone."""

    def delete(self) -> None:
        """Delete the file; `FileNotFoundError` where it is gone."""

    def is_link(self) -> bool:
        """Tell whether a symbolic link is here, which may lead nowhere."""

    def check_destination(self, argument: str) -> None:
        """Raise `ParameterError` where results certainly cannot be put here."""

    def check_writable(self, root: str) -> None:
        """Make the directory and write a byte there; an `OSError` says why that is not possible.

        An object store is asked for an upload that is given up at once: nothing is written.
        `ConnectionConfigError` where it refuses the connection.

        :param root: URI of the directory for which one answer is enough, where asking is slow.
        """

    def part(self, spool: Callable[[], Path], marks: Sequence[str] = (), stamp: str = "") -> Part:
        """Return a result that waits for its publication at this place.

        :param spool: gives a local directory for what cannot wait beside its target.
        :param marks: for a hidden file's name; see `Publication`.
        :param stamp: hexadecimal digits that its file bears until somebody writes to it, where the
            store can keep them; empty for none.
        """
