"""Pictures as the pages of a PDF, set by typst."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from convertapi_sandbox.engines import paper, raster, typesetting, vector

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from convertapi_sandbox.jobs import Parameters

_INCH = 72  # points
_SCREEN = 96  # pixels per inch of a picture that does not state it
_LEAST_DENSITY = 10
_CONVERTED = ("rgb", "srgb", "gray")


@dataclass(frozen=True, slots=True)
class Placed:
    """A picture's file in the job's folder and its size in points."""

    name: str
    width: float
    height: float


def picture(
    frame: Image.Image, original: bytes, parameters: Parameters, folder: Path, number: int
) -> Placed:
    """Write one frame for typst.

    Args:
        frame: The frame, upright.
        original: The file it comes from; a JPEG that needs no change is used as it is.
        parameters: Rotate and ColorSpace.
        folder: Where to write.
        number: The number of its page.
    """
    density = frame.info.get("dpi", (_SCREEN, _SCREEN))[0]
    density = float(density) if density and density >= _LEAST_DENSITY else _SCREEN
    angle, space = (
        int(parameters.get("Rotate", 0)),
        str(parameters.get("ColorSpace", "default")).lower(),
    )
    unchanged = not angle and space not in _CONVERTED and not _is_turned(original)
    if unchanged and original[:2] == b"\xff\xd8" and frame.mode in ("L", "RGB", "CMYK"):
        name = f"page-{number}.jpg"
        (folder / name).write_bytes(original)
    else:
        name = f"page-{number}.png"
        if angle:  # clockwise, like the service's parameters
            frame = frame.convert("RGBA").rotate(
                -angle, expand=True, resample=Image.Resampling.BICUBIC
            )
        if space == "gray":
            frame = frame.convert("LA" if "A" in frame.getbands() else "L")
        raster.save(
            [frame.convert("RGB") if frame.mode == "CMYK" else frame], "png", folder / name, {}
        )
    return Placed(name, frame.width * _INCH / density, frame.height * _INCH / density)


def _is_turned(original: bytes) -> bool:
    """Tell whether a file's EXIF data asks for a rotation."""
    with Image.open(io.BytesIO(original)) as image:
        return int(image.getexif().get(0x0112, 1)) != 1


def drawing(svg: bytes, folder: Path, number: int) -> Placed:
    """Write a safe SVG for typst."""
    width, height = vector.size(svg, folder)
    name = f"page-{number}.svg"
    (folder / name).write_bytes(svg)
    return Placed(name, width, height)


def pdf(pages: Sequence[Placed], parameters: Parameters, folder: Path) -> bytes:
    """Return pictures as PDF, one per page.

    Args:
        pages: The pictures.
        parameters: PageSize, PageOrientation, MarginHorizontal and MarginVertical (mm), Pdfa.
        folder: The folder of the pictures.
    """
    lines = ["#set align(center + horizon)", *(_page(item, parameters) for item in pages)]
    source = folder / "pages.typ"
    source.write_text("\n".join(lines), "utf-8")
    return typesetting.pdf(source, standards=typesetting.standard(parameters, "a-2b"))


def _page(item: Placed, parameters: Parameters) -> str:
    horizontal = float(parameters.get("MarginHorizontal", 0)) * paper.MM
    vertical = float(parameters.get("MarginVertical", 0)) * paper.MM
    named = str(parameters.get("PageSize", "default")).lower()
    if named == "default":
        size = item.width + 2 * horizontal, item.height + 2 * vertical
    else:
        orientation = parameters.get("PageOrientation", "default")
        if orientation == "default":
            orientation = "landscape" if item.width > item.height else "portrait"
        size = paper.oriented(*paper.size(named), orientation)
    page = paper.Page(*size, top=vertical, bottom=vertical, left=horizontal, right=horizontal)
    box = page.box
    scale = min(1.0, box[0] / item.width, box[1] / item.height)
    sizes = f"width: {item.width * scale:.3f}pt, height: {item.height * scale:.3f}pt"
    return f'#page({page.typst()})[#image("{item.name}", {sizes})]'
