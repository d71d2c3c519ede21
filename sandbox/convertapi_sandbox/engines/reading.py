"""Documents read by pandoc, after checks for bombs and encoding; and the page they ask for."""

from __future__ import annotations

import re
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

from convertapi_sandbox.engines import (
    limits,
    pandoc,
    paper,
    text,
    tree,
    webpage,
)
from convertapi_sandbox.engines.paper import Page

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox.engines.pandoc import Tree

READERS = {
    **dict.fromkeys(("docx", "dotx", "docm", "dotm"), "docx"),
    **dict.fromkeys(("pptx", "ppsx", "potx"), "pptx"),
    **dict.fromkeys(("html", "htm", "xhtml", "web"), "html"),
    **dict.fromkeys(("md", "markdown"), "gfm"),
    "odt": "odt",
    "rtf": "rtf",
    "epub": "epub",
}
_PACKAGES = frozenset({"docx", "pptx", "odt", "epub"})
_TEXTS = frozenset({"html", "gfm"})
_TWIP = 1 / 20  # points
_WEB_PAGE = Page(top=10 * paper.MM, right=10 * paper.MM, bottom=10 * paper.MM, left=10 * paper.MM)
_SLIDE = Page(width=720, height=540, top=36, right=48, bottom=36, left=48)
_EMU = 1 / 12700  # points
_LARGEST = 14400.0  # points


def read(document: Path, reader: str, folder: Path, password: object = None) -> Tree:
    """Return a document's syntax tree, not yet cleaned; checks for bombs come first.

    Raises:
        EngineError: 5002 for a file of another kind, and the errors of `limits.check_package`.
    """
    if reader in _PACKAGES:
        limits.check_package(document, password=password)
    if reader == "rtf":
        limits.check_rtf(document)
    if reader in _TEXTS:
        content = text.decode(document.read_bytes(), html=reader == "html")
        document = folder / "decoded.txt"
        document.write_text(webpage.safe(content) if reader == "html" else content, "utf-8")
    found = pandoc.read(document, reader, folder)
    if reader == "gfm" and tree.has_raw_html(found):
        # Only an HTML reader understands the HTML in a Markdown file.
        page = folder / "decoded.html"
        page.write_text(webpage.safe(pandoc.write(found, "html", folder).decode()), "utf-8")
        found = pandoc.read(page, "html", folder)
    return found


def page(document: Path, reader: str) -> Page:
    """Return the page that the document defines, else the converter's default."""
    if reader == "docx":
        return _page_of_docx(document)
    if reader == "pptx":
        return _page_of_pptx(document)
    if reader == "odt":
        return _page_of_odt(document)
    if reader == "rtf":
        return _page_of_rtf(document)
    if reader == "html":  # the service's default is letter with 10 mm
        width, height = paper.size("letter")
        return replace(_WEB_PAGE, width=width, height=height)
    return Page()


def _part(document: Path, name: str) -> str:
    with zipfile.ZipFile(document) as archive:
        try:
            return archive.read(name).decode("utf-8", "replace")
        except KeyError:
            return ""


def _attributes(xml: str, element: str, names: str) -> dict[str, float]:
    """Return numeric attributes of the last element of that name."""
    found = re.findall(rf"<{element}\b[^>]*>", xml)
    pairs = re.findall(rf'\b(?:w:)?({names})="(-?\d{{1,9}})"', found[-1]) if found else []
    return {key: float(value) for key, value in pairs}


def _page_of_docx(document: Path) -> Page:
    xml = _part(document, "word/document.xml")
    size = _attributes(xml, "w:pgSz", "w|h")
    margins = _attributes(xml, "w:pgMar", "top|right|bottom|left")
    found = Page()
    if size.get("w", 0) > 0 and size.get("h", 0) > 0:
        found = replace(found, width=size["w"] * _TWIP, height=size["h"] * _TWIP)
    return replace(found, **{side: abs(value) * _TWIP for side, value in margins.items()})


def _page_of_odt(document: Path) -> Page:
    """Return the page of the first layout, with which documents begin."""
    layout = re.search(r"<style:page-layout-properties\b[^>]*>", _part(document, "styles.xml"))
    found = re.findall(
        r'\bfo:(page-width|page-height|margin-top|margin-right|margin-bottom|margin-left)="([\d.]+)(in|cm|mm|pt)"',
        layout[0] if layout else "",
    )
    names = {"page-width": "width", "page-height": "height"}
    values = {
        names.get(key, key.removeprefix("margin-")): float(value) * paper.POINTS_PER[unit]
        for key, value, unit in found
        if value.count(".") <= 1 and value != "."
    }
    return replace(Page(), **{key: value for key, value in values.items() if value < _LARGEST})


def _page_of_rtf(document: Path) -> Page:
    head = document.read_bytes()[:100_000].decode("latin-1")
    words = {
        "paperw": "width",
        "paperh": "height",
        "margt": "top",
        "margr": "right",
        "margb": "bottom",
        "margl": "left",
    }
    found = re.findall(r"\\(paperw|paperh|margt|margr|margb|margl)(\d{1,6})(?!\d)", head)
    return replace(
        Page(), **{words[key]: float(value) * _TWIP for key, value in found if float(value) > 0}
    )


def _page_of_pptx(document: Path) -> Page:
    size = _attributes(_part(document, "ppt/presentation.xml"), "p:sldSz", "cx|cy")
    if size.get("cx", 0) > 0 and size.get("cy", 0) > 0:
        return replace(_SLIDE, width=size["cx"] * _EMU, height=size["cy"] * _EMU)
    return _SLIDE


def hidden_slides(document: Path) -> set[int]:
    """Return the numbers, from 1, of a presentation's hidden slides."""
    relations = dict(
        re.findall(
            r'<Relationship\b(?=[^>]*\bId="([^"]+)")(?=[^>]*\bTarget="/?(?:ppt/)?([^"]+)")[^>]*>',
            _part(document, "ppt/_rels/presentation.xml.rels"),
        )
    )
    order = re.findall(r'<p:sldId\b[^>]*\br:id="([^"]+)"', _part(document, "ppt/presentation.xml"))
    return {
        number
        for number, identifier in enumerate(order, 1)
        if re.search(
            r'<p:sld\b[^>]*\bshow="(0|false)"', _part(document, f"ppt/{relations.get(identifier)}")
        )
    }
