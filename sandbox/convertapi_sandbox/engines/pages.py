"""PDF pages drawn and read by pdfium."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import pypdfium2 as pdfium
from PIL import Image
from pypdfium2 import raw

from convertapi_sandbox import isolation
from convertapi_sandbox.engines import limits, ranges, raster, text, verdicts
from convertapi_sandbox.engines.results import Results
from convertapi_sandbox.requirements import importable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from convertapi_sandbox.jobs import (
        EngineError,
        EngineJob,
        EngineOutput,
        Parameters,
    )

_INCH = 72  # points
_WHITE = 255
_RESOLUTION = 200  # pixels per inch, the service's default
_TURNS = {"rotate90": 90, "rotate180": 180, "rotate270": 270}
_FAX: Parameters = {"ColorMode": "bitonal", "ImageResolution": _RESOLUTION}


def convert(job: EngineJob) -> list[EngineOutput]:
    """Draw or read a PDF's pages."""
    results = Results(job)
    with Opened(job.files[0].path, job.parameters) as document:
        match job.target:
            case "txt":
                _read(document, job.parameters, results)
            case "flatten":
                _flatten(document, results)
            case "tiff-fax":
                draw(document, "tiff", {**_FAX, **job.parameters}, results)
            case _:
                draw(document, job.target, job.parameters, results)
    return results.outputs


class Opened:
    """A PDF, open for the length of a with block.

    Raises:
        EngineError: 5003 without the password it needs, 5007 with a wrong one, 5002 if damaged.
    """

    def __init__(self, document: Path | bytes, parameters: Parameters) -> None:
        self._input = document
        self._password = str(parameters.get("Password", "")) or None

    def __enter__(self) -> pdfium.PdfDocument:
        try:
            self._document = pdfium.PdfDocument(self._input, password=self._password)
        except pdfium.PdfiumError as error:
            raise self._verdict(error) from None
        return self._document

    def _verdict(self, error: pdfium.PdfiumError) -> EngineError:
        content = self._input if isinstance(self._input, bytes) else self._input.read_bytes()
        # pdfium may report the error of an earlier file if this one fails without an error.
        if error.err_code != raw.FPDF_ERR_PASSWORD or b"/Encrypt" not in content:
            return verdicts.damaged(str(error))
        return verdicts.wrong_password() if self._password else verdicts.protected()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._document.close()


def each(document: pdfium.PdfDocument, parameters: Parameters) -> Iterator[pdfium.PdfPage]:
    """Yield each page of PageRange; each starts a new step."""
    for number in ranges.pages(str(parameters.get("PageRange", "1-last")), len(document)):
        isolation.step()
        try:
            page = document.get_page(number)
        except pdfium.PdfiumError as error:
            raise verdicts.damaged(f"Page {number + 1}: {error}") from None
        yield page
        page.close()


def draw(
    document: pdfium.PdfDocument, target: str, parameters: Parameters, results: Results
) -> None:
    """Draw the pages of PageRange: one file per page, or one TIFF with several pages."""
    pictures = images(document, parameters)
    if target == "tiff" and parameters.get("MultiPage", True):
        raster.save(list(pictures), target, results.place(target), parameters)
        return
    for picture in pictures:
        raster.save([picture], target, results.place(target), parameters)


def images(document: pdfium.PdfDocument, parameters: Parameters) -> Iterator[Image.Image]:
    """Yield each page of PageRange as a picture."""
    document.init_forms()
    for page in each(document, parameters):
        yield _drawn(page, parameters)


def _drawn(page: pdfium.PdfPage, parameters: Parameters) -> Image.Image:
    box, turn = str(parameters.get("CropTo", "BoundingBox")), parameters.get("Rotate", "default")
    if box != "BoundingBox":  # the BoundingBox is what a viewer shows
        page.set_cropbox(*getattr(page, f"get_{box.lower()}")())
    if turn == "none":
        page.set_rotation(0)
    angle = _TURNS.get(str(turn), 0)
    width, height = page.get_size()
    if angle % 180:
        width, height = height, width
    goal = _goal(width, height, parameters)
    scale = int(parameters.get("ImageResolution", _RESOLUTION)) / _INCH
    scale *= int(parameters.get("Scale", 100)) / 100
    if goal:
        scale = max(goal[0] / width, goal[1] / height)
    limits.check_pixels(int(width * scale), int(height * scale))
    background = raster.color(parameters, "BackgroundColor", "white") or (255, 255, 255)
    fill = (*background[:3], 255)
    bitmap = page.render(scale=scale, rotation=angle, fill_color=fill, rev_byteorder=True)
    image: Image.Image = bitmap.to_pil()
    if goal and image.size != goal:
        image = image.resize(goal, Image.Resampling.LANCZOS)
    if not isinstance(turn, str) and turn:  # some converters accept any angle, clockwise
        image = image.rotate(-turn, expand=True, fillcolor=background)
    return image


def _goal(width: float, height: float, parameters: Parameters) -> tuple[int, int] | None:
    """Return the pixels given by ImageWidth and ImageHeight, None if neither is given."""
    wide, high = parameters.get("ImageWidth"), parameters.get("ImageHeight")
    if wide is None and high is None:
        return None
    ratio = width / height
    if (
        wide is None
        or high is None
        or parameters.get("FitToSize")
        or parameters.get("ScaleProportions")
    ):
        widths = [float(wide)] if wide is not None else []
        widths += [float(high) * ratio] if high is not None else []
        return max(1, round(min(widths))), max(1, round(min(widths) / ratio))
    return int(wide), int(high)


def texts(document: pdfium.PdfDocument, parameters: Parameters | None = None) -> list[str]:
    """Return the text of each page of PageRange."""
    return [
        page.get_textpage().get_text_bounded().replace("\r\n", "\n")
        for page in each(document, parameters or {})
    ]


def blank(document: pdfium.PdfDocument) -> list[int]:
    """Return the blank pages."""
    small: Parameters = {"ImageResolution": 36, "ColorSpace": "gray"}
    return [
        number
        for number, image in enumerate(images(document, small))
        if image.convert("L").getextrema()[0] == _WHITE
    ]


def _read(document: pdfium.PdfDocument, parameters: Parameters, results: Results) -> None:
    """Write the text of the pages: one file, or with SplitPages one per page.

    Raises:
        EngineError: 415 for scanned pages without text, unless OcrMode is "never" or text
            recognition is installed.
    """
    found = texts(document, parameters)
    if parameters.get("OcrMode") != "never":
        for number, page in enumerate(each(document, parameters)):
            if not found[number].strip() and is_scan(page):
                found[number] = _recognised(page, parameters, any(map(str.strip, found)))
    for part in found if parameters.get("SplitPages") else ["\n\n".join(found)]:
        results.add("txt", text.encode(part.strip() + "\n", parameters))


def is_scan(page: pdfium.PdfPage) -> bool:
    """Tell whether a page has a picture, which may show text."""
    return any(item.type == raw.FPDF_PAGEOBJ_IMAGE for item in page.get_objects())


def _recognised(page: pdfium.PdfPage, parameters: Parameters, among_text: bool) -> str:
    """Return the text of a scanned page; without text recognition, nothing among other text."""
    if importable("rapidocr"):
        ocr = import_module("convertapi_sandbox.engines.ocr")  # it takes a second
        recognised: str = ocr.text(page, str(parameters.get("OcrLanguage", "auto")))
        return recognised
    if among_text:
        return ""
    raise verdicts.unsupported("scanned pages without convertapi-sandbox[ocr]")


def _flatten(document: pdfium.PdfDocument, results: Results) -> None:
    """Draw form fields and annotations into the pages, so that they cannot be changed."""
    document.init_forms()
    for page in each(document, {}):
        if raw.FPDFPage_Flatten(page, raw.FLAT_NORMALDISPLAY) == raw.FLATTEN_FAIL:
            raise verdicts.failed("The page cannot be flattened.")
    document.close_forms()
    document.save(results.place("pdf"))
