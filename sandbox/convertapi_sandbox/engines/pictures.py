"""Pictures inside documents: only embedded ones, checked, and in known formats."""

from __future__ import annotations

import base64
import binascii
import io
import re
import urllib.parse
from typing import TYPE_CHECKING

from PIL import Image, UnidentifiedImageError

from convertapi_sandbox.engines import limits, vector, verdicts
from convertapi_sandbox.engines.paper import POINTS_PER
from convertapi_sandbox.jobs import EngineError

if TYPE_CHECKING:
    from pathlib import Path

READABLE = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "ICO", "PPM", "PSD", "DIB")
_PASSED_ON = {"PNG": "png", "JPEG": "jpg", "GIF": "gif"}
_TYPES = {"png": "image/png", "jpg": "image/jpeg", "gif": "image/gif", "svg": "image/svg+xml"}
_DATA = re.compile(r"(?is)data:([\w/+.-]*)((?:;[^,;]*)*),(.*)")
_LENGTH = re.compile(r"(\d*\.?\d+)(pt|in|mm|cm|px|pc|%)?")


class Pictures:
    """Decides on the pictures of one document; pass it to `tree.clean`.

    Args:
        folder: Where pandoc put the document's media, and where ours are written.
        box: Maximum width and height in points for a picture that becomes a file, for typst.
            None: it becomes a data URI, for pandoc.
    """

    def __init__(self, folder: Path, box: tuple[float, float] | None) -> None:
        self._folder = folder
        self._box = box
        self._known: dict[str, tuple[str, tuple[float, float]] | None] = {}

    def __call__(self, source: str, sizes: dict[str, str]) -> tuple[str, dict[str, str]] | None:
        """Return the picture's new source and sizes, None if it must be removed."""
        if source not in self._known:
            self._known[source] = self._take(source)
        known = self._known[source]
        if known is None:
            return None
        place, natural = known
        return place, _fit(natural, sizes, self._box) if self._box else sizes

    def _take(self, source: str) -> tuple[str, tuple[float, float]] | None:
        data = self._bytes(source)
        if data is None:
            return None
        try:
            extension, content, size = _known_format(data, self._folder)
        except Image.DecompressionBombError as error:
            raise verdicts.damaged(f"A picture unpacks to too much: {error}") from None
        except (
            EngineError,
            UnidentifiedImageError,
            OSError,
            ValueError,
            SyntaxError,
            EOFError,
        ) as error:
            if isinstance(error, EngineError) and "unpacks" in error.message:
                raise  # a bomb; any other error only means a picture that cannot be shown
            return None
        if self._box is None:
            encoded = base64.b64encode(content).decode()
            return f"data:{_TYPES[extension]};base64,{encoded}", size
        name = f"picture-{len(self._known)}.{extension}"
        (self._folder / name).write_bytes(content)
        return name, size

    def _bytes(self, source: str) -> bytes | None:
        inline = _DATA.fullmatch(source)
        if inline:
            try:
                raw = urllib.parse.unquote_to_bytes(inline[3])
                return base64.b64decode(raw) if ";base64" in inline[2].lower() else raw
            except (binascii.Error, ValueError):
                return None
        media = (self._folder / "media").resolve()
        file = (self._folder / source).resolve()
        return file.read_bytes() if file.is_relative_to(media) and file.is_file() else None


def _fit(
    natural: tuple[float, float], sizes: dict[str, str], box: tuple[float, float]
) -> dict[str, str]:
    """Return the width within the box; the picture keeps its proportions."""
    width = _points(sizes.get("width"), box[0])
    height = _points(sizes.get("height"), box[1])
    ratio = natural[0] / natural[1] if natural[1] else 1.0
    if width is None:
        width = height * ratio if height is not None else natural[0]
    width = max(1.0, min(width, box[0], box[1] * ratio))
    return {"width": f"{width:.1f}pt"}


def _points(length: str | None, whole: float) -> float | None:
    match = _LENGTH.fullmatch((length or "").strip())
    if not match:
        return None
    number = float(match[1])
    return number / 100 * whole if match[2] == "%" else number * POINTS_PER[match[2] or "px"]


def _known_format(data: bytes, folder: Path) -> tuple[str, bytes, tuple[float, float]]:
    """Return extension, bytes and size in points of a picture as PNG, JPEG, GIF or SVG."""
    if data.lstrip()[:1] == b"<":
        svg = vector.safe(data)
        return "svg", svg, vector.size(svg, folder)
    with Image.open(io.BytesIO(data), formats=READABLE) as image:
        limits.check_pixels(*image.size)
        size = image.width * POINTS_PER["px"], image.height * POINTS_PER["px"]
        image.load()
        if image.format in _PASSED_ON:
            return _PASSED_ON[image.format], data, size
        target = io.BytesIO()
        image.convert("RGBA" if "A" in image.getbands() else "RGB").save(
            target, "PNG", compress_level=1
        )
        return "png", target.getvalue(), size
