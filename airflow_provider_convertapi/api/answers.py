"""Read a `multipart/mixed` answer, one part for each result, as it arrives in constant memory.

This module may change from release to release.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from airflow_provider_convertapi.api.forms import disposition_name, disposition_values
from airflow_provider_convertapi.api.redaction import shown
from airflow_provider_convertapi.api.wire import whole_number
from airflow_provider_convertapi.errors import TransportError, UnexpectedAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_LONGEST_HEAD = 16 * 1024
"""Bytes that a part's headers, or the text before the first part, may take; ConvertAPI does not
send more."""

_MOST_HEADERS = 100

_MOST_BLOCKS_AFTER = 4
"""Blocks that are read after the last boundary, so that the connection can be used again."""

# What follows a boundary, and all that may be the beginning of it.
_AFTER_BOUNDARY = re.compile(rb"(--)|[ \t]{0,1000}(\r?\n)")
_ITS_BEGINNING = re.compile(rb"(-?|[ \t]{0,1000}\r?)\Z")

_FOLD = re.compile(rb"\r?\n[ \t]+")


@dataclass(frozen=True, slots=True)
class PartHead:
    """A part's headers: file name, size in bytes (None if not given), conversion cost."""

    name: str
    size: int | None
    cost: int


class AnswerReader:
    """Parse an answer block by block; write each part's bytes to the sink that `begin` returns.

    Like RFC 2046, it allows a text before the first boundary and after the last one, and blanks
    after each: the answer is paid, and its results are good.

    :param content_type: the answer's `Content-Type`; it holds the boundary.
    :param begin: called when a part's headers are read; returns the sink for its bytes.
    :param end: called after a part's last byte.
    """

    def __init__(
        self, content_type: str, begin: Callable[[PartHead], BinaryIO], end: Callable[[], None]
    ) -> None:
        boundary = _boundary(content_type)
        if not boundary or not boundary.isascii():
            raise UnexpectedAnswerError(
                f"the answer is not multipart/mixed but {shown(content_type)!r}"
            )
        self._begin, self._end = begin, end
        self._boundary = f"--{boundary}".encode()

    def read(self, blocks: Iterable[bytes]) -> None:
        """Read the whole answer; `UnexpectedAnswerError` if it is cut off, empty or garbled."""
        blocks = iter(blocks)
        answer = _Answer(blocks, self._boundary)
        answer.skip_preamble()
        if answer.is_over:
            raise UnexpectedAnswerError("the multipart answer holds no result")
        while not answer.is_over:
            sink = self._begin(_head(answer.headers()))
            for piece in answer.content():
                sink.write(piece)
            self._end()
        # Every result is here, even if the connection breaks now.
        with suppress(TransportError):
            for _ in islice(blocks, _MOST_BLOCKS_AFTER):
                pass


class _Answer:
    """The bytes of a multipart answer, taken from one boundary to the next."""

    def __init__(self, blocks: Iterator[bytes], boundary: bytes) -> None:
        self._blocks, self._boundary = blocks, boundary
        # The line break before the first boundary is missing if the answer begins with it.
        self._held, self._line_break = bytearray(b"\n"), b"\n"
        self.is_over = False
        """Whether the last boundary was read."""

    def skip_preamble(self) -> None:
        """Skip what comes before the first boundary."""
        skipped = 0
        for piece in self._up_to_boundary():
            skipped += len(piece)
            if skipped > _LONGEST_HEAD:
                raise _garbled("it does not begin with a boundary")

    def headers(self) -> Mapping[str, str]:
        """Read a part's headers, by lower-case name."""
        break_ = self._line_break
        while (found := self._held.find(break_ * 2, 0, _LONGEST_HEAD)) < 0:
            if len(self._held) > _LONGEST_HEAD:
                raise _endless()
            self._read()
        # The second line break stays: in a part without content it belongs to the boundary.
        lines = [line for line in _FOLD.sub(b" ", self._take(found)).split(break_) if line]
        del self._held[: len(break_)]
        if len(lines) > _MOST_HEADERS:
            raise _endless()
        return dict(map(_header, reversed(lines)))  # the first of two with one name counts

    def content(self) -> Iterator[bytes]:
        """Yield the bytes of a part."""
        skipped = len(self._line_break)
        for piece in self._up_to_boundary():
            yield piece[skipped:]
            skipped = 0

    def _up_to_boundary(self) -> Iterator[bytes]:
        """Yield what comes before the next boundary and its line break; take those, too."""
        start_of_line = self._line_break + self._boundary
        searched = 0
        while True:
            start = self._held.find(start_of_line, searched)
            if start < 0:
                # The last bytes may be the beginning of it.
                if (certain := len(self._held) - len(start_of_line) + 1) > 1:
                    yield self._take(certain)
                searched = 0
                self._read()
            elif after := self._after_boundary(start + len(start_of_line)):
                self.is_over, self._line_break = after[2] is None, after[2] or b""
                yield self._take(start)
                # The line break after the boundary stays.
                self._take(after.end() - start - len(self._line_break))
                return
            else:
                searched = start + 1

    def _after_boundary(self, end: int) -> re.Match[bytes] | None:
        """Return what follows a boundary; None if what ends there begins another word."""
        while not (found := _AFTER_BOUNDARY.match(self._held, end)):
            if not _ITS_BEGINNING.match(self._held, end):
                return None
            self._read()
        return found

    def _read(self) -> None:
        """Read the next block; `UnexpectedAnswerError` if there is none."""
        block = next(self._blocks, None)
        # Without a Content-Length, an answer that is cut off between two parts looks like a whole
        # one: results would be missing, and nobody would know.
        if block is None:
            raise _garbled("it ended before its last boundary")
        self._held += block

    def _take(self, count: int) -> bytes:
        taken = bytes(memoryview(self._held)[:count])
        del self._held[:count]
        return taken


def _header(line: bytes) -> tuple[str, str]:
    name, colon, value = line.partition(b":")
    if not name.strip() or not colon or b"\r" in line:
        raise _garbled("a line of its headers is not a header")
    return name.strip().lower().decode("latin-1"), value.strip().decode("utf-8", "replace")


def _boundary(content_type: str) -> str:
    """Return the boundary of a `multipart/mixed` answer; empty if it is another one."""
    header = Message()
    header["Content-Type"] = content_type
    try:
        boundary = header.get_boundary() or ""
    except (TypeError, ValueError):  # as in `disposition_values`
        return ""
    return boundary if header.get_content_type() == "multipart/mixed" else ""


def _endless() -> UnexpectedAnswerError:
    return UnexpectedAnswerError("a part of the multipart answer has endless headers")


def _garbled(how: str) -> UnexpectedAnswerError:
    return UnexpectedAnswerError(f"the multipart answer is garbled: {how}")


def _head(headers: Mapping[str, str]) -> PartHead:
    cost = whole_number(headers.get("conversioncost"))
    disposition = headers.get("content-disposition", "")
    sizes = disposition_values(disposition, "size")
    return PartHead(
        name=disposition_name(disposition),
        size=whole_number(sizes[0]) if sizes else None,
        # A success is billed: without the header, count the least possible cost.
        cost=1 if cost is None else cost,
    )
