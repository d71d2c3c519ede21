"""The tables of the documentation, generated from the table of engines.

`python -m convertapi_sandbox.engines.table PAGE` writes them into a page, between its markers.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from convertapi_sandbox.catalogue import converters
from convertapi_sandbox.engines.pairs import LIBREOFFICE_ROWS, ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convertapi_sandbox.engines.pairs import Row

_LIBRARIES = {
    "archives": "zipfile",
    "crop": "pikepdf, pdfium",
    "images": "Pillow, typst",
    "mail": "email",
    "optimize": "pikepdf, pdfium, Pillow",
    "ocr": "rapidocr, pdfium",
    "pages": "pdfium, Pillow",
    "redaction": "pdfium, Pillow, pikepdf",
    "reflow": "pdf_oxide",
    "sheets": "openpyxl",
    "stamps": "typst, pikepdf",
    "surgery": "pikepdf",
    "svgpages": "typst",
    "tables": "pdfplumber",
    "template": "lxml",
}
_OTHERS = {  # sources that the engine for documents passes on to another one
    "csv": "openpyxl, typst",
    "eml": "email, pandoc, typst, pdfium",
    "file": "as the file's format",
    "office": "as the file's format",
    "txt": "typst",
    "log": "typst",
    "xlsx": "openpyxl, typst, pdfium",
}


def tables() -> dict[str, str]:
    """Return the tables in Markdown, by the name of their markers."""
    return {
        "pairs": _pairs(ROWS),
        "libreoffice": _pairs(LIBREOFFICE_ROWS),
        "missing": _missing(),
    }


def _pairs(rows: Iterable[Row]) -> str:
    """Return what is converted: source, destinations, libraries and honoured parameters."""
    lines = ["| from | to | made by | parameters honoured |", "|---|---|---|---|"]
    for row in rows:
        sources = ", ".join(f"`{source}`" for source in row.sources.split())
        targets = ", ".join(f"`{target}`" for target in row.targets.split())
        library = "LibreOffice" if row in LIBREOFFICE_ROWS else _library(row)
        known = {
            name for pair in row.pairs() for name in converters()["/to/".join(pair)].parameters
        }
        parameters = ", ".join(f"`{name}`" for name in row.parameters.split() if name in known)
        lines.append(f"| {sources} | {targets} | {library} | {parameters} |")
    return "\n".join(lines)


def _library(row: Row) -> str:
    first, drawn = row.sources.split()[0], "pdf" in row.targets or "jpg" in row.targets
    if row.engine != "documents":
        return _LIBRARIES[row.engine]
    if not drawn:
        return "pandoc"
    return _OTHERS.get(first, "pandoc, typst" if row.targets == "pdf" else "pandoc, typst, pdfium")


def _missing() -> str:
    """Return what the service converts and the sandbox does not."""
    ours = {pair for row in ROWS for pair in row.pairs()}
    libreoffice = {pair for row in LIBREOFFICE_ROWS for pair in row.pairs()}
    missing: dict[str, list[str]] = defaultdict(list)
    for converter in converters().values():
        pair = converter.source, converter.target
        if pair not in ours:
            mark = " (with LibreOffice)" if pair in libreoffice else ""
            missing[converter.source].append(f"`{converter.target}`{mark}")
    lines = ["| from | to |", "|---|---|"]
    lines += [f"| `{source}` | {', '.join(targets)} |" for source, targets in missing.items()]
    return "\n".join(lines)


def written(page: str) -> str:
    """Return a page with its tables rewritten.

    Raises:
        ValueError: A marker is missing.
    """
    for name, table in tables().items():
        pattern = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        page, count = pattern.subn(partial(_filled, table), page)
        if count != 1:
            raise ValueError(f"The page needs the markers of the table {name!r}, once.")
    return page


def _filled(table: str, found: re.Match[str]) -> str:
    return f"{found[1]}{table}\n{found[2]}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(written(path.read_text("utf-8")), "utf-8")
