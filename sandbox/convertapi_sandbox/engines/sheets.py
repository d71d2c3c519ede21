"""Spreadsheets read and written: openpyxl, csv, and the tables of web pages."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import openpyxl
from openpyxl.cell import WriteOnlyCell
from openpyxl.utils import range_boundaries
from openpyxl.utils.exceptions import InvalidFileException

from convertapi_sandbox.engines import (
    limits,
    reading,
    text,
    tree,
    verdicts,
)
from convertapi_sandbox.engines.cells import Formatter
from convertapi_sandbox.engines.results import Results

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from convertapi_sandbox.jobs import (
        EngineJob,
        EngineOutput,
        Parameters,
    )

MAX_CELLS = 2_000_000
NUMBER = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d{1,15})?")
_BROKEN = (
    InvalidFileException,
    KeyError,
    ValueError,
    TypeError,
    IndexError,
    AttributeError,
    SyntaxError,
)
_ISO = {"DateFormat": "iso", "ThousandsSeparator": ""}


@dataclass(slots=True)
class Sheet:
    """One sheet: its name, its rows of text, and its print settings."""

    name: str
    rows: list[list[str]]
    numeric: list[bool] = field(default_factory=list)  # columns of numbers, which are right-aligned
    landscape: bool = False


def convert(job: EngineJob) -> list[EngineOutput]:
    """Convert a sheet into another format of sheets."""
    results = Results(job)
    source, target = job.source, job.target
    if target == "csv":
        for sheet in workbook(job.files[0].path, {**job.parameters, **_ISO}):
            results.add("csv", _csv(sheet.rows))
    elif source == "csv":
        _from_csv(job, results)
    else:
        _from_html(job, results)
    return results.outputs


def workbook(path: Path, parameters: Parameters) -> list[Sheet]:
    """Return the sheets of a workbook that the parameters choose.

    Args:
        path: An xlsx or xltx file.
        parameters: WorksheetActive, WorksheetIndex (from 1), WorksheetName, ClearPrintArea, and
            what `Formatter` takes.

    Raises:
        EngineError: 5002 if it is damaged, 5003 if it is encrypted.
    """
    limits.check_package(path, password=parameters.get("Password"))
    try:
        # Opened as a stream: openpyxl refuses some files because of their extension.
        content = io.BytesIO(path.read_bytes())
        values = openpyxl.load_workbook(content, data_only=True)
        formulas = openpyxl.load_workbook(content) if _has_formulas(path) else values
        chosen = _chosen(values, parameters)
        return [_sheet(sheet, formulas[sheet.title], parameters) for sheet in chosen]
    except _BROKEN as error:
        raise verdicts.damaged(f"{type(error).__name__}: {error}") from None


def _has_formulas(path: Path) -> bool:
    """Tell whether there are formulas: openpyxl reads them or their last results, never both."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.startswith("xl/worksheets/")]
        return any(b"<f>" in data or b"<f " in data for data in map(archive.read, names))


def _chosen(book: Any, parameters: Parameters) -> list[Any]:
    sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
    if parameters.get("WorksheetActive"):
        return [sheet for sheet in sheets if sheet is book.active] or sheets[:1]
    if "WorksheetIndex" in parameters:
        number = int(parameters["WorksheetIndex"])
        if number > len(book.worksheets):
            raise verdicts.bad_parameter(
                "WorksheetIndex", f"there are {len(book.worksheets)} worksheets."
            )
        return [book.worksheets[number - 1]]
    if "WorksheetName" in parameters:
        name = str(parameters["WorksheetName"])
        found = [sheet for sheet in book.worksheets if sheet.title.lower() == name.lower()]
        if not found:
            raise verdicts.bad_parameter("WorksheetName", f"there is no worksheet {name[:80]!r}.")
        return found
    return sheets


def _sheet(values: Any, formulas: Any, parameters: Parameters) -> Sheet:
    if values.max_row * values.max_column > MAX_CELLS:
        raise verdicts.damaged(f"A worksheet has more than {MAX_CELLS:,} cells.")
    show, area = Formatter(parameters), _area(values, parameters)
    rows: list[list[str]] = []
    numeric = [True] * (area["max_col"] - area["min_col"] + 1)
    for row, sources in zip(values.iter_rows(**area), formulas.iter_rows(**area), strict=True):
        shown = []
        for column, (cell, source) in enumerate(zip(row, sources, strict=True)):
            # A formula that was never calculated is shown itself.
            value = cell.value if cell.value is not None else source.value
            shown.append(show(value, cell.number_format))
            if value is not None and rows:  # the first row is mostly a heading
                numeric[column] = numeric[column] and isinstance(value, int | float)
        rows.append(shown)
    landscape = values.page_setup.orientation == "landscape"
    return Sheet(values.title, _trimmed(rows), numeric, landscape)


def _area(sheet: Any, parameters: Parameters) -> dict[str, int]:
    """Return the cells to show: the print area if there is one, else all."""
    area = {"min_row": 1, "max_row": sheet.max_row, "min_col": 1, "max_col": sheet.max_column}
    printed = None if parameters.get("ClearPrintArea") else sheet.print_area
    if printed:
        first = (
            (printed if isinstance(printed, str) else printed[0])
            .rpartition("!")[2]
            .replace("$", "")
        )
        left, top, right, bottom = range_boundaries(first.split(",")[0])
        area = {"min_row": top, "max_row": min(bottom, sheet.max_row),
                "min_col": left, "max_col": min(right, sheet.max_column)}  # fmt: skip
    return area


def _trimmed(rows: list[list[str]]) -> list[list[str]]:
    """Return the rows without the empty ones at the end."""
    while rows and not any(rows[-1]):
        rows.pop()
    return rows


def separated(path: Path, delimiter: str | None) -> list[list[str]]:
    """Return the rows of a CSV file.

    Args:
        path: The file.
        delimiter: One character, or None to find out.

    Raises:
        EngineError: 5002 if it is not text, or larger than a sheet.
    """
    content = text.decode(path.read_bytes())
    delimiter = delimiter or _sniffed(content)
    csv.field_size_limit(1 << 20)
    rows, cells = [], 0
    try:
        for row in csv.reader(io.StringIO(content), delimiter=delimiter):
            cells += len(row)
            if cells > MAX_CELLS:
                raise verdicts.damaged(f"It has more than {MAX_CELLS:,} cells.")
            rows.append(row)
    except csv.Error as error:
        raise verdicts.damaged(str(error)) from None
    width = max(map(len, rows), default=0)
    if width * len(rows) > MAX_CELLS:  # one long row makes all of them longer
        raise verdicts.damaged(f"It has more than {MAX_CELLS:,} cells.")
    return [row + [""] * (width - len(row)) for row in rows]


def _sniffed(content: str) -> str:
    first = content.partition("\n")[0]
    return max(",;\t|", key=first.count)


def _csv(rows: Iterable[list[str]]) -> bytes:
    target = io.StringIO()
    csv.writer(target, lineterminator="\r\n").writerows(rows)
    return target.getvalue().encode()


def _from_csv(job: EngineJob, results: Results) -> None:
    delimiter = str(job.parameters.get("Delimiter", ","))
    delimiter = {"\\t": "\t", "tab": "\t"}.get(delimiter.lower(), delimiter)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise verdicts.bad_parameter("Delimiter", "must be a single character.")
    rows = separated(job.files[0].path, delimiter)
    typed = job.parameters.get("CellType", "text") == "general"
    _write({"Sheet1": rows}, results.place("xlsx"), typed=typed)


def _from_html(job: EngineJob, results: Results) -> None:
    """Write each table of a page as a sheet.

    Raises:
        EngineError: 50020 if there is no table.
    """
    found = reading.read(job.files[0].path, "html", results.scratch)
    tables = list(_tables(found["blocks"]))
    if not tables:
        raise verdicts.nothing_to_extract()
    _write(
        {f"Table{n}": rows for n, rows in enumerate(tables, 1)}, results.place("xlsx"), typed=True
    )


def _tables(node: Any) -> Iterator[list[list[str]]]:
    if isinstance(node, list):
        for item in node:
            yield from _tables(item)
    elif isinstance(node, dict):
        if node.get("t") == "Table":
            _, _, _, head, bodies, foot = node["c"]
            rows = [*head[1], *(row for body in bodies for row in [*body[2], *body[3]]), *foot[1]]
            yield [[tree.text(cell[4]).strip() for cell in row[1]] for row in rows]
        else:
            yield from _tables(node.get("c"))


def _write(sheets: Mapping[str, list[list[str]]], path: Path, *, typed: bool) -> None:
    """Write sheets of text, with numbers as numbers if `typed`; never formulas."""
    book = openpyxl.Workbook(write_only=True)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append([_cell(sheet, value, typed=typed) for value in row])
    book.save(path)


def _cell(sheet: Any, value: str, *, typed: bool) -> Any:
    if typed and NUMBER.fullmatch(value):
        return float(value) if "." in value else int(value)
    if not value.startswith("="):
        return value
    cell = WriteOnlyCell(sheet, value=value)
    cell.data_type = "s"  # text, although it looks like a formula
    return cell
