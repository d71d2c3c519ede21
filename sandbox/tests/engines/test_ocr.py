"""Text recognised in scans; `make test-ocr` installs what it needs."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pikepdf
import pypdfium2
import pytest
from PIL import Image

from convertapi_sandbox import samples
from convertapi_sandbox.engines import MISSING

if TYPE_CHECKING:
    from tests.engines.conftest import Convert, Reader, Refused

pytestmark = pytest.mark.skipif(("pdf", "ocr") in MISSING, reason="rapidocr is not installed")


def test_scan_becomes_searchable(convert: Convert, read: Reader) -> None:
    """The text stands where it is in the picture, which stays as it is."""
    pdf = convert("pdf", "ocr").only

    text = " ".join(read.text(pdf)[0].split())
    assert samples.TEXT in text
    assert samples.NUMBER in text
    assert read.drawn(samples.content("scan")).tobytes() == read.drawn(pdf).tobytes()


def test_text_of_a_scan(convert: Convert) -> None:
    """OutputType gives the text alone; cells of a row stand on one line."""
    made = convert("pdf", "ocr", OutputType="txt")

    assert ["sample.txt"] == made.names
    assert f"North {samples.NUMBER} 007" in made.only.decode()


def test_pages_with_and_without_text(convert: Convert, read: Reader) -> None:
    """PDF to text reads what is there, and recognises the rest, unless it may not."""
    with (
        pikepdf.Pdf.open(io.BytesIO(samples.typeset('#set page("a5")\nTyped.'))) as document,
        pikepdf.Pdf.open(io.BytesIO(samples.content("scan"))) as scan,
    ):
        document.pages.extend(scan.pages)
        mixed = io.BytesIO()
        document.save(mixed)

    first, second = convert("pdf", "txt", mixed.getvalue(), SplitPages=True)
    only = convert("pdf", "txt", mixed.getvalue(), OcrMode="never").only

    assert b"Typed.\n" == first
    assert f"North {samples.NUMBER} 007" in second.decode()
    assert b"Typed.\n" == only


@pytest.mark.parametrize("target", ["md", "html"])
def test_scan_flows(convert: Convert, target: str) -> None:
    """A scan becomes Markdown and HTML, too."""
    made = convert("pdf", target, samples.content("scan")).only.decode()

    assert samples.TEXT in made
    assert samples.NUMBER in made


def test_turned_scan(convert: Convert, read: Reader) -> None:
    """A page that is turned by its reader has its text in the same place."""
    with pikepdf.Pdf.open(io.BytesIO(samples.content("scan"))) as document:
        document.pages[0].Rotate = 90
        turned = io.BytesIO()
        document.save(turned)

    assert samples.TEXT in " ".join(read.text(convert("pdf", "ocr", turned.getvalue()).only))


def test_page_with_text_is_left_alone(convert: Convert, read: Reader) -> None:
    """Nothing is recognised twice."""
    pdf = convert("pdf", "ocr", samples.content("report")).only

    assert read.text(samples.content("report")) == read.text(pdf)


def test_picture_without_text(convert: Convert) -> None:
    """It has none."""
    empty = io.BytesIO()
    Image.new("RGB", (300, 200), "white").save(empty, "JPEG")

    assert b"\n" == convert("jpg", "txt", empty.getvalue()).only


def test_letters_with_accents(convert: Convert) -> None:
    """The models know Latin letters of every kind."""
    lines = [
        "Größe und Übermaß",
        "Où êtes-vous, garçon",
        "Zażółć gęślą jaźń",
        "Blåbær på kjøkkenet",
    ]
    page = io.BytesIO()
    pdf = samples.typeset('#set page("a5")\n#set text(16pt)\n' + "\n\n".join(lines))
    with pypdfium2.PdfDocument(pdf) as document:
        document[0].render(scale=200 / 72).to_pil().convert("RGB").save(page, "PDF", resolution=200)

    text = convert("pdf", "ocr", page.getvalue(), OutputType="txt", OcrLanguage="pl").only.decode()

    assert lines == [line for line in text.splitlines() if line]


def test_other_languages(refused: Refused) -> None:
    """A language that the models do not know is refused, not guessed."""
    assert (415, 415) == refused("jpg", "txt", samples.content("photo"), OcrLanguage="ar")
