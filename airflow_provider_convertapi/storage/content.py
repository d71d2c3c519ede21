"""Digests of files, which distinguish contents of the same size.

This module may change from release to release.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, BinaryIO

from airflow_provider_convertapi.storage.location import BLOCK

if TYPE_CHECKING:
    from pathlib import Path

_BYTES = 16


def digest_of(file: BinaryIO) -> str:
    """Return a digest of an open file's content."""
    return hash_rest(file, hashlib.blake2b(digest_size=_BYTES))


def hash_rest(file: BinaryIO, digest: hashlib._Hash | hashlib.blake2b) -> str:
    """Return the digest of the rest of an open file, as hexadecimal digits."""
    while block := file.read(BLOCK):
        digest.update(block)
    return digest.hexdigest()


def digest_of_path(path: Path) -> str:
    """Return a digest of a local file's content."""
    with path.open("rb") as file:
        return digest_of(file)
