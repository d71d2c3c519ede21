"""Request bodies and file names: every byte as a strict reader takes it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from python_multipart import FormParser
from python_multipart.multipart import parse_options_header

from airflow_provider_convertapi.api.forms import (
    FileBody,
    FormBody,
    JsonBody,
    content_disposition,
    disposition_name,
)
from airflow_provider_convertapi.api.wire import BLOCK
from airflow_provider_convertapi.errors import InputChangedError, ParameterError
from tests.core.api.server import Memory

if TYPE_CHECKING:
    from io import BytesIO

NAMES = [
    "letter.docx",
    "letter (1).docx",
    "[dev] sample.pdf",
    'say "hello".docx',
    "it's 100% *new*?.docx",
    "back\\slash.docx",
    "1+1=2 & more.docx",
    "a;filename=evil.exe",
    "two  spaces .docx",
    " leading.docx",
    "%20.docx",
    "utf-8''x.docx",
    "Gr\u00fc\u00dfe.docx",
    "\u043e\u0442\u0447\u0451\u0442.docx",
    "\u65e5\u672c\u8a9e.docx",
    "\U0001f600.docx",
    "e\u0301.docx",
    "x" * 195 + ".docx",
    "\u65e5" * 195 + ".docx",
    "cr\rlf\n.docx",
    "crlf\r\nX-Injected: 1\r\n\r\n.docx",
    "nul\x00 tab\t del\x7f.docx",
    ".docx",
    "no extension",
]


@pytest.mark.parametrize("name", NAMES)
def test_name_in_a_header(name: str) -> None:
    """Any name travels whole in one line of letters that RFC 5987 allows, and is read back."""
    value = content_disposition(name)

    kind, _, encoded = value.partition("; filename*=UTF-8''")
    assert "attachment" == kind
    assert not set(encoded) - set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$&+-.^_`|~%"
    )
    assert name == unquote(encoded)
    assert name == disposition_name(value)


def test_name_that_the_file_system_could_not_decode() -> None:
    """A name whose bytes are not text is sent with a stand-in for them."""
    assert "attachment; filename*=UTF-8''%3F.docx" == content_disposition("\udcff.docx")
    assert b'filename="_.docx"' in joined(FormBody([("File", Memory(b"", "\udcff.docx"))]))


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ('attachment; filename="my_file.pdf"; size=8475', "my_file.pdf"),
        ("attachment; filename*=utf-8''demo.pdf; size=180658", "demo.pdf"),
        ("attachment; filename=\"a.pdf\"; filename*=UTF-8''%e2%82%ac%20b.pdf", "\u20ac b.pdf"),
        ("attachment; filename*=UTF-8''%e2%82%ac.pdf; filename=\"a.pdf\"", "\u20ac.pdf"),
        ("attachment; filename*=utf-8'en'a%20b.pdf", "a b.pdf"),
        ("attachment; filename*=ISO-8859-1''%A3.pdf", "\u00a3.pdf"),
        ("attachment; filename*=utf-8''a+b.pdf", "a+b.pdf"),
        ("attachment;filename=plain.pdf", "plain.pdf"),
        ("inline; FILENAME=Plain.pdf", "Plain.pdf"),
        ('attachment; filename="a;b.pdf"', "a;b.pdf"),
        ('attachment; filename="q\\"x.pdf"', 'q"x.pdf'),
        ('attachment; filename="%41.pdf"', "%41.pdf"),
        ('attachment; filename="\u00fcn\u00ef.pdf"', "\u00fcn\u00ef.pdf"),
        ("attachment; filename*=utf-8''%ff.pdf", "\ufffd.pdf"),
        ("attachment; filename*=x-unknown''abc.pdf", "abc.pdf"),
        ("attachment; filename*=undefined''abc.pdf", ""),
        ("attachment; filename*0=a.pdf; filename*=UTF-8''b.pdf", ""),
        ("attachment; filename*" + "9" * 5000 + "=a.pdf", ""),
        ("attachment; filename*=", ""),
        ('attachment; filename="=?utf-8?B?R3LDvMOfZS5wZGY=?="', "Gr\u00fc\u00dfe.pdf"),
        ("attachment; filename==?ISO-8859-1?q?Gr=FC=DFe_1.pdf?=", "Gr\u00fc\u00dfe 1.pdf"),
        ('attachment; filename="=?utf-8?B?R3LDvMOf?= =?utf-8?B?ZS5wZGY=?="', "Gr\u00fc\u00dfe.pdf"),
        ('attachment; filename="=?x-unknown?B?YQ==?="', "=?x-unknown?B?YQ==?="),
        ('attachment; filename="=?utf-8?B?Y?="', "=?utf-8?B?Y?="),
        ('attachment; filename="=?utf-8?B?/w==?="', "=?utf-8?B?/w==?="),
        ('attachment; filename="a =?utf-8?B?YQ==?=.pdf"', "a =?utf-8?B?YQ==?=.pdf"),
        ('attachment; filename=""', ""),
        ("attachment", ""),
        ("attachment; filename", ""),
        ("", ""),
        (";;;===", ""),
    ],
)
def test_name_from_a_header(value: str, name: str) -> None:
    """The extended name wins over the simple one; an unusable header gives no name and no crash."""
    assert name == disposition_name(value)


def joined(body: Any) -> bytes:
    """Return all bytes of a body, having checked that it says how many they are."""
    content = b"".join(body.blocks())
    assert len(content) == body.size
    assert content == b"".join(body.blocks())
    return content


Parsed = list[tuple[str, str | None, bytes]]


def parse(body: FormBody) -> Parsed:
    """Return field name, file name and content of each part, as python-multipart reads them."""
    found: Parsed = []
    content_type, options = parse_options_header(body.content_type)
    parser = FormParser(
        content_type.decode(),
        on_field=lambda f: found.append((text(f.field_name), None, f.value or b"")),
        on_file=lambda f: found.append((text(f.field_name), text(f.file_name), content(f))),
        boundary=options[b"boundary"],
    )
    parser.write(joined(body))
    parser.finalize()
    return found


def text(value: bytes | None) -> str:
    """Return a name as text."""
    assert value is not None
    return value.decode()


def content(file: Any) -> bytes:
    """Return what a parsed file holds."""
    file.file_object.seek(0)
    read: bytes = file.file_object.read()
    file.close()
    return read


def test_form_reads_back() -> None:
    """Texts and files arrive in order, byte by byte."""
    picture = bytes(range(256)) * 5 + b"\r\n--x\r\n"
    body = FormBody(
        [
            ("Files[0]", Memory(b"first", "a.docx")),
            ("Files[10]", Memory(picture, "b.docx")),
            ("PageRange", "1-2"),
            ("Text", 'two\r\nlines, \u00fcn\u00ef, \x00, "quoted" and --'),
            ("Empty", ""),
            ("Timeout", "900"),
        ]
    )

    assert [
        ("Files[0]", "a.docx", b"first"),
        ("Files[10]", "b.docx", picture),
        ("PageRange", None, b"1-2"),
        ("Text", None, 'two\r\nlines, \u00fcn\u00ef, \x00, "quoted" and --'.encode()),
        ("Empty", None, b""),
        ("Timeout", None, b"900"),
    ] == parse(body)


def test_form_as_bytes() -> None:
    """The wire format is what ConvertAPI's .NET client sends: both spellings of a file name."""
    file = Memory(b"DATA", "\u00e4 (1).docx")
    body = FormBody([("PageRange", "1"), ("File", file)], boundary="edge")

    assert "multipart/form-data; boundary=edge" == body.content_type
    assert (
        b'--edge\r\nContent-Disposition: form-data; name="PageRange"\r\n\r\n1\r\n'
        b'--edge\r\nContent-Disposition: form-data; name="File"; filename="_ (1).docx"; '
        b"filename*=UTF-8''%C3%A4%20%281%29.docx\r\n"
        b"Content-Type: application/octet-stream\r\n\r\nDATA\r\n--edge--\r\n"
    ) == joined(body)


def test_empty_form() -> None:
    """A form without fields is its last boundary."""
    assert b"--edge--\r\n" == joined(FormBody([], boundary="edge"))


@pytest.mark.parametrize("name", NAMES)
def test_file_names_break_no_form(name: str) -> None:
    """A file name cannot end its header, begin another part, or name another file."""
    body = FormBody([("File", Memory(b"DATA", name)), ("After", "still here")])

    head = joined(body).partition(b"\r\n\r\n")[0].decode().split("\r\n")
    [part, after] = parse(body)

    assert 3 == len(head)
    assert head[1].isprintable()
    assert head[1].isascii()
    assert re.search(r'; filename="[^"\\]*"; filename\*=[^" ]*$', head[1])
    assert name == disposition_name(head[1].partition(": ")[2])
    assert ("File", b"DATA") == (part[0], part[2])
    assert ("After", None, b"still here") == after


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a b",
        'a"b',
        "a\r\nb",
        "a\nb",
        "\u00e4",
        "a;b",
        "Files[x]",
        "Files[0",
        "Files[0]x",
        "a\n",
    ],
)
def test_no_parameter_name(name: str) -> None:
    """A name that no parameter can have is refused by name before anything is sent."""
    with pytest.raises(ParameterError) as caught:
        FormBody([("File", Memory(b"x")), (name, "value")])

    assert [name] == list(caught.value.invalid)
    assert repr(name) in str(caught.value)


def test_text_that_is_no_text() -> None:
    """Half characters have no bytes: the parameter is named before anything is sent."""
    with pytest.raises(ParameterError) as caught:
        FormBody([("Password", "secret \ud800")])

    assert ["Password"] == list(caught.value.invalid)
    assert "secret" not in str(caught.value)


def test_boundaries_differ() -> None:
    """Nobody who writes a document can know the boundary it will be sent with."""
    boundaries = {FormBody([]).boundary for _ in range(10)}

    assert 10 == len(boundaries)
    assert {32} == {len(boundary) for boundary in boundaries}


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_file_body(size: int) -> None:
    """A file travels whole, in blocks of no more than a mebibyte."""
    body = FileBody(Memory(b"z" * size))

    assert b"z" * size == joined(body)
    assert "application/octet-stream" == body.content_type
    assert all(0 < len(block) <= BLOCK for block in body.blocks())


@pytest.mark.parametrize("wrap", [FileBody, lambda file: FormBody([("File", file)])])
def test_file_shortened_while_it_is_sent(wrap: Any) -> None:
    """`Content-Length` is on the wire already: sending stops, and says what happened."""
    body = wrap(Memory(b"short", "a.docx", announced=9))

    with pytest.raises(InputChangedError, match=r"a\.docx ended 4 bytes before its size"):
        list(body.blocks())


@pytest.mark.parametrize("wrap", [FileBody, lambda file: FormBody([("File", file)])])
def test_file_grown_while_it_is_sent(wrap: Any) -> None:
    """No more than the announced bytes are sent: the rest would be read as another request."""
    body = wrap(Memory(b"longer than before", "a.docx", announced=6))

    assert b"longer than before" not in joined(body)


def test_file_is_closed() -> None:
    """A file is closed when it was sent, and when sending was broken off."""
    opened: list[BytesIO] = []

    class Noted(Memory):
        def open(self) -> BytesIO:
            opened.append(super().open())
            return opened[-1]

    body = FormBody([("File", Noted(b"z" * 3 * BLOCK))])
    list(body.blocks())
    broken_off = body.blocks()
    next(broken_off), next(broken_off)
    broken_off.close()  # type: ignore[attr-defined]  # it is a generator

    assert [True, True] == [file.closed for file in opened]


def test_json_body() -> None:
    """A JSON object travels as UTF-8 text."""
    body = JsonBody({"Kid": "\u00e4", "ExpiresInSec": 60})

    assert {"Kid": "\u00e4", "ExpiresInSec": 60} == json.loads(joined(body))
    assert "application/json" == body.content_type
