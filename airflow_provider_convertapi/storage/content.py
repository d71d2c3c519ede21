"""What identifies the content of a file, so that it is told from another of the same size.

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
    """Return what identifies the content of an open file."""
    return hash_rest(file, hashlib.blake2b(digest_size=_BYTES))


def hash_rest(file: BinaryIO, digest: hashlib._Hash | hashlib.blake2b) -> str:
    """Return the digest of what is left of an open file, as hexadecimal digits."""
    while block := file.read(BLOCK):
        digest.update(block)
    return digest.hexdigest()


def digest_of_path(path: Path) -> str:
    """Return the same for a local file."""
    with path.open("rb") as file:
        return digest_of(file)
