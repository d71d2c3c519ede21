"""Read a `multipart/mixed` answer, one part for each result, as it arrives in constant memory.

This module may change from release to release.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from email.message import Message
from typing import TYPE_CHECKING, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from airflow_provider_convertapi.api.forms import disposition_name, disposition_values
from airflow_provider_convertapi.api.redaction import shown
from airflow_provider_convertapi.api.wire import whole_number
from airflow_provider_convertapi.errors import UnexpectedAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_LONGEST_HEAD = 16 * 1024
"""Bytes that the headers of a part may take; ConvertAPI does not send more."""

_MOST_HEADERS = 100


@dataclass(frozen=True, slots=True)
class PartHead:
    """A part's headers: file name, size in bytes (None if not given), conversion cost."""

    name: str
    size: int | None
    cost: int


@dataclass(slots=True)
class _Part:
    headers: Message = field(default_factory=Message)
    header_name: bytearray = field(default_factory=bytearray)
    header_value: bytearray = field(default_factory=bytearray)
    head_size: int = 0


class AnswerReader:
    """Parse an answer block by block; write each part's bytes to the sink that `begin` returns.

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
        self._part = _Part()
        self._parts = 0
        self._whole = False
        self._parser = self._new_parser(boundary)

    def _new_parser(self, boundary: str) -> MultipartParser:
        try:
            parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise _garbled(error) from None
        # The parser's own limits (8 headers of 4 KiB) are meant for uploads to a server, and
        # python-multipart before 0.0.27 has none: the callbacks below check our own limits.
        parser.max_header_count = parser.max_header_size = _LONGEST_HEAD
        return parser

    def read(self, blocks: Iterable[bytes]) -> None:
        """Read the whole answer; `UnexpectedAnswerError` if it is cut off, empty or garbled."""
        try:
            for block in blocks:
                self._parser.write(block)
        except FormParserError as error:
            raise _garbled(error) from None
        # Without a Content-Length, an answer that is cut off between two parts looks like a whole
        # one: results would be missing, and nobody would know.
        if not self._whole:
            raise UnexpectedAnswerError("the multipart answer ended before its last boundary")
        if not self._parts:
            raise UnexpectedAnswerError("the multipart answer holds no result")

    def _on_part_begin(self) -> None:
        self._part = _Part()
        self._parts += 1

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._part.header_name += data[start:end]
        self._count(end - start)

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._part.header_value += data[start:end]
        self._count(end - start)

    def _count(self, size: int) -> None:
        self._part.head_size += size
        if self._part.head_size > _LONGEST_HEAD:
            raise _endless()

    def _on_header_end(self) -> None:
        part = self._part
        if len(part.headers) == _MOST_HEADERS:
            raise _endless()
        part.headers[part.header_name.decode("latin-1")] = part.header_value.decode(
            "utf-8", "replace"
        )
        part.header_name, part.header_value = bytearray(), bytearray()

    def _on_headers_finished(self) -> None:
        self._sink: BinaryIO = self._begin(_head(self._part.headers))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._sink.write(memoryview(data)[start:end])

    def _on_part_end(self) -> None:
        self._end()

    def _on_end(self) -> None:
        self._whole = True


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


def _garbled(error: FormParserError) -> UnexpectedAnswerError:
    return UnexpectedAnswerError(f"the multipart answer is garbled: {shown(str(error))}")


def _head(headers: Message) -> PartHead:
    cost = whole_number(headers.get("ConversionCost"))
    disposition = headers.get("Content-Disposition", "")
    sizes = disposition_values(disposition, "size")
    return PartHead(
        name=disposition_name(disposition),
        size=whole_number(sizes[0]) if sizes else None,
        # A success is billed: without the header, count the least possible cost.
        cost=1 if cost is None else cost,
    )
