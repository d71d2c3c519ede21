"""Pictures written to files in the format, quality, colours and resolution of the parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PIL import Image, ImageChops, ImageColor

from convertapi_sandbox.engines import verdicts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from convertapi_sandbox.jobs import Parameters

_FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "tiff": "TIFF", "gif": "GIF", "pnm": "PPM"}
_MODES = {
    "rgb": "RGB",
    "srgb": "RGB",
    "cmyk": "CMYK",
    "gray": "L",
    "grayscale": "L",
    "jpeggray": "L",
    "jpegcmyk": "CMYK",
    "monochrome": "1",
    "bitonal": "1",
}
_COMPRESSIONS = (
    ("g32d", "group3"),
    ("g3", "group3"),
    ("g4", "group4"),
    ("packbits", "packbits"),
    ("lzw", "tiff_lzw"),
    ("zip", "tiff_adobe_deflate"),
)
_TWO_DIMENSIONAL = {292: 1}  # T4Options: group 3 with two-dimensional coding
_TOUCHED_UP = ("TransparentColor", "BackgroundColor", "AlphaColor")


def color(parameters: Parameters, name: str, default: str | None = None) -> tuple[int, ...] | None:
    """Return a colour parameter (a name, #rgb, #rrggbb, rgb(...)) as RGB, None if not given.

    Raises:
        EngineError: 400/4000 if it is not a colour.
    """
    text = str(parameters.get(name, default or ""))
    if not text or text.lower() == "transparent":
        return None
    try:
        return ImageColor.getcolor(text, "RGB")  # type: ignore[return-value]  # RGB is a tuple
    except ValueError:
        raise verdicts.bad_parameter(name, f"{text[:80]!r} is not a colour.") from None


def save(images: Sequence[Image.Image], target: str, path: Path, parameters: Parameters) -> None:
    """Write a picture, or several as the frames or pages of one file.

    Args:
        images: At least one.
        target: "jpg", "png", "webp", "tiff", "gif" or "pnm".
        path: The file to write.
        parameters: ImageQuality, ImageResolution, ColorSpace, CompressionLevel, TiffType and so on.
    """
    ready = [_in_colors(_transparent(image, parameters), target, parameters) for image in images]
    options = _options(target, ready[0].mode, parameters)
    if len(ready) > 1:
        options |= {"save_all": True, "append_images": ready[1:]}
    ready[0].save(path, _FORMATS[target], **options)


def on_background(image: Image.Image, background: tuple[int, ...]) -> Image.Image:
    """Return a picture without transparency."""
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if "A" not in image.getbands():
        return image
    image = image.convert("RGBA")
    ground = Image.new("RGB", image.size, background)
    ground.paste(image, mask=image.getchannel("A"))
    return ground


def _transparent(image: Image.Image, parameters: Parameters) -> Image.Image:
    """Return a picture in which TransparentColor is transparent."""
    key = color(parameters, "TransparentColor")
    if key is None:
        return image
    plain = image.convert("RGB")
    difference = ImageChops.difference(plain, Image.new("RGB", plain.size, key))
    bands = [band.point(lambda value: 255 if value else 0) for band in difference.split()]
    alpha = ImageChops.lighter(ImageChops.lighter(bands[0], bands[1]), bands[2])
    if "A" in image.getbands():
        alpha = ImageChops.darker(alpha, image.getchannel("A"))
    plain.putalpha(alpha)
    return plain


def _in_colors(image: Image.Image, target: str, parameters: Parameters) -> Image.Image:
    asked = next(
        (
            str(parameters[name])
            for name in ("ColorSpace", "ColorMode", "JpgType")
            if str(parameters.get(name, "default")).lower() in _MODES
        ),
        "monochrome" if _is_monochrome(parameters) else "default",
    ).lower()
    if target == "jpg" or asked in _MODES:
        if target in ("jpg", "pnm") or asked in ("cmyk", "monochrome", "bitonal", "jpegcmyk"):
            image = on_background(
                image, color(parameters, "AlphaColor", "white") or (255, 255, 255)
            )
        mode = _MODES.get(asked)
        if mode == "L" and "A" in image.getbands():
            mode = "LA"
        elif mode == "RGB" and "A" in image.getbands():
            mode = "RGBA"
        if mode and image.mode != mode:
            image = image.convert(mode)
    return _storable(image, target)


def _is_monochrome(parameters: Parameters) -> bool:
    kind = str(parameters.get("TiffType", ""))
    return kind.startswith("monochrome") or str(parameters.get("BitDepth")) == "1"


def _storable(image: Image.Image, target: str) -> Image.Image:
    """Return a picture in a mode that the format can hold."""
    if target == "pnm":
        image = on_background(image, (255, 255, 255))
        return image if image.mode in ("1", "L", "RGB") else image.convert("RGB")
    if target == "jpg":
        return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")
    if target == "webp":
        has_alpha = "A" in image.getbands() or "transparency" in image.info
        return image.convert("RGBA" if has_alpha else "RGB")
    if target in ("png", "gif") and image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
        return image.convert("RGB")
    if target == "tiff" and image.mode == "P":
        return image.convert("RGBA" if "transparency" in image.info else "RGB")
    return image


def _options(target: str, mode: str, parameters: Parameters) -> dict[str, Any]:
    resolution = int(parameters.get("ImageResolution", parameters.get("Resolution", 200)))
    quality = int(parameters.get("ImageQuality", 75))
    match target:
        case "jpg":
            return {"quality": quality, "dpi": (resolution, resolution)}
        case "png":
            level = int(parameters.get("CompressionLevel", 1))  # 1: half the time, hardly larger
            return {"compress_level": level, "dpi": (resolution, resolution)}
        case "webp":
            return {"quality": quality, "method": 2}  # the default, 4, takes twice as long
        case "tiff":
            return {
                "dpi": (resolution, resolution),
                **_tiff(mode, str(parameters.get("TiffType", ""))),
            }
        case _:
            return {}


def _tiff(mode: str, kind: str) -> dict[str, Any]:
    found = next((option for mark, option in _COMPRESSIONS if kind.endswith(mark)), None)
    if kind.endswith("nc"):
        found = "raw"
    if found is None:
        found = "group4" if mode == "1" else "tiff_lzw"
    extra = {"tiffinfo": _TWO_DIMENSIONAL} if kind.endswith("g32d") else {}
    return {"compression": found, **extra}
