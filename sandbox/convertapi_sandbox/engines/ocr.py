"""Text recognised in pictures, by rapidocr, whose models are part of its package."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pikepdf
import rapidocr

from convertapi_sandbox import isolation
from convertapi_sandbox.engines import images, limits, pages, surgery, verdicts
from convertapi_sandbox.engines.results import Results
from convertapi_sandbox.engines.textlayer import Word, Writer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pypdfium2 as pdfium
    from PIL import Image

    from convertapi_sandbox.jobs import EngineJob, EngineOutput

STEP_SECONDS = 40  # for a page; the first one loads the models
_RESOLUTION = 200  # pixels per inch
_INCH = 72  # points
# Those in Latin letters that the models in the package know.
_LANGUAGES = frozenset(
    {"auto", "ca", "da", "de", "en", "es", "fi", "fr"}
    | {"it", "nl", "no", "pl", "pt", "ro", "sl", "sv", "tr"}
)


def convert(job: EngineJob) -> list[EngineOutput]:
    """Make a scan searchable, or write its text."""
    results = Results(job)
    _check_language(str(job.parameters.get("OcrLanguage", "en")))
    if job.target == "ocr":
        _searchable(job, results)
    else:
        pictures = images.frames(job.files[0], {}, results.scratch)
        results.add("txt", _joined("\n".join(_rows(recognised(one))) for one in pictures))
    return results.outputs


def _searchable(job: EngineJob, results: Results) -> None:
    """Write a PDF whose scanned pages have text, or the text of its pages alone."""
    texts, content = searchable(surgery.plain(job))
    if job.parameters.get("OutputType", "pdf") == "txt":
        results.add("txt", _joined(texts))
    else:
        results.add("pdf", content)


def searchable(content: bytes) -> tuple[list[str], bytes]:
    """Return the text of each page of a PDF, and the PDF with text on the pages that had none."""
    document = pikepdf.Pdf.open(io.BytesIO(content))
    writer = Writer(document)
    texts = []
    with pages.Opened(content, {}) as drawn:
        for number, page in enumerate(pages.each(drawn, {})):
            told = page.get_textpage().get_text_bounded().replace("\r\n", "\n").strip()
            if not told:
                words = list(on_page(page))
                writer.overlay(document.pages[number], words)
                told = "\n".join(_rows(words))
            texts.append(told)
    target = io.BytesIO()
    surgery.save(document, target)
    return texts, target.getvalue()


def text(page: pdfium.PdfPage, language: str) -> str:
    """Return the text of a scanned page."""
    _check_language(language)
    return "\n".join(_rows(list(on_page(page))))


def _check_language(language: str) -> None:
    if language not in _LANGUAGES:
        raise verdicts.unsupported(f"a scan with the language {language}")


def on_page(page: pdfium.PdfPage) -> Iterator[Word]:
    """Yield the lines of a page, in its own coordinates."""
    page.set_rotation(0)
    width, height = page.get_size()
    scale = _RESOLUTION / _INCH
    limits.check_pixels(int(width * scale), int(height * scale))
    left, bottom, _, _ = page.get_bbox()
    picture = page.render(scale=scale).to_pil().convert("RGB")
    for word in recognised(picture):
        x, low, right, high = word.box
        yield Word(
            word.text,
            (
                left + x / scale,
                bottom + height - high / scale,
                left + right / scale,
                bottom + height - low / scale,
            ),
        )


def recognised(picture: Image.Image) -> list[Word]:
    """Return the lines in a picture, from top to bottom; boxes are in pixels from its top."""
    isolation.step(STEP_SECONDS)
    found = _engine()(np.asarray(picture.convert("RGB"))[:, :, ::-1])  # blue comes first
    if found.boxes is None:
        return []
    words = []
    for corners, text in zip(found.boxes, found.txts, strict=True):
        xs, ys = [float(x) for x, _ in corners], [float(y) for _, y in corners]
        words.append(Word(text, (min(xs), min(ys), max(xs), max(ys))))
    isolation.step()
    return words


@cache
def _engine() -> Any:
    """Return the models, loaded once for a worker; there is a worker for each processor."""
    settings = {
        "Global.log_level": "critical",
        "Global.use_cls": False,  # no line of an upright page stands on its head
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    }
    return rapidocr.RapidOCR(params=settings)


def _joined(texts: Iterable[str]) -> bytes:
    return ("\n\n".join(texts).strip() + "\n").encode()


def _rows(words: Sequence[Word]) -> Iterator[str]:
    """Yield lines of text: what stands side by side is one line."""
    row: list[Word] = []
    for word in words:
        if row and not _beside(row[-1], word):
            yield " ".join(item.text for item in sorted(row, key=lambda item: item.box[0]))
            row = []
        row.append(word)
    if row:
        yield " ".join(item.text for item in sorted(row, key=lambda item: item.box[0]))


def _beside(one: Word, other: Word) -> bool:
    """Tell whether two words overlap by half of their height."""
    low, high = max(one.box[1], other.box[1]), min(one.box[3], other.box[3])
    smaller = min(one.box[3] - one.box[1], other.box[3] - other.box[1])
    return high - low > smaller / 2
