"""List a watched directory or prefix, and count its new files.

This module may change from release to release.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.conversions.values import (
    flatten,
    is_several,
    plain_text,
    wrong,
)
from airflow_provider_convertapi.storage import check_uri, list_files, resolve_anew, shown
from airflow_provider_convertapi.surroundings import surroundings

if TYPE_CHECKING:
    from collections.abc import Mapping

_BYTES = 8
"""Length of a file's hash: with a million files, one new file in 10^13 is mistaken for a known
one."""

# `[state_store] max_value_storage_bytes` in airflow/config_templates/config.yml: of a larger value
# Airflow stores all, but warns in the log of each write.
_MOST_KEPT = 5_000
"""The most hashes that are stored: they take 53 kB, and Airflow recommends at most 64 kB."""

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Listing:
    """All files of a watched source at one moment.

    :param source: the URIs that were listed.
    :param now: seconds since the epoch at which the listing began.
    :param files: for a hash of each file's URI and fingerprint, when it was written (seconds since
        the epoch), None if the store does not record that.
    """

    source: list[str]
    now: float
    files: Mapping[int, float | None]


@dataclass(frozen=True, slots=True)
class Seen:
    """The files that a watcher knows.

    :param digest: changes when a file is added, changed or removed.
    :param hashes: the hashes of the files; None if there were too many to store them.
    """

    files: int
    digest: str
    hashes: frozenset[int] | None

    def as_json(self) -> dict[str, Any]:
        """Return JSON values to store, of limited size."""
        value = {"version": _VERSION, "files": self.files, "digest": self.digest}
        if self.hashes is None or self.files > _MOST_KEPT:
            return value
        packed = b"".join(one.to_bytes(_BYTES) for one in sorted(self.hashes))
        return value | {"hashes": b64encode(packed).decode()}

    @classmethod
    def from_json(cls, value: Any) -> Seen | None:
        """Read a stored value; None if there is none, or another version has stored it."""
        if not isinstance(value, dict) or value.get("version") != _VERSION:
            return None
        try:
            packed = value.get("hashes")
            hashes = None if packed is None else _unpacked(b64decode(packed))
            return cls(int(value["files"]), str(value["digest"]), hashes)
        except (KeyError, TypeError, ValueError):  # somebody else wrote it
            return None


def _unpacked(packed: bytes) -> frozenset[int]:
    return frozenset(
        int.from_bytes(packed[start : start + _BYTES]) for start in range(0, len(packed), _BYTES)
    )


def check_watched(source: object, *, has_airflow: bool = True) -> str | list[str]:
    """Return a source as JSON values; `ParameterError` if it cannot be watched.

    It accesses no store and resolves no connection.

    :param has_airflow: as for `check_uri`.
    """
    several = flatten(source)
    if not several:
        raise wrong("source", "is an empty list; give a directory, a glob or a bucket prefix")
    uris = [plain_text("source", one) for one in several]
    for uri in uris:
        if "{{" in uri or "{%" in uri:
            raise wrong("source", f"is {uri!r}; the arguments of a watcher are not templated")
        check_uri(uri, "source", has_airflow=has_airflow)
    return uris if is_several(source) else uris[0]


def list_place(source: str | list[str]) -> Listing:
    """List a source by the rules of a batch, except `min_age`.

    After a failure the next call resolves the connections again, since they may have been fixed.
    """
    uris = [source] if isinstance(source, str) else source
    now = surroundings().clock.time()
    found = chain.from_iterable(map(list_files, uris))
    try:
        # A loop lets other threads run; a single call for the whole listing would not.
        files = {_hash(file.uri, file.fingerprint): file.modified for file in found}
    except Exception:
        for uri in uris:
            with suppress(Exception):  # the error of the listing is the one to report
                resolve_anew(uri, "source")
        raise
    return Listing(uris, now, files)


def _hash(uri: str, fingerprint: str) -> int:
    text = f"{uri}\0{fingerprint}".encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=_BYTES).digest())


def compare(listing: Listing, min_age: float, before: Seen | None) -> tuple[Seen, int]:
    """Return the files that are old enough, and how many of them are new.

    A changed file counts as new; a removed file does not count.
    """
    # Imported here, in a thread: a triggerer imports this module in its event loop.
    from airflow_provider_convertapi.batch.inputs import too_young

    place = shown(listing.source[0])
    hashes = [
        one
        for one, written in listing.files.items()
        if too_young(written, min_age, listing.now, place) is None
    ]
    # A sum, because sorting a million hashes would block all other threads.
    digest = f"{sum(hashes) % (1 << 8 * _BYTES):0{2 * _BYTES}x}"
    seen = Seen(len(hashes), digest, frozenset(hashes))
    if before is None or before.digest == digest:
        return seen, 0 if before else len(hashes)
    known = before.hashes or frozenset()
    return seen, sum(one not in known for one in hashes)
