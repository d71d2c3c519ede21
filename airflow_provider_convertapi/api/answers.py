"""Read a `multipart/mixed` answer as it arrives: one part a result, in constant memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.message import Message
from typing import BinaryIO, TYPE_CHECKING

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser

from airflow_provider_convertapi.api.forms import disposition_name
from airflow_provider_convertapi.api.wire import redact
from airflow_provider_convertapi.errors import UnexpectedAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True, slots=True)
class PartHead:
    """What a part says of itself: file name, size in bytes (None: not said), conversion cost."""

    name: str
    size: int | None
    cost: int


@dataclass(slots=True)
class _Part:
    headers: Message = field(default_factory=Message)
    header_name: bytearray = field(default_factory=bytearray)
    header_value: bytearray = field(default_factory=bytearray)


class AnswerReader:
    """Push blocks in, get each part's bytes written to the sink that `begin` returns for its head.

    :param content_type: the answer's `Content-Type`; it holds the boundary.
    :param begin: called once a part's headers are read; returns where its bytes go.
    :param end: called after a part's last byte.
    """

    def __init__(
        self, content_type: str, begin: Callable[[PartHead], BinaryIO], end: Callable[[], None]
    ) -> None:
        header = Message()
        header["Content-Type"] = content_type
        boundary = header.get_boundary()
        if header.get_content_type() != "multipart/mixed" or not boundary:
            raise UnexpectedAnswerError(
                f"the answer is no multipart/mixed but {redact(content_type)[:80]!r}"
            )
        self._begin, self._end = begin, end
        self._part = _Part()
        self._sink: BinaryIO | None = None
        self._whole = False
        self._parser = MultipartParser(
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

    def read(self, blocks: Iterable[bytes]) -> None:
        """Read the whole answer; `UnexpectedAnswerError` where it is torn or no multipart."""
        try:
            for block in blocks:
                self._parser.write(block)
        except MultipartParseError as error:
            raise UnexpectedAnswerError(
                f"the multipart answer is garbled: {redact(str(error))}"
            ) from None
        if not self._whole:
            raise UnexpectedAnswerError("the multipart answer ended before its last boundary")

    def _on_part_begin(self) -> None:
        self._part = _Part()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._part.header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._part.header_value += data[start:end]

    def _on_header_end(self) -> None:
        part = self._part
        part.headers[part.header_name.decode("latin-1")] = part.header_value.decode(
            "utf-8", "replace"
        )
        part.header_name, part.header_value = bytearray(), bytearray()

    def _on_headers_finished(self) -> None:
        self._sink = self._begin(_head(self._part.headers))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._sink is not None:
            self._sink.write(memoryview(data)[start:end])

    def _on_part_end(self) -> None:
        self._sink = None
        self._end()

    def _on_end(self) -> None:
        self._whole = True


def _head(headers: Message) -> PartHead:
    cost = headers.get("ConversionCost", "")
    size = headers.get_param("size", header="Content-Disposition")
    return PartHead(
        name=disposition_name(headers.get("Content-Disposition", "")),
        size=int(size) if isinstance(size, str) and size.isdigit() else None,
        cost=int(cost) if str(cost).strip().isdigit() else 1,
    )
