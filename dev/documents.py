"""Open the documents that the examples made."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pypdfium2
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Mapping


def measure(files: Mapping[str, bytes], password: str | None = None) -> str:
    """Describe the size of documents of one format: pages, pixels or words."""
    names, contents = [*files], [*files.values()]
    if names[0].endswith(".pdf"):
        pages = sum(len(pypdfium2.PdfDocument(pdf, password)) for pdf in contents)
        return f"{pages} page{'s' if pages > 1 else ''}"
    if names[0].endswith(".jpg"):
        with Image.open(io.BytesIO(contents[0])) as image:
            return f"{image.width} x {image.height} px"
    return f"{sum(len(content.decode().split()) for content in contents)} words"


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
