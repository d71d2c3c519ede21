"""Make the service's file names safe and distinct in every store.

This module may change from release to release.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST = 200
"""Bytes of UTF-8: below the 255 of common file systems, so that a temporary name fits around it."""

_LONGEST_OF_A_DISK = 255
_LONGEST_EXTENSION = 20
_DIGITS = 8

_UNSAFE = re.compile(
    r'[/\\<>:"|?*'  # separators, and what Windows shares refuse
    r"\x00-\x1f\x7f-\x9f"  # control characters
    r"\u2028\u2029\u202a-\u202e\u2066-\u2069"  # line breaks, and marks that reverse text
    r"\ud800-\udfff]"  # lone surrogates, which UTF-8 cannot encode
)
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}\.part", re.DOTALL)
_MARGINS = re.compile(r"^\s+|[\s.]+$")
_RESERVED = frozenset(
    {"con", "prn", "aux", "nul", "_convertapi"}  # Windows devices; the directory of our own records
    | {f"{device}{number}" for device in ("com", "lpt") for number in range(1, 10)}
)


def safe_name(name: str) -> str:
    """Return `name` as a single visible file name that every store accepts.

    Separators, control characters and ``<>:"|?*`` become ``_``, so that `../x` stays recognisable
    but cannot leave its directory.  A leading dot, which would hide the file, and names that
    Windows reserves get ``_`` in front; surrounding white space and trailing dots are removed.  The
    result has at most 200 bytes of UTF-8: a longer name keeps its beginning and its extension, and
    gets a digest of the whole; an empty name becomes `result`.
    """
    clean = (
        _MARGINS.sub("", _UNSAFE.sub("_", unicodedata.normalize("NFC", name.strip()))) or "result"
    )
    if clean.startswith(".") or clean.partition(".")[0].rstrip().lower() in _RESERVED:
        clean = f"_{clean}"
    return _fit(clean)


def distinct_names(names: Iterable[str]) -> list[str]:
    """Return safe names in the same order; no two are equal when case is ignored.

    The first of several equal ones keeps its name, the others become `name-2.pdf`, `name-3.pdf`;
    the same names in the same order always give the same result.
    """
    taken: set[str] = set()
    result = []
    for name in map(safe_name, names):
        candidate, number = name, 1
        while _folded(candidate) in taken:
            number += 1
            candidate = _fit(name, f"-{number}")
        taken.add(_folded(candidate))
        result.append(candidate)
    return result


def temporary_name(name: str, token: str = "") -> str:
    """Return the hidden name of a file that is published as `name` later."""
    return f".{_shortened(name, _LONGEST, name)}.{token}{'.' if token else ''}part"


def fitting_directory(name: str) -> str:
    """Return the name of a directory, shortened with a digest if it is too long for a disk."""
    is_fitting = len(name.encode(errors="surrogateescape")) <= _LONGEST_OF_A_DISK
    return name if is_fitting else _shortened(name, _LONGEST, name)


def published_name(name: str) -> str | None:
    """Return the name under which a hidden file was to be published; None for other files."""
    matched = _TEMPORARY.fullmatch(name)
    return matched[1] if matched else None


def _folded(name: str) -> str:
    # macOS and Windows shares ignore case, and macOS ignores how an accent is composed: there, a
    # result with the other spelling of a name would replace the first.
    return unicodedata.normalize("NFC", name.casefold())


def _fit(name: str, mark: str = "") -> str:
    """Put `mark` before the extension, and shorten the stem to the limit."""
    stem, extension = _split(name)
    room = _LONGEST - len(f"{mark}{extension}".encode())
    return f"{_shortened(stem, room, name)}{mark}{extension}"


def _split(name: str) -> tuple[str, str]:
    stem, dot, extension = name.rpartition(".")
    if not stem or " " in extension or len(extension.encode()) > _LONGEST_EXTENSION:
        return name, ""
    return stem, dot + extension


def _shortened(text: str, size: int, whole: str) -> str:
    """Return at most `size` bytes; a shortened text gets a digest, so that names stay distinct.

    :param whole: the text that the digest is made of.
    """
    data = text.encode(errors="surrogateescape")
    if len(data) <= size:
        return text
    digest = hashlib.sha256(whole.encode(errors="surrogateescape")).hexdigest()[:_DIGITS]
    start = data[: size - _DIGITS - 1].decode(errors="ignore")
    return f"{_MARGINS.sub('', start)}-{digest}"
