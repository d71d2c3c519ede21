"""What a conversion makes: a result says which bytes it was made from, and how."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAGIC = {"pdf": b"%PDF-1.7\n", "jpg": b"\xff\xd8\xff\xe0", "zip": b"PK\x03\x04", "txt": b""}
"""How a file of each format begins."""

_KEEPS_FORMAT = {"protect": "pdf", "compress": "pdf", "merge": "pdf"}
_NO_PARAMETERS = {"timeout", "storefile", "file", "files", "jobid", "filename"}
"""Fields that do not change what a result holds."""

DAMAGED = b"damaged"
"""A document with this word gets a verdict, whatever is asked."""

PAGE = b"page:"
"""A document has as many pages as it has lines that begin so, at least one."""


def extension(target: str) -> str:
    """Return the extension of what a converter or a tool makes."""
    return _KEEPS_FORMAT.get(target, target)


def pages(content: bytes) -> int:
    """Return how many pages a document has."""
    return max(content.count(PAGE), 1)


def fingerprint(content: bytes) -> str:
    """Return a short hash of a document."""
    return hashlib.sha256(content).hexdigest()[:16]


def identity(target: str, parameters: Mapping[str, str], inputs: Sequence[bytes]) -> str:
    """Return what distinguishes one conversion from another."""
    wanted = sorted(
        (name.lower(), value)
        for name, value in parameters.items()
        if name.lower() not in _NO_PARAMETERS
    )
    return repr((target, wanted, [fingerprint(content) for content in inputs]))


def converted(
    target: str, parameters: Mapping[str, str], inputs: Sequence[bytes]
) -> list[tuple[str, bytes]]:
    """Return suffix and content of each result; only pictures come one a page."""
    count = max(pages(content) for content in inputs) if target == "jpg" else 1
    # A result remembers the pages, so that a later step makes one picture of each.
    lines = b"\n".join([PAGE] * max(pages(content) for content in inputs))
    made = identity(target, parameters, inputs).encode()
    return [
        (
            f"-{number}" if number > 1 else "",
            MAGIC[extension(target)] + b"\n".join([made, str(number).encode(), lines]),
        )
        for number in range(1, count + 1)
    ]
