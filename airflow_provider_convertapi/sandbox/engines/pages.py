"""PDF pages drawn and read by pdfium."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

import pypdfium2 as pdfium
from PIL import Image
from pypdfium2 import raw

from airflow_provider_convertapi.sandbox import isolation
from airflow_provider_convertapi.sandbox.engines import limits, ranges, raster, text, verdicts
from airflow_provider_convertapi.sandbox.engines.results import Results
from airflow_provider_convertapi.sandbox.jobs import EngineJob, EngineOutput

Parameters = Mapping[str, str | int | float | bool]

_INCH = 72  # points
_RESOLUTION = 200  # pixels per inch, the service's default
_TURNS = {"rotate90": 90, "rotate180": 180, "rotate270": 270}


def convert(job: EngineJob) -> list[EngineOutput]:
    """Draw or read a PDF's pages."""
    results = Results(job)
    with Opened(job.files[0].path, job.parameters) as document:
        if job.target == "txt":
            read(document, job.parameters, results)
        else:
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
        isolation.step()
        try:
            self._document = pdfium.PdfDocument(self._input, password=self._password)
        except pdfium.PdfiumError as error:
            if error.err_code == raw.FPDF_ERR_PASSWORD:
                raise (
                    verdicts.wrong_password() if self._password else verdicts.protected()
                ) from None
            raise verdicts.damaged(str(error)) from None
        if not len(self._document):
            raise verdicts.damaged("It has no pages.")
        return self._document

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._document.close()


def draw(
    document: pdfium.PdfDocument, target: str, parameters: Parameters, results: Results
) -> None:
    """Draw the pages of PageRange: a file for each, or one TIFF of several pages."""
    pictures = images(document, parameters)
    if target == "tiff" and parameters.get("MultiPage", True):
        raster.save(list(pictures), target, results.place(target), parameters)
        return
    for picture in pictures:
        raster.save([picture], target, results.place(target), parameters)


def images(document: pdfium.PdfDocument, parameters: Parameters) -> Iterator[Image.Image]:
    """Yield each page of PageRange as a picture."""
    document.init_forms()
    for number in ranges.pages(str(parameters.get("PageRange", "1-last")), len(document)):
        isolation.step()
        page = _page(document, number)
        yield _drawn(page, parameters)
        page.close()


def _page(document: pdfium.PdfDocument, number: int) -> pdfium.PdfPage:
    try:
        return document.get_page(number)
    except pdfium.PdfiumError as error:
        raise verdicts.damaged(f"Page {number + 1}: {error}") from None


def _drawn(page: pdfium.PdfPage, parameters: Parameters) -> Image.Image:
    _crop(page, str(parameters.get("CropTo", "BoundingBox")))
    turn = parameters.get("Rotate", "default")
    if turn == "none":
        page.set_rotation(0)
    angle = _TURNS.get(str(turn), 0)
    width, height = page.get_size()
    scale = int(parameters.get("ImageResolution", _RESOLUTION)) / _INCH
    scale *= int(parameters.get("Scale", 100)) / 100
    goal = _goal(width, height, angle, parameters)
    if goal:
        scale = (
            max(goal[0] / width, goal[1] / height)
            if not angle % 180
            else max(goal[0] / height, goal[1] / width)
        )
    limits.check_pixels(int(width * scale), int(height * scale))
    background = raster.color(parameters, "BackgroundColor", "white") or (255, 255, 255)
    bitmap = page.render(
        scale=scale, rotation=angle, fill_color=(*background[:3], 255), rev_byteorder=True
    )
    image = bitmap.to_pil()
    if goal and image.size != goal:
        image = image.resize(goal, Image.Resampling.LANCZOS)
    if not isinstance(turn, str) and turn:  # webp takes an angle
        image = image.rotate(-turn, expand=True, fillcolor=background)
    return image


def _crop(page: pdfium.PdfPage, box: str) -> None:
    """Show another box of the page; "BoundingBox" is what a viewer shows."""
    if box != "BoundingBox":
        page.set_cropbox(*getattr(page, f"get_{box.lower()}")())


def _goal(
    width: float, height: float, angle: int, parameters: Parameters
) -> tuple[int, int] | None:
    """Return the size in pixels that ImageWidth and ImageHeight ask for, None where neither is given."""
    if angle % 180:
        width, height = height, width
    wide, high = parameters.get("ImageWidth"), parameters.get("ImageHeight")
    if wide is None and high is None:
        return None
    ratio = width / height
    if wide is None or high is None:
        wide = wide if wide is not None else float(high or 1) * ratio
        return max(1, round(float(wide))), max(1, round(float(wide) / ratio))
    if parameters.get("FitToSize") or parameters.get("ScaleProportions"):
        wide = min(float(wide), float(high) * ratio)
        return max(1, round(wide)), max(1, round(wide / ratio))
    return int(wide), int(high)


def read(document: pdfium.PdfDocument, parameters: Parameters, results: Results) -> None:
    """Write the text of the pages of PageRange: one file, or one for each with SplitPages.

    Raises:
        EngineError: 415 for scanned pages without text, unless OcrMode is "never".
    """
    texts, scanned = [], False
    for number in ranges.pages(str(parameters.get("PageRange", "1-last")), len(document)):
        isolation.step()
        page = _page(document, number)
        texts.append(page.get_textpage().get_text_bounded().replace("\r\n", "\n"))
        scanned = scanned or any(item.type == raw.FPDF_PAGEOBJ_IMAGE for item in page.get_objects())
        page.close()
    if scanned and not any(map(str.strip, texts)) and parameters.get("OcrMode") != "never":
        raise verdicts.unsupported("scanned pages to text (OCR)")
    for part in texts if parameters.get("SplitPages") else ["\n\n".join(texts)]:
        results.add("txt", text.encode(part.strip() + "\n", parameters))
