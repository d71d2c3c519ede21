"""Bombs and injections: each ends quickly with a Code of the error table, and does no harm."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import itertools
import struct
import time
import zipfile
import zlib
from typing import TYPE_CHECKING

import openpyxl
import pikepdf
import pytest
from PIL import Image

from convertapi_sandbox import samples
from convertapi_sandbox.jobs import EngineError
from convertapi_sandbox.pool import Pool

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.conftest import Convert, Edited, Loop, Prepare, Reader

CODES = {5000, 5001, 5002}
PNG = base64.b64encode(samples.content("png")).decode()


def laughs(wide: str = "utf-8") -> bytes:
    """Return the head of an XML file whose entity &j; is a billion times as long as it looks."""
    names = "abcdefghij"
    entities = f'<!ENTITY a "{"lol" * 10}">' + "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in itertools.pairwise(names)
    )
    return f'<?xml version="1.0" encoding="{wide}"?><!DOCTYPE x [{entities}]>'.encode(wide)


def png(width: int, height: int) -> bytes:
    """Return a PNG that says it is so large, and compresses what it says very well."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    body = zlib.compress(bytes(1 << 20), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def gif(frames: int) -> bytes:
    """Return a GIF of many large frames in few bytes."""
    target = io.BytesIO()
    frame = Image.new("P", (2000, 2000))
    frame.save(target, "GIF")
    head, tail = target.getvalue()[:-1], b";"
    picture = head[head.index(b",") :]
    return head + picture * frames + tail


def svg(body: str, size: str = "10") -> bytes:
    """Return a drawing."""
    namespaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {namespaces} width="{size}" height="{size}">{body}</svg>'.encode()


def used(levels: int) -> str:
    """Return a drawing that uses each part ten times."""
    parts = "".join(
        f'<g id="u{n + 1}">{f"""<use xlink:href="#u{n}"/>""" * 10}</g>' for n in range(levels)
    )
    return f'<defs><rect id="u0" width="1" height="1"/>{parts}</defs><use xlink:href="#u{levels}"/>'


def zipped(members: dict[str, bytes]) -> bytes:
    """Return an archive."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def lying(members: dict[str, bytes]) -> bytes:
    """Return an archive whose directory says that each member has one byte."""
    content = zipped(members)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member in archive.infolist():
            size = struct.pack("<I", member.file_size)
            content = content.replace(size, struct.pack("<I", 1))
    return content


def pdf(levels: int = 0, content: bytes = b"", size: int = 600) -> bytes:
    """Return a PDF whose page draws forms within forms, twelve times each."""
    document, name = pikepdf.Pdf.new(), pikepdf.Name
    document.add_blank_page(page_size=(size, size))
    form = document.make_stream(
        b"0 0 9 9 re f", Type=name.XObject, Subtype=name.Form, BBox=[0, 0, 600, 600]
    )
    for _ in range(levels):
        resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(X=form))
        form = document.make_stream(
            b"/X Do " * 12, Type=name.XObject, Subtype=name.Form, BBox=[0, 0, 600, 600],
            Resources=resources,
        )  # fmt: skip
    page = document.pages[0]
    page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(X=form))
    page.Contents = document.make_stream(content or b"/X Do")
    target = io.BytesIO()
    document.save(target)
    return target.getvalue()


def corner() -> bytes:
    """Return a workbook with a cell in its last row and column."""
    book = openpyxl.Workbook()
    book.active["XFD1048576"] = 1
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def bombs(edited: Edited) -> dict[str, tuple[str, str, bytes]]:
    """Return source, target and content of each bomb."""
    word = {"word/document.xml": bytes(260 << 20)}
    odt = zipfile.ZipFile(io.BytesIO(samples.content("odt"))).read("content.xml")
    return {
        # The first ones use up the whole time limit, each in its own pool.
        "svg with a slow filter": (
            "svg",
            "pdf",
            svg('<filter id="f"><feTurbulence baseFrequency="0.5" numOctaves="9999999"/></filter>'
                '<rect filter="url(#f)" width="4000" height="4000"/>', "4000"),
        ),
        "md of five million lines": ("md", "html", b"a b\n" * 5_000_000),
        "md of brackets": ("md", "pdf", b"*a_ [" * 200_000),
        "pdf of forms within forms": ("pdf", "png", pdf(levels=9)),
        "docx that unpacks to 260 MB": ("docx", "pdf", zipped(word)),
        "docx whose directory lies": ("docx", "pdf", lying(word)),
        "docx of 20,000 parts": ("docx", "pdf", zipped({f"{n}.xml": b"" for n in range(20_000)})),
        "docx with entities": ("docx", "pdf", edited("docx", {"word/styles.xml": laughs()})),
        "docx with entities, UTF-16": (
            "docx", "txt", edited("docx", {"word/document.xml": laughs("utf-16-le")}),
        ),
        "odt with entities": (
            "odt", "pdf", edited("odt", {"content.xml": laughs() + odt.split(b"?>", 1)[1]}),
        ),
        "epub with entities": ("epub", "pdf", edited("epub", {"EPUB/content.opf": laughs()})),
        "pptx with entities": ("pptx", "pdf", edited("pptx", {"ppt/slides/slide1.xml": laughs()})),
        "xlsx with entities": ("xlsx", "csv", edited("xlsx", {"xl/sharedStrings.xml": laughs()})),
        "svg with entities": ("svg", "png", laughs() + b"<svg>&j;</svg>"),
        "svg that uses itself": ("svg", "png", svg(used(12))),
        "svg of a billion pixels": ("svg", "png", svg("<rect/>", "1e9")),
        "svg nested 20,000 deep": ("svg", "pdf", svg("<g>" * 20_000 + "</g>" * 20_000)),
        "html nested 100,000 deep": ("html", "pdf", b"<div>" * 100_000),
        "html with wide tables": (
            "html", "pdf", b"<table><tr><td colspan=1000>a</table>" * 300,
        ),
        "html with a picture of 3,600 million pixels": (
            "html",
            "pdf",
            b'<img src="data:image/png;base64,' + base64.b64encode(png(60_000, 60_000)) + b'">',
        ),
        "rtf nested 100,000 deep": ("rtf", "pdf", rb"{\rtf1 " + b"{" * 100_000),
        "png of 3,600 million pixels": ("png", "jpg", png(60_000, 60_000)),
        "png of 400 million pixels": ("png", "webp", png(20_000, 20_000)),
        "gif of 400 large frames": ("gif", "png", gif(400)),
        "tiff of no end": ("tiff", "png", b"II*\0\x08\0\0\0" + b"\x01\0" * 40 + b"\x08\0\0\0"),
        "xlsx with a far corner": ("xlsx", "pdf", corner()),
        "csv of ragged rows": ("csv", "xlsx", b"a," * 100_000 + b"\n" + b"b\n" * 100_000),
        "pdf with a stream of 1 GB": ("pdf", "txt", deep_stream()),
        "pdf of a page too large": ("pdf", "png", pdf(size=14_400)),
        "zip of 128 MB in 600 kB": ("zip", "extract", zipped({"a": bytes(128 << 20)})),
        "zip of 20,000 files": ("zip", "extract", zipped({f"{n}": b"" for n in range(20_000)})),
        "eml nested 2,000 deep": (
            "eml",
            "pdf",
            b"From: a\nContent-Type: multipart/mixed; boundary=b0\n\n"
            + b"".join(
                b"--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n" % (n, n + 1)
                for n in range(2_000)
            ),
        ),
    }  # fmt: skip


def deep_stream() -> bytes:
    """Return a PDF whose content is a gigabyte of blanks."""
    document = pikepdf.Pdf.new()
    document.add_blank_page()
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    data = b"\x78\xda" + block * 1024 + packer.flush()
    stream = pikepdf.Stream(document, b"")
    stream.write(data, filter=pikepdf.Name.FlateDecode)
    document.pages[0].Contents = document.make_indirect(stream)
    target = io.BytesIO()
    document.save(target, stream_decode_level=pikepdf.StreamDecodeLevel.none)
    return target.getvalue()


@pytest.mark.slow
def test_every_bomb_ends_in_a_code_within_ten_seconds(
    loop: Loop, prepare: Prepare, edited: Edited
) -> None:
    """A limit on size, memory or time stops each bomb, and the next conversion works."""
    jobs = {
        name: prepare(source, target, content)
        for name, (source, target, content) in bombs(edited).items()
    }

    async def verdict(pool: Pool, name: str) -> tuple[str, int, float]:
        started = time.monotonic()
        try:
            await pool.convert(jobs[name])
        except EngineError as error:
            return name, error.code, time.monotonic() - started
        return name, 0, time.monotonic() - started

    async def explode() -> list[tuple[str, int, float]]:
        pools = [Pool(1, path="") for _ in range(4)]  # a bomb must not wait for another
        names = list(jobs)

        async def some(number: int) -> list[tuple[str, int, float]]:
            found = [await verdict(pools[number], name) for name in names[number :: len(pools)]]
            await pools[number].convert(prepare("txt", "pdf", b"the next one"))
            await pools[number].close()
            return found

        return [one for part in await asyncio.gather(*map(some, range(4))) for one in part]

    found = loop.run(explode())

    assert {} == {name: code for name, code, _ in found if code not in CODES}
    assert {} == {name: seconds for name, _, seconds in found if seconds > 10}


@pytest.mark.parametrize(
    "attribute",
    ["typst:text:fill='read(\"/canary\")'", "typst:block:fill='panic(\"ran\")'", "typst=yes"],
)
@pytest.mark.parametrize("element", ["span", "div", "p", "h1", "table", "td", "code", "a"])
def test_attributes_never_become_code(
    convert: Convert, read: Reader, element: str, attribute: str
) -> None:
    """Writers turn such attributes into typst code; none of them gets that far."""
    page = f"<{element} {attribute}>inner</{element}>"
    if element == "td":
        page = f"<table><tr>{page}</tr></table>"

    text = " ".join(read.text(convert("html", "pdf", page.encode()).only))

    assert "inner" in text
    assert "canary" not in text


@pytest.mark.parametrize(
    "code",
    [
        '#read("/etc/passwd")',
        '#import "@preview/cetz:0.2.0"',
        "#while true {}",
        '#panic("ran")',
        "$ #panic() $",
        "```{=typst}\n#panic()\n```",
        "`#panic()`{=typst}",
        "$#panic()$",
        "<!-- raw -->",
        '"] #panic() [',
        "\\#panic()",
    ],
)
def test_text_never_becomes_code(convert: Convert, read: Reader, code: str) -> None:
    """Typst code in Markdown and in plain text is only text."""
    for source in ("md", "txt"):
        pdf_ = convert(source, "pdf", f"before\n\n{code}\n\nafter".encode()).only
        text = " ".join(" ".join(read.text(pdf_)).split())
        assert text.startswith("before")
        assert text.endswith("after")


def test_titles_and_links_never_become_code(convert: Convert, read: Reader) -> None:
    """Nor do metadata, identifiers, link goals and alternative texts."""
    nasty = '\\"#panic()] $ #'
    page = f"""<html lang='{nasty}'><head><title>{nasty}</title></head><body>
    <h1 id='{nasty}'>one</h1><p><a href='#{nasty}'>two</a> <a href='http://x/{nasty}'>three</a>
    <img alt='{nasty}' title='{nasty}' src='data:image/png;base64,{PNG}'></p></body></html>"""

    text = " ".join(read.text(convert("html", "pdf", page.encode()).only))

    assert all(word in text for word in ("one", "two", "three"))


def test_many_pictures_of_one_kind(convert: Convert) -> None:
    """A page with two hundred equal pictures unpacks one."""
    page = f'<p><img src="data:image/png;base64,{PNG}" width="5"></p>' * 200

    assert convert("html", "pdf", page.encode()).only


@pytest.mark.parametrize("form", ["docx", "odt", "epub"])
def test_pictures_do_not_climb_out_of_the_folder(
    convert: Convert, edited: Edited, tmp_path: Path, form: str
) -> None:
    """A member whose name leads upward is written below the job's folder, or not at all."""
    up = "../" * 6 + str(tmp_path / "evil.png").lstrip("/")
    picture = samples.content("png")
    if form == "docx":
        drawing = """<w:p><w:r><w:drawing><wp:inline
         xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing">
         <a:graphic xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"><a:graphicData
         uri="http://schemas.openxmlformats.org/drawingml/2006/picture"><pic:pic
         xmlns:pic="http://schemas.openxmlformats.org/drawingml/2006/picture"><pic:blipFill><a:blip
         xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"
         r:embed="rEvil"/></pic:blipFill></pic:pic></a:graphicData></a:graphic></wp:inline>
         </w:drawing></w:r></w:p></w:body>"""
        kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/image"
        link = f'<Relationship Id="rEvil" Type="{kind}" Target="media/{up}"/></Relationships>'
        document = edited(
            form,
            {
                "word/document.xml": (b"</w:body>", drawing.encode()),
                "word/_rels/document.xml.rels": (b"</Relationships>", link.encode()),
                f"word/media/{up}": picture,
            },
        )
    elif form == "odt":
        frame = f"""<text:p><draw:frame svg:width="3cm" svg:height="3cm"><draw:image
         xlink:href="Pictures/{up}"/></draw:frame></text:p></office:text>"""
        document = edited(
            form,
            {
                "content.xml": (b"</office:text>", frame.encode()),
                f"Pictures/{up}": picture,
            },
        )
    else:
        document = edited(
            form,
            {
                "EPUB/text/ch001.xhtml": (b"</body>", f'<img src="../{up}"/></body>'.encode()),
                f"EPUB/{up}": picture,
            },
        )

    before = {path for path in tmp_path.iterdir() if path.is_file()}
    with contextlib.suppress(EngineError):
        convert(form, "pdf", document)
        convert(form, "html" if form == "docx" else "png" if form == "epub" else "docx", document)

    assert before == {path for path in tmp_path.iterdir() if path.is_file()}
    assert not (tmp_path / "evil.png").exists()
