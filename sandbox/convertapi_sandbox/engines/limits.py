"""Bombs found before a library opens them: archives, XML and pictures that unpack to too much."""

from __future__ import annotations

import zipfile
import zlib
from typing import TYPE_CHECKING

from convertapi_sandbox.engines import verdicts

if TYPE_CHECKING:
    from pathlib import Path

MAX_UNPACKED = 256 << 20  # bytes that the parts of a document may unpack to
MAX_MEMBERS = 10_000
MAX_PIXELS = 100_000_000  # of one picture
_CHUNK = 1 << 20
_HEAD = 100
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")  # a compound file: old Office, or a wrapper of encryption
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_XML = (".xml", ".rels", ".xhtml", ".html", ".htm", ".opf", ".ncx", ".svg", ".vml")
# No office format needs entity declarations; documents with them try to explode or to read files.
_ENTITY = tuple("<!ENTITY".encode(code) for code in ("ascii", "utf-16-le", "utf-16-be"))
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError),
    *(NotImplementedError, RuntimeError, UnicodeError),
)


def check_package(document: Path, *, password: object = None) -> None:
    """Check a document that is a zip archive of XML parts (docx, xlsx, pptx, odt, epub).

    Every part is unpacked and measured, because the sizes in its directory may be wrong.

    Args:
        document: The file.
        password: The caller's password; no engine here can use it.

    Raises:
        EngineError: 5003 for an encrypted document, 415 if there is a password for it, 5002 for a
            bomb or anything that is not such an archive.
    """
    _refuse_encrypted(document, password)
    try:
        with zipfile.ZipFile(document) as archive:
            _check_members(archive)
    except _BROKEN as error:
        raise verdicts.damaged(str(error)) from None


def check_rtf(document: Path) -> None:
    """Check that a document is Rich Text; programs would accept any text.

    Raises:
        EngineError: 5002 if it is not.
    """
    with document.open("rb") as file:
        if not file.read(_HEAD).lstrip().startswith(rb"{\rtf"):
            raise verdicts.damaged("It is not Rich Text.")


def _refuse_encrypted(document: Path, password: object) -> None:
    with document.open("rb") as file:
        if file.read(len(_OLE)) != _OLE:
            return
        encrypted = _ENCRYPTED in file.read(MAX_UNPACKED)
    if not encrypted:
        raise verdicts.damaged("It is an older Office format.")
    raise verdicts.unsupported("encrypted Office documents") if password else verdicts.protected()


def _check_members(archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise verdicts.damaged(f"It has more than {MAX_MEMBERS} parts.")
    room = MAX_UNPACKED
    for member in members:
        if member.flag_bits & 1:
            raise verdicts.protected()
        is_xml = member.filename.lower().endswith(_XML)
        with archive.open(member) as part:
            tail = b""
            while chunk := part.read(_CHUNK):
                room -= len(chunk)
                if room < 0:
                    raise verdicts.damaged(f"It unpacks to more than {MAX_UNPACKED >> 20} MB.")
                if is_xml:
                    refuse_entities(tail + chunk)
                    tail = chunk[-16:]


def refuse_entities(xml: bytes) -> None:
    """Refuse XML that declares entities, in any encoding.

    Raises:
        EngineError: 5002.
    """
    if any(mark in xml for mark in _ENTITY):
        raise verdicts.damaged("It declares XML entities.")


def check_pixels(width: int, height: int) -> None:
    """Refuse a picture that is too large to unpack.

    Raises:
        EngineError: 5002.
    """
    if width * height > MAX_PIXELS:
        raise verdicts.damaged(f"A picture of {width} x {height} is more than the sandbox unpacks.")
