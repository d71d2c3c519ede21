"""Text, pictures and other PDF pages laid over or under the pages of a PDF; pages cropped."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pikepdf

from convertapi_sandbox import isolation
from convertapi_sandbox.engines import (
    images,
    paper,
    raster,
    surgery,
    typesetting,
    verdicts,
)
from convertapi_sandbox.engines.results import Results

if TYPE_CHECKING:
    from collections.abc import Callable

    from convertapi_sandbox.jobs import (
        EngineJob,
        EngineOutput,
        InputFile,
        Parameters,
    )


# The text is data: typst reads it from a file, and none of it is code. The page is as large as the
# text, rotated or not, so that nothing is cut off.
_TEMPLATE = """
#let stamps = json("stamps.json")
#set page(width: auto, height: auto, margin: 1pt, fill: none)
#let look = stamps.look
#set text(
  font: ("Libertinus Serif", "DejaVu Sans Mono"),
  size: look.size * 1pt,
  fill: if look.fill == none { rgb("#00000000") } else { rgb(look.fill) },
  stroke: if look.stroke == none { none } else { look.width * 1pt + rgb(look.stroke) },
)
#set par(leading: look.leading * 1pt + 0.5em)
#set align(center)
#for (i, content) in stamps.texts.enumerate() {
  if i > 0 { pagebreak() }
  let body = content.split("\\n").map(line => text(line)).join(linebreak())
  let body = if look.box > 0 { block(width: look.box * 1pt, body) } else { body }
  rotate(look.angle * 1deg, reflow: true, body)
}
"""
_FILLED = ("filltext", "fillstroke")
_STROKED = ("stroketext", "fillstroke")
_MAX_TEXT = 10_000  # characters


@dataclass(frozen=True, slots=True)
class Stamp:
    """A form XObject of the target document, and its size in points."""

    form: Any
    width: float
    height: float


def convert(job: EngineJob) -> list[EngineOutput]:
    """Stamp the pages of PageRange."""
    results = Results(job)
    try:
        document = surgery.input_of(job)
        numbers = surgery.selected(job, document)
        stamps = _STAMPS[job.target](job, document, numbers, results)
        for number, stamp in zip(numbers, stamps, strict=True):
            isolation.step()
            _lay(document.pages[number], stamp, job.parameters)
        surgery.save(document, results.place("pdf"))
    except pikepdf.PdfError as error:
        raise verdicts.damaged(str(error)) from None
    return results.outputs


def _text_stamps(
    job: EngineJob, document: pikepdf.Pdf, numbers: list[int], results: Results
) -> list[Stamp]:
    """Return a stamp for each page; pages with equal texts share one."""
    template = str(job.parameters.get("Text", ""))
    if not template.strip() or len(template) > _MAX_TEXT:
        raise verdicts.bad_parameter("Text", f"give 1 to {_MAX_TEXT} characters.")
    texts = [_filled_in(template, number, len(document.pages)) for number in numbers]
    distinct = list(dict.fromkeys(texts))
    data = {"texts": distinct, "look": _look(job.parameters)}
    (results.scratch / "stamps.json").write_text(json.dumps(data), "utf-8")
    source = results.scratch / "stamps.typ"
    source.write_text(_TEMPLATE, "utf-8")
    drawn = results.scratch / "stamps.pdf"
    drawn.write_bytes(typesetting.pdf(source))
    with pikepdf.Pdf.open(drawn) as pages:
        stamps = [_form(document, page, job.parameters) for page in pages.pages]
    made = dict(zip(distinct, stamps, strict=True))
    return [made[text] for text in texts]


def _filled_in(template: str, number: int, count: int) -> str:
    """Return the text with its variables replaced: %PAGE%, %PAGES% and %DATE%."""
    today = dt.datetime.now(tz=dt.UTC).date().isoformat()
    values = {"%PAGE%": str(number + 1), "%PAGES%": str(count), "%DATE%": today}
    for name, value in values.items():
        template = template.replace(name, value)
    return template.replace("\\n", "\n")


def _look(parameters: Parameters) -> dict[str, Any]:
    mode = str(parameters.get("TextRenderingMode", "fillstroke"))
    fill = raster.color(parameters, "FontColor", "black") or (0, 0, 0)
    stroke = raster.color(parameters, "StrokeColor")
    return {
        "size": int(parameters.get("FontSize", 40)),
        "fill": _hex(fill) if mode in _FILLED else None,
        "stroke": _hex(stroke or fill)
        if mode in _STROKED and (stroke or mode != "fillstroke")
        else None,
        "width": int(parameters.get("StrokeWidth", 1)),
        "leading": int(parameters.get("LineSpacing", 0)),
        "angle": -int(parameters.get("Rotate", 0)),
        "box": float(parameters.get("Width", 0)) * _unit(parameters),
    }


def _hex(rgb: tuple[int, ...]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb[:3])


def _page_stamps(
    job: EngineJob, document: pikepdf.Pdf, numbers: list[int], results: Results
) -> list[Stamp]:
    """Return a page of OverlayFile, once for all pages."""
    del results
    with surgery.opened(_extra(job, "OverlayFile").path) as overlay:
        number = int(job.parameters.get("OverlayPage", 1))
        if number > len(overlay.pages):
            raise verdicts.bad_parameter(
                "OverlayPage", f"OverlayFile has {len(overlay.pages)} pages."
            )
        return [_form(document, overlay.pages[number - 1], job.parameters)] * len(numbers)


def _image_stamps(
    job: EngineJob, document: pikepdf.Pdf, numbers: list[int], results: Results
) -> list[Stamp]:
    """Return the picture of ImageFile, once for all pages; Scale is in per cent."""
    drawn = results.scratch / "stamp.pdf"
    drawn.write_bytes(images.album([_extra(job, "ImageFile")], {}, results.scratch))
    with pikepdf.Pdf.open(drawn) as pages:
        stamp = _form(document, pages.pages[0], job.parameters)
    scale = max(float(job.parameters.get("Scale", 100)), 1) / 100
    return [Stamp(stamp.form, stamp.width * scale, stamp.height * scale)] * len(numbers)


def _extra(job: EngineJob, name: str) -> InputFile:
    if name not in job.extra_files:
        raise verdicts.bad_parameter(name, "the file is required.")
    return job.extra_files[name]


def _form(document: pikepdf.Pdf, page: pikepdf.Page, parameters: Parameters) -> Stamp:
    """Return a page as a form of the document, as opaque as Opacity says."""
    box = [float(value) for value in page.trimbox]
    width, height = box[2] - box[0], box[3] - box[1]
    if int(page.obj.get("/Rotate", 0)) % 180:
        width, height = height, width
    form = document.copy_foreign(page.as_form_xobject())
    opacity = int(parameters.get("Opacity", 100)) / 100
    if opacity < 1:
        form = _translucent(document, form, opacity)
    return Stamp(form, width, height)


def _translucent(document: pikepdf.Pdf, form: Any, opacity: float) -> Any:
    name = pikepdf.Name
    form.Group = pikepdf.Dictionary(S=name.Transparency)  # else overlaps would look darker
    state = pikepdf.Dictionary(Type=name.ExtGState, ca=opacity, CA=opacity)
    return document.make_stream(
        b"/Opacity gs /Stamp Do",
        Type=name.XObject,
        Subtype=name.Form,
        BBox=form.BBox,
        Matrix=form.get("/Matrix", pikepdf.Array([1, 0, 0, 1, 0, 0])),
        Resources=pikepdf.Dictionary(
            XObject=pikepdf.Dictionary(Stamp=form), ExtGState=pikepdf.Dictionary(Opacity=state)
        ),
    )


def _lay(page: pikepdf.Page, stamp: Stamp, parameters: Parameters) -> None:
    name = str(parameters.get("PageBox", "mediabox"))
    left, bottom, right, top = (float(value) for value in getattr(page, name, page.mediabox))
    turned = int(page.rotation) % 360
    # As the page is displayed: its width and height, from its lower left corner.
    size = (top - bottom, right - left) if turned % 180 else (right - left, top - bottom)
    unit = _unit(parameters)
    across = _ACROSS[str(parameters.get("HorizontalAlignment", "center"))]
    upward = _UPWARD[str(parameters.get("VerticalAlignment", "center"))]
    x = (size[0] - stamp.width) * across + float(parameters.get("OffsetX", 0)) * unit
    # Counted downward.
    y = (size[1] - stamp.height) * upward - float(parameters.get("OffsetY", 0)) * unit
    corners = _on_page((x, y, x + stamp.width, y + stamp.height), size, turned)
    place = pikepdf.Rectangle(*(a + b for a, b in zip(corners, (left, bottom) * 2, strict=True)))
    lay = page.add_overlay if parameters.get("Style", "stamp") == "stamp" else page.add_underlay
    lay(stamp.form, place)


def _on_page(
    seen: tuple[float, float, float, float], size: tuple[float, float], turned: int
) -> tuple[float, float, float, float]:
    """Return a rectangle in the coordinates of a page that is displayed turned clockwise."""
    x0, y0, x1, y1 = seen
    width, height = size
    return {
        90: (height - y1, x0, height - y0, x1),
        180: (width - x1, height - y1, width - x0, height - y0),
        270: (y0, width - x1, y1, width - x0),
    }.get(turned, seen)


def _unit(parameters: Parameters) -> float:
    return paper.POINTS_PER[str(parameters.get("MeasurementUnit", "pt"))]


_ACROSS = {"left": 0.0, "center": 0.5, "right": 1.0}
_UPWARD = {"bottom": 0.0, "center": 0.5, "top": 1.0}
_STAMPS: dict[str, Callable[[EngineJob, pikepdf.Pdf, list[int], Results], list[Stamp]]] = {
    "image-watermark": _image_stamps,
    "pdf-watermark": _page_stamps,
    "text-watermark": _text_stamps,
}
