"""Invisible text above what a PDF page shows: what OCR and redaction write."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pikepdf

if TYPE_CHECKING:
    from collections.abc import Iterable

    from PIL import Image

Box = tuple[float, float, float, float]  # left, bottom, right, top in points

_QUALITY = 85
_WIDTH = 0.5  # of every character, as a share of the font size; text is stretched to its box
_PLANE = 0xFFFF  # characters beyond it cannot be encoded
# Codes are UTF-16: a range may not go beyond its last byte.
_RANGES = [f"<{page:02X}00> <{page:02X}FF> <{page:02X}00>" for page in range(256)]
_BLOCKS = [_RANGES[start : start + 100] for start in range(0, 256, 100)]
_TO_UNICODE = "\n".join(
    (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap",
        "/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def",
        "/CMapName /Adobe-Identity-UCS def /CMapType 2 def",
        "1 begincodespacerange <0000> <FFFF> endcodespacerange",
        *(f"{len(b)} beginbfrange\n{chr(10).join(b)}\nendbfrange" for b in _BLOCKS),
        "endcmap CMapName currentdict /CMap defineresource pop end end",
    )
)


@dataclass(frozen=True, slots=True)
class Word:
    """Text and the box that it fills."""

    text: str
    box: Box


class Writer:
    """Adds text, and pages that are a picture, to a PDF.

    Args:
        document: The PDF; None for a new one.
    """

    def __init__(self, document: pikepdf.Pdf | None = None) -> None:
        self.document = pikepdf.Pdf.new() if document is None else document
        self._font: pikepdf.Object | None = None

    def overlay(self, page: pikepdf.Page, words: Iterable[Word]) -> None:
        """Write words above a page of the document."""
        font = str(page.add_resource(self._invisible(), pikepdf.Name.Font))
        page.contents_add(b"q\n", prepend=True)
        page.contents_add(b"\nQ\n" + _text(words, font))

    def add(self, picture: Image.Image, box: Box, words: Iterable[Word], rotation: int = 0) -> None:
        """Add a page.

        Args:
            picture: What it shows, upright as the page is before its rotation.
            box: The page, in points.
            words: Its text, in reading order.
            rotation: Degrees by which a viewer turns the page, clockwise.
        """
        content = _shown(box) + b"\n" + _text(words, "/F1")
        resources = pikepdf.Dictionary(
            XObject=pikepdf.Dictionary(Im0=self._image(picture)),
            Font=pikepdf.Dictionary(F1=self._invisible()),
        )
        page = pikepdf.Dictionary(
            Type=pikepdf.Name.Page,
            MediaBox=pikepdf.Array([round(value, 3) for value in box]),
            Resources=resources,
            Contents=self.document.make_stream(content),
            Rotate=rotation,
        )
        self.document.pages.append(pikepdf.Page(page))

    def _image(self, picture: Image.Image) -> pikepdf.Object:
        data = io.BytesIO()
        picture.convert("RGB").save(data, "JPEG", quality=_QUALITY)
        stream = self.document.make_stream(data.getvalue())
        stream.Type, stream.Subtype = pikepdf.Name.XObject, pikepdf.Name.Image
        stream.Width, stream.Height = picture.size
        stream.ColorSpace, stream.BitsPerComponent = pikepdf.Name.DeviceRGB, 8
        stream.Filter = pikepdf.Name.DCTDecode
        return stream

    def _invisible(self) -> pikepdf.Object:
        """Return the font of the text: it has no glyphs, because none of them is drawn."""
        if self._font is None:
            name = pikepdf.Name("/Invisible")
            descriptor = pikepdf.Dictionary(
                Type=pikepdf.Name.FontDescriptor, FontName=name, Flags=4, ItalicAngle=0,
                Ascent=1000, Descent=0, CapHeight=1000, StemV=80,
                FontBBox=pikepdf.Array([0, 0, 500, 1000]),
            )  # fmt: skip
            system = pikepdf.Dictionary(
                Registry=pikepdf.String("Adobe"), Ordering=pikepdf.String("Identity"), Supplement=0
            )
            descendant = pikepdf.Dictionary(
                Type=pikepdf.Name.Font, Subtype=pikepdf.Name.CIDFontType2, BaseFont=name,
                CIDSystemInfo=system, DW=round(_WIDTH * 1000), CIDToGIDMap=pikepdf.Name.Identity,
                FontDescriptor=self.document.make_indirect(descriptor),
            )  # fmt: skip
            font = pikepdf.Dictionary(
                Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type0, BaseFont=name,
                Encoding=pikepdf.Name("/Identity-H"),
                DescendantFonts=pikepdf.Array([self.document.make_indirect(descendant)]),
                ToUnicode=self.document.make_stream(_TO_UNICODE.encode()),
            )  # fmt: skip
            self._font = self.document.make_indirect(font)
        return self._font


def _shown(box: Box) -> bytes:
    left, bottom, right, top = box
    return (
        f"q {right - left:.3f} 0 0 {top - bottom:.3f} {left:.3f} {bottom:.3f} cm /Im0 Do Q".encode()
    )


def _text(words: Iterable[Word], font: str) -> bytes:
    """Return the operators that write each word into its box."""
    lines = ["q BT 3 Tr"]
    for word in words:
        left, bottom, right, top = word.box
        text = "".join(character for character in word.text if ord(character) <= _PLANE)
        size, width = top - bottom, right - left
        if text and size > 0 and width > 0:
            stretch = 100 * width / (_WIDTH * size * len(text))
            code = f"{text} ".encode("utf-16-be", "replace").hex()
            lines.append(f"{font} {size:.2f} Tf {stretch:.2f} Tz")
            lines.append(f"1 0 0 1 {left:.2f} {bottom:.2f} Tm <{code}> Tj")
    return "\n".join([*lines, "ET Q\n"]).encode()
