"""List the files below a directory, or those that match a glob, as a stream.

This module may change from release to release.
"""

from __future__ import annotations

import errno
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_provider_convertapi.errors import InputNotFoundError
from airflow_provider_convertapi.storage.location import (
    IRREGULAR,
    OWN_DIRECTORY,
    Found,
    unnoted,
)
from airflow_provider_convertapi.storage.schemes import locate
from airflow_provider_convertapi.storage.uris import is_url, shown, wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_convertapi.storage.location import Location, Note, State

_WILD = re.compile(r"[*?\[]")
_HIDDEN = "hidden"
_DOTTED = "with './' or '../' in their path"
"""Reason to leave a file out: an object's key may have such parts, but a path resolves them."""


def list_files(uri: str, *, field: str = "source", note: Note = unnoted) -> Iterator[Found]:
    """Yield the files below the directory `uri`, or those that the glob `uri` matches.

    A glob knows ``*``, ``?`` and ``[…]`` within a name, and ``**`` for any directories; paths are
    relative to the directory before its first wildcard.  A file lists itself.  Hidden files
    (``.name``, ``~$name``) are listed only where a glob names the dot; directories are not followed
    through symbolic links; the directory `_convertapi` is never listed.

    `InputNotFoundError` if a directory is missing; in an object store none ever is.

    :param note: called with the reason and the URI of each file that matches but is left out.
    """
    if is_url(uri):
        raise wrong(field, f"{shown(uri)} is a URL, which cannot be listed; give a list of URLs.")
    base, pattern = _split_glob(uri)
    location = locate(base, field)
    try:
        yield from _listed(location, pattern, note)
    except FileNotFoundError:  # or the bucket is missing
        raise InputNotFoundError(
            f"{field} {shown(base)} does not exist; check the path, and that it is written before "
            "this task runs."
        ) from None


def canonical(uri: str, *, field: str = "source") -> str:
    """Return the same text for every spelling of a path, to tell whether one is inside another.

    The connection is not part of it: two connections usually lead to the same store.
    """
    return locate(uri, field).canonical()


def directory_of(uri: str) -> str:
    """Return the directory that `list_files` lists; its paths are relative to that."""
    return _split_glob(uri)[0]


def listed_from(uri: str) -> str:
    """Return the same without access to the store: every name with a wildcard counts as a glob."""
    return _glob_parts(uri)[0]


def is_glob(uri: str) -> bool:
    """Tell whether `uri` holds a wildcard and is not the name of an existing file."""
    return _split_glob(uri)[1] is not None


def _split_glob(uri: str) -> tuple[str, str | None]:
    """Return base and pattern of a glob; no pattern if `uri` is the name of an existing file."""
    base, pattern = _glob_parts(uri)
    if pattern is None or _found(locate(uri, "source").state) is not None:
        return uri, None
    return base, pattern


def is_file(uri: str) -> bool:
    """Tell whether `uri` is the name of an existing file."""
    state = _found(locate(uri, "source").file)
    return state is not None and state.kind == "file"


def _found(look: Callable[[], State | None]) -> State | None:
    """Return what a look finds; nothing if no disk can hold such a name."""
    try:
        return look()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return None


def _glob_parts(uri: str) -> tuple[str, str | None]:
    """Return the directory to list and the pattern below it; None if there is no wildcard."""
    scheme, mark, rest = uri.rpartition("://")
    wild = _WILD.search(rest)
    if wild is None:
        return uri, None
    cut = rest.rfind("/", 0, wild.start()) + 1
    return f"{scheme}{mark}{rest[:cut]}" or "./", rest[cut:]


class Sought:
    """The files that a URI may stand for, known from its text alone, without access to a store.

    :param uri: a file, a directory, or a glob, which may also be a file's name.
    """

    def __init__(self, uri: str) -> None:
        base, pattern = _glob_parts(uri)
        self.names = {uri, locate(uri, "source").uri}
        """The file's URIs, if it is one."""
        self.is_listing = uri.endswith("/") or pattern is not None
        """Whether it looks like a directory or a glob."""
        places = [(uri, "**")] if pattern is None else [(uri, "**"), (base, pattern)]
        self._places = [
            (locate(place, "source").uri.rstrip("/") + "/", _sieve(wanted))
            for place, wanted in places
        ]

    def lists(self, uri: str) -> bool:
        """Tell whether a listing of the URI may include a file."""
        for root, sift in self._places:
            path = uri.removeprefix(root)
            leads_away = {"..", OWN_DIRECTORY}.intersection(path.split("/"))
            if uri.startswith(root) and path and not leads_away and sift(path) == "":
                return True
        return False


def list_everything(directory: str, *, field: str = "destination") -> Iterator[Found]:
    """Yield all files below a directory, including hidden ones; nothing if it does not exist."""
    location = locate(directory, field)
    with suppress(FileNotFoundError):
        yield from location.below()


def _listed(location: Location, pattern: str | None, note: Note) -> Iterator[Found]:
    state = _found(location.state)
    if state is not None and state.kind != "directory" and pattern is None:
        if state.kind == "file":
            yield Found.of(location.uri, location.name, state)
        else:
            note(IRREGULAR, location.uri)
        return
    if state is None and location.has_directories:
        raise FileNotFoundError(location.uri)
    sift = _sieve(pattern or "**")

    def noted(reason: str, uri: str) -> None:
        """Report only files that the pattern matches."""
        path = uri.removeprefix(location.uri.rstrip("/") + "/")
        if (other := sift(path)) is not None:
            note(other or reason, uri)

    for found in location.below(noted):
        reason = sift(found.path)
        if reason:
            note(reason, found.uri)
        elif reason is not None:
            yield found


def _sieve(pattern: str) -> Callable[[str], str | None]:
    """Return a function that returns why a relative path is left out.

    It returns an empty text for a path that is listed, None for one that does not match.
    """
    compiled = _compiled(pattern)
    shows_hidden = any(part.startswith(".") for part in pattern.split("/"))

    def sift(path: str) -> str | None:
        if not compiled.match(path):
            return None
        parts = path.split("/")
        if shows_hidden or not any(is_hidden(part) for part in parts):
            return ""
        return _DOTTED if not {".", ".."}.isdisjoint(parts) else _HIDDEN

    return sift


def _compiled(pattern: str) -> re.Pattern[str]:
    from fsspec.utils import glob_translate  # noqa: PLC0415 - a DAG file that imports us lists nothing

    # fsspec refuses `a**b`, which means the same as `a*b`, and lets `[!b]` match a slash.
    parts = [part if part == "**" else re.sub(r"\*+", "*", part) for part in pattern.split("/")]
    return re.compile(glob_translate("/".join(parts)).replace("[^", "[^/"))


def is_hidden(name: str) -> bool:
    """Tell whether a name is hidden, such as that of an office program's lock file."""
    return name.startswith((".", "~$"))
