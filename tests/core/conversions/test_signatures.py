"""What a file's first bytes tell about what its name claims."""

from __future__ import annotations

import pytest

from airflow_provider_convertapi.conversions.signatures import are_different, complaint_about

PAGE = b"\n<!DOCTYPE html>\n<html><body>502 Bad Gateway</body></html>"
OBJECT = b'{"Code": 5000, "Message": "no"}'
XML = b'<?xml version="1.0"?><Error/>'
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF"
TABLE = "a;b\n1;2\n"

BINARY = (
    *("pdf", "docx", "xlsx", "pptx", "odt", "zip", "xls", "doc", "rtf", "fdf", "pcl"),
    *("jpg", "jpeg", "png", "gif", "tif", "tiff", "webp", "jxl", "pnm", "psd", "eps"),
)


@pytest.mark.parametrize("extension", BINARY)
@pytest.mark.parametrize("head", [PAGE, OBJECT, XML, b"", b"Bad Gateway", b"\0\0\0\0"])
def test_error_page_is_no_document(extension: str, head: bytes) -> None:
    """A page, an object, text or nothing at all is refused, whatever the name claims."""
    assert complaint_about(head, extension)


@pytest.mark.parametrize(
    ("head", "extension"),
    [
        (b"%PDF-1.7\n", "pdf"),
        (b"\r\n%PDF-1.4", "pdf"),
        (b"PK\x03\x04\x14", "docx"),
        (OLE, "docx"),  # with a password
        (OLE, "xls"),
        (b"{\\rtf1", "doc"),
        (b"PK\x05\x06", "zip"),  # with nothing in it
        (JPEG, "jpeg"),
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"GIF89a", "gif"),
        (b"MM\0*", "tif"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "webp"),
        (b"", "txt"),  # of an empty page
        (b"", "csv"),
        (TABLE.encode(), "csv"),
        (TABLE.encode("utf-16"), "csv"),  # has NUL, and says why
        (TABLE.encode("utf-32"), "txt"),
        (TABLE.encode("utf-8-sig"), "txt"),
        ("Größe".encode("latin-1"), "txt"),
        (PAGE, "html"),
        (PAGE, "md"),  # a text about HTML may begin with it
        (b' {"Tables": []}', "json"),
        (b"[]", "json"),
        (b"null", "json"),
        ('{"a": 1}'.encode("utf-16"), "json"),
        (XML, "xml"),
        (b"<svg xmlns=''>", "svg"),
        (PAGE, "eml"),  # not known here
        (b"\0\1\2", ""),
    ],
)
def test_right_file_is_right(head: bytes, extension: str) -> None:
    """What may be of the format is not refused: it is paid for."""
    assert complaint_about(head, extension) is None


@pytest.mark.parametrize(
    ("head", "extension", "kind"),
    [
        (PAGE, "pdf", "an HTML page"),
        (PAGE, "json", "an HTML page"),
        (PAGE, "xml", "an HTML page"),
        (PAGE, "csv", "an HTML page"),
        (PAGE.decode().encode("utf-16"), "csv", "an HTML page"),
        (OBJECT, "docx", "JSON"),
        (XML, "pdf", "XML"),
        (b"", "json", "empty"),
        (b"", "pdf", "empty"),
        (b"%PDF-1.7", "docx", "a PDF"),
        (b"%PDF-1.7", "txt", "a PDF"),
        (b"PK\x03\x04", "pdf", "a ZIP file"),
        (b"PK\x03\x04", "csv", "a ZIP file"),
        (JPEG, "png", "a JPEG image"),
        (b"text, \0 and more", "md", "something else"),
        (b"RIFF\x10\0\0\0WAVE", "webp", "something else"),
    ],
)
def test_complaint_says_what_it_is(head: bytes, extension: str, kind: str) -> None:
    """The message names what was claimed and what came."""
    complaint = complaint_about(head, extension) or ""

    assert complaint.startswith("is not in ")
    assert f"it is {kind}" in complaint


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("pdf", "docx", True),
        ("jpg", "jpeg", False),
        ("tif", "tiff", False),
        ("txt", "pdf", True),
        ("md", "txt", False),
        ("pdf", "", False),
        ("eml", "pdf", False),
        ("docx", "xlsx", True),
    ],
)
def test_formats_that_exclude_each_other(one: str, other: str, expected: bool) -> None:
    """Names of one format are equal, and what is not known here is left alone."""
    assert (expected, expected) == (are_different(one, other), are_different(other, one))
