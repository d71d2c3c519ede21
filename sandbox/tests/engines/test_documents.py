"""Documents of text and Office formats: their content, their pages, and their parameters."""

from __future__ import annotations

import base64
import io
import re
import struct
import zlib
from typing import TYPE_CHECKING

import pypandoc
import pytest

from convertapi_sandbox import samples

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.conftest import Convert, Edited, Reader, Refused

PNG = base64.b64encode(samples.content("png")).decode()
PICTURE = f'<img src="data:image/png;base64,{PNG}">'
A4, LETTER = (595, 842), (612, 792)


def blue(read: Reader, pdf: bytes) -> int:
    """Return how many pixels of a page have the sample picture's blue."""
    colors = read.drawn(pdf).getcolors(1 << 20) or []
    return {color: count for count, color in colors}.get((32, 64, 128), 0)


@pytest.mark.parametrize(
    ("source", "parameters", "size"),
    [
        ("md", {}, A4),
        ("html", {}, LETTER),
        ("html", {"PageSize": "a5"}, (420, 595)),
        ("html", {"PageSize": "a5", "PageOrientation": "landscape"}, (595, 420)),
        ("html", {"PageWidth": 100, "PageHeight": 50}, (283, 142)),
        ("txt", {"PageSize": "legal"}, (612, 1008)),
        ("docx", {}, A4),
        ("rtf", {}, A4),
        ("pptx", {}, (720, 405)),
    ],
    ids=str,
)
def test_paper(
    convert: Convert, read: Reader, source: str, parameters: dict[str, str], size: tuple[int, int]
) -> None:
    """The paper is the document's, the converter's default, or the requested one."""
    pdf = convert(source, "pdf", samples.content(source), **parameters).only

    assert size == read.sizes(pdf)[0]


def test_word_says_its_own_paper_and_margins(
    convert: Convert, read: Reader, edited: Edited
) -> None:
    """The last section's size counts, in twentieths of a point."""
    section = (
        b'<w:sectPr><w:pgSz w:w="8391" w:h="11906"/>'
        b'<w:pgMar w:top="4000" w:right="100" w:bottom="100" w:left="100"/></w:sectPr></w:body>'
    )
    document = edited("docx", {"word/document.xml": (b"</w:body>", section)})

    pdf = convert("docx", "pdf", document).only

    assert (420, 595) == read.sizes(pdf)[0]
    page = read.drawn(pdf)
    assert read.darkest(page, (0, 0, 420, 190)) > 250
    assert read.darkest(page, (0, 190, 420, 300)) < 100


@pytest.mark.parametrize("source", ["html", "md", "txt"])
def test_margins_are_millimetres(convert: Convert, read: Reader, source: str) -> None:
    """Nothing is printed in the margins above and to the left."""
    pdf = convert(source, "pdf", samples.content(source), MarginTop=100, MarginLeft=50).only

    page = read.drawn(pdf)
    assert read.darkest(page, (0, 0, page.width, 282)) > 250
    assert read.darkest(page, (0, 0, 140, page.height)) > 250
    assert read.darkest(page, (140, 282, 500, 420)) < 100


def test_margins_that_leave_nothing_still_give_a_page(convert: Convert, read: Reader) -> None:
    """A sheet of margins alone would never end."""
    pdf = convert("md", "pdf", b"word", MarginLeft=500, MarginRight=500, MarginTop=500).only

    assert "word" in read.text(pdf)[0]


def test_page_range_of_a_document(convert: Convert, read: Reader) -> None:
    """Only the pages that are asked for."""
    pdf = convert("txt", "pdf", b"one\ftwo\fthree", PageRange="2-3").only

    assert ["two", "three"] == [text.strip() for text in read.text(pdf)]


def test_plain_text_keeps_lines_and_spaces(convert: Convert, read: Reader) -> None:
    """Columns stay aligned; nothing is markup; a long word is broken, not lost."""
    content = "a   b\n    c #let *x* $y$ <b>\n\n" + "w" * 300

    (text,) = read.text(convert("txt", "pdf", content.encode(), FontSize=8).only)

    assert "c #let *x* $y$ <b>" in text
    assert 300 == text.count("w")
    pdf = convert("txt", "pdf", b"x" + b" " * 40 + b"y").only
    ink = read.drawn(pdf).convert("L").point(lambda value: 255 if value < 128 else 0).getbbox()
    assert ink is not None
    assert ink[2] - ink[0] > 200


def test_font_size_of_plain_text(convert: Convert, read: Reader) -> None:
    """Twice the size, twice the pages."""
    content = b"line\n" * 300
    small, large = (
        len(read.text(convert("txt", "pdf", content, FontSize=size).only)) for size in (6, 18)
    )

    assert small * 2 < large


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_in_any_encoding(convert: Convert, read: Reader, encoding: str) -> None:
    """Text is decoded by its byte order mark, as UTF-8, else as Windows-1252."""
    pdf = convert("txt", "pdf", "Grüße € naïve".encode(encoding)).only

    assert "Grüße € naïve" in read.text(pdf)[0]


def test_html_declares_its_encoding(convert: Convert, read: Reader) -> None:
    """A page is decoded with the charset that it declares."""
    page = '<meta charset="windows-1251"><p>Привет</p>'.encode("windows-1251")

    assert "Привет" in read.text(convert("html", "pdf", page).only)[0]


def test_line_ends_of_plain_text(convert: Convert) -> None:
    """EndLineChar decides, lf is the default."""
    assert b"a\nb" == convert("log", "txt", b"a\r\nb").only
    for name, end in (("crlf", b"\r\n"), ("cr", b"\r"), ("lfcr", b"\n\r")):
        assert b"a" + end + b"b" == convert("log", "txt", b"a\nb", EndLineChar=name).only


def test_pictures_of_a_document_are_in_the_pdf(convert: Convert, read: Reader) -> None:
    """As a data URI in HTML and Markdown, as a part in Word."""
    html = f"<p>before {PICTURE}</p>".encode()
    docx = convert("html", "docx", html).only

    for source, content in (
        ("html", html),
        ("md", f"![x](data:image/png;base64,{PNG})".encode()),
        ("docx", docx),
        ("odt", convert("docx", "odt", docx).only),
        ("rtf", convert("docx", "rtf", docx).only),
    ):
        assert blue(read, convert(source, "pdf", content).only) > 10_000, source


def test_pictures_stay_in_every_text_format(convert: Convert) -> None:
    """A web page or Markdown made of a Word file carries them inside it."""
    docx = convert("html", "docx", f"<p>{PICTURE}</p>".encode()).only

    for target in ("html", "md", "rtf"):
        assert len(convert("docx", target, docx).only) > 1_500


def test_wide_picture_fits_the_page(convert: Convert, read: Reader) -> None:
    """It is scaled down, not cut off."""
    pdf = convert(
        "html", "pdf", f"<p>{PICTURE.replace('<img', '<img width=5000')}</p>".encode()
    ).only

    page = read.drawn(pdf)
    assert (32, 64, 128) == read.pixel(page, 32, 60)
    assert (32, 64, 128) == read.pixel(page, 580, 60)
    assert (255, 255, 255) == read.pixel(page, 600, 60)


def test_picture_that_nobody_can_show_is_left_out(convert: Convert, read: Reader) -> None:
    """An EMF or a broken PNG costs the picture, not the document."""
    for kind, data in (("x-emf", b"\x01\0\0\0l\0\0\0"), ("png", samples.content("png")[:60])):
        source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
        pdf = convert("html", "pdf", f'<p>before <img src="{source}"> after</p>'.encode()).only
        assert "before after" in " ".join(read.text(pdf)[0].split())


def test_links_lead_on_and_dead_ones_are_text(convert: Convert, read: Reader) -> None:
    """A link whose target pandoc drops does not make the document fail."""
    page = b"""<p><a href="#here">to it</a> <a href="#nowhere">dead</a>
    <a href="https://example.com/">out</a> <a href="file:///etc/passwd">file</a>
    <a href="javascript:alert(1)">script</a></p><h2 id="here">goal</h2><h2 id="here">again</h2>"""

    pdf = convert("html", "pdf", page).only

    assert "to it dead out file script" in " ".join(read.text(pdf)[0].split())
    goals = [str(item.get("/A", {}).get("/URI", "inside")) for item in read_links(read, pdf)]
    assert ["https://example.com/", "inside"] == sorted(goals)


def read_links(read: Reader, pdf: bytes) -> list[dict[str, dict[str, object]]]:
    """Return the link annotations of the first page, as plain dictionaries."""
    with read.pdf(pdf) as document:
        return [
            {"/A": {"/URI": item.A.URI} if "/A" in item and "/URI" in item.A else {}}
            for item in document.pages[0].Annots
        ]


def test_headings_become_bookmarks_unless_unwanted(convert: Convert, read: Reader) -> None:
    """BookmarkMode none leaves them out."""
    for mode, titles in (("headings", ["Quarterly report"]), ("none", [])):
        pdf = convert("docx", "pdf", samples.content("docx"), BookmarkMode=mode).only
        with read.pdf(pdf).open_outline() as outline:
            assert titles == [item.title for item in outline.root]


def test_metadata_unless_unwanted(convert: Convert, read: Reader, tmp_path: Path) -> None:
    """The title is the document's own."""
    place = tmp_path / "titled"
    source = "---\ntitle: A title\n---\nx"
    pypandoc.convert_text(source, "docx", "markdown", outputfile=str(place))
    docx = place.read_bytes()

    assert "A title" in read.text(convert("docx", "pdf", docx).only)[0]
    assert "A title" in convert("odt", "txt", convert("docx", "odt", docx).only).only.decode()
    with read.pdf(convert("docx", "pdf", docx).only) as document:
        assert "A title" == str(document.docinfo["/Title"])
    with read.pdf(convert("docx", "pdf", docx, ConvertMetadata=False).only) as document:
        assert "/Title" not in document.docinfo


@pytest.mark.parametrize(
    ("source", "parameters", "part", "level"),
    [("docx", {"Pdfa": True}, "3", "A"), ("txt", {"Pdfa": True}, "1", "B"),
     ("odt", {"PdfaVersion": "pdfA2b"}, "2", "B"), ("xlsx", {"Pdfa": True}, "1", "B"),
     ("png", {"Pdfa": True}, "2", "B")],
)  # fmt: skip
def test_pdfa(
    convert: Convert, read: Reader, source: str, parameters: dict[str, str], part: str, level: str
) -> None:
    """The file declares the standard that was asked for."""
    made = convert(source, "pdf", samples.content(source), **parameters)

    with read.pdf(made.only) as document, document.open_metadata() as metadata:
        assert (part, level) == (metadata["pdfaid:part"], metadata["pdfaid:conformance"])


def test_tags_on_request(convert: Convert, read: Reader) -> None:
    """ConvertTags writes a tagged PDF."""
    for wanted in (True, False):
        pdf = convert("docx", "pdf", samples.content("docx"), ConvertTags=wanted).only
        with read.pdf(pdf) as document:
            assert wanted == ("/StructTreeRoot" in document.Root)


def test_html_inside_markdown(convert: Convert, read: Reader) -> None:
    """HTML in Markdown is interpreted, and scripts are removed."""
    page = b"""# Title\n\nline<br>break and <b>bold</b>\n
<table><tr><td>cell one</td></tr></table>\n\n<script>alert("scripted")</script>\n"""

    (text,) = read.text(convert("md", "pdf", page).only)

    assert "cell one" in text
    assert "bold" in text
    assert "scripted" not in text
    assert "<" not in text


def test_formulas(convert: Convert, read: Reader) -> None:
    """Formulas are typeset; those that cannot be are shown as their source."""
    html = b"<p>sum <math><mfrac><mi>a</mi><mi>b</mi></mfrac></math> end</p>"

    (text,) = read.text(convert("html", "pdf", html).only)

    assert "sum" in text
    assert "end" in text


def test_formula_that_cannot_be_set_stands_as_its_source(convert: Convert, read: Reader) -> None:
    """The document does not fail because of it, and keeps its pictures."""
    page = f"before $\\frac{{}}{{}}$ after\n\n![x](data:image/png;base64,{PNG})\n"

    pdf = convert("md", "pdf", page.encode()).only

    assert "before \\frac{}{} after" in " ".join(read.text(pdf)[0].split())
    assert blue(read, pdf) > 10_000


@pytest.mark.parametrize(
    "picture",
    [
        samples.content("png")[:-12],  # without its last chunk, which not every reader misses
        b'<svg xmlns="http://www.w3.org/2000/svg" width="0" height="0"></svg>',
        b"<svg",
        b"<html></html>",
    ],
    ids=["png", "svg", "cut", "html"],
)
def test_picture_that_typst_refuses_is_left_out(
    convert: Convert, read: Reader, picture: bytes
) -> None:
    """A broken picture is dropped, even if another library accepted it."""
    data = base64.b64encode(picture).decode()
    page = f'<p>before <img src="data:image/png;base64,{data}"> after</p>'

    assert "before after" in " ".join(
        read.text(convert("html", "pdf", page.encode()).only)[0].split()
    )


def test_hidden_slides_are_left_out(convert: Convert, read: Reader, edited: Edited) -> None:
    """ConvertHiddenSlides brings them back."""
    slides = edited("pptx", {"ppt/slides/slide2.xml": (b"<p:sld ", b'<p:sld show="0" ')})
    count = len(read.text(convert("pptx", "pdf", samples.content("pptx")).only))

    assert count - 1 == len(read.text(convert("pptx", "pdf", slides).only))
    assert count == len(read.text(convert("pptx", "pdf", slides, ConvertHiddenSlides=True).only))


def test_each_slide_is_a_page(convert: Convert, read: Reader) -> None:
    """In the order of the presentation, with the table on its slide."""
    pages = read.text(convert("pptx", "pdf", samples.content("pptx")).only)

    assert any(samples.NUMBER in page for page in pages)
    assert not all(samples.NUMBER in page for page in pages)


def test_margins_of_a_word_file(convert: Convert, read: Reader) -> None:
    """MarginHorizontal and MarginVertical are written in twentieths of a point."""
    made = convert("html", "docx", b"<p>x</p>", MarginHorizontal=25.4, MarginVertical=12.7)

    document = read.parts(made.only)["word/document.xml"].decode()
    (margins,) = re.findall(r"<w:pgMar[^>]*>", document)
    assert 'w:left="1440"' in margins
    assert 'w:top="720"' in margins


def test_web_page_is_its_html(convert: Convert, read: Reader) -> None:
    """The server fetches a page; the engine gets it as a file."""
    pdf = convert("web", "pdf", samples.content("html"), name="page.html", MarginTop=30).only

    assert samples.TEXT in read.text(pdf)[0]


@pytest.mark.parametrize(
    ("name", "form"),
    [("a.xlsx", "xlsx"), ("a.png", "png"), ("a.pdf", "pdf"), ("a.txt", "txt"), ("a.eml", "eml")],
)
def test_any_file_by_its_extension(convert: Convert, read: Reader, name: str, form: str) -> None:
    """`file` and `office` look at the name."""
    pdf = convert("file", "pdf", samples.content(form), name=name).only

    assert len(read.sizes(pdf)) >= 1


def test_unknown_extension_says_who_can(refused: Refused) -> None:
    """What the sandbox cannot do is refused, not faked."""
    assert (415, 415) == refused("file", "pdf", b"AC1015", name="plan.dwg")
    assert (415, 415) == refused("file", "pdf", b"x", name="nothing")


def test_older_office_formats_need_libreoffice(refused: Refused) -> None:
    """A doc sent to docx/to/pdf is not reported as a damaged docx."""
    assert (415, 415) == refused(
        "docx", "pdf", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" * 64, name="a.doc"
    )


def test_same_document_same_bytes(convert: Convert) -> None:
    """Two runs of one conversion are equal byte for byte."""
    for source in ("md", "docx", "xlsx"):
        first, second = (convert(source, "pdf", samples.content(source)).only for _ in range(2))
        assert first == second


def test_picture_formats_of_a_document(convert: Convert, read: Reader) -> None:
    """Width, resolution and quality count for pictures of documents too."""
    assert (
        300
        == read.image(convert("docx", "jpg", samples.content("docx"), ImageWidth=300).only).width
    )
    made = convert("html", "png", samples.content("html"), ImageResolution=36)
    assert (306, 396) == read.image(made.only).size
    many = convert("txt", "jpg", b"a\fb\fc", PageRange="2-3", ImageResolution=20)
    assert 2 == len(many)


def test_output_is_a_file_in_the_job_s_folder(convert: Convert) -> None:
    """Results are in "out", with the name of the first document."""
    made = convert("md", "pdf", b"x", name="a.b c.md")

    assert ["a.b c.pdf"] == made.names
    assert "out" == made.paths[0].parent.name


def test_docx_archive_is_sound(convert: Convert, read: Reader) -> None:
    """What the sandbox writes, it reads again."""
    docx = convert("html", "docx", samples.content("html")).only

    assert samples.TEXT in convert("docx", "txt", docx).only.decode()
    assert io.BytesIO(docx).read(2) == b"PK"


def test_uncompressed_tiff_of_a_document(convert: Convert, read: Reader) -> None:
    """TiffType names colours and compression."""
    for kind, compression in (("color24nc", 1), ("color24lzw", 5), ("grayscalezip", 8)):
        made = convert("docx", "tiff", samples.content("docx"), TiffType=kind, ImageResolution=36)
        assert compression == read.image(made.only).tag_v2[259]  # type: ignore[attr-defined]  # a TIFF has tags


def test_pictures_of_older_formats_are_shown(convert: Convert, read: Reader) -> None:
    """A BMP is converted for a docx made of a web page."""
    data = base64.b64encode(samples.content("bmp")).decode()
    page = f'<p><img src="data:image/bmp;base64,{data}"></p>'.encode()

    assert blue(read, convert("html", "pdf", page).only) > 10_000
    docx = read.parts(convert("html", "docx", page).only)
    assert [".png"] == [name[-4:] for name in docx if name.startswith("word/media/")]


def test_pictures_that_are_none(convert: Convert, refused: Refused) -> None:
    """Bad base64 is left out, a bomb is an error."""
    assert convert("html", "pdf", b'<img src="data:image/png;base64,a">')
    assert convert("html", "pdf", b'<img src="data:,text" width="50%" height="2in">')
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + head
    bomb += struct.pack(">I", zlib.crc32(b"IHDR" + head))
    bomb += struct.pack(">I", 4) + b"IDAT" + b"junk" + struct.pack(">I", zlib.crc32(b"IDATjunk"))
    page = b'<img src="data:image/png;base64,' + base64.b64encode(bomb) + b'">'
    assert (500, 5002) == refused("html", "pdf", page)


def test_size_of_a_picture_in_every_unit(convert: Convert, read: Reader) -> None:
    """Inches, centimetres, points and per cent of the page."""
    for width, points in (("2in", 144), ("5cm", 142), ("100pt", 100), ("96", 72)):
        pdf = convert(
            "html", "pdf", f"<p>{PICTURE.replace('<img', f'<img width={width}')}".encode()
        )
        box = (
            read.drawn(pdf.only)
            .convert("L")
            .point([255 if v < 250 else 0 for v in range(256)])
            .getbbox()
        )
        assert box is not None
        assert points == pytest.approx(box[2] - box[0], abs=2), width


def test_drawing_within_a_page(convert: Convert, read: Reader) -> None:
    """An inline SVG keeps what HTML has no capital letters for."""
    page = b"""<p><svg viewBox="0 0 10 10" width="200" height="200">
    <linearGradient id="g"><stop offset="0" stop-color="#204080"/></linearGradient>
    <rect width="10" height="10" fill="url(#g)"/></svg></p>"""

    assert blue(read, convert("html", "pdf", page).only) > 10_000


def test_slides_and_texts_without_a_size_of_their_own(
    convert: Convert, read: Reader, edited: Edited
) -> None:
    """Slides are 4:3 then, texts are A4."""
    size = b'<p:sldSz cx="9144000" cy="5143500" type="screen16x9" />'
    slides = edited("pptx", {"ppt/presentation.xml": (size, b"")})

    assert (720, 540) == read.sizes(convert("pptx", "pdf", slides).only)[0]
    text = edited("odt", {"styles.xml": (b"style:page-layout-properties", b"style:nothing")})
    assert A4 == read.sizes(convert("odt", "pdf", text).only)[0]


def test_too_long_a_text(refused: Refused) -> None:
    """Twenty million letters are ten thousand pages."""
    assert (500, 5002) == refused("txt", "pdf", b"a" * 20_000_001)


def test_older_format_into_text(refused: Refused) -> None:
    """Needs LibreOffice as well."""
    assert (415, 415) == refused("docx", "txt", b"\xd0\xcf\x11\xe0" * 99, name="a.doc")


def test_too_deep_a_list(refused: Refused) -> None:
    """Deeper nesting than we support, but pandoc reads, is an answer and not a crash."""
    assert (500, 5002) == refused("md", "html", b">" * 1200 + b"x")
