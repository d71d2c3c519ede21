"""PDF files made smaller, and their contents extracted."""

from __future__ import annotations

import hashlib
import io
import json
from typing import TYPE_CHECKING, Any

import pikepdf
from PIL import Image
from pypdfium2 import PdfiumError, raw

from convertapi_sandbox import isolation
from convertapi_sandbox.engines import (
    imagepages,
    limits,
    pages,
    raster,
    surgery,
    verdicts,
)
from convertapi_sandbox.engines.results import Results

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from convertapi_sandbox.jobs import EngineJob, EngineOutput, Parameters

_INCH = 72  # points
# Resolution and quality of the pictures; None leaves them as they are.
_PRESETS: Mapping[str, tuple[int, int] | None] = {
    "lossless": None,
    "text": (100, 60),
    "archive": (300, 90),
    "web": (96, 65),
    "ebook": (150, 75),
    "printer": (300, 85),
}
_BITS = 8  # per colour of pictures that are rewritten
_MAX_DEPTH = 10  # of forms within forms


def convert(job: EngineJob) -> list[EngineOutput]:
    """Apply one of _DEEDS to a PDF."""
    results = Results(job)
    try:
        _DEEDS[job.target](job, results)
    except pikepdf.PdfError as error:
        raise verdicts.damaged(str(error)) from None
    return results.outputs


def _compress(job: EngineJob, results: Results) -> None:
    parameters = job.parameters
    document = surgery.input_of(job)
    preset = str(parameters.get("Preset", "none"))
    given = int(parameters.get("ImageResolution", 150)), int(parameters.get("ImageQuality", 80))
    pictures = given if preset == "none" else _PRESETS[preset]
    if pictures:
        _shrink_pictures(document, *pictures)
    if preset != "none":
        parameters = {}  # a preset overrides the rest
    _remove(document, parameters)
    if parameters.get("RemoveDuplicates", True):
        _share_pictures(document)
    surgery.save(
        document,
        results.place("pdf"),
        object_stream_mode=pikepdf.ObjectStreamMode.generate,
        recompress_flate=bool(parameters.get("Optimize", True)),
        linearize=bool(parameters.get("Linearize", False)),
    )


def _remove(document: pikepdf.Pdf, parameters: Mapping[str, Any]) -> None:
    root = document.Root
    if parameters.get("RemoveMetadata", True):
        _drop(root, "/Metadata")
        _drop(document.trailer, "/Info")
    if parameters.get("RemoveEmbeddedFiles", True):
        _drop(root.get("/Names"), "/EmbeddedFiles")
        _drop(root, "/AF")
    if parameters.get("RemoveStructureInformation", True):
        _drop(root, "/StructTreeRoot")
        _drop(root, "/MarkInfo")
    if parameters.get("RemoveForms"):
        _drop(root, "/AcroForm")
    for page in document.pages:
        if parameters.get("RemovePieceInformation", True):
            _drop(page.obj, "/PieceInfo")
        if parameters.get("RemoveForms") and "/Annots" in page.obj:
            kept = [item for item in page.obj.Annots if item.get("/Subtype") != "/Widget"]
            page.obj.Annots = pikepdf.Array(kept)
    if parameters.get("RemovePieceInformation", True):
        _drop(root, "/PieceInfo")
    if parameters.get("RemoveUnusedResources", True):
        document.remove_unreferenced_resources()


def _drop(dictionary: Any, key: str) -> None:
    if dictionary is not None and key in dictionary:
        del dictionary[key]


def _shrink_pictures(document: pikepdf.Pdf, resolution: int, quality: int) -> None:
    """Rewrite pictures if that makes them smaller.

    No picture is shown larger than a page: the pixels of the largest page at `resolution` suffice.
    """
    boxes = [[float(value) for value in page.mediabox] for page in document.pages]
    longest = max(max(box[2] - box[0], box[3] - box[1]) for box in boxes) / _INCH * resolution
    for item in document.objects:
        if isinstance(item, pikepdf.Stream) and item.get("/Subtype") == "/Image":
            isolation.step()
            _shrink(item, max(int(longest), 1), quality)


def _shrink(stream: Any, longest: int, quality: int) -> None:
    try:
        picture = pikepdf.PdfImage(stream)
        limits.check_pixels(picture.width, picture.height)
        # Masks, palettes and printing inks are left as they are.
        plain = picture.bits_per_component == _BITS and picture.mode in ("L", "RGB")
        if not plain or picture.image_mask or "/Decode" in stream:
            return
        image = picture.as_pil_image()
    except (pikepdf.PdfError, NotImplementedError, ValueError, OSError, KeyError):
        return
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    target = io.BytesIO()
    image.save(target, "JPEG", quality=quality, optimize=True)
    if target.tell() >= len(stream.read_raw_bytes()):
        return
    stream.write(target.getvalue(), filter=pikepdf.Name.DCTDecode)
    stream.Width, stream.Height = image.size
    stream.BitsPerComponent = _BITS
    stream.ColorSpace = pikepdf.Name.DeviceGray if image.mode == "L" else pikepdf.Name.DeviceRGB


def _share_pictures(document: pikepdf.Pdf) -> None:
    """Let pages share pictures that are equal in every byte, including their masks."""
    first: dict[object, Any] = {}
    for page in document.pages:
        resources: Any = page.resources.get("/XObject", {})
        for name, stream in page.get_images(recursive=False).items():
            resources[name] = first.setdefault(_signature(stream), stream)


def _signature(item: Any, depth: int = 0) -> object:
    """Return a key that is equal for two objects if and only if they mean the same."""
    if depth > _MAX_DEPTH:
        return id(item)
    if isinstance(item, pikepdf.Stream | pikepdf.Dictionary):
        entries = {str(key): _signature(value, depth + 1) for key, value in item.items()}
        data = item.read_raw_bytes() if isinstance(item, pikepdf.Stream) else b""
        return (*sorted(entries.items(), key=str), hashlib.sha256(data).digest())
    if isinstance(item, pikepdf.Array):
        return tuple(_signature(value, depth + 1) for value in item)
    return f"{type(item).__name__} {item}"


def _rasterize(job: EngineJob, results: Results) -> None:
    """Turn each page into one picture."""
    resolution = int(job.parameters.get("Resolution", 300))
    placed = []
    with pages.Opened(job.files[0].path, job.parameters) as document:
        parameters: Parameters = {"ImageResolution": resolution}
        for number, image in enumerate(pages.images(document, parameters)):
            name = f"page-{number}.jpg"
            options = {"ImageQuality": 90, "ImageResolution": resolution}
            raster.save([image], "jpg", results.scratch / name, options)
            points = [side * _INCH / resolution for side in image.size]
            placed.append(imagepages.Placed(name, *points))
    results.add("pdf", imagepages.pdf(placed, {}, results.scratch))


def _extract_images(job: EngineJob, results: Results) -> None:
    """Write each picture of the pages once; JPEG files as they are in the PDF."""
    parameters = job.parameters
    least = (
        int(parameters.get("MinimumImageWidth", 0)),
        int(parameters.get("MinimumImageHeight", 0)),
    )
    seen: set[bytes] = set()
    with pages.Opened(job.files[0].path, parameters) as document:
        for page in pages.each(document, parameters):
            for item in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE], max_depth=_MAX_DEPTH):
                width, height = item.get_px_size()
                limits.check_pixels(width, height)
                if width >= least[0] and height >= least[1]:
                    isolation.step()
                    _extract(
                        item, seen, str(parameters.get("ImageOutputFormat", "default")), results
                    )
    if not results.outputs:
        raise verdicts.no_images()


def _extract(item: Any, seen: set[bytes], form: str, results: Results) -> None:
    try:
        stored = bytes(item.get_data(decode_simple=False))
        digest = hashlib.sha256(stored).digest()
        if digest in seen:
            return
        seen.add(digest)
        if form in ("default", "jpg") and item.get_filters() == ["DCTDecode"]:
            results.add("jpg", stored)
            return
        image = item.get_bitmap().to_pil()
    except PdfiumError:
        return  # a picture that cannot be decoded, such as one with an unknown compression
    target = "png" if form == "default" else form
    raster.save([image], target, results.place(target), {"ImageQuality": 90})


def _meta(job: EngineJob, results: Results) -> None:
    """Write the document's metadata as JSON."""
    document = surgery.input_of(job)
    info = {str(key)[1:]: str(value) for key, value in document.docinfo.items()}
    box = [float(value) for value in document.pages[0].mediabox]
    described = {
        **info,
        "PageCount": len(document.pages),
        "PageWidth": round(box[2] - box[0], 2),
        "PageHeight": round(box[3] - box[1], 2),
        "PdfVersion": document.pdf_version,
        "IsEncrypted": document.is_encrypted,
        "IsLinearized": document.is_linearized,
        "IsTagged": "/StructTreeRoot" in document.Root,
        "HasForm": "/AcroForm" in document.Root,
    }
    results.add("json", json.dumps(described, indent=2, ensure_ascii=False).encode())


_DEEDS: dict[str, Callable[[EngineJob, Results], None]] = {
    "compress": _compress,
    "extract-images": _extract_images,
    "meta": _meta,
    "rasterize": _rasterize,
}
