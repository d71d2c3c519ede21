"""Archives packed and unpacked, mails and their attachments."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from email.message import EmailMessage
from email.mime.image import MIMEImage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import TYPE_CHECKING

import pytest

from convertapi_sandbox import samples
from convertapi_sandbox.jobs import InputFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from convertapi_sandbox.jobs import EngineJob
    from tests.engines.conftest import Convert, Made, Prepare, Reader, Refused


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return an archive."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


# Encrypted as PKZIP does, with the password "secret": one member, a.txt, that says "content".
LOCKED_ZIP = bytes.fromhex(
    "504b030414000100000000002100a930c5fe130000000700000005000000612e747874c889c95bb4deac0e5a9d7e"
    "9f05688e4822e23b504b0102140014000100000000002100a930c5fe130000000700000005000000000000000000"
    "0000000000000000612e747874504b0506000000000100010033000000360000000000"
)


def mail(*attachments: tuple[str, bytes]) -> bytes:
    """Return a mail with files attached."""
    message = EmailMessage()
    message["From"], message["Subject"] = "a@example.com", "Invoice"
    message.set_content("See the attached files.")
    for name, content in attachments:
        message.add_attachment(
            content, maintype="application", subtype="octet-stream", filename=name
        )
    return message.as_bytes()


def test_zip_keeps_equal_names_apart(
    finish: Callable[[EngineJob], Made], prepare: Prepare, read: Reader
) -> None:
    """Files with the same name, in any case, are all included, without their folders."""
    job = prepare("file", "zip", b"one", b"two", b"three")
    names = ("a.txt", "x/A.txt", "a.txt")
    files = tuple(InputFile(f.path, name) for f, name in zip(job.files, names, strict=True))

    made = finish(dataclasses.replace(job, files=files))

    expected = {"a.txt": b"one", "A-2.txt": b"two", "a-3.txt": b"three"}
    assert expected == read.parts(made.only)


@pytest.mark.parametrize(
    ("level", "smaller"),
    [("NoCompression", False), ("Fastest", True), ("Medium", True), ("Optimal", True)],
)
def test_zip_compression(convert: Convert, read: Reader, level: str, smaller: bool) -> None:
    """CompressionLevel decides; the content is the same."""
    content = b"again and again " * 10_000
    made = convert("file", "zip", content, name="a.txt", CompressionLevel=level)

    assert {"a.txt": content} == read.parts(made.only)
    assert smaller == (len(made.only) < len(content) / 2)


def test_extract_takes_names_without_folders(convert: Convert) -> None:
    """Folders of members are dropped, and no name leads out of the folder."""
    made = convert("zip", "extract", zipped({"x/a.txt": b"1", "../../b.txt": b"2", "/c": b"3"}))

    assert [b"1", b"2", b"3"] == list(made)
    assert ["a.txt", "b.txt", "c"] == made.names
    assert {"out"} == {path.parent.name for path in made.paths}


def test_extract_with_a_password(convert: Convert, refused: Refused) -> None:
    """Without a password 5003, with a wrong one 5007."""
    assert b"content" == convert("zip", "extract", LOCKED_ZIP, Password="secret").only
    assert (500, 5003) == refused("zip", "extract", LOCKED_ZIP)
    assert (500, 5007) == refused("zip", "extract", LOCKED_ZIP, Password="wrong")


def test_extract_nothing(refused: Refused) -> None:
    """An archive of folders alone, and an empty one."""
    assert (500, 50020) == refused("zip", "extract", zipped({}))
    assert (500, 50020) == refused("zip", "extract", zipped({"folder/": b""}))


def test_archive_in_an_archive_stays_one(convert: Convert) -> None:
    """Only what is asked for is unpacked."""
    inner = zipped({"a": b"1"})

    assert inner == convert("zip", "extract", zipped({"b.zip": inner})).only


def test_mail_into_pdf_with_its_attachments(convert: Convert, read: Reader) -> None:
    """Attachments are merged into one file, or become one file each."""
    content = mail(("a.txt", b"first file"), ("b.csv", b"x,1"), ("c.png", samples.content("png")))

    merged = read.text(convert("eml", "pdf", content, ConvertAttachments=True).only)
    apart = convert("eml", "pdf", content, ConvertAttachments=True, Merge=False)

    assert "Invoice" in merged[0]
    assert "See the attached files." in merged[0]
    assert "first file" in merged[1]
    assert 4 == len(merged) == len(apart)


@pytest.mark.parametrize("parameters", [{}, {"ConvertAttachments": False}, {"Merge": False}])
def test_mail_without_its_attachments(
    convert: Convert, read: Reader, parameters: dict[str, bool]
) -> None:
    """Unless they are asked for, attachments are left out, so that their errors do not count."""
    content = mail(("a.txt", b"first file"), ("b.dwg", b"AC1015"))

    [page] = read.text(convert("eml", "pdf", content, **parameters).only)

    assert "See the attached files." in page
    assert 1 == len(convert("eml", "png", content, **parameters).names)


def test_attachment_that_cannot_be_converted(
    convert: Convert, read: Reader, refused: Refused
) -> None:
    """It is an error, unless such errors are to be ignored."""
    content = mail(("a.dwg", b"AC1015"), ("b.txt", b"kept"))

    assert (415, 415) == refused("eml", "pdf", content, ConvertAttachments=True)
    lenient = {"ConvertAttachments": True, "IgnoreAttachmentErrors": True}
    pages = read.text(convert("eml", "pdf", content, **lenient).only)
    assert "kept" in pages[-1]


def test_mail_shows_the_pictures_it_brings(convert: Convert, read: Reader) -> None:
    """A cid: reference is the attached picture."""
    message = EmailMessage()
    message["From"] = "a@example.com"
    message.set_content('<p>x <img src="cid:pic"><img src="cid:none"></p>', subtype="html")
    message.add_related(samples.content("png"), maintype="image", subtype="png", cid="<pic>")

    pdf = convert("eml", "pdf", message.as_bytes()).only

    colors = {color: count for count, color in read.drawn(pdf).getcolors(1 << 20) or []}
    assert colors.get((32, 64, 128), 0) > 10_000


def test_attachments_of_a_mail(convert: Convert, refused: Refused) -> None:
    """Attachments keep their names; 50020 if there are none."""
    made = convert("email", "extract", mail(("ä/../b.txt", b"1"), ("c", b"2")), name="m.eml")

    assert [b"1", b"2"] == list(made)
    assert ["b.txt", "c"] == made.names
    assert (500, 50020) == refused("email", "extract", mail(), name="m.eml")


def test_headers_of_a_mail(convert: Convert) -> None:
    """The metadata is JSON, with a list of the attachments."""
    about = json.loads(convert("email", "metadata", mail(("a.txt", b"12345")), name="m.eml").only)

    assert "Invoice" == about["Subject"]
    assert [{"FileName": "a.txt", "FileSize": 5}] == about["Attachments"]


def test_what_is_no_mail(refused: Refused) -> None:
    """Text without headers, and a file of Outlook, which only the real service reads."""
    assert (500, 5002) == refused("eml", "pdf", b"just text")
    outlook = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(64)
    assert (415, 415) == refused("email", "metadata", outlook, name="m.msg")


def test_mail_within_a_mail_is_left_to_the_service(refused: Refused) -> None:
    """It is an attachment that the sandbox does not convert."""
    content = mail(("inner.eml", mail()))

    assert (415, 415) == refused("eml", "pdf", content, ConvertAttachments=True)


def test_attachments_without_names(convert: Convert) -> None:
    """By number and type, or by Content-ID where that is asked for."""
    message = EmailMessage()
    message["From"] = "a@example.com"
    message.set_content('<img src="cid:pic">', subtype="html")
    message.add_related(samples.content("png"), maintype="image", subtype="png", cid="<pic>")

    made = convert("email", "extract", message.as_bytes(), name="m.eml")
    by_cid = convert("email", "extract", message.as_bytes(), name="m.eml", UseCIDAsFileName=True)

    assert ["pic.png"] == made.names == by_cid.names
    assert samples.content("png") == made.only


def test_inline_pictures_can_be_left_out(convert: Convert, refused: Refused) -> None:
    """IgnoreInlineAttachments takes attached files only."""
    message = EmailMessage()
    message["From"] = "a@example.com"
    message.set_content('<img src="cid:pic">', subtype="html")
    message.add_related(b"GIF89a", maintype="image", subtype="gif", cid="<pic>")
    content = message.as_bytes()

    assert (500, 50020) == refused(
        "email", "extract", content, name="m.eml", IgnoreInlineAttachments=True
    )


def test_mail_in_a_strange_encoding(convert: Convert, read: Reader) -> None:
    """An unknown charset is read as Latin-1, not refused."""
    content = b"From: a@example.com\nContent-Type: text/plain; charset=x-unknown\n\nGr\xfc\xdfe\n"

    assert "Gr\xfc\xdfe" in read.text(convert("eml", "pdf", content).only)[0]


def test_mail_without_text(convert: Convert, read: Reader) -> None:
    """Its headers are a page."""
    assert "Subject: empty" in read.text(convert("eml", "pdf", b"Subject: empty\n\n").only)[0]


def test_saved_page_brings_its_pictures(convert: Convert, read: Reader) -> None:
    """An MHTML file refers to its pictures by location."""
    page = MIMEMultipart("related")
    page.attach(MIMEText('<p>saved <img src="http://example.com/a.png"></p>', "html"))
    picture = MIMEImage(samples.content("png"))
    picture["Content-Location"] = "http://example.com/a.png"
    page.attach(picture)

    docx = read.parts(convert("mhtml", "docx", page.as_bytes()).only)

    assert any(name.startswith("word/media/") for name in docx)


def test_too_many_parts(refused: Refused) -> None:
    """A mail of a thousand parts is refused before they are unpacked."""
    parts = b"--b\nContent-Type: text/plain\n\nx\n" * 1001
    head = b"From: a@example.com\nContent-Type: multipart/mixed; boundary=b\n\n"

    assert (500, 5002) == refused("eml", "pdf", head + parts + b"--b--\n")
