"""Text and tables out of PDFs, text removed from them, and templates filled."""

from __future__ import annotations

import csv
import io
import json
import re
from html import unescape
from typing import TYPE_CHECKING, Any

import openpyxl
import pikepdf
import pytest

from convertapi_sandbox import samples
from convertapi_sandbox.engines import MISSING

if TYPE_CHECKING:
    from tests.engines.conftest import Convert, Edited, Reader, Refused


def needs(pair: str) -> pytest.MarkDecorator:
    """Skip if the package of a pair is not installed."""
    source, target = pair.split()
    return pytest.mark.skipif((source, target) in MISSING, reason="its package is not installed")


def removed(convert: Convert, pdf: bytes, *rules: dict[str, str], **parameters: Any) -> bytes:
    """Return a PDF after its redaction."""
    return convert("pdf", "redact", pdf, RedactionData=json.dumps(rules), **parameters).only


# --- text and tables ------------------------------------------------------------------------------


@needs("pdf md")
def test_markdown(convert: Convert) -> None:
    """The heading is a heading, the table is a table."""
    text = convert("pdf", "md").only.decode()

    assert f"# {samples.TITLE}" in text
    assert samples.TEXT in text
    [head, _, first, *_] = [line for line in text.splitlines() if line.startswith("|")]
    assert ["Region", "Revenue", "Code"] == [cell.strip() for cell in head.strip("|").split("|")]
    assert ["North", samples.NUMBER, "007"] == [c.strip() for c in first.strip("|").split("|")]


@needs("pdf md")
def test_pages_of_a_protected_document(convert: Convert, refused: Refused) -> None:
    """The password opens it, and PageRange chooses."""
    locked = samples.content("locked")

    text = convert("pdf", "md", locked, Password=samples.PASSWORD, PageRange="2").only.decode()

    assert "Chapter 2" in text
    assert "Chapter 1" not in text
    assert (500, 5003) == refused("pdf", "md", locked)
    assert (500, 5007) == refused("pdf", "md", locked, Password="wrong")


@needs("pdf html")
def test_web_page(convert: Convert) -> None:
    """It is one page whose text is escaped."""
    pdf = samples.typeset('#set page("a4")\nA script: `<script>alert(1)</script>` & more')

    page = convert("pdf", "html", pdf, name="a<b.pdf").only.decode()

    assert page.startswith("<!DOCTYPE html>")
    assert "<title>a&lt;b</title>" in page
    assert "<script>" not in page
    assert "alert(1)" in page


@pytest.mark.parametrize("target", ["md", "html", "csv", "xlsx"])
def test_scan_says_what_is_missing(refused: Refused, target: str) -> None:
    """A page without text is not an empty result."""
    if ("pdf", target) in MISSING:
        pytest.skip("its package is not installed")
    if target in ("md", "html") and ("pdf", "ocr") not in MISSING:
        pytest.skip("the scan can be read")
    expected = {"md": (415, 415), "html": (415, 415)}.get(target, (500, 50020))

    assert expected == refused("pdf", target, samples.content("scan"))


@needs("pdf md")
def test_empty_page_is_nothing_to_extract(refused: Refused) -> None:
    """A page without text and without a picture does not become an empty file."""
    assert (500, 50020) == refused("pdf", "md", samples.typeset('#set page("a6")\n#[]'))


TABLES = """
#set page("a4")
#table(columns: 2, [Item], [Price], [Café, "large"], [1,234.50], [=1+1], [007])
#pagebreak()
#table(columns: 2, [Item], [Price], [Tea], [-3])
#pagebreak()
#table(columns: 3, [Day], [From], [To], [Mon], [8], [17])
"""


@needs("pdf csv")
def test_tables_as_csv(convert: Convert) -> None:
    """A table goes on on the next page if that repeats its heading; cells are exact."""
    made = convert("pdf", "csv", samples.typeset(TABLES), name="prices.pdf")
    other = convert(
        "pdf", "csv", samples.typeset(TABLES), Delimiter=";", PageRange="3"
    ).only.decode()

    assert ["prices.csv"] == made.names
    assert [
        ["Item", "Price"],
        ["Café, \N{LEFT DOUBLE QUOTATION MARK}large\N{RIGHT DOUBLE QUOTATION MARK}", "1,234.50"],
        ["=1+1", "007"],
        ["Tea", "-3"],
        [],
        ["Day", "From", "To"],
        ["Mon", "8", "17"],
    ] == [
        [cell.replace("\N{MINUS SIGN}", "-") for cell in row]
        for row in csv.reader(io.StringIO(made.only.decode()))
    ]
    assert "Day;From;To\r\nMon;8;17\r\n" == other


@needs("pdf xlsx")
def test_tables_as_a_workbook(convert: Convert) -> None:
    """A sheet for each table; numbers are numbers, and a formula in a text is a text."""
    book = openpyxl.load_workbook(io.BytesIO(convert("pdf", "xlsx", samples.typeset(TABLES)).only))
    one = openpyxl.load_workbook(
        io.BytesIO(convert("pdf", "xlsx", samples.typeset(TABLES), SingleSheet=True).only)
    )

    assert ["Table 1", "Table 2"] == book.sheetnames
    first = list(book["Table 1"].values)
    assert 1234.5 == first[1][1]
    assert ("=1+1", "007") == first[2]
    assert "s" == book["Table 1"]["A3"].data_type
    assert ("Mon", 8, 17) == list(book["Table 2"].values)[1]
    assert [len(list(sheet.values)) for sheet in one] == [7]


@needs("pdf xlsx")
@pytest.mark.parametrize(
    ("separators", "number"),
    [
        ({"DecimalSeparator": "comma", "ThousandsSeparator": "period"}, 1234.5),
        ({"DecimalSeparator": "period"}, "1.234,50"),
        ({}, 1234.5),
    ],
)
def test_separators(convert: Convert, separators: dict[str, str], number: object) -> None:
    """They say what a number is."""
    pdf = samples.typeset('#set page("a4")\n#table(columns: 2, [A], [B], [1.234,50], [x])')

    book = openpyxl.load_workbook(io.BytesIO(convert("pdf", "xlsx", pdf, **separators).only))

    assert number == book.active["A2"].value


@needs("pdf csv")
def test_delimiter_is_one_character(refused: Refused) -> None:
    """Others are named."""
    assert (400, 4000) == refused("pdf", "csv", samples.content("report"), Delimiter="ab")


# --- redaction ------------------------------------------------------------------------------------

SECRETS = """
#set document(title: "Letter of Ada Lovelace", author: "Ada Lovelace")
#set page("a4", margin: 4cm)
= Letter of Ada Lovelace <top>
Dear ADA   LOVELACE, your number is 12-34. Kind regards, Bob. #lorem(20) Ada Lovelace again.
#pagebreak()
Nothing here but a #link(<top>)[link back].
"""


def everything(pdf: bytes) -> bytes:
    """Return all streams and texts of a PDF, unpacked."""
    target = io.BytesIO()
    with pikepdf.Pdf.open(io.BytesIO(pdf)) as document:
        document.save(
            target,
            compress_streams=False,
            stream_decode_level=pikepdf.StreamDecodeLevel.generalized,
            object_stream_mode=pikepdf.ObjectStreamMode.disable,
        )
    return target.getvalue()


def test_text_is_gone(convert: Convert, read: Reader) -> None:
    """In any case, also over a line end; the rest stays searchable, metadata and links go."""
    pdf = removed(
        convert, samples.typeset(SECRETS), {"Text": "ada lovelace"}, {"Regex": r"\d\d-\d\d"}
    )

    first, second = (" ".join(page.split()) for page in read.text(pdf))
    assert "lovelace" not in first.lower()
    assert "12-34" not in first
    assert "Dear" in first
    assert "Kind regards, Bob." in first
    assert "Nothing here but a link back." in second
    raw = everything(pdf)
    assert b"Lovelace" not in raw
    assert "Lovelace".encode("utf-16-be").hex().encode() not in raw.lower()
    with read.pdf(pdf) as document:
        assert {} == dict(document.docinfo)
        assert "/Annots" not in document.pages[1]
        assert not document.pages[0].get("/Annots")


def test_it_is_painted_over(convert: Convert, read: Reader) -> None:
    """In the colour that was asked for."""
    pdf = samples.typeset(
        "#set page(width: 200pt, height: 100pt, margin: 20pt)\n#text(20pt)[Secret]"
    )

    drawn = read.drawn(removed(convert, pdf, {"Text": "Secret"}, RedactionColor="#ff0000"))

    red, green, blue = read.pixel(drawn, 30, 30)
    assert red > 200
    assert green < 60
    assert blue < 60
    assert (200, 100) == drawn.size
    assert (255, 255, 255) == read.pixel(drawn, 190, 90)


def test_turned_and_cropped_page(convert: Convert, read: Reader) -> None:
    """The page looks as before, at the same size."""
    with pikepdf.Pdf.open(
        io.BytesIO(samples.typeset("#set page(width: 300pt, height: 200pt)\nKeep this. Secret."))
    ) as document:
        document.pages[0].Rotate = 90
        document.pages[0].CropBox = [10, 20, 290, 190]
        turned = io.BytesIO()
        document.save(turned)

    pdf = removed(convert, turned.getvalue(), {"Text": "Secret"})

    assert [(170, 280)] == read.sizes(pdf)
    assert "Keep this. ." == " ".join(read.text(pdf)[0].split())


def test_scan_is_refused(convert: Convert, refused: Refused, read: Reader) -> None:
    """What a picture shows cannot be found, so it does not pass for removed."""
    with (
        pikepdf.Pdf.open(io.BytesIO(samples.content("report"))) as document,
        pikepdf.Pdf.open(io.BytesIO(samples.content("scan"))) as scan,
    ):
        document.pages.extend(scan.pages)
        mixed = io.BytesIO()
        document.save(mixed)
    rules = '[{"Text": "North"}]'

    assert (415, 415) == refused("pdf", "redact", mixed.getvalue(), RedactionData=rules)
    pdf = removed(convert, mixed.getvalue(), {"Text": "North"}, PageRange="1")
    assert "North" not in read.text(pdf)[0]


def test_only_the_pages_that_are_named(convert: Convert, read: Reader) -> None:
    """Other pages keep what they have."""
    pdf = removed(convert, samples.content("pdf"), {"Text": "Chapter"}, PageRange="2")

    assert [True, False, True] == ["Chapter" in page for page in read.text(pdf)]


def test_nothing_found(convert: Convert, read: Reader) -> None:
    """The document looks as before."""
    pdf = removed(convert, samples.content("pdf"), {"Text": "Zebra"})

    assert read.text(samples.content("pdf")) == read.text(pdf)


def test_form_field(convert: Convert, read: Reader) -> None:
    """What was typed into a form is text, too."""
    with pikepdf.Pdf.open(io.BytesIO(samples.content("pdf"))) as document:
        look = document.make_stream(b"BT /Helv 12 Tf 5 5 Td (Ada typed) Tj ET")
        look.Type, look.Subtype, look.BBox = pikepdf.Name.XObject, pikepdf.Name.Form, [0, 0, 90, 20]
        font = pikepdf.Dictionary(
            Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica
        )
        look.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(Helv=font))
        field = document.make_indirect(
            pikepdf.Dictionary(
                Type=pikepdf.Name.Annot,
                Subtype=pikepdf.Name.Widget,
                FT=pikepdf.Name.Tx,
                F=4,
                T=pikepdf.String("name"),
                V=pikepdf.String("Ada typed"),
                Rect=[50, 50, 140, 70],
                AP=pikepdf.Dictionary(N=look),
            )
        )
        document.pages[0].Annots = pikepdf.Array([field])
        document.Root.AcroForm = pikepdf.Dictionary(Fields=pikepdf.Array([field]))
        filled = io.BytesIO()
        document.save(filled)

    pdf = removed(convert, filled.getvalue(), {"Text": "Ada typed"})

    assert b"Ada typed" not in everything(pdf)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ("", "cannot find sensitive data by itself; the real service can"),
        ("[", "is not JSON"),
        ("{}", "is not an array"),
        ("[]", "is not an array"),
        ('["x"]', "is none of"),
        ('[{"Text": " "}]', "is none of"),
        ('[{"Regex": "("}]', "Regex: "),
        ('[{"Regex": "a*"}]', "matches the empty text"),
        ('[{"Text": "a"}, {"Detect": "names"}]', "cannot detect what a text means; the real"),
    ],
)
def test_data_that_is_none(convert: Convert, data: str, complaint: str) -> None:
    """It is refused before anything is done, and free."""
    from convertapi_sandbox.jobs import EngineError

    with pytest.raises(EngineError, match=complaint) as caught:
        convert("pdf", "redact", samples.content("pdf"), RedactionData=data)
    assert (400, 4000) == (caught.value.status, caught.value.code)


def test_pattern_that_never_ends(refused: Refused) -> None:
    """It ends the worker, not the sandbox."""
    pdf = samples.typeset('#set page("a4")\n' + "a" * 60 + "!")

    assert (500, 5000) == refused("pdf", "redact", pdf, RedactionData='[{"Regex": "(a|a)+$"}]')


# --- templates ------------------------------------------------------------------------------------


def payload(**values: Any) -> dict[str, Any]:
    """Return the parameters that fill a template."""
    items = [{"Name": name, "Value": value} for name, value in values.items()]
    return {"BindingMethod": "placeholders", "JsonPayload": json.dumps(items)}


def test_placeholder_in_several_runs(convert: Convert, edited: Edited, read: Reader) -> None:
    """Word cuts a text where its spelling was checked; the value takes the look of the start."""
    runs = ("</w:t></w:r><w:r><w:t>Dear {{Na", "me}}: {To", "tal} {Unknown}")
    cut = "</w:t></w:r><w:r><w:t>".join(runs) + "</w:t>"
    template = edited("docx", {"word/document.xml": (b"</w:t>", cut.encode())})

    made = convert("template", "docx", template, name="a.docx", **payload(Name="A & <B>", Total=17))

    assert ["a.docx"] == made.names
    xml = read.parts(made.only)["word/document.xml"].decode()
    assert "Dear A & <B>: 17 {Unknown}" in unescape(re.sub("<[^>]+>", "", xml))


def test_template_becomes_a_document(convert: Convert, read: Reader) -> None:
    """A dotx becomes a docx."""
    made = convert("template", "docx", samples.content("dotx"), name="a.dotx", **payload(Name="x"))

    assert b".template.main+xml" not in read.parts(made.only)["[Content_Types].xml"]


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"JsonPayload": "[]"}, "BindingMethod: .*the real service can do both"),
        ({"BindingMethod": "properties", "JsonPayload": "[]"}, "BindingMethod"),
        ({"BindingMethod": "placeholders", "JsonPayload": "x"}, "is not JSON"),
        ({"BindingMethod": "placeholders", "JsonPayload": "{}"}, "is not an array"),
        ({"BindingMethod": "placeholders", "JsonPayload": "[1]"}, "has no Name"),
        (
            {"BindingMethod": "placeholders", "JsonPayload": '[{"Name": "A", "Type": "image"}]'},
            "A: the sandbox fills in text, no image; the real service can",
        ),
        ({**payload(A=[1])}, "A: its Value is not a text"),
    ],
)
def test_payload_that_is_none(convert: Convert, parameters: dict[str, str], complaint: str) -> None:
    """It is refused, and free."""
    from convertapi_sandbox.jobs import EngineError

    with pytest.raises(EngineError, match=complaint) as caught:
        convert("template", "docx", samples.content("template"), name="a.docx", **parameters)
    assert (400, 4000) == (caught.value.status, caught.value.code)


# --- repair ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        lambda pdf: pdf.rpartition(b"startxref")[0],
        lambda pdf: pdf + b"\0" * 5000,
        lambda pdf: b"garbage\n" * 50 + pdf,
        lambda pdf: pdf.replace(b"startxref\n", b"startxref\n9"),
    ],
    ids=["no end", "padded", "shifted", "wrong offset"],
)
def test_repair(convert: Convert, read: Reader, damage: Any) -> None:
    """What other programs refuse or guess is a PDF again, with its text."""
    pdf = convert("pdf", "repair", damage(samples.content("pdf"))).only

    assert all(samples.TEXT in " ".join(page.split()) for page in read.text(pdf))
    with read.pdf(pdf) as document:
        assert [] == document.check_pdf_syntax()


def test_repair_of_what_is_no_pdf(refused: Refused) -> None:
    """There is nothing to repair."""
    assert (500, 5002) == refused("pdf", "repair", b"nothing of a PDF" * 99)


@pytest.mark.parametrize(
    ("source", "target", "form", "parameters"),
    [
        ("template", "docx", "docx", payload(Name="x")),
        ("docx", "pdf", "docx", {}),
        ("zip", "extract", "zip", {}),
    ],
)
def test_archive_whose_names_are_no_text(
    refused: Refused, edited: Edited, source: str, target: str, form: str, parameters: Any
) -> None:
    """It is damaged, in every format that is an archive."""
    archive = edited(form, {"ä.xml": b"<a/>"}).replace("ä.xml".encode(), b"\xff\xff.xml")

    assert (500, 5002) == refused(source, target, archive, name=f"a.{form}", **parameters)
