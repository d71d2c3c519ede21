"""List the files below a directory, or those that match a glob, as a stream."""

from __future__ import annotations

import os
import posixpath
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.errors import InputNotFoundError
from airflow_provider_convertapi.storage.location import (
    OBJECT_STORES,
    LocalLocation,
    accepted,
    family,
    state_of,
)
from airflow_provider_convertapi.storage.uris import is_url, locate, shown, wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_convertapi.storage.location import Location, State, StoreLocation

OWN_DIRECTORY = "_convertapi"
"""The directory of our own records beside the outputs; never an input."""

_WILD = re.compile(r"[*?\[]")
_WRITTEN = ("LastModified", "last_modified", "updated", "mtime", "modified", "modify", "created")
"""What stores call the time of the last write."""


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


def list_files(uri: str, *, field: str = "source") -> Iterator[Found]:
    """Yield the files below the directory `uri`, or those that the glob `uri` matches.

    A glob knows ``*``, ``?`` and ``[…]`` within a name, and ``**`` for any directories; paths are
    relative to the directory before its first wildcard.  A file lists itself.  Hidden files
    (``.name``, ``~$name``) are listed only where a glob names the dot; directories are not followed
    through symbolic links; the directory `_convertapi` is never listed.

    `InputNotFoundError` where a directory is missing; an object store has none that could be.
    """
    if is_url(uri):
        raise wrong(field, f"{shown(uri)} is a URL, which cannot be listed; give a list of URLs.")
    base, pattern = _split_glob(uri)
    location = locate(base, field)
    try:
        yield from _listed(location, pattern)
    except FileNotFoundError:  # a bucket, too, has to be there
        raise InputNotFoundError(
            f"{field} {shown(base)} does not exist; check the path, and that it is written before."
        ) from None


def canonical(uri: str, *, field: str = "source") -> str:
    """Return one text for every spelling of a place, to see whether one lies within another.

    The connection is no part of it: two of them mostly lead to one store.
    """
    location = locate(uri, field)
    if isinstance(location, LocalLocation):
        return os.path.realpath(location.uri)
    return f"{family(location.scheme)}:{posixpath.normpath(location.path)}"


def directory_of(uri: str) -> str:
    """Return the directory that `list_files` lists, from which it counts its paths."""
    return _split_glob(uri)[0]


def is_glob(uri: str) -> bool:
    """Tell whether `uri` holds a wildcard and is not, by chance, the name of something."""
    return _split_glob(uri)[1] is not None


def _split_glob(uri: str) -> tuple[str, str | None]:
    """Return the directory to list and the pattern below it, None where there is no wildcard."""
    scheme, mark, rest = uri.rpartition("://")
    wild = _WILD.search(rest)
    if wild is None or locate(uri, "source").state() is not None:
        return uri, None
    cut = rest.rfind("/", 0, wild.start()) + 1
    return f"{scheme}{mark}{rest[:cut]}" or "./", rest[cut:]


def list_everything(directory: str, *, field: str = "destination") -> Iterator[Found]:
    """Yield all files below a directory, hidden ones too; nothing where there is none."""
    location = locate(directory, field)
    with suppress(FileNotFoundError):
        yield from _below(location)


def _listed(location: Location, pattern: str | None) -> Iterator[Found]:
    state = location.state() if location.path else None
    if state is not None and state.kind == "file" and pattern is None:
        yield _itself(location, state)
        return
    if state is None and _needs_directory(location):
        raise FileNotFoundError(location.uri)
    wanted = _matcher(pattern)
    yield from (found for found in _below(location) if wanted(found.path))


def _needs_directory(location: Location) -> bool:
    return isinstance(location, LocalLocation) or family(location.scheme) not in OBJECT_STORES


def _itself(location: Location, state: State) -> Found:
    if isinstance(location, LocalLocation):
        written: float | None = location.path.stat().st_mtime
    else:
        written = _written(location.fs.info(location.path))
    fingerprint = f"{state.size}-{state.version}"
    return Found(location.uri, location.name, state.size, fingerprint, written)


def _matcher(pattern: str | None) -> Callable[[str], bool]:
    """Return what tells whether a relative path is wanted."""
    compiled = re.compile("".join(_translate(pattern or "**")), re.DOTALL)
    shows_hidden = any(part.startswith(".") for part in (pattern or "").split("/"))

    def wanted(path: str) -> bool:
        if not compiled.fullmatch(path):
            return False
        return shows_hidden or not any(is_hidden(part) for part in path.split("/"))

    return wanted


def is_hidden(name: str) -> bool:
    """Tell whether a name is one that people do not see, such as an office program's lock."""
    return name.startswith((".", "~$"))


def _translate(pattern: str) -> Iterator[str]:
    parts = pattern.split("/")
    for index, part in enumerate(parts):
        is_last = index == len(parts) - 1
        if part == "**":
            yield ".+" if is_last else "(?:.+/)?"
        else:
            yield from _translate_name(part)
            yield "" if is_last else "/"


def _translate_name(part: str) -> Iterator[str]:
    index = 0
    while index < len(part):
        letter = part[index]
        index += 1
        end = part.find("]", index + 1) if letter == "[" else -1
        if letter == "*":
            yield "[^/]*"
        elif letter == "?":
            yield "[^/]"
        elif end > 0:
            inner = part[index:end].replace("\\", "\\\\").replace("[", r"\[")
            yield f"[^/{inner[1:]}]" if inner.startswith("!") else f"[{inner}]"
            index = end + 1
        else:
            yield re.escape(letter)


def _below(location: Location) -> Iterator[Found]:
    if isinstance(location, LocalLocation):
        root = location.uri.rstrip("/") + "/"
        return _below_local(root, root)
    return _below_in_store(location)


def _below_local(directory: str, root: str) -> Iterator[Found]:
    with os.scandir(directory) as entries:
        inner = []
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != OWN_DIRECTORY:
                    inner.append(entry.path)
            elif (found := _local(entry, root)) is not None:
                yield found
    for path in sorted(inner):
        yield from _below_local(path, root)


def _local(entry: os.DirEntry[str], root: str) -> Found | None:
    try:
        state = entry.stat()
    except FileNotFoundError:  # gone since it was listed, or a link that leads nowhere
        return None
    if not stat.S_ISREG(state.st_mode):
        return None
    fingerprint = f"{state.st_size}-{state.st_mtime_ns}"
    return Found(
        entry.path, entry.path.removeprefix(root), state.st_size, fingerprint, state.st_mtime
    )


def _below_in_store(location: StoreLocation) -> Iterator[Found]:
    root = location.path.rstrip("/") + "/"
    uri = location.uri.rstrip("/") + "/"
    for info in _infos(location.fs, root, location.scheme):
        name = str(info["name"])
        # SFTP's paths begin with a slash or do not, as the store likes.
        path = name.removeprefix(root) if name.startswith(root) else f"/{name}".removeprefix(root)
        if info["type"] != "file" or path.endswith("/") or not path:
            continue
        if OWN_DIRECTORY not in path.split("/")[:-1]:
            state = state_of(info)
            fingerprint = f"{state.size}-{state.version}"
            yield Found(uri + path, path, state.size, fingerprint, _written(info))


def _infos(fs: Any, root: str, scheme: str) -> Iterator[dict[str, Any]]:
    """Yield what the store says of each file, in pages where the store has pages."""
    fs.invalidate_cache(root.rstrip("/"))
    if family(scheme) == "s3" and hasattr(fs, "_iterdir"):
        yield from _s3_pages(fs, root)
    elif family(scheme) in OBJECT_STORES:
        yield from fs.find(root, detail=True).values()
    else:
        yield from _directories(fs, root.rstrip("/") or "/")


def _s3_pages(fs: Any, root: str) -> Iterator[dict[str, Any]]:
    """Walk S3's listing page by page: `find` would hold a kilobyte for every object at once."""
    from fsspec.asyn import sync  # noqa: PLC0415 - for stores only, which have loaded it

    bucket, prefix, _ = fs.split_path(root)
    entries = fs._iterdir(bucket, delimiter="", prefix=prefix)  # noqa: SLF001 - the public calls are not streams

    async def page() -> list[dict[str, Any]]:
        found = []
        async for entry in entries:
            found.append(entry)
            if len(found) == 1000:  # noqa: PLR2004 - S3's own page
                break
        return found

    while found := sync(fs.loop, page):
        yield from found


def _directories(fs: Any, directory: str) -> Iterator[dict[str, Any]]:
    inner = []
    for info in fs.ls(directory, detail=True, **accepted(fs.ls, refresh=True)):
        if info["type"] == "directory":
            inner.append(str(info["name"]))
        else:
            yield info
    for path in sorted(inner):
        if path.rstrip("/").rpartition("/")[2] != OWN_DIRECTORY:
            yield from _directories(fs, path)


def _written(info: dict[str, Any]) -> float | None:
    value = next((info[key] for key in _WRITTEN if info.get(key)), None)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=value.tzinfo or UTC).timestamp()
    return float(value) if isinstance(value, int | float) else None
