"""Answers: JSON, multipart/mixed, raw bytes and XML, streamed from disk in constant memory."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from xml.sax.saxutils import escape

from convertapi_sandbox import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

    from convertapi_sandbox.errors import ServiceError

CHUNK = 1 << 20  # with 64 KiB chunks, a third of the speed was measured
_PACKET = 64 << 10  # bytes; smaller pieces are sent together
_BASE64_CHUNK = 3 << 18  # a multiple of 3, so that the pieces join without padding

JSON, MULTIPART, RAW = "application/json", "multipart/mixed", "application/octet-stream"
XML, TEXT_XML = "application/xml", "text/xml"


@dataclass(frozen=True, slots=True)
class FilePiece:
    """The bytes of a file as part of an answer, raw or in base64."""

    path: Path
    size: int
    encoded: bool = False
    start: int = 0

    @property
    def length(self) -> int:
        """Return how many bytes it adds to the answer."""
        return 4 * ((self.size + 2) // 3) if self.encoded else self.size

    def chunks(self) -> Iterator[bytes]:
        """Read the file piece by piece."""
        left = self.size
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.start)
            while left and (
                chunk := file.read(min(left, _BASE64_CHUNK if self.encoded else CHUNK))
            ):
                left -= len(chunk)
                yield base64.b64encode(chunk) if self.encoded else chunk


@dataclass(slots=True)
class Answer:
    """One HTTP answer; itself an ASGI application.

    Attributes:
        status: HTTP status.
        pieces: The parts of the body.
        headers: Without Content-Length, which is computed from the pieces.
        code: `Code` of an error body, for the journal.
        finish: Called when the answer was sent, or could not be sent.
    """

    status: int
    pieces: Sequence[bytes | FilePiece]
    headers: dict[str, str]
    code: int | None = None
    finish: Callable[[], None] | None = field(default=None, repr=False)

    @property
    def length(self) -> int:
        """Return the number of bytes in the body."""
        return sum(len(p) if isinstance(p, bytes) else p.length for p in self.pieces)

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Send the answer, and note its Code."""
        if self.code is not None and "exchange" in scope:
            scope["exchange"].entry.code = self.code
        headers = {"content-length": str(self.length), **self.headers}
        raw = [
            (k.lower().encode("latin-1"), v.encode("latin-1", "replace"))
            for k, v in headers.items()
        ]
        try:
            await send({"type": "http.response.start", "status": self.status, "headers": raw})
            if scope["method"] != "HEAD":
                for chunk in self._chunks():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self.close()

    def _chunks(self) -> Iterator[bytes]:
        """Yield the body with small pieces combined: each chunk is a packet that wakes a caller."""
        held = bytearray()
        for piece in self.pieces:
            for chunk in (piece,) if isinstance(piece, bytes) else piece.chunks():
                if len(held) + len(chunk) <= _PACKET:
                    held += chunk
                    continue
                if held:
                    yield bytes(held)
                    held.clear()
                yield chunk
        if held:
            yield bytes(held)

    def close(self) -> None:
        """Release the sources of the answer; a second call does nothing."""
        if self.finish is not None:
            finish, self.finish = self.finish, None
            finish()


def json_answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Return a JSON answer."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    return Answer(
        status, [text], {"content-type": "application/json; charset=utf-8", **(headers or {})}
    )


def text_answer(text: str, status: int = 200) -> Answer:
    """Return a plain-text answer."""
    return Answer(status, [text.encode()], {"content-type": "text/plain; charset=utf-8"})


def error_answer(error: ServiceError) -> Answer:
    """Return the answer for an error."""
    if error.code is None:
        return Answer(error.status, [], dict(error.headers))
    answer = json_answer(error.body(), error.status, error.headers)
    answer.code = error.code
    return answer


def preferred(
    accept: str | None, offered: Iterable[str] = (JSON, MULTIPART, RAW, XML, TEXT_XML)
) -> str | None:
    """Return the offered media type that an Accept header prefers.

    None without a header. A wildcard, or a header with no offered type, means the first one.
    """
    if accept is None:
        return None
    offered = tuple(offered)
    ranked: list[tuple[float, int, str]] = []
    for position, item in enumerate(accept.split(",")):
        kind, *options = (part.strip().lower() for part in item.split(";"))
        quality = next((_quality(o) for o in options if o.startswith("q=")), 1.0)
        for choice in offered:
            if quality > 0 and kind in (choice, "*/*", choice.partition("/")[0] + "/*"):
                ranked.append((-quality, position, choice))
                break
    return min(ranked)[2] if ranked else offered[0]


def _quality(option: str) -> float:
    try:
        return float(option[2:])
    except ValueError:
        return 0.0


@dataclass(frozen=True, slots=True)
class ResultFile:
    """One result: its bytes, read when needed, and its id and Url if it is stored."""

    name: str
    size: int
    path: Path | None = None
    file_id: str | None = None
    url: str | None = None

    def described(self) -> dict[str, Any]:
        """Return the fields that are in every answer."""
        fields: dict[str, Any] = {
            "FileName": self.name,
            "FileExt": names.extension(self.name),
            "FileSize": self.size,
        }
        if self.file_id is not None:
            fields |= {"FileId": self.file_id, "Url": self.url}
        return fields


@dataclass(frozen=True, slots=True)
class Style:
    """How to write a result: its format, and the switches that affect it."""

    kind: str = JSON
    extended_names: bool = True
    conversion_time: bool = False
    shares_cost: bool = False


def result_answer(cost: int, files: Sequence[ResultFile], style: Style) -> Answer:
    """Return the answer to a conversion that worked.

    Raw bytes can hold one result; if there are several, the answer is JSON.
    """
    if style.kind == RAW and len(files) == 1 and files[0].path:
        return raw_answer(files[0].path, files[0].name, style)
    if style.kind == MULTIPART and all(file.path for file in files):
        return _multipart(cost, files, style)
    if style.kind in (XML, TEXT_XML):
        return Answer(
            200, list(_xml(cost, files)), {"content-type": "application/xml; charset=utf-8"}
        )
    return Answer(
        200, list(_json(cost, files, style)), {"content-type": "application/json; charset=utf-8"}
    )


def raw_answer(
    path: Path, name: str, style: Style, headers: Mapping[str, str] | None = None
) -> Answer:
    """Return the bytes of one file, with its name."""
    disposition = names.disposition(name, extended=style.extended_names)
    return Answer(
        200,
        [FilePiece(path, path.stat().st_size)],
        {"content-type": RAW, "content-disposition": disposition, **(headers or {})},
    )


def _multipart(cost: int, files: Sequence[ResultFile], style: Style) -> Answer:
    boundary = secrets.token_hex(16)
    pieces: list[bytes | FilePiece] = []
    for position, file in enumerate(files):
        disposition = names.disposition(file.name, extended=style.extended_names, size=file.size)
        told = (cost + len(files) - 1 - position) // len(files) if style.shares_cost else cost
        head = (
            f"--{boundary}\r\nConversionCost: {told}\r\nContent-Type: {RAW}\r\n"
            f"Content-Disposition: {disposition}\r\n\r\n"
        )
        pieces.append(head.encode("utf-8", "replace"))
        pieces.append(_piece(file))
        pieces.append(b"\r\n")
    pieces.append(f"--{boundary}--\r\n".encode())
    return Answer(200, pieces, {"content-type": f'multipart/mixed; boundary="{boundary}"'})


def _json(cost: int, files: Sequence[ResultFile], style: Style) -> Iterator[bytes | FilePiece]:
    fields = {"ConversionCost": cost}
    if style.conversion_time:
        fields["ConversionTime"] = cost
    yield json.dumps(fields, separators=(",", ":"))[:-1].encode() + b',"Files":['
    for position, file in enumerate(files):
        text = json.dumps(file.described(), separators=(",", ":"), ensure_ascii=False)
        start = b"," if position else b""
        if file.file_id is not None:
            yield start + text.encode("utf-8", "replace")
        else:
            yield start + text[:-1].encode("utf-8", "replace") + b',"FileData":"'
            yield _piece(file, encoded=True)
            yield b'"}'
    yield b"]}"


def _xml(cost: int, files: Sequence[ResultFile]) -> Iterator[bytes | FilePiece]:
    """Yield the XML described on the older content type pages."""
    yield f"<Conversion><ConversionCost>{cost}</ConversionCost><Files>".encode()
    for file in files:
        fields = "".join(f"<{k}>{escape(str(v))}</{k}>" for k, v in file.described().items())
        yield f"<File>{fields}".encode("utf-8", "replace")
        if file.file_id is None:
            yield b"<FileData>"
            yield _piece(file, encoded=True)
            yield b"</FileData>"
        yield b"</File>"
    yield b"</Files></Conversion>"


def _piece(file: ResultFile, *, encoded: bool = False) -> FilePiece:
    """Return the bytes of a result that is not stored, or still exists."""
    path = cast("Path", file.path)  # callers check that the bytes exist
    return FilePiece(path, path.stat().st_size, encoded)
