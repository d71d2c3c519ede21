"""Every conversion that the sandbox offers, its result opened."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import openpyxl
import pytest

from convertapi_sandbox import samples
from convertapi_sandbox.catalogue import converters
from convertapi_sandbox.engines import MISSING, pairs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from convertapi_sandbox.jobs import EngineJob
    from tests.engines.conftest import Made, Reader

PAIRS = [pair for row in pairs.ROWS for pair in row.pairs()]  # those without LibreOffice
IMAGES = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "tiff": "TIFF", "gif": "GIF", "pnm": "PPM"}
PICTURES = {"bmp", "gif", "ico", "jfif", "jpg", "png", "psd", "svg", "tiff", "webp", "images"}
DRAWN = {"ico": (64, 40), "svg": (667, 417)}  # an SVG at 200 pixels per inch
SLIDES = {"pptx", "ppsx", "potx"}


def words(content: str) -> str:
    """Return a text with single spaces."""
    return " ".join(content.split())


def check_pdf(source: str, made: Made, read: Reader) -> None:
    """Find the sample's text, or for pictures a page of their size."""
    if source in PICTURES:
        assert [(48, 30) if source == "ico" else (240, 150)] == read.sizes(made.only)
        return
    text = words(" ".join(read.text(made.only)))
    assert samples.NUMBER in text or source == "file"
    assert samples.TEXT in text or source == "csv"


def check_image(source: str, target: str, made: Made, read: Reader) -> None:
    """Open each picture: its format is right, it has the right size, something is on it."""
    for content in made:
        image = read.image(content)
        assert IMAGES[target] == image.format
        if source in PICTURES:
            assert DRAWN.get(source, samples.SIZE) == image.size
        else:
            assert 1000 < image.width < 3000
        assert read.darkest(image) < 200
    if source == "pdf":
        frames = sum(getattr(read.image(content), "n_frames", 1) for content in made)
        assert samples.PAGES == frames


def check_text(made: Made) -> None:
    """Find the sample's text in a result that is text."""
    text = words(made.only.decode())
    assert samples.TEXT in text
    assert samples.NUMBER in text


def check_office(target: str, made: Made, read: Reader) -> None:
    """Find the sample's text in an Office document."""
    parts = read.parts(made.only)
    assert any(samples.TEXT.split()[0].encode() in part for part in parts.values())
    assert {"docx": "word/document.xml", "odt": "content.xml", "pptx": "ppt/presentation.xml"}[
        target
    ] in parts


def check_cells(source: str, made: Made) -> None:
    """Find the sample's number in a cell of a workbook."""
    cells = [c for row in openpyxl.load_workbook(io.BytesIO(made.only)).active.values for c in row]
    assert (samples.NUMBER if source == "csv" else int(samples.NUMBER)) in cells


def check_csv(source: str, made: Made) -> None:
    """Read one file for each sheet, or one for all tables of a PDF."""
    if source == "pdf":
        rows = list(csv.reader(io.StringIO(made.only.decode())))
        assert [["Region", "Revenue", "Code"], ["North", samples.NUMBER, "007"]] == rows[:2]
        return
    first, second = (list(csv.reader(io.StringIO(content.decode()))) for content in made)
    assert ["North", samples.NUMBER] == first[1]
    assert [[samples.TEXT]] == second


def check_json(source: str, made: Made) -> None:
    """Find what the sample says about itself."""
    about = json.loads(made.only)
    assert samples.TITLE == about["Title" if source == "pdf" else "Subject"]


def check_locked(made: Made, read: Reader) -> None:
    """Open a protected file with its password."""
    assert samples.TEXT in words(read.text(made.only, samples.PASSWORD)[0])


def check_members(source: str, made: Made, read: Reader) -> None:
    """List an archive, or what came out of one."""
    if source == "file":
        assert {"sample.docx", "second.docx"} == set(read.parts(made.only))
    else:
        assert {"zip": ["readme.txt", "regions.csv"], "email": ["regions.csv"]}[
            source
        ] == made.names


def check_stays(made: Made, read: Reader) -> None:
    """Find the sample's text in a PDF made of a PDF."""
    assert samples.TEXT in words(read.text(made[0])[0])


def checker(source: str, target: str, made: Made, read: Reader) -> Callable[[], None]:
    """Return what looks at the results of a pair."""
    checkers: dict[str, Callable[[], None]] = {
        "pdf": lambda: check_pdf(source, made, read),
        "csv": lambda: check_csv(source, made),
        "xlsx": lambda: check_cells(source, made),
        "protect": lambda: check_locked(made, read),
        "extract-images": lambda: check_image("png", "png", made, read),
        "tiff-fax": lambda: check_image("pdf", "tiff", made, read),
        "compress": lambda: check_image("jpg", "jpg", made, read),
        "rasterize": lambda: check_sizes(made, read),
        "join": lambda: check_joined(made, read),
        **dict.fromkeys(IMAGES, lambda: check_image(source, target, made, read)),
        **dict.fromkeys(("txt", "md", "html"), lambda: check_text(made)),
        "rtf": lambda: check_text(made),
        **dict.fromkeys(("docx", "odt", "pptx"), lambda: check_office(target, made, read)),
        **dict.fromkeys(("meta", "metadata"), lambda: check_json(source, made)),
        **dict.fromkeys(("zip", "extract"), lambda: check_members(source, made, read)),
        "svg": lambda: check_drawings(made),
    }
    if source == "pdf" and target in ("pdf", "compress"):
        return lambda: check_stays(made, read)
    if target == "redact":
        return lambda: check_redacted(made, read)
    return checkers.get(target, lambda: check_stays(made, read))


def check_redacted(made: Made, read: Reader) -> None:
    """Find the rest of the sample's text, and nothing of what was to be removed."""
    pages = read.text(made.only)
    assert samples.PAGES == len(pages)
    assert all(samples.TEXT in words(page) for page in pages)
    assert not any("chapter" in page.lower() or "page 1" in page for page in pages)


def check_sizes(made: Made, read: Reader) -> None:
    """Find as many pages of the same size, without text."""
    assert [(595, 842)] * samples.PAGES == read.sizes(made.only)
    assert "".join(read.text(made.only)).strip() == ""


def check_joined(made: Made, read: Reader) -> None:
    """Find two pictures below each other."""
    assert (samples.SIZE[0], samples.SIZE[1] * 2) == read.image(made.only).size


def check_drawings(made: Made) -> None:
    """Find a drawing for each page."""
    assert samples.PAGES == len(made)
    assert all(content.startswith(b"<svg") and b"<path" in content for content in made)


def offered(pair: tuple[str, str]) -> object:
    """Skip a pair whose package is not installed."""
    absent = pytest.mark.skipif(pair in MISSING, reason=MISSING.get(pair, ""))
    return pytest.param(pair, marks=absent, id="-to-".join(pair))


@pytest.mark.parametrize("pair", [offered(pair) for pair in PAIRS])
def test_result_opens_and_holds_the_document(
    pair: tuple[str, str], finish: Callable[[EngineJob], Made], tmp_path: Path, read: Reader
) -> None:
    """A sample goes through the pair; its result is of the right format and holds its content."""
    made = finish(samples.job(*pair, tmp_path))

    assert made.names
    checker(*pair, made, read)()


def test_every_pair_is_in_the_catalogue() -> None:
    """The sandbox offers nothing that the service does not."""
    routes = {(c.source, c.target) for c in converters().values()}
    rows = pairs.ROWS + pairs.LIBREOFFICE_ROWS

    assert set() == {pair for row in rows for pair in row.pairs()} - routes


def test_about_a_hundred_pairs() -> None:
    """None of them is lost unseen, none is there twice."""
    assert len(PAIRS) >= 173
    assert len(PAIRS) == len(set(PAIRS))
