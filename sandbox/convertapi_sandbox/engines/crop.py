"""PDF pages cropped: to their content, to a size, or by margins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pikepdf
from PIL import ImageChops

from convertapi_sandbox.engines import pages, paper, surgery, verdicts
from convertapi_sandbox.engines.results import Results

if TYPE_CHECKING:
    from convertapi_sandbox.jobs import EngineJob, EngineOutput, Parameters

Box = tuple[float, float, float, float]

_FINE = 72  # pixels per inch when looking for the content of a page: one pixel is a point
_SMALLEST = 1.0  # points; the least that must be left


def convert(job: EngineJob) -> list[EngineOutput]:
    """Crop the pages of PageRange."""
    results = Results(job)
    document = surgery.input_of(job)
    numbers = surgery.selected(job, document)
    for number, box in zip(numbers, _boxes(job, document, numbers), strict=True):
        if box[2] - box[0] < _SMALLEST or box[3] - box[1] < _SMALLEST:
            raise verdicts.bad_parameter("CropMode", f"nothing would be left of page {number + 1}.")
        page = document.pages[number]
        page.mediabox = page.cropbox = pikepdf.Array([round(value, 3) for value in box])
    surgery.save(document, results.place("pdf"))
    return results.outputs


def _boxes(job: EngineJob, document: pikepdf.Pdf, numbers: list[int]) -> list[Box]:
    """Return the box to keep of each page."""
    parameters = job.parameters
    whole = [_box(document.pages[number]) for number in numbers]
    unit = paper.POINTS_PER[str(parameters.get("MeasurementUnit", "in"))]
    match parameters.get("CropMode", "auto"):
        case "margins":
            across = float(parameters.get("HorizontalMargin", 1)) * unit
            along = float(parameters.get("VerticalMargin", 1)) * unit
            return [(b[0] + across, b[1] + along, b[2] - across, b[3] - along) for b in whole]
        case "size":
            return [_anchored(box, _size(box, parameters, unit), parameters) for box in whole]
        case _:
            padding = float(parameters.get("AutoPadding", 0)) * unit
            return _automatic(job, whole, padding)


def _box(page: pikepdf.Page) -> Box:
    left, bottom, right, top = (float(value) for value in page.cropbox)
    return left, bottom, right, top


def _size(box: Box, parameters: Parameters, unit: float) -> tuple[float, float]:
    name = str(parameters.get("PageSize", "a4"))
    if name == "custom" or {"CropWidth", "CropHeight"} & set(parameters):
        width = float(parameters.get("CropWidth", (box[2] - box[0]) / unit)) * unit
        return width, float(parameters.get("CropHeight", (box[3] - box[1]) / unit)) * unit
    return paper.oriented(*paper.size(name), parameters.get("PageOrientation"))


def _anchored(box: Box, size: tuple[float, float], parameters: Parameters) -> Box:
    width, height = min(size[0], box[2] - box[0]), min(size[1], box[3] - box[1])
    anchor = str(parameters.get("Anchor", "center"))
    across = 0.0 if "left" in anchor else 1.0 if "right" in anchor else 0.5
    upward = 1.0 if "top" in anchor else 0.0 if "bottom" in anchor else 0.5
    left = box[0] + (box[2] - box[0] - width) * across
    bottom = box[1] + (box[3] - box[1] - height) * upward
    return left, bottom, left + width, bottom + height


def _automatic(job: EngineJob, whole: list[Box], padding: float) -> list[Box]:
    """Return the boxes of the pages' content, one for each page or a common one."""
    parameters = {
        key: value for key, value in job.parameters.items() if key in ("PageRange", "Password")
    }
    shown: list[Box] = []
    with pages.Opened(job.files[0].path, parameters) as drawn:
        for page, box in zip(pages.each(drawn, parameters), whole, strict=True):
            page.set_rotation(0)
            image = page.render(scale=_FINE / 72).to_pil().convert("L")
            found = ImageChops.invert(image).getbbox() or (0, 0, *image.size)
            top = box[3]
            shown.append(
                (
                    max(box[0] + found[0] - padding, box[0]),
                    max(top - found[3] - padding, box[1]),
                    min(box[0] + found[2] + padding, box[2]),
                    min(top - found[1] + padding, box[3]),
                )
            )
    if job.parameters.get("AutoStrategy", "uniform") == "perPage":
        return shown
    union = (
        min(box[0] for box in shown),
        min(box[1] for box in shown),
        max(box[2] for box in shown),
        max(box[3] for box in shown),
    )
    return [union] * len(shown)
