"""Each verdict of the error table that the engines can give, from a real document."""

from __future__ import annotations

import io
import pickle
import zipfile
from typing import TYPE_CHECKING

import pikepdf
import pytest

from convertapi_sandbox import samples
from convertapi_sandbox.jobs import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from convertapi_sandbox.jobs import EngineJob
    from tests.engines.conftest import Convert, Prepare, Refused

ENCRYPTED_OFFICE = (
    bytes.fromhex("d0cf11e0a1b11ae1")
    + bytes(500)
    + "EncryptedPackage".encode("utf-16-le")
    + bytes(500)
)


@pytest.mark.parametrize("source", ["docx", "xlsx", "pptx"])
def test_encrypted_office_file(refused: Refused, source: str) -> None:
    """5003 without a password; with one, only the real service goes on."""
    assert (500, 5003) == refused(source, "pdf", ENCRYPTED_OFFICE)
    assert (415, 415) == refused(source, "pdf", ENCRYPTED_OFFICE, Password="x")


@pytest.mark.parametrize(
    "pair",
    [
        *("docx-pdf", "odt-pdf", "epub-pdf", "pptx-pdf", "xlsx-pdf", "rtf-pdf", "svg-pdf"),
        *("pdf-jpg", "pdf-merge", "zip-extract", "eml-pdf", "mhtml-docx", "potx-pptx"),
        "jpg-compress",
    ],
)
def test_damaged_file(refused: Refused, pair: str) -> None:
    """Something else under that name."""
    source, target = pair.split("-")
    assert (500, 5002) == refused(source, target, b"this is not such a file")


def test_file_under_another_extension(refused: Refused) -> None:
    """A picture that is called a document, and the reverse."""
    assert (500, 5002) == refused("docx", "pdf", samples.content("png"))
    assert (500, 5002) == refused("png", "jpg", samples.content("docx"))
    assert (500, 5002) == refused("txt", "pdf", samples.content("png"))


@pytest.mark.parametrize("source", ["docx", "pdf", "png", "zip", "svg", "rtf"])
def test_empty_file(refused: Refused, source: str) -> None:
    """An empty file is not a document."""
    target = {"pdf": "txt", "zip": "extract", "png": "jpg"}.get(source, "pdf")
    assert (500, 5002) == refused(source, target, b"")


@pytest.mark.parametrize("source", ["txt", "md", "html", "csv"])
def test_empty_text_is_an_empty_page(convert: Convert, source: str) -> None:
    """Text of no letters is still text."""
    assert convert(source, "pdf", b"").only.startswith(b"%PDF")


def test_encrypted_member_of_an_office_file(refused: Refused) -> None:
    """An OpenDocument with a password has its parts encrypted in its own way."""
    content = bytearray(samples.content("odt"))
    with zipfile.ZipFile(io.BytesIO(bytes(content))) as archive:
        places = [member.header_offset for member in archive.infolist()]
    for place in places:
        content[place + 6] |= 1
    directory = content.index(b"PK\x01\x02")
    while directory >= 0:
        content[directory + 8] |= 1
        directory = content.find(b"PK\x01\x02", directory + 4)

    assert (500, 5003) == refused("odt", "pdf", bytes(content))


def test_messages_name_no_path_of_this_machine(convert: Convert, tmp_path: object) -> None:
    """Messages to clients contain no folders of the server."""
    for source in ("docx", "rtf", "pdf", "png", "xlsx", "svg"):
        with pytest.raises(EngineError) as caught:
            convert(source, "jpg" if source != "svg" else "png", b"junk")
        assert str(tmp_path) not in caught.value.message
        assert "/" not in caught.value.message.replace("pdf/", "")


def test_errors_survive_pickling() -> None:
    """They cross processes."""
    error = EngineError(500, 5002, "damaged")
    copy = pickle.loads(pickle.dumps(error))

    assert (500, 5002, "damaged") == (copy.status, copy.code, copy.message)
    assert "500/5002 damaged" == str(copy)


def test_old_office_file_under_a_new_name(refused: Refused) -> None:
    """A doc that is called docx is damaged as a docx."""
    old = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(1000)
    assert (500, 5002) == refused("docx", "pdf", old)


def test_too_large_for_the_memory(
    prepare: Prepare, finish: Callable[[EngineJob], list[bytes]]
) -> None:
    """5001, and the next conversion has a new worker."""
    job = prepare("md", "pdf", b"start")
    with job.files[0].path.open("r+b") as file:
        file.truncate(3 << 30)  # a sparse file takes no space on the disk

    with pytest.raises(EngineError) as caught:
        finish(job)

    assert (500, 5001) == (caught.value.status, caught.value.code)
    assert "memory" in caught.value.message
    assert finish(prepare("md", "pdf", b"next"))


@pytest.mark.parametrize("target", ["jpg", "svg", "compress", "merge", "text-watermark", "rotate"])
def test_pdf_with_a_broken_page(convert: Convert, target: str) -> None:
    """A result or 5002, whichever library reads it."""
    with pikepdf.Pdf.open(io.BytesIO(samples.content("pdf"))) as document:
        document.pages[1].obj.MediaBox = pikepdf.Name.Nothing
        document.pages[1].obj.Resources = 7
        document.pages[2].obj.Contents = pikepdf.Array([7, pikepdf.Name.Nothing])
        document.Root.Pages.Kids[0] = pikepdf.Dictionary(Type=pikepdf.Name.Font)
        broken = io.BytesIO()
        document.save(broken)
    parameters = {"Text": "x"} if target == "text-watermark" else {}

    code = 0
    try:
        assert convert("pdf", target, broken.getvalue(), **parameters)
    except EngineError as error:
        code = error.code
    assert code in (0, 5001, 5002)
