"""Spreadsheets into PDF, CSV and each other."""

from __future__ import annotations

import datetime as dt
import io
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest

from convertapi_sandbox import samples

if TYPE_CHECKING:
    from tests.engines.conftest import Convert, Reader, Refused

XLSX = samples.content("xlsx")


def book(*rows: tuple[Any, ...], **formats: str) -> bytes:
    """Return a workbook of one sheet; `formats` are number formats by cell."""
    made = openpyxl.Workbook()
    for row in rows:
        made.active.append(row)
    for cell, number_format in formats.items():
        made.active[cell].number_format = number_format
    target = io.BytesIO()
    made.save(target)
    return target.getvalue()


def cells(content: bytes, sheet: int = 0) -> list[tuple[Any, ...]]:
    """Return the rows of a workbook."""
    return list(openpyxl.load_workbook(io.BytesIO(content)).worksheets[sheet].values)


@pytest.mark.parametrize(
    ("parameters", "found", "missing"),
    [
        ({}, ["Region", samples.TEXT], []),
        ({"WorksheetIndex": 2}, [samples.TEXT], ["Region"]),
        ({"WorksheetName": "notes"}, [samples.TEXT], ["Region"]),
        ({"WorksheetActive": True}, ["Region"], [samples.TEXT]),
    ],
    ids=str,
)
def test_chosen_worksheets(
    convert: Convert, read: Reader, parameters: dict[str, Any], found: list[str], missing: list[str]
) -> None:
    """All of them, or the one that is asked for."""
    text = " ".join(read.text(convert("xlsx", "pdf", XLSX, **parameters).only))

    assert all(part in text for part in found)
    assert not any(part in text for part in missing)


def test_missing_worksheet_is_a_parameter_error(refused: Refused) -> None:
    """By number and by name."""
    assert (400, 4000) == refused("xlsx", "pdf", XLSX, WorksheetIndex=3)
    assert (400, 4000) == refused("xlsx", "pdf", XLSX, WorksheetName="none")


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, ["1,234,567.50", "12%", "03/09/2026", "TRUE", "0.333333333333333"]),
        ({"DateFormat": "iso"}, ["2026-03-09"]),
        ({"DateFormat": "german", "ThousandsSeparator": ".", "DecimalSeparator": ","},
         ["1.234.567,50", "09.03.2026"]),
        ({"ThousandsSeparator": " "}, ["1 234 567.50"]),
    ],
    ids=str,
)  # fmt: skip
def test_cells_as_people_see_them(
    convert: Convert, read: Reader, parameters: dict[str, str], expected: list[str]
) -> None:
    """Dates, thousands, decimals and per cent, in the formats that are asked for."""
    content = book(
        (1234567.5, 0.12, dt.date(2026, 3, 9), True, 1 / 3), A1="#,##0.00", B1="0%", C1="yyyy-mm-dd"
    )

    (text,) = read.text(convert("xlsx", "pdf", content, **parameters).only)

    assert all(part in text for part in expected), text


def test_formula_shows_its_result_or_itself(convert: Convert, read: Reader) -> None:
    """Formulas are not calculated: one without a stored result is shown itself."""
    content = book((1, 2, "=A1+B1"))

    assert "=A1+B1" in read.text(convert("xlsx", "pdf", content).only)[0]


def test_paper_of_a_sheet(convert: Convert, read: Reader) -> None:
    """PageSize and PageOrientation, and the sheet's own orientation."""
    made = convert(
        "xlsx", "pdf", XLSX, WorksheetIndex=1, PageSize="a5", PageOrientation="landscape"
    )
    assert [(595, 420)] == read.sizes(made.only)

    own = openpyxl.Workbook()
    own.active.append(["x"])
    own.active.page_setup.orientation = "landscape"
    target = io.BytesIO()
    own.save(target)
    assert [(842, 595)] == read.sizes(convert("xlsx", "pdf", target.getvalue()).only)


def test_wide_sheet_goes_on_beside(convert: Convert, read: Reader) -> None:
    """Columns that do not fit come on a page of their own, none is cut off."""
    content = book(tuple(f"column number {n}" for n in range(20)))

    pages = read.text(convert("xlsx", "pdf", content).only)

    assert len(pages) > 1
    text = " ".join(" ".join(pages).split())
    assert all(f"column number {n}" in text for n in range(20))


def test_header_on_each_page(convert: Convert, read: Reader) -> None:
    """HeaderOnEachPage repeats the first row."""
    content = book(("Heading", "b"), *(("row", n) for n in range(200)))

    plain = read.text(convert("xlsx", "pdf", content).only)
    repeated = read.text(convert("xlsx", "pdf", content, HeaderOnEachPage=True).only)

    assert len(plain) > 2
    assert 1 == sum("Heading" in page for page in plain)
    assert len(repeated) == sum("Heading" in page for page in repeated)


def test_scale_makes_it_smaller(convert: Convert, read: Reader) -> None:
    """Half the size, about half the pages."""
    content = book(*((f"row {n}", n) for n in range(400)))

    full, half = (len(read.text(convert("xlsx", "pdf", content, Scale=s).only)) for s in (100, 50))

    assert half < full * 0.8


def test_print_area(convert: Convert, read: Reader) -> None:
    """Only the area is printed, unless ClearPrintArea says otherwise."""
    made = openpyxl.Workbook()
    for row in (("inside", "outside"), ("also inside", "out too")):
        made.active.append(row)
    made.active.print_area = "A1:A2"
    target = io.BytesIO()
    made.save(target)

    (text,) = read.text(convert("xlsx", "pdf", target.getvalue()).only)
    (whole,) = read.text(convert("xlsx", "pdf", target.getvalue(), ClearPrintArea=True).only)

    assert "outside" not in text
    assert "outside" in whole


def test_empty_workbook_is_an_empty_page(convert: Convert, read: Reader) -> None:
    """An empty sheet is not an error."""
    assert [""] == [t.strip() for t in read.text(convert("xlsx", "pdf", book()).only)]


def test_csv_for_each_sheet(convert: Convert) -> None:
    """Quotes where they are needed; numbers and dates that a program reads again."""
    content = book(("a,b", 'say "x"', 1234.5, None, dt.date(2026, 3, 9)))

    assert b'"a,b","say ""x""",1234.5,,2026-03-09\r\n' == convert("xlsx", "csv", content).only
    assert ["book.csv"] * 2 == convert("xlsx", "csv", XLSX, name="book.xlsx").names


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_delimiter(convert: Convert, delimiter: str) -> None:
    """Delimiter is what separates the cells."""
    content = delimiter.join(["a", "1"]).encode()

    made = convert("csv", "xlsx", content, Delimiter=delimiter)

    assert [("a", "1")] == cells(made.only)


def test_csv_cell_types(convert: Convert) -> None:
    """Text by default, numbers with `general`; what looks like a formula never becomes one."""
    content = b"007,1.5,12,=1+1,-3\n"

    assert [("007", "1.5", "12", "=1+1", "-3")] == cells(convert("csv", "xlsx", content).only)
    typed = convert("csv", "xlsx", content, CellType="general").only
    assert [("007", 1.5, 12, "=1+1", -3)] == cells(typed)
    loaded = openpyxl.load_workbook(io.BytesIO(typed))
    assert "s" == loaded.active["D1"].data_type


def test_senseless_delimiter_is_a_parameter_error(refused: Refused) -> None:
    """One character, no more and no less."""
    assert (400, 4000) == refused("csv", "xlsx", b"a", Delimiter=";;")


def test_csv_finds_its_delimiter_for_pdf(convert: Convert, read: Reader) -> None:
    """Semicolons make columns too, and rows may be ragged."""
    (text,) = read.text(convert("csv", "pdf", b"name;amount\nx;12\nlonely\n").only)

    assert ";" not in text
    assert "lonely" in text


def test_tables_of_a_web_page(convert: Convert, refused: Refused) -> None:
    """A sheet for each table; 50020 where there is none."""
    page = b"<table><tr><th>a<th>b<tr><td>1<td>=x</table><p>and<table><tr><td>2.5</table>"
    made = convert("html", "xlsx", page).only

    assert [("a", "b"), (1, "=x")] == cells(made)
    assert [(2.5,)] == cells(made, 1)
    assert (500, 50020) == refused("html", "xlsx", b"<p>no table")


def test_cells_are_text_not_code(convert: Convert, read: Reader) -> None:
    """Text that looks like typst code is printed as it is."""
    (text,) = read.text(convert("xlsx", "pdf", book(('#read("x") *a* $y$ [z]',))).only)

    assert '#read("x") *a* $y$ [z]' in " ".join(text.split())


def test_time_of_day(convert: Convert, read: Reader) -> None:
    """A moment is shown with its time, a day without."""
    content = book((dt.datetime(2026, 3, 9, 14, 5), dt.datetime(2026, 3, 9)))  # noqa: DTZ001 - a sheet knows no zones

    (text,) = read.text(convert("xlsx", "pdf", content, DateFormat="iso").only)

    assert "2026-03-09 14:05:00" in text
    assert 2 == text.count("2026-03-09")


def test_csv_numbers_with_other_separators(convert: Convert, read: Reader) -> None:
    """DecimalSeparator changes how a CSV file's numbers look on paper."""
    (text,) = read.text(convert("csv", "pdf", b"a,b\n1.5,x\n", DecimalSeparator=",").only)

    assert "1,5" in text


def test_too_many_cells_for_paper(refused: Refused) -> None:
    """It is refused immediately, instead of typesetting for minutes."""
    assert (500, 5001) == refused("csv", "pdf", b"a,b,c\n" * 20_001)


def test_csv_that_is_none(refused: Refused) -> None:
    """A cell of two million letters, and a sheet of two million cells."""
    assert (500, 5002) == refused("csv", "xlsx", b'"' + b"a" * 2_000_000)
    assert (500, 5002) == refused("csv", "xlsx", b",".join([b""] * 2_000_002))


def test_table_cells_of_code_and_formulas(convert: Convert) -> None:
    """Every kind of text in a cell of a web page is text in a cell of the sheet."""
    page = b"<table><tr><td>a <code>b</code> <i>c</i><br>d</td></tr></table>"

    assert [("a b c d",)] == cells(convert("html", "xlsx", page).only)
