"""Built-in documents: one of each format that the sandbox reads, made on demand.

`check` converts them with every pair, and tests use them as inputs.
"""

from __future__ import annotations

import io
import json
import struct
import subprocess
import tempfile
import zipfile
from email.message import EmailMessage
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import openpyxl
import pikepdf
import pypandoc
import pypdfium2
import typst
from PIL import Image, ImageDraw

from convertapi_sandbox.jobs import EngineJob, InputFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TITLE = "Quarterly report"
TEXT = "Revenue grew in every region."
NUMBER = "48151"  # a cell of each table
SIZE = (320, 200)  # pixels of each picture
PAGES = 3  # of the PDF
PASSWORD = "sample-password"  # noqa: S105 - opens a sample

_MARKDOWN = f"""
# {TITLE}

{TEXT}

| Region | Revenue |
|--------|--------:|
| North  |   {NUMBER} |
| South  |   16234 |

- first item
- second item
"""
_HTML = f"""<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>{TITLE}</title></head>
<body><h1>{TITLE}</h1><p>{TEXT}</p>
<table><tr><th>Region</th><th>Revenue</th></tr><tr><td>North</td><td>{NUMBER}</td></tr></table>
</body></html>
"""
_CSV = f"Region,Revenue\nNorth,{NUMBER}\nSouth,16234\n{TITLE},0\n"
_SVG = f"""<svg xmlns="http://www.w3.org/2000/svg" width="{SIZE[0]}" height="{SIZE[1]}">
<rect width="100%" height="100%" fill="#204080"/>
<circle cx="160" cy="100" r="60" fill="#f0c040"/></svg>
"""
_PDF = f"""
#set document(title: "{TITLE}", author: "Sandbox")
#set page("a4")
#for number in range({PAGES}) [
  #if number > 0 {{ pagebreak() }}
  = Chapter #(number + 1)
  {TEXT} This is page #(number + 1). {NUMBER}
  #image("sample.png", width: 6cm)
]
"""
_REPORT = f"""
#set page("a4")
= {TITLE}
{TEXT}
#table(columns: 3, [Region], [Revenue], [Code], [North], [{NUMBER}], [007], [South], [16234], [=1])
"""
_TEMPLATE = "# {{Title}}\n\n{{Text}} {Number}\n"
_VALUES = ({"Name": "Title", "Value": TITLE}, {"Name": "Text", "Value": TEXT, "Type": "string"})
_SLIDES = b"presentationml.presentation.main"
_WORD = b"wordprocessingml.document.main"
_SHEET = b"spreadsheetml.sheet.main"


def _pandoc(form: str, markdown: str = _MARKDOWN) -> bytes:
    """Return a text in an Office format, written by pandoc."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample"
        pypandoc.convert_text(markdown, form, "markdown", outputfile=str(path), extra_args=["-s"])
        return path.read_bytes()


def _relabelled(package: bytes, old: bytes, new: bytes) -> bytes:
    """Return an Office file with another content type: templates and shows differ only in that."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as source, zipfile.ZipFile(target, "w") as archive:
        for member in source.infolist():
            data = source.read(member)
            if member.filename == "[Content_Types].xml":
                data = data.replace(old, new)
            archive.writestr(member, data)
    return target.getvalue()


def _converted(form: str, source: str) -> bytes:
    """Return a sample in a format that only LibreOffice can write."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"sample.{source}"
        path.write_bytes(content(source))
        profile = (Path(folder) / "profile").as_uri()
        command = [
            "soffice",
            f"-env:UserInstallation={profile}",
            "--headless",
            "--convert-to",
            form,
        ]
        subprocess.run([*command, "--outdir", folder, str(path)], check=True, capture_output=True)  # noqa: S603 - no shell; the arguments are ours
        return path.with_suffix(f".{form}").read_bytes()


def _workbook() -> bytes:
    book = openpyxl.Workbook()
    first = book.active
    first.title = "Regions"
    for row in (("Region", "Revenue"), ("North", int(NUMBER)), ("South", 16234), (TITLE, 0.5)):
        first.append(row)
    book.create_sheet("Notes").append((TEXT,))
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def _picture() -> Image.Image:
    image = Image.new("RGB", SIZE, "#204080")
    ImageDraw.Draw(image).ellipse((100, 40, 220, 160), fill="#f0c040")
    return image


def _image(form: str) -> bytes:
    target = io.BytesIO()
    picture = _picture()
    picture.save(target, form, **({"sizes": [(64, 64)]} if form == "ICO" else {}))
    return target.getvalue()


def _psd() -> bytes:
    """Return a Photoshop file with one flat picture; Pillow can read it but not write it."""
    width, height = SIZE
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, height, width, 8, 3)
    planes = b"".join(band.tobytes() for band in _picture().split())
    return head + struct.pack(">III", 0, 0, 0) + struct.pack(">H", 0) + planes


def typeset(content: str = _PDF) -> bytes:
    """Return a PDF of a text in typst."""
    with tempfile.TemporaryDirectory() as folder:
        _picture().save(Path(folder) / "sample.png")
        source = Path(folder) / "sample.typ"
        source.write_text(content, "utf-8")
        compiler = typst.Compiler(str(source), root=folder, ignore_system_fonts=True)
        document = compiler.compile(timestamp=0)
        return document if isinstance(document, bytes) else b""


def _damaged() -> bytes:
    """Return a PDF whose table of objects is lost."""
    return typeset().rpartition(b"startxref")[0]


def _scanned(form: str) -> bytes:
    """Return the report as a picture, or as a PDF of one."""
    with pypdfium2.PdfDocument(typeset(_REPORT)) as document:
        picture = document[0].render(scale=150 / 72).to_pil().convert("RGB")
    target = io.BytesIO()
    picture.save(target, form, resolution=150)
    return target.getvalue()


def _locked() -> bytes:
    target = io.BytesIO()
    with pikepdf.Pdf.open(io.BytesIO(typeset())) as document:
        document.save(target, encryption=pikepdf.Encryption(user=PASSWORD, owner=PASSWORD))
    return target.getvalue()


def _mail() -> bytes:
    message = EmailMessage()
    message["From"] = "Ada <ada@example.com>"
    message["To"] = "bob@example.com"
    message["Subject"] = TITLE
    message["Date"] = "Mon, 05 Jan 2026 10:00:00 +0000"
    message.set_content(TEXT)
    message.add_alternative(_HTML, subtype="html")
    message.add_attachment(_CSV.encode(), maintype="text", subtype="csv", filename="regions.csv")
    return message.as_bytes()


def _mhtml() -> bytes:
    message = EmailMessage()
    message["Subject"] = TITLE
    message["MIME-Version"] = "1.0"
    message.set_content(_HTML, subtype="html")
    message.make_related()
    return message.as_bytes()


def _zip() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("readme.txt", TEXT)
        archive.writestr("data/regions.csv", _CSV)
    return target.getvalue()


_PICTURES = {name.lower(): name for name in ("BMP", "GIF", "ICO", "PNG", "TIFF", "WEBP")} | {
    "jfif": "JPEG",
    "jpg": "JPEG",
}
_MAKERS: Mapping[str, Callable[[], bytes]] = {
    **{form: partial(_image, name) for form, name in _PICTURES.items()},
    "csv": _CSV.encode,
    "damaged": _damaged,
    **{form: partial(_pandoc, form) for form in ("docx", "epub", "odt", "pptx", "rtf")},
    "dotx": lambda: _relabelled(_pandoc("docx"), _WORD, b"wordprocessingml.template.main"),
    "eml": _mail,
    "html": _HTML.encode,
    "log": f"12:00 {TITLE}\n12:01 {TEXT} {NUMBER}\n".encode,
    "md": _MARKDOWN.encode,
    "locked": _locked,
    "mhtml": _mhtml,
    "pdf": typeset,
    "photo": partial(_scanned, "JPEG"),
    "potx": lambda: _relabelled(_pandoc("pptx"), _SLIDES, b"presentationml.template.main"),
    "ppsx": lambda: _relabelled(_pandoc("pptx"), _SLIDES, b"presentationml.slideshow.main"),
    "psd": _psd,
    "report": partial(typeset, _REPORT),
    "scan": partial(_scanned, "PDF"),
    "svg": _SVG.encode,
    "template": partial(_pandoc, "docx", _TEMPLATE),
    "txt": f"{TITLE}\n\n{TEXT} {NUMBER}\n".encode,
    "xlsx": _workbook,
    "xltx": lambda: _relabelled(_workbook(), _SHEET, b"spreadsheetml.template.main"),
    "zip": _zip,
    # Needed only if LibreOffice is installed.
    "doc": partial(_converted, "doc", "docx"),
    "odg": partial(_converted, "odg", "svg"),
    "odp": partial(_converted, "odp", "pptx"),
    "ods": partial(_converted, "ods", "xlsx"),
    "ppt": partial(_converted, "ppt", "pptx"),
    "xls": partial(_converted, "xls", "xlsx"),
}
# Sources of the catalogue that stand for other formats.
_STANDING_FOR = {"email": "eml", "file": "docx", "images": "png", "office": "xlsx", "web": "html"}
_PARAMETERS: Mapping[str, Mapping[str, str | int | float | bool]] = {
    "delete-pages": {"PageRange": "2"},
    "redact": {"RedactionData": '[{"Text": "chapter"}, {"Regex": "page [0-9]"}]'},
    "protect": {"UserPassword": PASSWORD},
    "text-watermark": {"Text": "Draft", "Opacity": 50, "Rotate": 45},
    "unprotect": {"Password": PASSWORD},
}
_FILLED = {
    "BindingMethod": "placeholders",
    "JsonPayload": json.dumps([*_VALUES, {"Name": "Number", "Value": int(NUMBER)}]),
}
# Pairs that need another document than the usual one of their source.
_SPECIAL = {
    **dict.fromkeys((("pdf", target) for target in ("csv", "html", "md", "xlsx")), "report"),
    ("jpg", "txt"): "photo",
    ("pdf", "ocr"): "scan",
    ("pdf", "repair"): "damaged",
    ("pdf", "unprotect"): "locked",
}
_EXTENSIONS = {
    **dict.fromkeys(("damaged", "locked", "report", "scan"), "pdf"),
    "photo": "jpg",
    "template": "docx",
}
_SEVERAL = frozenset({"join", "merge", "zip"})


@cache
def content(form: str) -> bytes:
    """Return the sample of a format; "locked" is a PDF with PASSWORD.

    Raises:
        KeyError: There is none.
    """
    return _MAKERS[form]()


def job(source: str, target: str, folder: Path) -> EngineJob:
    """Return a job that converts a sample.

    Args:
        source: Canonical source of a pair.
        target: Canonical destination.
        folder: An empty folder for the job.
    """
    form = _SPECIAL.get((source, target)) or _STANDING_FOR.get(source, source)
    extras = {}
    if target == "pdf-watermark":
        extras["OverlayFile"] = _file(folder, "overlay", "pdf")
    if target == "image-watermark":
        extras["ImageFile"] = _file(folder, "logo", "png")
    names = ("sample", "second") if target in _SEVERAL else ("sample",)
    return EngineJob(
        source=source,
        target=target,
        files=tuple(_file(folder, name, form) for name in names),
        extra_files=extras,
        parameters=_FILLED if source == "template" else _PARAMETERS.get(target, {}),
        folder=folder,
        timeout=60.0,
    )


def _file(folder: Path, name: str, form: str) -> InputFile:
    path = folder / f"{name}.{_EXTENSIONS.get(form, form)}"
    path.write_bytes(content(form))
    return InputFile(path, path.name)
