"""JPEG files reduced to the picture itself, which stays the same byte for byte."""

from __future__ import annotations

import struct

from convertapi_sandbox.engines import verdicts

_MARK, _SCAN, _END = 0xFF, 0xDA, 0xD9
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})
# JFIF, colour profile and Adobe's transform: without them the picture would look different.
_NEEDED = frozenset({0xE0, 0xE2, 0xEE})
_APPLICATION, _COMMENT = range(0xE0, 0xF0), 0xFE


def stripped(data: bytes, exif: bytes = b"") -> bytes:
    """Return a JPEG without metadata, thumbnails and comments.

    Args:
        data: The file.
        exif: The content of an APP1 segment to add, such as the orientation; empty for none.

    Raises:
        EngineError: 5002 if its segments are inconsistent.
    """
    kept = [data[:2]]
    if exif:
        kept.append(struct.pack(">BBH", _MARK, 0xE1, len(exif) + 2) + exif)
    place = 2
    while place + 4 <= len(data):
        if data[place] != _MARK:
            raise verdicts.damaged("Its segments are inconsistent.")
        marker = data[place + 1]
        if marker == _MARK:  # padding
            place += 1
            continue
        if marker in (_SCAN, _END):
            return b"".join([*kept, data[place:]])
        length = 2 if marker in _WITHOUT_LENGTH else 2 + int.from_bytes(data[place + 2 : place + 4])
        if (marker not in _APPLICATION and marker != _COMMENT) or marker in _NEEDED:
            kept.append(data[place : place + length])
        place += length
    raise verdicts.damaged("It ends before its picture.")
