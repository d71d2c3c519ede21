"""Find the files of a batch: a directory, a glob, or a list of files, directories and URLs.

This module may change from release to release.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

from airflow_provider_convertapi.batch.checkpoint import URL
from airflow_provider_convertapi.batch.made import made_by
from airflow_provider_convertapi.batch.names import shard_of
from airflow_provider_convertapi.batch.tables import open_tables, pack, unpack
from airflow_provider_convertapi.conversions.values import (
    flatten,
    is_several,
    is_summary,
    plain_text,
    source_text,
    wrong,
)
from airflow_provider_convertapi.errors import InputNotFoundError
from airflow_provider_convertapi.storage import (
    Sought,
    canonical,
    directory_of,
    is_file,
    is_glob,
    is_url,
    list_files,
    shown,
    unsigned,
    without_secrets,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence

    from airflow_provider_convertapi.batch.request import BatchRequest
    from airflow_provider_convertapi.storage import (
        Found,
    )

MISSING = "missing"
"""Fingerprint of a file that a list names but that does not exist."""

OWN_OUTPUT = "outputs of this conversion"
"""Reason for which a listed file is left out."""

_YOUNG, _FUTURE = "younger than min_age", "dated in the future"

_AT_ONCE = 8
"""Files of a list that are looked up at the same time."""

Entry = TypeVar("Entry", "Input", "Found")


@dataclass(frozen=True, slots=True)
class Input:
    """A file to convert.

    :param path: relative to the directory that was listed; for a file of a list, its name.
    :param fingerprint: identifies its content, as far as a listing shows it.
    :param inside: its path relative to the destination if it is inside, else None.
    :param is_named: True if a list named it, False if a listing found it.
    """

    uri: str
    path: str
    fingerprint: str
    inside: str | None
    is_named: bool


@dataclass(frozen=True, slots=True)
class _Named:
    """A file that the source names.

    :param path: the path under which it is mirrored; None means its name.
    """

    uri: str
    path: str | None = None


@dataclass(slots=True)
class Inputs:
    """The inputs of a batch, read once, as a stream.

    :param tables: the tables of the plan.
    :param now: seconds since the epoch.
    :param is_output: tells whether a batch wrote a path, relative to the destination, in a format:
        results of this same conversion are not its inputs.
    :param total: number of files in the whole source, of all shards; counted while reading.
    :param left_out: number of listed files that were left out, by reason; counted while reading.
    """

    request: BatchRequest
    tables: sqlite3.Connection
    now: float
    is_output: Callable[[str, str], bool]
    total: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    _destination: str = field(init=False)
    _named_uris: Container[str] = field(default=(), init=False)
    _seen: _Seen | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        place = canonical(self.request.destination.uri, field="destination")
        self._destination = f"{place.rstrip('/')}/"

    def read(self) -> Iterator[Input]:
        """Yield the inputs of this shard, each once."""
        shard = self.request.shard
        for entry in self._each_once():
            self.total += 1
            if entry.inside is not None:
                self.tables.execute("INSERT OR IGNORE INTO used VALUES (?)", (pack(entry.inside),))
            if shard.count == 1 or shard_of(entry.path, shard.count) == shard.index:
                yield entry

    def _each_once(self) -> Iterator[Input]:
        """Yield every input once, with the path that the first listing gives it."""
        listings, names = _divided(self.request.source)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = [entry for entry in pool.map(self._named, names) if entry]
        # By its name in records: a URL that is listed with two signatures is one input, paid once.
        named = {record_uri(one.uri) if is_url(one.uri) else one.uri: one for one in found}
        self._seen = seen = None if _is_one(listings, names) else _Seen(self.tables)
        self._named_uris = named
        to_format = self.request.to_formats[-1]
        for entry in _each_new(chain.from_iterable(map(self._listing, listings)), seen):
            if entry.uri in named:
                yield replace(entry, is_named=True)
            elif entry.inside is not None and self.is_output(entry.inside, to_format):
                self.left_out[OWN_OUTPUT] += 1
            else:
                yield entry
        yield from (entry for uri, entry in named.items() if seen and uri not in seen)

    def _listing(self, uri: str) -> Iterator[Input]:
        place = self._destination
        root = canonical(directory_of(uri)).rstrip("/") + "/"
        holds_destination = place.startswith(root) and place != root
        inner = root[len(place) :] if root.startswith(place) else None
        for found in list_files(uri, note=self._leave_out):
            if holds_destination and (root + found.path).startswith(place):
                self._leave_out("in the destination", found.uri)
            elif self._is_old_enough(found):
                inside = None if inner is None else inner + found.path
                yield Input(found.uri, found.path, found.fingerprint, inside, False)

    def _leave_out(self, reason: str, uri: str) -> None:
        """Count a file that is left out, once even if two listings show it."""
        if uri in self._named_uris:  # it is converted, because a list names it
            return
        if self._seen is None or self._seen.add(f"{reason}: {uri}"):
            self.left_out[reason] += 1

    def _named(self, named: _Named) -> Input | None:
        """Look up a file that the user named, in a list or alone; None if it is too young."""
        uri = named.uri
        if is_url(uri):
            return Input(uri, _url_name(uri), url_fingerprint(uri), None, True)
        place, where = self._destination, canonical(uri)
        inside = where[len(place) :] if where.startswith(place) else None
        found = _first(uri)
        if found is None:
            name = uri.rstrip("/").rpartition("/")[2]
            return Input(uri, named.path or name, MISSING, inside, True)
        if found.path != found.uri.rpartition("/")[2]:
            raise wrong("source", f"lists {shown(uri)}, a directory; end it with '/' to convert it")
        if not self._is_old_enough(found):
            return None
        path = named.path or found.path
        return Input(found.uri, path, found.fingerprint, inside, True)

    def _is_old_enough(self, found: Found) -> bool:
        """Tell whether a file is at least `min_age` old; a younger one may be incomplete."""
        reason = too_young(found.modified, self.request.min_age, self.now, found.uri)
        if reason:
            self._leave_out(reason, found.uri)
        return reason is None


def too_young(modified: float | None, least: float, now: float, uri: str) -> str | None:
    """Return the reason to leave a file out for its age; None if it is old enough.

    :param modified: seconds since the epoch; None if the store does not record it.
    :param least: `min_age` in seconds; 0 for none.
    :param uri: the file, or the listed directory, which an error names.
    """
    if not least:
        return None
    if modified is None:
        raise wrong(
            "min_age",
            f"is {least:g} s, but the store of {shown(uri)} does not say when a file "
            "was written; leave min_age out",
        )
    age = now - modified
    if age >= least:
        return None
    return _FUTURE if age < -least else _YOUNG


def url_fingerprint(url: str) -> str:
    """Return a digest that identifies a URL, which may be secret itself."""
    return f"{URL}{hashlib.sha256(url.encode()).hexdigest()[:32]}"


def record_uri(uri: str) -> str:
    """Return the name of an input in records, without secrets.

    A URL's query, which may distinguish documents, is replaced by a digest without its signature,
    so that a document keeps its name when its URL is signed again.  User, password and fragment are
    left out, too.
    """
    # This name is part of what a record is found by: under another one, every URL is paid again.
    query = unsigned(uri).partition("#")[0].partition("?")[2] if is_url(uri) else ""
    digest = hashlib.sha256(query.encode()).hexdigest()[:16]
    return f"{without_secrets(uri)}?digest={digest}" if query else without_secrets(uri)


def _is_listing(uri: str) -> bool:
    return not is_url(uri) and (uri.endswith("/") or is_glob(uri))


def _url_name(url: str) -> str:
    parts = urlsplit(url)
    return unquote(parts.path.rstrip("/").rpartition("/")[2]) or parts.hostname or "page"


def asked_files(source: object) -> Callable[[str], bool]:
    """Return a function that tells whether a source includes a file, without access to a store.

    :param source: as the user gave it; its URLs are left out.
    """
    several = is_several(source)
    uris, made = [], []
    for item in flatten(source):
        if isinstance(item, Mapping) and is_summary(item):
            made += [uri for uri, _ in made_by(item)]
        else:
            uris.append(plain_text("source", item))
    sought = [Sought(uri) for uri in [*uris, *made] if not is_url(uri)]
    names = {name for one in sought for name in one.names}
    listings = [one for one in sought if one.is_listing or not (several or made)]
    return lambda uri: uri in names or any(one.lists(uri) for one in listings)


def _divided(source: object) -> tuple[list[str], list[_Named]]:
    """Divide a source into URIs to list, and the files and URLs that it names."""
    is_list = is_several(source)
    listings: list[str] = []
    named: list[_Named] = []
    for item in flatten(source):
        if isinstance(item, Mapping) and is_summary(item):
            named += (_Named(*one) for one in made_by(item))
            continue
        uri = source_text("source", item)
        is_listing = _is_listing(uri) or not (is_list or is_url(uri) or is_file(uri))
        names_nothing = is_list and is_listing and _is_name_of_nothing(uri)
        if is_listing and not names_nothing:
            listings.append(uri)
        else:
            named.append(_Named(uri))
    return listings, named


def _is_name_of_nothing(uri: str) -> bool:
    """Tell whether a glob without a star is the name of a missing file: ``a[1].docx``, ``why?.md``.

    An empty directory is not.
    """
    return not uri.endswith("/") and "*" not in uri and _first(uri) is None


def _first(uri: str) -> Found | None:
    """Return the first file that a URI lists; None if it lists none or does not exist."""
    with suppress(InputNotFoundError, PermissionError):  # the file's own failure reports it later
        return next(list_files(uri), None)
    return None


def _is_one(listings: Sequence[str], named: Sequence[_Named]) -> bool:
    """Tell whether there is a single listing, which cannot list anything twice."""
    return len(listings) == 1 and not named


class _Seen:
    """The URIs that were seen, in a table because there may be many."""

    def __init__(self, tables: sqlite3.Connection) -> None:
        self._tables = tables

    def add(self, uri: str) -> bool:
        """Note a URI; tell whether it is new."""
        found = self._tables.execute("INSERT OR IGNORE INTO seen VALUES (?)", (pack(uri),))
        return found.rowcount > 0

    def __contains__(self, uri: str) -> bool:
        found = self._tables.execute("SELECT 1 FROM seen WHERE uri = ?", (pack(uri),))
        return found.fetchone() is not None


def _each_new(entries: Iterable[Entry], seen: _Seen | None) -> Iterator[Entry]:
    """Yield entries that were not seen before, and note them; `seen` is None for one listing."""
    return (entry for entry in entries if seen is None or seen.add(entry.uri))


def list_paths(source: object) -> Iterator[tuple[str, str | None]]:
    """Yield each file's relative path, which decides its shard, and its URI if it was named."""
    listings, named = _divided(source)
    with closing(open_tables()) as tables:
        seen = None if _is_one(listings, named) else _Seen(tables)
        for found in _each_new(chain.from_iterable(map(list_files, listings)), seen):
            yield found.path, None
        for one in named:
            if seen and seen.add(one.uri):
                yield _path_of(one), one.uri if one.path is None else None


def _path_of(named: _Named) -> str:
    if named.path is not None:
        return named.path
    return _url_name(named.uri) if is_url(named.uri) else named.uri.rpartition("/")[2]


def leave_out_outputs(tables: sqlite3.Connection) -> int:
    """Leave out listed files that are outputs of other inputs; return how many those are."""
    # All are marked before any is deleted, so that the order of the rows does not matter: an
    # output is left out even if the input that it was made from is left out, too.
    found = tables.execute(
        "UPDATE inputs SET is_left_out = TRUE WHERE NOT is_named AND inside IS NOT NULL AND EXISTS "
        "(SELECT 1 FROM inputs AS maker WHERE maker.target = inputs.inside "
        "AND maker.number != inputs.number)"
    )
    tables.execute("DELETE FROM inputs WHERE is_left_out")
    return found.rowcount


def check_not_inputs(tables: sqlite3.Connection) -> None:
    """Raise `ParameterError` if an output would overwrite an input."""
    found = tables.execute(
        "SELECT maker.uri, input.uri FROM inputs AS input JOIN inputs AS maker "
        "ON maker.target = input.inside WHERE input.inside IS NOT NULL "
        "ORDER BY maker.number LIMIT 1"
    ).fetchone()
    if found is not None:
        maker, over = map(unpack, found)
        raise wrong(
            "destination",
            f"would have the result of {shown(maker)} written over the input {shown(over)}; an "
            "input is never overwritten, so choose another directory",
        )
