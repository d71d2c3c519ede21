"""Pictures converted into each other and into PDF, compressed, and joined."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from convertapi_sandbox import isolation
from convertapi_sandbox.engines import (
    imagepages,
    jpegfile,
    limits,
    raster,
    vector,
    verdicts,
)
from convertapi_sandbox.engines.results import Results

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from convertapi_sandbox.jobs import (
        EngineJob,
        EngineOutput,
        InputFile,
        Parameters,
    )

FORMATS = ("BMP", "DIB", "GIF", "ICO", "JPEG", "PNG", "PPM", "PSD", "TIFF", "WEBP")
_ONE_PICTURE = frozenset({"PSD", "ICO", "MPO"})  # their frames are layers, sizes and views
_MAX_FRAMES = 500
_ALL_FRAMES = 400_000_000  # pixels of all frames of one file together
_BROKEN = (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError)
_COMPRESSION = {"Lossless": None, "Good": 75, "Extreme": 45}
_ANIMATED = frozenset({"gif", "webp"})


def convert(job: EngineJob) -> list[EngineOutput]:
    """Convert, compress or join pictures."""
    results = Results(job)
    _DEEDS.get(job.target, _into)(job, results)
    return results.outputs


def frames(file: InputFile, parameters: Parameters, folder: Path) -> list[Image.Image]:
    """Return the frames or pages of a picture, upright.

    Raises:
        EngineError: 5002 if it is damaged, not a picture, or unpacks to too much.
    """
    isolation.step()
    data = file.path.read_bytes()
    if _is_svg(file, data):
        resolution = float(parameters.get("ImageResolution", 200))
        data = vector.png(vector.safe(data), folder, resolution=resolution)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            limits.check_pixels(*image.size)
            return _all_frames(image)
    except Image.DecompressionBombError as error:
        raise verdicts.damaged(str(error)) from None
    except _BROKEN as error:
        raise verdicts.damaged(str(error)) from None


def _is_svg(file: InputFile, data: bytes) -> bool:
    return file.name.lower().endswith((".svg", ".svgz")) or data.lstrip()[:5].lower() in (
        b"<?xml",
        b"<svg ",
    )


def _all_frames(image: Image.Image) -> list[Image.Image]:
    if image.format in _ONE_PICTURE:
        return [ImageOps.exif_transpose(image)]
    count = getattr(image, "n_frames", 1)
    if count > _MAX_FRAMES or count * image.width * image.height > _ALL_FRAMES:
        raise verdicts.damaged(f"Its {count} frames are more than the sandbox unpacks.")
    found = []
    for frame in ImageSequence.Iterator(image):
        isolation.step()
        limits.check_pixels(*frame.size)
        found.append(ImageOps.exif_transpose(frame.copy()))
    return found


def _into(job: EngineJob, results: Results) -> None:
    """Write pictures in another format: all frames into one file if it can hold them."""
    found = [
        scaled(frame, job.parameters)
        for file in job.files
        for frame in frames(file, job.parameters, results.scratch)
    ]
    together = job.target in _ANIMATED or (
        job.target == "tiff" and job.parameters.get("MultiPage", True)
    )
    if job.target == "gif" and len(found) > 1:
        _animation(found, job.parameters, results)
    elif together:
        raster.save(found, job.target, results.place(job.target), job.parameters)
    else:
        for frame in found:
            raster.save([frame], job.target, results.place(job.target), job.parameters)


def _animation(found: list[Image.Image], parameters: Parameters, results: Results) -> None:
    """Write an animated GIF; AnimationDelay is in hundredths of a second."""
    if not parameters.get("PersistAnimation", True):
        found = found[:1]
    size = found[0].size
    same = [frame if frame.size == size else ImageOps.pad(frame, size) for frame in found]
    same[0].save(
        results.place("gif"),
        "GIF",
        save_all=True,
        append_images=same[1:],
        duration=int(parameters.get("AnimationDelay", 100)) * 10,
        loop=int(parameters.get("AnimationIterations", 0)),
    )


def scaled(image: Image.Image, parameters: Parameters) -> Image.Image:
    """Return a picture in the size given by ImageWidth and ImageHeight."""
    wide, high = parameters.get("ImageWidth"), parameters.get("ImageHeight")
    if (wide is None and high is None) or not parameters.get("ScaleImage", True):
        return image
    ratio = image.width / image.height
    width = float(wide if wide is not None else float(high or 1) * ratio)
    height = float(high if high is not None else width / ratio)
    if parameters.get("ScaleProportions", True):
        width = min(width, height * ratio)
        height = width / ratio
    goal = max(1, round(width)), max(1, round(height))
    if parameters.get("ScaleIfLarger") and goal[0] >= image.width and goal[1] >= image.height:
        return image
    limits.check_pixels(*goal)
    if image.mode in ("1", "P"):
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    smooth = parameters.get("ImageInterpolation", True)
    return image.resize(goal, Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST)


def _pdf(job: EngineJob, results: Results) -> None:
    results.add("pdf", album(job.files, job.parameters, results.scratch))


def pdf(file: InputFile, form: str, folder: Path, parameters: Parameters) -> bytes:
    """Return a picture as PDF."""
    del form  # Pillow detects the format
    return album((file,), parameters, folder)


def album(files: Sequence[InputFile], parameters: Parameters, folder: Path) -> bytes:
    """Return pictures as PDF, a page for each frame; JPEG files are included unchanged."""
    pages: list[imagepages.Placed] = []
    for file in files:
        data = file.path.read_bytes()
        if _is_svg(file, data):
            pages.append(imagepages.drawing(vector.safe(data), folder, len(pages)))
            continue
        for frame in frames(file, parameters, folder):
            isolation.step()
            pages.append(imagepages.picture(frame, data, parameters, folder, len(pages)))
    return imagepages.pdf(pages, parameters, folder)


def _compress(job: EngineJob, results: Results) -> None:
    """Write a smaller JPEG: without metadata and, except for "Lossless", with a lower quality."""
    file, level = job.files[0], str(job.parameters.get("CompressionLevel", "Good"))
    (image,) = frames(file, job.parameters, results.scratch)[:1]
    quality = _COMPRESSION[level]
    path = results.place("jpg")
    if quality is None:
        data = file.path.read_bytes()
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as original:
            path.write_bytes(jpegfile.stripped(data, _orientation(original)))
    else:
        image = image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")
        image.save(path, "JPEG", quality=quality, optimize=True, progressive=True)


def _orientation(image: Image.Image) -> bytes:
    """Return EXIF data with only the orientation of the picture; empty if it is upright."""
    kept, orientation = Image.Exif(), image.getexif().get(0x0112, 1)
    if orientation == 1:
        return b""
    kept[0x0112] = orientation
    return kept.tobytes()


def _join(job: EngineJob, results: Results) -> None:
    parameters = job.parameters
    parts = [
        f.convert("RGBA") for file in job.files for f in frames(file, parameters, results.scratch)
    ]
    spacing = int(parameters.get("ImageSpacing", 0))
    vertical = parameters.get("JoinDirection", "vertical") == "vertical"
    gaps = spacing * (len(parts) - 1)
    width = max(p.width for p in parts) if vertical else sum(p.width for p in parts) + gaps
    height = sum(p.height for p in parts) + gaps if vertical else max(p.height for p in parts)
    limits.check_pixels(width, height)
    ground = raster.color(parameters, "SpacingColor", "white") or (255, 255, 255)
    joined = Image.new("RGB", (width, height), ground)
    place = 0
    for part in parts:
        joined.paste(part, (0, place) if vertical else (place, 0), part)
        place += (part.height if vertical else part.width) + spacing
    target = _join_format(job)
    raster.save([joined], target, results.place(target), parameters)


def _join_format(job: EngineJob) -> str:
    asked = str(job.parameters.get("ImageOutputFormat", "auto"))
    if asked != "auto":
        return asked
    extension = job.files[0].name.rpartition(".")[2].lower()
    return {"png": "png", "tiff": "tiff", "tif": "tiff"}.get(extension, "jpg")


_DEEDS: Mapping[str, Callable[[EngineJob, Results], None]] = {
    "compress": _compress,
    "join": _join,
    "pdf": _pdf,
}
