"""Open the documents that the examples made."""

from __future__ import annotations

import io

import pypdfium2
from PIL import Image


def measure(name: str, content: bytes, password: str | None = None) -> str:
    """Describe the size of a document: pages, pixels or words."""
    if name.endswith(".pdf"):
        return pages_in(content, password=password)
    if name.endswith(".jpg"):
        with Image.open(io.BytesIO(content)) as image:
            return f"{image.width} x {image.height} px"
    return f"{len(content.decode().split())} words"


def pages_in(*pdfs: bytes, password: str | None = None) -> str:
    """Return the number of pages."""
    pages = sum(len(pypdfium2.PdfDocument(pdf, password)) for pdf in pdfs)
    return f"{pages} page{'s' if pages > 1 else ''}"


def text_of(pdf: bytes, password: str | None = None) -> str:
    """Return the text of all pages, with every run of white space as one space."""
    document = pypdfium2.PdfDocument(pdf, password)
    return " ".join(" ".join(page.get_textpage().get_text_range() for page in document).split())


def is_locked(pdf: bytes) -> bool:
    """Tell whether a PDF opens only with a password."""
    try:
        pypdfium2.PdfDocument(pdf)
    except pypdfium2.PdfiumError as error:
        return bool(error.err_code == pypdfium2.raw.FPDF_ERR_PASSWORD)
    return False
