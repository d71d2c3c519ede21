"""SVG: made safe, and drawn by typst."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from lxml import etree
from PIL import Image

from convertapi_sandbox.engines import limits, typesetting, verdicts

if TYPE_CHECKING:
    from pathlib import Path

_INCH = 72  # points

_MAX_BYTES = 32 << 20
_DROPPED = frozenset({"script", "foreignObject", "handler", "listener", "iframe", "audio", "video"})
_INLINE_PICTURE = re.compile(r"(?i)\s*data:image/(png|jpe?g|gif|webp)[;,]")
_OUTSIDE_URL = re.compile(r"""(?i)url\(\s*+(?!['"]?\s*#)[^)]*\)|@import[^;]*;?|src\s*\([^)]*\)""")
# HTML has no upper case and no namespaces; browsers correct both as well.
_CAPITALS = {
    name.lower(): name
    for name in (
        *(b"viewBox", b"preserveAspectRatio", b"gradientUnits", b"gradientTransform", b"clipPath"),
        *(b"linearGradient", b"radialGradient", b"textPath", b"spreadMethod", b"patternUnits"),
    )
}
_LOWER = re.compile(rb"(</?|\s)(" + b"|".join(_CAPITALS) + rb")(?=[\s=/>])")
PARSER_OPTIONS = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "huge_tree": False,
}


def safe(data: bytes) -> bytes:
    """Return an SVG without scripts and without anything that is not part of it.

    Raises:
        EngineError: 5002 if it is not an SVG, declares entities or is absurdly large.
    """
    if len(data) > _MAX_BYTES:
        raise verdicts.damaged("The SVG is too large.")
    if data[:2] == b"\x1f\x8b":
        raise verdicts.unsupported("compressed SVG")
    limits.refuse_entities(data)
    try:
        root = etree.fromstring(data, etree.XMLParser(**PARSER_OPTIONS))
    except (etree.XMLSyntaxError, ValueError) as error:
        raise verdicts.damaged(str(error)) from None
    if etree.QName(root).localname != "svg":
        raise verdicts.damaged("It is not an SVG.")
    for element in list(root.iter()):
        _clean(element)
    # Only the root element: processing instructions (xml-stylesheet) and the DTD are dropped.
    content = bytes(etree.tostring(root, encoding="utf-8"))
    return content if etree.QName(root).namespace else _as_xml(content)


def _as_xml(content: bytes) -> bytes:
    """Return a drawing from a web page as a standalone one."""
    content = content.replace(b"<svg", b'<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return _LOWER.sub(lambda found: found[1] + _CAPITALS[found[2]], content)


def _clean(element: etree._Element) -> None:
    if not isinstance(element.tag, str) or etree.QName(element).localname in _DROPPED:
        parent = element.getparent()
        if parent is not None:
            parent.remove(element)
        return
    for name, value in list(element.attrib.items()):
        local = etree.QName(name).localname
        outside = local in ("href", "src") and not value.strip().startswith("#")
        if (
            (outside and not _INLINE_PICTURE.match(value))
            or local == "base"
            or local.startswith("on")
        ):
            del element.attrib[name]
        elif "(" in value:
            element.set(name, _OUTSIDE_URL.sub("none", value))
    if etree.QName(element).localname == "style" and element.text:
        element.text = _OUTSIDE_URL.sub("", element.text)


def png(svg: bytes, folder: Path, *, resolution: float) -> bytes:
    """Return a safe SVG as a PNG with transparency, at 96 units per inch."""
    source = _page(svg, folder)
    try:
        image: bytes = typesetting.render(source, output="png", ppi=resolution)
    except typesetting.TypstError as error:
        raise verdicts.damaged(error.message) from None
    return image


def _page(svg: bytes, folder: Path) -> Path:
    (folder / "drawing.svg").write_bytes(svg)
    source = folder / "drawing.typ"
    source.write_text(
        '#set page(width: auto, height: auto, margin: 0pt, fill: none)\n#image("drawing.svg")\n',
        "utf-8",
    )
    return source


def size(svg: bytes, folder: Path) -> tuple[float, float]:
    """Return width and height of a safe SVG in points."""
    with Image.open(io.BytesIO(png(svg, folder, resolution=_INCH))) as image:
        return float(image.width), float(image.height)
