"""A document's syntax tree set by typst, and set again without anything that typst refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typst

from convertapi_sandbox.engines import (
    pandoc,
    paper,
    reading,
    tree,
    typesetting,
    verdicts,
)
from convertapi_sandbox.engines.pictures import Pictures

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox.engines.pandoc import Tree
    from convertapi_sandbox.engines.paper import Page
    from convertapi_sandbox.jobs import InputFile, Parameters


def pdf(file: InputFile, kind: str, folder: Path, parameters: Parameters) -> bytes:
    """Return a document as PDF.

    Args:
        file: The document.
        kind: Its format, one of READERS.
        folder: The working folder, and the root of all files that typst may see.
        parameters: Page, margins and the other parameters of the converter.
    """
    reader, document = reading.READERS[kind], file.path
    found = reading.read(document, reader, folder, parameters.get("Password"))
    if reader == "pptx" and not parameters.get("ConvertHiddenSlides"):
        found = {**found, "blocks": _shown(found["blocks"], reading.hidden_slides(document))}
    page = paper.asked_for(
        reading.page(document, reader), parameters, 1.0 if reader == "epub" else paper.MM
    )
    return _Typeset(found, page, folder, parameters, reader).pdf()


class _Typeset:
    """One document for typst, set again without anything that typst refuses."""

    def __init__(
        self, found: Tree, page: Page, folder: Path, parameters: Parameters, reader: str
    ) -> None:
        self._tree = found
        self._page = page
        self._folder = folder
        self._parameters = parameters
        self._slides = reader == "pptx"
        # Browsers and readers of books show the title outside of the text.
        self._titled = reader not in ("html", "epub")

    def pdf(self) -> bytes:
        """Return the PDF; broken pictures and exotic formulas are dropped if necessary."""
        kept = {"pictures": True, "math": True}
        while True:
            try:
                return self._compile(self._source(**kept))
            except typst.TypstError as error:
                about_pictures = any(word in error.message for word in ("image", "SVG"))
                culprit = "pictures" if about_pictures else "math"
                if not kept[culprit]:
                    raise verdicts.failed(error.message) from None
                kept[culprit] = False

    def _compile(self, source: Path) -> bytes:
        standard = typesetting.standard(self._parameters, "a-3a")
        tags = bool(self._parameters.get("ConvertTags"))
        document: bytes = typesetting.render(source, standards=standard, tags=tags)
        return document

    def _source(self, *, pictures: bool, math: bool) -> Path:
        decide = Pictures(self._folder, self._page.box) if pictures else _no_picture
        cleaned = tree.clean(self._tree, decide, math=math)
        blocks = _titled(cleaned) if self._titled else cleaned["blocks"]
        if self._slides:
            blocks = _slides(blocks)
        body = pandoc.write({**cleaned, "meta": {}, "blocks": blocks}, "typst", self._folder)
        head = typesetting.setup(
            self._page,
            title=self._title(cleaned),
            size=float(self._parameters.get("BaseFontSize", 18 if self._slides else 11)),
            outline=self._parameters.get("BookmarkMode", "headings") == "headings",
        )
        source = self._folder / "document.typ"
        source.write_bytes(head.encode() + typesetting.PREAMBLE.encode() + body)
        return source

    def _title(self, cleaned: Tree) -> str:
        return (
            tree.text(cleaned["meta"].get("title"))
            if self._parameters.get("ConvertMetadata", True)
            else ""
        )


def _no_picture(source: str, sizes: dict[str, str]) -> None:
    """Drop all pictures."""
    del source, sizes


def _titled(cleaned: Tree) -> list[Any]:
    """Return the blocks, preceded by the title in the metadata."""
    title = tree.heading(cleaned)
    if not title:
        return list(cleaned["blocks"])
    return [_typst("#align(center)[#set text(1.2em)"), *title, _typst("]"), *cleaned["blocks"]]


def _shown(blocks: list[Any], hidden: set[int]) -> list[Any]:
    """Return the blocks without hidden slides, which are counted from 1."""
    kept, number = [], 0
    for block in blocks:
        number += block.get("t") == "Header" and block["c"][1][0].startswith("slide-")
        if number not in hidden:
            kept.append(block)
    return kept


def _slides(blocks: list[Any]) -> list[Any]:
    """Return the blocks with a page break before each slide; pandoc adds a heading to each."""
    pages: list[Any] = []
    for block in blocks:
        if block.get("t") == "Header" and pages:
            pages.append(_typst("#pagebreak()"))
        pages.append(block)
    return pages


def _typst(code: str) -> dict[str, Any]:
    return {"t": "RawBlock", "c": ["typst", code]}
