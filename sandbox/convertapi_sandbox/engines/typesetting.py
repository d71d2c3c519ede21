"""typst: a syntax tree, or data in a fixed template, into PDF pages.

No part of a document is ever typst code: pandoc escapes it, or it is read as data. The root is the
job's folder, packages cannot be loaded, and only the fonts included in typst are used, so that the
same document has the same pages everywhere.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal, cast

import typst
from typst import TypstError

from convertapi_sandbox.engines import verdicts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from convertapi_sandbox.engines.paper import Page

__all__ = ["TypstError", "pdf", "quoted", "render", "setup", "standard"]

Standard = Literal["a-1b", "a-2b", "a-3a", "a-3b"]
SERIF = ("Libertinus Serif", "DejaVu Sans Mono")

# Definitions that pandoc's typst writer expects, and a plain look.
PREAMBLE = """
#set smartquote(enabled: false)
#let horizontalrule = line(start: (25%, 0%), end: (75%, 0%), stroke: 0.5pt)
#show terms.item: it => block(breakable: false)[
  #text(weight: "bold")[#it.term]
  #block(inset: (left: 1.5em, top: -0.4em))[#it.description]
]
#set table(inset: 5pt, stroke: 0.5pt + rgb("#999999"))
#show figure: set block(breakable: true)
#show figure.where(kind: table): set figure.caption(position: top)
#show raw.where(block: true): it => block(width: 100%, inset: 6pt, fill: rgb("#f5f5f5"), it)
#show link: set text(fill: rgb("#1a4f9c"))
"""


@cache
def _fonts() -> typst.Fonts:
    return typst.Fonts(include_system_fonts=False)


def render(
    source: Path,
    *,
    standards: Standard | None = None,
    tags: bool = False,
    output: Literal["pdf", "png", "svg"] = "pdf",
    ppi: float | None = None,
) -> Any:
    """Compile a typst file: return bytes, or a list of them for several PNG or SVG pages.

    Args:
        source: The file; it cannot see anything outside its folder.
        standards: A PDF standard such as "a-3a"; None for plain PDF.
        tags: Write a tagged PDF, which takes much longer.
        output: "pdf", "png" or "svg".
        ppi: Pixels per inch of a PNG.

    Raises:
        TypstError: The error of typst.
    """
    compiler = typst.Compiler(
        input=str(source),
        root=str(source.parent),
        font_paths=_fonts(),
        ignore_system_fonts=True,
        package_path=str(source.parent),
        package_cache_path=str(source.parent),
    )
    return compiler.compile(
        format=output,
        ppi=ppi,
        pdf_standards=standards or [],
        pdf_tags=tags or bool(standards and standards.endswith("a")),  # level A requires tags
        timestamp=0,  # the same document, the same bytes
    )


def pdf(source: Path, *, standards: Standard | None = None, tags: bool = False) -> bytes:
    """Compile a typst file to PDF.

    Raises:
        EngineError: 5001 with typst's message.
    """
    try:
        document: bytes = render(source, standards=standards, tags=tags)
    except TypstError as error:
        raise verdicts.failed(error.message) from None
    return document


def setup(page: Page, *, title: str = "", size: float = 11, outline: bool = True) -> str:
    """Return the head of a typst file: paper, fonts and title.

    Args:
        page: The paper.
        title: The title in the PDF's metadata.
        size: Font size of the body in points.
        outline: Turn headings into bookmarks.
    """
    fonts = ", ".join(f'"{name}"' for name in SERIF)
    return (
        f"#set document(title: {quoted(title) if title else 'none'})\n"
        f"#set page({page.typst()})\n"
        f"#set text(font: ({fonts}), size: {size:g}pt)\n"
        f"#set heading(bookmarked: {str(outline).lower()})\n"
    )


def quoted(text: str) -> str:
    """Return a text as a typst string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'


def standard(parameters: Mapping[str, object], default: Standard) -> Standard | None:
    """Return typst's name of the PDF/A that PdfaVersion or Pdfa asks for, None for plain PDF."""
    version = str(parameters.get("PdfaVersion", "none"))
    if version != "none":
        return cast("Standard", f"a-{version.removeprefix('pdfA')}")
    return default if parameters.get("Pdfa") else None
