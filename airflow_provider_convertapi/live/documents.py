"""The check's own documents: tiny, made here, and of no value to anyone.

This module may change from release to release.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_TYPES = (
    '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/'
    'content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.'
    'relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override '
    'PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.'
    'wordprocessingml.document.main+xml"/></Types>'
)
_RELATIONS = (
    '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/'
    'relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/'
    '2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>'
)
_PAGE = '<w:p><w:r><w:t>Page {}</w:t></w:r><w:r><w:br w:type="page"/></w:r></w:p>'


@dataclass(frozen=True, slots=True)
class Document:
    """A document in memory."""

    name: str
    data: bytes

    @property
    def size(self) -> int:
        """Return its bytes."""
        return len(self.data)

    def open(self) -> AbstractContextManager[BinaryIO]:
        """Open it for reading from its start."""
        return io.BytesIO(self.data)


def pdf(pages: int) -> Document:
    """Return a PDF of empty pages."""
    kids = b" ".join(b"%d 0 R" % (number + 3) for number in range(pages))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count %d/Kids[%s]>>" % (pages, kids),
        *[b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 72 72]>>"] * pages,
    ]
    text, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(text))
        text += b"%d 0 obj%sendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    count = len(objects) + 1
    text_of_table = b"xref\n0 %d\n0000000000 65535 f \n%s" % (count, table)
    end = b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (count, len(text))
    return Document("check.pdf", text + text_of_table + end)


def damaged() -> Document:
    """Return 3,000 bytes that only claim to be a Word document."""
    return Document("check.docx", hashlib.shake_256(b"live check").digest(3000))


def texts() -> list[Document]:
    """Return three small texts."""
    return [Document(f"check-{letter}.txt", b"A live check.\n") for letter in "abc"]


def long_document(pages: int) -> Document:
    """Return a Word document that takes a while to convert."""
    body = "".join(_PAGE.format(number) for number in range(1, pages + 1))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", _TYPES)
        archive.writestr("_rels/.rels", _RELATIONS)
        document = f'<w:document xmlns:w="{_W}"><w:body>{body}</w:body></w:document>'
        archive.writestr("word/document.xml", f'<?xml version="1.0"?>{document}')
    return Document("check.docx", packed.getvalue())
