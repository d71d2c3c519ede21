"""A canary file and a canary server, named from within documents: neither is ever read.

The file is watched by the kernel, so that opening it is enough to be seen; the server counts what
connects to it.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import socket
import stat
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import openpyxl
import pikepdf
import pypdfium2
import pytest
from PIL import Image

from convertapi_sandbox import samples
from convertapi_sandbox.jobs import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.engines.conftest import Convert, Edited, Made, Refused

MARK = "canary-sings-5f1c"
_IN_OPEN = 0x20
_R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"


class Canary:
    """The file, the server, and whether either was touched.

    Attributes:
        places: URLs and paths by which a document may name them.
    """

    def __init__(self, folder: Path) -> None:
        self._files = [folder / f"canary.{extension}" for extension in ("txt", "png", "svg", "css")]
        for file in self._files:
            file.write_text(f"<svg xmlns='http://www.w3.org/2000/svg'><text>{MARK}</text></svg>")
        Image.new("RGB", (50, 50), "#ff00fe").save(folder / "canary.png")
        self._libc = ctypes.CDLL(None)
        self._watch = self._libc.inotify_init1(os.O_NONBLOCK)
        for file in self._files:
            assert self._libc.inotify_add_watch(self._watch, bytes(file), _IN_OPEN) >= 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self._visits: list[bytes] = []
        threading.Thread(target=self._listen, daemon=True).start()
        host = f"127.0.0.1:{self._server.getsockname()[1]}"
        self.places = [
            *(f"http://{host}/canary.{e}" for e in ("png", "svg", "css", "txt")),
            *(f"//{host}/canary.png", f"\\\\{host}\\canary.png"),
            *(str(file) for file in self._files),
            *(file.as_uri() for file in self._files),
            f"../../../../../../../..{self._files[0]}",
        ]

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                self._visits.append(connection.recv(1000))

    @property
    def was_read(self) -> bool:
        """Tell whether the file was opened or the server was contacted since the last call."""
        try:
            opened = bool(os.read(self._watch, 1 << 16))
        except BlockingIOError:
            opened = False
        visits, self._visits = self._visits, []
        return opened or bool(visits)

    def close(self) -> None:
        """Stop the server."""
        os.close(self._watch)
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canary]:
    """Return a canary that was not touched yet."""
    one = Canary(tmp_path_factory.mktemp("cage"))
    yield one
    one.close()


def said(made: Made) -> str:
    """Return all contents of results: PDF text, pictures, members of archives, and their bytes."""
    parts = [content.decode("latin-1") for content in made]
    for content in made:
        if content.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                parts += [archive.read(name).decode("latin-1") for name in archive.namelist()]
        if content.startswith(b"%PDF"):
            parts += _shown(content)
    return "".join(parts)


def _shown(content: bytes) -> list[str]:
    parts = []
    with pypdfium2.PdfDocument(content) as opened:
        for number in range(len(opened)):
            page = opened[number]
            parts.append(page.get_textpage().get_text_bounded())
            colors = page.render(scale=0.3).to_pil().convert("RGB").getcolors(1 << 20) or []
            if any(color == (255, 0, 254) for _, color in colors):
                parts.append(MARK)
    return parts


def html(places: Sequence[str]) -> str:
    """Return a page that names places in every way that HTML has."""
    head = "".join(
        f"""<link rel="stylesheet" href="{place}"><link rel="import" href="{place}">
        <style>@import url("{place}"); body {{ background: url({place}) }}
        @font-face {{ font-family: f; src: url({place}) }}</style><script src="{place}"></script>
        <meta http-equiv="refresh" content="0;url={place}">"""
        for place in places
    )
    body = "".join(
        f"""<p>text <img src="{place}" srcset="{place} 2x" alt="a"></p>
        <picture><source srcset="{place}"><img src="{place}"></picture>
        <iframe src="{place}"></iframe><object data="{place}"><embed src="{place}"></object>
        <video src="{place}" poster="{place}"></video><audio src="{place}"></audio>
        <input type="image" src="{place}"><a href="{place}" ping="{place}">a link</a>
        <svg width="9" height="9"><image href="{place}" xlink:href="{place}"/>
        <use href="{place}#a"/></svg><p style="background: url({place})" cite="{place}">styled</p>
        <xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="{place}"/><frame src="{place}">
        <blockquote cite="{place}">q</blockquote><table background="{place}"><tr><td>c</table>"""
        for place in places
    )
    entities = "".join(f'<!ENTITY x{n} SYSTEM "{place}">' for n, place in enumerate(places))
    return (
        f"<!DOCTYPE html [{entities}]><html><head><base href='{places[0]}'>{head}</head>"
        f"<body background='{places[0]}'>&x0;{body}</body></html>"
    )


def md(places: Sequence[str]) -> str:
    """Return Markdown that names places in every way that its dialects have."""
    first = places[0]
    head = f"""---\nbibliography: {first}\ncsl: {first}\ntemplate: {first}\ncss: {first}
header-includes: '#read("{first}")'\n---\n\n# Title\n\n"""
    return head + "".join(
        f"""![image]({place}) ![image](<{place}>) ![reference][r{n}] [link]({place}) <{place}>\n
[r{n}]: {place}\n\n!include({place})\n{{{{< include {place} >}}}}\n
```{{include="{place}"}}\n```\n\n<img src="{place}">
<object data="{place}"></object>\n\n@cite\n\n"""
        for n, place in enumerate(places)
    )


def svg(places: Sequence[str]) -> str:
    """Return a drawing that names places in every way that SVG has."""
    styles = "".join(f'<?xml-stylesheet href="{place}" type="text/css"?>' for place in places)
    parts = "".join(
        f"""<style>@import "{place}"; rect {{ fill: url({place}#a); }}
        @font-face {{ font-family: f; src: url({place}) }}</style>
        <image href="{place}" width="50" height="50"/><use href="{place}#a"/>
        <image xlink:href="{place}" width="50" height="50"/><use xlink:href="{place}#a"/>
        <xi:include href="{place}" parse="text"/>
        <filter id="f{n}"><feImage href="{place}"/></filter>
        <rect filter="url(#f{n})" width="9" height="9"/>
        <rect fill="url({place}#a)" width="9" height="9" style="mask: url('{place}#m')"/>
        <script href="{place}"/><foreignObject>
        <img xmlns="http://www.w3.org/1999/xhtml" src="{place}"/></foreignObject>
        <text font-family="f">drawn</text><a href="{place}"><text y="50">t</text></a>"""
        for n, place in enumerate(places)
    )
    return f"""<?xml version="1.0"?>{styles}<svg xmlns="http://www.w3.org/2000/svg"
    xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:xi="http://www.w3.org/2001/XInclude"
    width="90" height="90" xml:base="{places[0]}">{parts}</svg>"""


def rtf(places: Sequence[str]) -> str:
    """Return Rich Text with fields, templates and links."""
    slashed = [place.replace("\\", "\\\\\\\\") for place in places]
    parts = "".join(
        rf"""{{\*\template {place}}}{{\*\nextfile {place}}}text
        {{\field{{\*\fldinst INCLUDEPICTURE "{place}" \d}}{{\fldrslt a}}}}
        {{\field{{\*\fldinst INCLUDETEXT "{place}"}}{{\fldrslt b}}}}
        {{\field{{\*\fldinst HYPERLINK "{place}"}}{{\fldrslt c}}}}
        {{\field{{\*\fldinst DDEAUTO cmd "{place}"}}{{\fldrslt d}}}}
        {{\object\objlink{{\*\objdata {place.encode().hex()}}}}}{{\*\subdocument {place}}}\par"""
        for place in slashed
    )
    return rf"{{\rtf1\ansi {parts}}}"


def relations(places: Sequence[str], *kinds: str) -> bytes:
    """Return a part of relationships, one of each kind to each place."""
    parts = "".join(
        f'<Relationship Id="r{kind}{n}" Type="{_R}/{kind}" Target="{place}" TargetMode="External"/>'
        for n, place in enumerate(places)
        for kind in kinds
    )
    return f'<Relationships xmlns="{_RELATIONS}">{parts}</Relationships>'.encode()


def docx(places: Sequence[str], edited: Edited) -> bytes:
    """Return a Word file with linked pictures, templates, fields, and documents to pull in."""
    parts = ""
    for n, place in enumerate(places):
        parts += f"""<w:p><w:r><w:drawing><wp:inline
         xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing">
         <wp:extent cx="900000" cy="900000"/><a:graphic
         xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"><a:graphicData
         uri="http://schemas.openxmlformats.org/drawingml/2006/picture"><pic:pic
         xmlns:pic="http://schemas.openxmlformats.org/drawingml/2006/picture"><pic:blipFill>
         <a:blip xmlns:r="{_R}" r:link="rimage{n}" r:embed="rimage{n}"/></pic:blipFill></pic:pic>
         </a:graphicData></a:graphic></wp:inline></w:drawing></w:r></w:p>"""
        for code in ("INCLUDEPICTURE", "INCLUDETEXT", "LINK Excel.Sheet.8", "IMPORT", "HYPERLINK"):
            parts += (
                f"<w:p><w:fldSimple w:instr='{code} \"{place}\"'><w:r><w:t>f</w:t></w:r>"
                "</w:fldSimple></w:p>"
            )
        parts += f'<w:altChunk xmlns:r="{_R}" r:id="raFChunk{n}"/>'
        parts += f'<w:subDoc xmlns:r="{_R}" r:id="rsubDocument{n}"/>'
    linked = relations(places, "image", "aFChunk", "subDocument").split(b">", 1)[1]
    return edited(
        "docx",
        {
            "word/document.xml": (b"</w:body>", f"{parts}</w:body>".encode()),
            "word/_rels/document.xml.rels": (b"</Relationships>", linked),
            "word/_rels/settings.xml.rels": relations(places, "attachedTemplate"),
        },
    )


def pptx(places: Sequence[str], edited: Edited) -> bytes:
    """Return a presentation with linked pictures, sounds and films."""
    pictures = "".join(
        f"""<p:pic><p:nvPicPr><p:cNvPr id="9{n}" name="x"/><p:cNvPicPr/><p:nvPr/></p:nvPicPr>
        <p:blipFill><a:blip r:link="rimage{n}" r:embed="rimage{n}"/></p:blipFill>
        <p:spPr/></p:pic>"""
        for n, _ in enumerate(places)
    )
    linked = relations(places, "image", "video", "audio", "hyperlink").split(b">", 1)[1]
    return edited(
        "pptx",
        {
            "ppt/slides/_rels/slide1.xml.rels": (b"</Relationships>", linked),
            "ppt/slides/slide1.xml": (b"</p:spTree>", f"{pictures}</p:spTree>".encode()),
        },
    )


def odt(places: Sequence[str], edited: Edited) -> bytes:
    """Return an OpenDocument text with linked pictures, sections, objects and templates."""
    content = "".join(
        f"""<text:p><draw:frame svg:width="3cm" svg:height="3cm"><draw:image
         xlink:href="{place}" xlink:type="simple"/></draw:frame>
         <draw:frame><draw:object xlink:href="{place}"/></draw:frame>
         <text:a xlink:href="{place}">a link</text:a></text:p>
         <text:section text:name="s{n}">
         <text:section-source xlink:href="{place}"/></text:section>"""
        for n, place in enumerate(places)
    )
    meta = "".join(
        f'<meta:template xlink:href="{place}"/><meta:auto-reload xlink:href="{place}"/>'
        for place in places
    )
    return edited(
        "odt",
        {
            "content.xml": (b"</office:text>", f"{content}</office:text>".encode()),
            "meta.xml": f"""<office:document-meta
             xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
             xmlns:meta="urn:oasis:names:tc:opendocument:xmlns:meta:1.0"
             xmlns:xlink="http://www.w3.org/1999/xlink"><office:meta>{meta}</office:meta>
             </office:document-meta>""".encode(),
        },
    )


def epub(places: Sequence[str], edited: Edited) -> bytes:
    """Return a book whose manifest, pages and styles name places."""
    items = "".join(
        f'<item id="c{n}" href="{place}" media-type="image/png"/>'
        f'<item id="d{n}" href="{place}" media-type="application/xhtml+xml"/>'
        for n, place in enumerate(places)
    )
    pictures = "".join(f'<p>text <img src="{place}"/></p>' for place in places)
    return edited(
        "epub",
        {
            "EPUB/content.opf": (b"</manifest>", f"{items}</manifest>".encode()),
            "EPUB/text/ch001.xhtml": (b"</body>", f"{pictures}</body>".encode()),
            "EPUB/styles/stylesheet1.css": f'@import "{places[0]}";'.encode(),
            "EPUB/text/ch002.xhtml": html(places).split("]>", 1)[1].encode(),
        },
    )


def xlsx(places: Sequence[str]) -> bytes:
    """Return a workbook with formulas and links that fetch."""
    book = openpyxl.Workbook()
    for number, place in enumerate(places, 1):
        functions = ("WEBSERVICE", "HYPERLINK", "IMAGE", "FILTERXML", "IMPORTDATA")
        calls = [f'={function}("{place}")' for function in functions]
        book.active.append([*calls, f"='{place}'!A1", f"='[{place}]Sheet1'!A1", "link"])
        book.active.cell(number, 8).hyperlink = place
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def with_entities(xml: str, places: Sequence[str]) -> bytes:
    """Return XML that pulls places in as entities."""
    declared = "".join(
        f'<!ENTITY c{n} SYSTEM "{place}"><!ENTITY % p{n} SYSTEM "{place}">%p{n};'
        for n, place in enumerate(places)
    )
    return f"<!DOCTYPE x [{declared}]>{xml}&c0;".encode()


def mail(places: Sequence[str]) -> bytes:
    """Return a mail whose page and parts name places."""
    outside = "".join(
        f'--b\nContent-Type: message/external-body; access-type=local-file; name="{place}"\n\n'
        f'--b\nContent-Type: message/external-body; access-type=URL; URL="{place}"\n\n'
        for place in places
    )
    return f"""From: a@example.com
Subject: canary
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/html; charset=utf-8

{html(places)}
{outside}--b
Content-Type: text/plain
Content-Disposition: attachment; filename="a.txt"

attached
--b--
""".encode()


def pdf(places: Sequence[str]) -> bytes:
    """Return a PDF with streams, actions and files that lie outside."""
    document, name = pikepdf.Pdf.new(), pikepdf.Name
    for place in places:
        document.add_blank_page()
        page, text = document.pages[-1], pikepdf.String(place)
        stream = document.make_stream(b"", F=text, FFilter=name.FlateDecode)
        page.Contents = document.make_stream(b"/X Do", F=text)
        page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(X=stream))
        stream.Type, stream.Subtype = name.XObject, name.Image
        stream.Width = stream.Height = 9
        stream.ColorSpace, stream.BitsPerComponent = name.DeviceGray, 8
        script = f'this.submitForm("{place}"); app.launchURL("{place}");'
        action = pikepdf.Dictionary(S=name.JavaScript, JS=script)
        launch = pikepdf.Dictionary(S=name.Launch, F=text)
        page.AA = pikepdf.Dictionary(O=action, C=launch)
    document.Root.OpenAction = pikepdf.Dictionary(S=name.URI, URI=pikepdf.String(places[0]))
    form = pikepdf.String(f"<x href='{places[0]}'/>")
    document.Root.AcroForm = pikepdf.Dictionary(Fields=[], XFA=form)
    target = io.BytesIO()
    document.save(target)
    return target.getvalue()


def linked_zip(places: Sequence[str]) -> bytes:
    """Return an archive with symbolic links to places."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for number, place in enumerate(places):
            link = zipfile.ZipInfo(f"link-{number}.txt")
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, place)
    return target.getvalue()


def plain(places: Sequence[str]) -> bytes:
    """Return plain text and cells that would read places, were they code or formulas."""
    return "".join(f'=WEBSERVICE("{p}"),{p} #read("{p}") #include "{p}"\n' for p in places).encode()


def document(source: str, places: Sequence[str], edited: Edited, *, entities: bool) -> bytes:
    """Return a document of a format that names places."""
    if entities:
        members = {
            "docx": "word/document.xml",
            "epub": "EPUB/content.opf",
            "odt": "content.xml",
            "pptx": "ppt/slides/slide1.xml",
            "xlsx": "xl/worksheets/sheet1.xml",
        }
        xml = with_entities("<x/>", places)
        return edited(source, {members[source]: xml}) if source in members else xml
    makers: Mapping[str, Callable[[], bytes]] = {
        "docx": lambda: docx(places, edited),
        "epub": lambda: epub(places, edited),
        "html": lambda: html(places).encode(),
        "md": lambda: md(places).encode(),
        "odt": lambda: odt(places, edited),
        "pdf": lambda: pdf(places),
        "pptx": lambda: pptx(places, edited),
        "rtf": lambda: rtf(places).encode(),
        "svg": lambda: svg(places).encode(),
        "xlsx": lambda: xlsx(places),
        "zip": lambda: linked_zip(places),
        "web": lambda: html(places).encode(),
        **dict.fromkeys(("txt", "log", "csv"), lambda: plain(places)),
        **dict.fromkeys(("eml", "mhtml", "email"), lambda: mail(places)),
    }
    return makers[source]()


PAIRS = (
    "html-pdf html-docx html-xlsx html-txt web-pdf md-pdf md-html txt-pdf log-docx csv-pdf "
    "csv-xlsx rtf-pdf rtf-html docx-pdf docx-html docx-odt docx-md pptx-pdf pptx-png odt-pdf "
    "odt-docx epub-pdf xlsx-pdf xlsx-csv svg-png svg-pdf eml-pdf mhtml-docx email-extract pdf-png "
    "pdf-merge zip-extract"
)


@pytest.mark.parametrize("pair", PAIRS.split())
def test_no_document_reads_the_canary(
    convert: Convert, edited: Edited, canary: Canary, pair: str
) -> None:
    """Nothing that a document refers to is read, whatever the way of referring to it."""
    source, target = pair.split("-", 1)

    made = convert(source, target, document(source, canary.places, edited, entities=False))

    assert not canary.was_read
    assert MARK not in said(made)


@pytest.mark.parametrize(
    "pair", ["docx-pdf", "odt-txt", "epub-pdf", "pptx-pdf", "xlsx-csv", "xlsx-pdf", "svg-png"]
)
def test_external_entities_are_refused(
    refused: Refused, edited: Edited, canary: Canary, pair: str
) -> None:
    """No Office format needs entities, and none is resolved."""
    source, target = pair.split("-", 1)
    content = document(source, canary.places, edited, entities=True)

    assert (500, 5002) == refused(source, target, content)
    assert not canary.was_read


@pytest.mark.parametrize("pair", ["pdf-txt", "pdf-compress", "pdf-jpg", "pdf-extract-images"])
def test_pdf_with_parts_outside(
    convert: Convert, edited: Edited, canary: Canary, pair: str
) -> None:
    """Streams in other files are not read, whether that is an error or not."""
    source, target = pair.split("-", 1)
    with contextlib.suppress(EngineError):
        assert MARK not in said(convert(source, target, pdf(canary.places)))

    assert not canary.was_read


def test_the_canary_would_be_seen(canary: Canary, tmp_path: Path) -> None:
    """The canary detects that the file is opened or the server contacted."""
    path = Path(canary.places[6])
    assert MARK in path.read_text()
    assert canary.was_read
    assert not canary.was_read
    host, port = canary.places[0].split("/")[2].split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"x")
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
    assert canary.was_read


def test_samples_hold_what_the_canaries_change() -> None:
    """The samples contain the members that the documents above replace."""
    with zipfile.ZipFile(io.BytesIO(samples.content("epub"))) as archive:
        assert {"EPUB/content.opf", "EPUB/styles/stylesheet1.css"} <= set(archive.namelist())
