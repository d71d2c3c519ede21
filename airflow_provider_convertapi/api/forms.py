"""Request bodies: JSON, a raw file, or `multipart/form-data` with files, read block by block.

This module may change from release to release.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_provider_convertapi.api.parameters import FIELD_NAME, has_utf8
from airflow_provider_convertapi.api.wire import SLICE
from airflow_provider_convertapi.errors import InputChangedError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_provider_convertapi.api.wire import Openable

_EMAIL_WORDS = re.compile(r"(=\?[^?\s]+\?[BbQq]\?[^?\s]*\?=\s*)+")
_ATTR_CHARS = "!#$&+-.^_`|~"
"""RFC 5987 `attr-char` beside letters and digits.  Parentheses are not among them: a name with an
unescaped one loses its extension at the service (official Node.js client, issue 28)."""


def content_disposition(name: str) -> str:
    """Return a `Content-Disposition` value for any file name (RFC 5987)."""
    return f"attachment; {_extended_name(name)}"


def _extended_name(name: str) -> str:
    # A file name that the file system could not decode has surrogates, which UTF-8 cannot encode.
    return f"filename*=UTF-8''{quote(name, safe=_ATTR_CHARS, errors='replace')}"


def disposition_name(value: str) -> str:
    """Return the file name in a `Content-Disposition`; empty if it has none.

    `filename*` has precedence over `filename` (RFC 6266).
    """
    names = disposition_values(value, "filename")
    # `email` returns a `filename*` as a (charset, language, text) triple under the plain name.
    names.sort(key=lambda text: isinstance(text, str))
    try:
        return _decoded(collapse_rfc2231_value(names[0])) if names else ""
    except ValueError:  # Python has a codec "undefined", which refuses everything
        return ""


def disposition_values(value: str, name: str) -> list[Any]:
    """Return the values of a parameter in a `Content-Disposition`, as `email` returns them."""
    header = Message()
    header["Content-Disposition"] = value
    try:
        found = header.get_params([], header="Content-Disposition")
    # `email` cannot read a parameter that is given both whole and in pieces (RFC 2231), nor pieces
    # with endless numbers.  The answer may be paid, and its bytes are good without such a header.
    except (TypeError, ValueError):
        return []
    return [text for other, text in found if other == name]


def _decoded(name: str) -> str:
    """Return a name without the encoding of emails (RFC 2047), which .NET uses in `filename`."""
    if not _EMAIL_WORDS.fullmatch(name):
        return name
    try:
        return str(make_header(decode_header(name)))
    except (HeaderParseError, LookupError, ValueError):  # unknown or wrong charset, wrong base64
        return name


@dataclass(frozen=True, slots=True)
class FileBody:
    """A request body that is one file."""

    file: Openable
    content_type: str = "application/octet-stream"

    @property
    def size(self) -> int:
        """Return the length in bytes."""
        return self.file.size

    def blocks(self) -> Iterator[bytes]:
        """Yield the file's bytes, never more than the announced size."""
        return _blocks(self.file)


@dataclass(frozen=True, slots=True)
class JsonBody:
    """A request body that is one JSON object."""

    value: Mapping[str, Any]
    content_type: str = "application/json"

    @property
    def size(self) -> int:
        """Return the length in bytes."""
        return len(self._encoded())

    def blocks(self) -> Iterator[bytes]:
        """Yield the object's text."""
        yield self._encoded()

    def _encoded(self) -> bytes:
        return json.dumps(self.value).encode()


_PACKET = 64 << 10
"""Bytes up to which small pieces are sent together, so that a batch's threads switch less often."""


@dataclass(frozen=True, slots=True)
class FormBody:
    """A `multipart/form-data` body, the only kind that ConvertAPI's OpenAPI document declares.

    :param fields: name and value; a value that can be opened is sent as a file.  `ParameterError`
        for an impossible parameter name, and for text that UTF-8 cannot encode.
    """

    fields: Sequence[tuple[str, str | Openable]]
    # Random, so that no document can contain it.
    boundary: str = field(default_factory=lambda: secrets.token_hex(16))

    def __post_init__(self) -> None:
        for name, value in self.fields:
            # A name with a quotation mark or a line break could add a field, such as StoreFile.
            if not FIELD_NAME.fullmatch(name):
                raise _wrong(name, "is not a parameter name; those are letters and digits")
            if isinstance(value, str) and not has_utf8(value):
                raise _wrong(name, "holds lone surrogates, which cannot be sent; fix its text")

    @property
    def content_type(self) -> str:
        """Return the header value that names the boundary."""
        return f"multipart/form-data; boundary={self.boundary}"

    @property
    def size(self) -> int:
        """Return the length in bytes."""
        return sum(
            len(piece) if isinstance(piece, bytes) else piece.size for piece in self._pieces()
        )

    def blocks(self) -> Iterator[bytes]:
        """Yield the body's bytes; files are read as they are sent, and small pieces are joined."""
        held = bytearray()
        for piece in self._pieces():
            for block in (piece,) if isinstance(piece, bytes) else _blocks(piece):
                if held and len(held) + len(block) > _PACKET:
                    yield bytes(held)
                    held.clear()
                if len(block) > _PACKET:
                    yield block
                else:
                    held += block
        yield bytes(held)

    def _pieces(self) -> Iterator[bytes | Openable]:
        for name, value in self.fields:
            head = f'--{self.boundary}\r\nContent-Disposition: form-data; name="{name}"'
            if isinstance(value, str):
                yield f"{head}\r\n\r\n{value}\r\n".encode()
            else:
                head += f"; {_file_name(value.name)}"
                yield f"{head}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()
                yield value
                yield b"\r\n"
        yield f"--{self.boundary}--\r\n".encode()


def _wrong(name: str, complaint: str) -> ParameterError:
    return ParameterError(f"parameters[{name!r}] {complaint}.", {name: [complaint]})


def _file_name(name: str) -> str:
    """Return both forms of a file name, which the official .NET client also sends."""
    plain = "".join(c if " " <= c <= "~" and c not in '"\\' else "_" for c in name)
    return f'filename="{plain}"; {_extended_name(name)}'


def _blocks(file: Openable) -> Iterator[bytes]:
    left = file.size
    with file.open() as stream:
        # Never more than the announced size: a file that grows would run into the next part.
        while left and (block := stream.read(min(SLICE, left))):
            left -= len(block)
            yield block
    if left:
        # Content-Length was sent already: the request can only be ended by breaking the connection.
        raise InputChangedError(
            f"{file.name} ended {left} bytes before its size: it was shortened while it was sent. "
            "Nothing was converted; another try reads it again."
        )
