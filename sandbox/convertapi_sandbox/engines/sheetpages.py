"""Sheets on pages: tables set by typst, split by rows and, if they are too wide, by columns."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from convertapi_sandbox.engines import paper, sheets, typesetting, verdicts
from convertapi_sandbox.engines.cells import Formatter
from convertapi_sandbox.engines.paper import Page
from convertapi_sandbox.engines.sheets import Sheet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from convertapi_sandbox.jobs import InputFile, Parameters

MAX_CELLS = 60_000  # on paper; some 500 pages
_LETTER = 4.9  # points; the average width of a letter of 9 points
_GAP = 9.0
_WIDEST = 220.0
_SIZE = 9.0

# The cells are data, read from a file; none of them is code.
_TEMPLATE = """
#let data = json("sheets.json")
#set text(font: ("Libertinus Serif", "DejaVu Sans Mono"), size: data.size * 1pt)
#for part in data.parts {
  page(
    width: part.width * 1pt,
    height: part.height * 1pt,
    margin: (x: part.side * 1pt, y: part.end * 1pt),
    {
      let head = if data.repeat and part.rows.len() > 0 {
        (table.header(repeat: true, ..part.rows.first()),)
      } else { () }
      let body = if head.len() > 0 { part.rows.slice(1) } else { part.rows }
      table(
        columns: part.columns.map(width => width * 1pt),
        align: part.numeric.map(right-hand => if right-hand { right } else { left }),
        inset: 3pt,
        stroke: 0.4pt + rgb("#aaaaaa"),
        ..head,
        ..body.flatten(),
      )
    },
  )
}
"""


def pdf(file: InputFile, form: str, folder: Path, parameters: Parameters) -> bytes:
    """Return a workbook or a CSV file as PDF; each sheet begins a page.

    Raises:
        EngineError: 5001 if there are more cells than MAX_CELLS.
    """
    csv = form == "csv"
    found = [_csv(file.path, parameters)] if csv else sheets.workbook(file.path, parameters)
    if sum(len(row) for sheet in found for row in sheet.rows) > MAX_CELLS:
        raise verdicts.failed(f"It has more than {MAX_CELLS:,} cells, too many for the sandbox.")
    scale = int(parameters.get("Scale", 100)) / 100
    data = {
        "size": _SIZE * scale,
        "repeat": bool(parameters.get("HeaderOnEachPage")),
        "parts": [part for sheet in found for part in _parts(sheet, parameters, scale)],
    }
    (folder / "sheets.json").write_text(json.dumps(data), "utf-8")
    source = folder / "sheets.typ"
    source.write_text(_TEMPLATE, "utf-8")
    return typesetting.pdf(source, standards=typesetting.standard(parameters, "a-1b"))


def _csv(document: Path, parameters: Parameters) -> Sheet:
    rows = sheets.separated(document, None)
    show, numeric = Formatter(parameters), [True] * (len(rows[0]) if rows else 0)
    for number, row in enumerate(rows):
        for column, value in enumerate(row):
            is_number = bool(sheets.NUMBER.fullmatch(value))
            if number and value:  # the first row is usually a heading
                numeric[column] = numeric[column] and is_number
            if is_number and "DecimalSeparator" in parameters:
                row[column] = show(float(value) if "." in value else int(value))
    return Sheet("Sheet1", rows, numeric)


def _parts(sheet: Sheet, parameters: Parameters, scale: float) -> Iterator[dict[str, Any]]:
    """Yield the sheet as tables that fit the width of a page."""
    page = Page(top=36, right=36, bottom=36, left=36)
    if sheet.landscape and parameters.get("PageOrientation", "default") == "default":
        page = replace(page, width=page.height, height=page.width)
    page = paper.asked_for(page, parameters)
    about = {"width": page.width, "height": page.height, "side": page.left, "end": page.top}
    widths = _widths(sheet, scale)
    if not widths:
        yield {**about, "columns": [page.box[0]], "numeric": [False], "rows": []}
    for start, end in _fitting(widths, page.box[0]):
        yield {
            **about,
            "columns": widths[start:end],
            "numeric": sheet.numeric[start:end],
            "rows": [row[start:end] for row in sheet.rows],
        }


def _widths(sheet: Sheet, scale: float) -> list[float]:
    longest = [max(map(len, column)) for column in zip(*sheet.rows, strict=True)]
    return [min(max(length, 2) * _LETTER + _GAP, _WIDEST) * scale for length in longest]


def _fitting(widths: list[float], room: float) -> Iterator[tuple[int, int]]:
    """Yield ranges of columns that fit into a width in points."""
    start, used = 0, 0.0
    for number, width in enumerate(widths):
        if number > start and used + width > room:
            yield start, number
            start, used = number, 0.0
        used += width
    if start < len(widths):
        yield start, len(widths)
