"""Tell from a file's first bytes whether it can have the format that its name claims.

An error page, a sign-in page or an empty file must never become ``out.pdf``.  A file is refused
only if it is certainly wrong: formats that are not listed here may hold anything.

This module may change from release to release.
"""

from __future__ import annotations

import codecs
import re

HEAD = 64 * 1024
"""The most bytes that are examined."""

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
"""How a ZIP file begins: with a file, without any, or as one of several parts."""

# An Office file with a password is an OLE container, whichever of the two it was before.
_OFFICE = (*_ZIP, _OLE)

_BEGINNINGS: dict[str, tuple[bytes, ...]] = {
    "pdf": (b"%PDF",),
    "fdf": (b"%FDF",),
    "ps": (b"%!", b"\xc5\xd0\xd3\xc6"),
    "eps": (b"%!", b"\xc5\xd0\xd3\xc6"),
    "pcl": (b"\x1b",),
    "rtf": (b"{\\rtf",),
    "jpg": (b"\xff\xd8\xff",),
    "png": (b"\x89PNG\r\n\x1a\n",),
    "gif": (b"GIF87a", b"GIF89a"),
    "tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "bmp": (b"BM",),
    "ico": (b"\0\0\1\0",),
    "psd": (b"8BPS",),
    "webp": (b"RIFF",),
    "jxl": (b"\xff\x0a", b"\0\0\0\x0cJXL "),
    "pnm": tuple(b"P%d" % number for number in range(1, 8)),
}
_BEGINNINGS |= dict.fromkeys(("zip", "epub", "odt", "ods", "odp", "odg", "xps", "oxps"), _ZIP)
_BEGINNINGS |= dict.fromkeys(
    (
        *("docx", "docm", "dotx", "dotm", "doc", "dot", "vsdx", "vsd", "pub", "msg"),
        *("xlsx", "xlsm", "xltx", "xlsb", "xls", "xlt"),
        *("pptx", "pptm", "potx", "ppsx", "ppt", "pot", "pps"),
    ),
    _OFFICE,
)
_BEGINNINGS["doc"] += (b"{\\rtf",)
_ALIASES = {"jpeg": "jpg", "jfif": "jpg", "tif": "tiff", "htm": "html", "markdown": "md"} | (
    dict.fromkeys(("pbm", "pgm", "ppm"), "pnm")
)

_OF_TEXT = frozenset({"txt", "md", "csv", "tsv", "html", "xml", "svg", "json", "po", "vtt", "srt"})
_LEADING = b" \t\r\n\f\0"
"""Bytes that may precede a PDF's beginning."""

_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_PAGE = re.compile(rb"<(!doctype\s+html|html)\b", re.IGNORECASE)
_JSON = re.compile(rb"[\[{\"0-9tfn-]")
_OBJECT = re.compile(rb"[\[{]\s*[\[{\"\]}]")

_KINDS = (
    (b"%PDF", "a PDF"),
    (_OLE, "an old Office file"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    *((beginning, "a ZIP file, or a newer Office file") for beginning in _ZIP),
    (b"{\\rtf", "an RTF document"),
)


def complaint_about(head: bytes, extension: str) -> str | None:
    """Return why a file cannot have a format, as the end of a sentence; None if it can.

    :param head: its first `HEAD` bytes, or all if there are fewer.
    :param extension: the extension of its name, in lower case.
    """
    claimed = canonical_format(extension)
    if claimed in _OF_TEXT:
        is_fit = _is_text_of(head, claimed)
    else:
        is_fit = claimed not in _BEGINNINGS or _begins(head, claimed)
    return None if is_fit else f"is not in {claimed.upper()} format: it is {kind_of(head)}"


def canonical_format(extension: str) -> str:
    """Return the usual name of a format that has several."""
    return _ALIASES.get(extension, extension)


def is_of_text(extension: str) -> bool:
    """Tell whether a format is text."""
    return canonical_format(extension) in _OF_TEXT


def are_different(one: str, other: str) -> bool:
    """Tell whether no file can have both formats; False if that is not known."""
    one, other = canonical_format(one), canonical_format(other)
    if one in _BEGINNINGS and other in _BEGINNINGS:
        return one != other
    return {one in _OF_TEXT, other in _OF_TEXT} == {True, False} and (
        one in _BEGINNINGS or other in _BEGINNINGS
    )


def encoding_of(head: bytes) -> tuple[bytes, str | None]:
    """Return the byte order mark that a text begins with, and its encoding."""
    for mark, encoding in _ENCODINGS:
        if head.startswith(mark):
            return mark, encoding
    return b"", None


def kind_of(head: bytes) -> str:
    """Say what a file is, as far as its first bytes tell."""
    text = _plain(head)
    found = next((kind for beginning, kind in _KINDS if head.startswith(beginning)), None)
    if not head:
        return "empty"
    if found:
        return found
    if _PAGE.match(text):
        return "an HTML page"
    if text.startswith(b"<"):
        return "XML, or a part of an HTML page"
    if _OBJECT.match(text):
        return "JSON"
    return "something else" if b"\0" in text else "text, or something else"


def _begins(head: bytes, claimed: str) -> bool:
    start = head.lstrip(_LEADING) if claimed == "pdf" else head
    if claimed == "webp" and head[8:12] != b"WEBP":
        return False
    return start.startswith(_BEGINNINGS[claimed])


def _is_text_of(head: bytes, claimed: str) -> bool:
    text = _plain(head)
    # Without the last of the kinds, RTF, which is text.
    if b"\0" in text or any(head.startswith(beginning) for beginning, _ in _KINDS[:-1]):
        return False
    if claimed == "json":
        return bool(_JSON.match(text))
    if claimed in {"xml", "svg"}:
        return text.startswith(b"<") and not _PAGE.match(text)
    # A table does not begin like an HTML page; other text, such as Markdown, may.
    return claimed not in {"csv", "tsv"} or not _PAGE.match(text)


def _plain(head: bytes) -> bytes:
    """Return the beginning of a text as UTF-8, without its mark and leading white space."""
    mark, encoding = encoding_of(head)
    if encoding is not None:
        head = head[len(mark) :].decode(encoding, "ignore").encode("utf-8", "ignore")
    return head.lstrip()
