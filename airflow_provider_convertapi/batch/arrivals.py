"""What a watched place holds, and how much of it is new.

This module may change from release to release.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.conversions.values import flatten, plain_text, wrong
from airflow_provider_convertapi.storage import check_uri, list_files, resolve_anew, shown
from airflow_provider_convertapi.surroundings import surroundings

if TYPE_CHECKING:
    from collections.abc import Mapping

_BYTES = 8
"""Of the hash of a file: of a million files, one new file in 10^13 is taken for a known one."""

_MOST_KEPT = 5_000
"""Files whose hashes are stored: 53 kB; Airflow recommends at most 64 kB for a value."""

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Listing:
    """All inputs that a place held at one moment.

    :param source: the URIs that were listed.
    :param now: seconds since the epoch at which the listing began.
    :param files: by a hash of a file's URI and fingerprint, when it was written, None where the
        store does not say.
    """

    source: list[str]
    now: float
    files: Mapping[int, float | None]


@dataclass(frozen=True, slots=True)
class Seen:
    """The files that a watcher knows.

    :param digest: differs when a file was added, changed or removed.
    :param hashes: of the files; None where they were too many to be stored.
    """

    files: int
    digest: str
    hashes: frozenset[int] | None

    def as_json(self) -> dict[str, Any]:
        """Return what is stored of it, in a size that has a bound."""
        value = {"version": _VERSION, "files": self.files, "digest": self.digest}
        if self.hashes is None or self.files > _MOST_KEPT:
            return value
        packed = b"".join(one.to_bytes(_BYTES) for one in sorted(self.hashes))
        return value | {"hashes": b64encode(packed).decode()}

    @classmethod
    def from_json(cls, value: Any) -> Seen | None:
        """Return what was stored; None for nothing, and for what was not stored by this version."""
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
    """Return a source as JSON holds it; `ParameterError` for what cannot be watched.

    It looks at nothing and resolves no connection.

    :param has_airflow: as `check_uri` takes it.
    """
    several = flatten(source)
    if not several:
        raise wrong("source", "is an empty list; give a directory, a glob or a bucket prefix")
    uris = [plain_text("source", one) for one in several]
    for uri in uris:
        if "{{" in uri or "{%" in uri:
            raise wrong("source", f"is {uri!r}; the arguments of a watcher are not templated")
        check_uri(uri, "source", has_airflow=has_airflow)
    return uris if several != [source] else uris[0]


def list_place(source: str | list[str]) -> Listing:
    """List a place by the rules of a batch, save `min_age`.

    After a failure the next call resolves the connections again: they may have been fixed.
    """
    uris = [source] if isinstance(source, str) else source
    now = surroundings().clock.time()
    found = chain.from_iterable(map(list_files, uris))
    try:
        # A loop, which lets other threads run; a call that takes the whole listing would not.
        files = {_hash(file.uri, file.fingerprint): file.modified for file in found}
    except Exception:
        for uri in uris:
            with suppress(Exception):  # what is wrong with it was the failure itself
                resolve_anew(uri, "source")
        raise
    return Listing(uris, now, files)


def _hash(uri: str, fingerprint: str) -> int:
    text = f"{uri}\0{fingerprint}".encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=_BYTES).digest())


def compare(listing: Listing, min_age: float, before: Seen | None) -> tuple[Seen, int]:
    """Return the files that are old enough, and how many of them were not known before.

    A changed file counts as a new one; a file that was removed counts as nothing.
    """
    # In the thread that compares: a triggerer imports this module in its event loop.
    from airflow_provider_convertapi.batch.inputs import too_young

    place = shown(listing.source[0])
    hashes = [
        one
        for one, written in listing.files.items()
        if too_young(written, min_age, listing.now, place) is None
    ]
    # A sum needs no order: sorting a million hashes would stop all other threads meanwhile.
    digest = f"{sum(hashes) % (1 << 8 * _BYTES):0{2 * _BYTES}x}"
    seen = Seen(len(hashes), digest, frozenset(hashes))
    if before is None or before.digest == digest:
        return seen, 0 if before else len(hashes)
    known = before.hashes or frozenset()
    return seen, sum(one not in known for one in hashes)
