"""Tables of PDF pages as CSV and as workbooks."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Any

import openpyxl
import pdfplumber
from openpyxl.cell import WriteOnlyCell
from pdfplumber.utils.exceptions import PdfminerException

from convertapi_sandbox import isolation
from convertapi_sandbox.engines import surgery, verdicts
from convertapi_sandbox.engines.results import Results

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convertapi_sandbox.jobs import EngineJob, EngineOutput, Parameters

Table = list[list[str]]

_MOST_CELLS = 1_000_000
_SEPARATORS = {"period": ".", "comma": ",", "space": " "}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # a workbook cannot hold them
_LONGEST = 20  # characters of a number
_LEADING_ZERO = re.compile(r"-?0\d")


def convert(job: EngineJob) -> list[EngineOutput]:
    """Write the tables of the pages of PageRange."""
    results = Results(job)
    try:
        tables = list(_continued(_found(job)))
    except PdfminerException as error:
        raise verdicts.damaged(str(error)) from None
    if not tables:
        raise verdicts.nothing_to_extract()
    if job.target == "csv":
        results.add("csv", _csv(tables, str(job.parameters.get("Delimiter", ","))))
    else:
        results.add("xlsx", _workbook(tables, job.parameters))
    return results.outputs


def _found(job: EngineJob) -> Iterator[Table]:
    """Yield the tables in order."""
    room = _MOST_CELLS
    with pdfplumber.open(io.BytesIO(surgery.plain(job))) as document:
        for page in document.pages:
            isolation.step()
            for table in page.extract_tables():
                rows = [[_cell(value) for value in row] for row in table]
                room -= sum(map(len, rows))
                if room < 0:
                    raise verdicts.damaged(f"Its tables have more than {_MOST_CELLS:,} cells.")
                if any(any(row) for row in rows):
                    yield rows
            page.close()


def _cell(value: str | None) -> str:
    """Return the text of a cell on one line."""
    return " ".join(_CONTROL.sub("", value or "").split())


def _continued(tables: Iterator[Table]) -> Iterator[Table]:
    """Join a table with the next one if that repeats its heading, as on a further page."""
    held: Table = []
    for table in tables:
        if held and table[0] == held[0]:
            held += table[1:]
            continue
        if held:
            yield held
        held = table
    if held:
        yield held


def _csv(tables: list[Table], delimiter: str) -> bytes:
    """Return all tables, with an empty line between two."""
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise verdicts.bad_parameter("Delimiter", f"{delimiter[:20]!r} is not one character.")
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter)
    for number, table in enumerate(tables):
        if number:
            writer.writerow([])
        writer.writerows(table)
    return text.getvalue().encode()


def _workbook(tables: list[Table], parameters: Parameters) -> bytes:
    """Return a workbook with a sheet for each table, or with SingleSheet a single one."""
    book = openpyxl.Workbook(write_only=True)
    sheet: Any = None
    for number, table in enumerate(tables):
        isolation.step()
        if sheet is None or not parameters.get("SingleSheet"):
            sheet = book.create_sheet(f"Table {number + 1}")
        else:
            sheet.append([])
        for row in table:
            cells = []
            for text in row:
                cell = WriteOnlyCell(sheet, value=_number(text, parameters))
                if cell.data_type == "f":  # a text that begins with "=" is not a formula
                    cell.data_type = "s"
                cells.append(cell)
            sheet.append(cells)
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def _number(text: str, parameters: Parameters) -> str | float | None:
    """Return the number that a cell shows, else its text; None for an empty cell."""
    decimal = _SEPARATORS.get(str(parameters.get("DecimalSeparator", "auto")))
    thousands = _SEPARATORS.get(str(parameters.get("ThousandsSeparator", "auto")))
    if _LEADING_ZERO.match(text):  # a number of an article or a telephone
        return text
    for point, group in (
        ((decimal, thousands),) if decimal else ((".", thousands), (",", thousands))
    ):
        between = re.escape(group or {".": ",", ",": "."}[str(point)])
        pattern = rf"-?(\d+|\d{{1,3}}({between}\d{{3}})+)({re.escape(str(point))}\d+)?"
        if re.fullmatch(pattern, text) and len(text) < _LONGEST:
            plain = re.sub(between, "", text).replace(str(point), ".")
            return float(plain) if "." in plain else int(plain)
    return text or None
