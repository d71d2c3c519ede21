"""Read the requests that reach the model: forms, names, values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

_NAME = re.compile(rb'name="([^"]*)"')
_EXTENDED = re.compile(r"filename\*=(?:UTF-8|utf-8)''([^;\s]+)")
_PLAIN = re.compile(r'filename="([^"]*)"')


@dataclass(frozen=True)
class Form:
    """The parameters of a conversion.

    :param texts: plain parameters; :param files: documents in the request, as (name, content).
    """

    texts: dict[str, str] = field(default_factory=dict)
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)


def file_name(disposition: str) -> str:
    """Return the file name of a `Content-Disposition`."""
    if found := _EXTENDED.search(disposition):
        return unquote(found[1])
    found = _PLAIN.search(disposition)
    return found[1] if found else ""


def read_form(content_type: str, body: bytes) -> Form:
    """Read a `multipart/form-data` body."""
    form = Form()
    boundary = b"--" + content_type.partition("boundary=")[2].encode()
    for part in body.split(boundary)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        content = content.removesuffix(b"\r\n")
        found = _NAME.search(head)
        name = found[1].decode() if found else ""
        if b"filename" in head:
            line = next(line for line in head.split(b"\r\n") if b"filename" in line)
            form.files[name] = (file_name(line.decode()), content)
        else:
            form.texts[name] = content.decode()
    return form
