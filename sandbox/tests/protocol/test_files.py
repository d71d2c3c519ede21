"""/upload and /d: raw, form and remote uploads; answers on which clients depend; deletion."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    from convertapi_sandbox import Sandbox

    Call = Callable[..., requests.Response]

FILE_ID = "0123456789abcdefghijklmnopqrstuv"
NAMED = {"Content-Disposition": "attachment; filename*=UTF-8''my%20file.docx"}


@pytest.fixture
def upload(caller: requests.Session) -> Call:
    """Return a function that uploads a few raw bytes."""

    def raw(path: str = "/upload", data: Any = b"0123456789", **kwargs: Any) -> requests.Response:
        kwargs.setdefault("headers", NAMED)
        return caller.post(path, data=data, **kwargs)

    return raw


def test_upload_answers_with_json(sandbox: Sandbox, upload: Call) -> None:
    """The answer has name, extension, size, id, and a URL without the name."""
    body = upload().json()

    assert {
        "FileName": "my file.docx",
        "FileExt": "docx",
        "FileSize": 10,
        "FileId": body["FileId"],
        "Url": f"{sandbox.url}/d/{body['FileId']}",
    } == body
    assert 32 == len(body["FileId"])


@pytest.mark.parametrize("accept", ["text/plain", None])
def test_bare_id_for_plain_text_and_for_no_accept(upload: Call, accept: str | None) -> None:
    """Two official clients send no Accept header and use the whole body as the id."""
    answer = upload(headers=NAMED | {"Accept": accept, "Authorization": None})

    assert "text/plain; charset=utf-8" == answer.headers["content-type"]
    assert (32, True) == (len(answer.text), answer.text.isalnum())


def test_anything_means_json(upload: Call) -> None:
    """`Accept: */*`, which curl and requests send, gives JSON."""
    assert "FileId" in upload(headers=NAMED | {"Accept": "*/*"}).json()


@pytest.mark.parametrize("field", ["file", "FileData"])
def test_upload_as_a_form(caller: requests.Session, sandbox: Sandbox, field: str) -> None:
    """The part with a filename is the document, whatever its name."""
    body = caller.post("/upload", files={field: ("a.txt", b"abc")}, data={"x": "y"}).json()

    assert {body["FileId"]: {"name": "a.txt", "size": 3}} == sandbox.files


@pytest.mark.parametrize(
    ("path", "headers", "name"),
    [
        ("/upload?filename=q%20%281%29.docx", {}, "q (1).docx"),
        ("/upload?FileName=q.docx", NAMED, "q.docx"),
        ("/upload", {"Content-Disposition": 'inline; filename="a \\"b\\".docx"'}, "a _b_.docx"),
        ("/upload", {"Content-Disposition": "attachment; filename=plain.docx"}, "plain.docx"),
        (
            "/upload",
            {"Content-Disposition": "inline; filename=x.txt; filename*=utf-8''b%2Bc+d.docx"},
            "b+c+d.docx",
        ),
        ("/upload", {"Content-Disposition": 'attachment; filename="../../up.docx"'}, "_.._up.docx"),
        (
            "/upload",
            {"Content-Disposition": "attachment; filename*=UTF-8''" + "%C3%A9" * 200 + ".docx"},
            "é" * 97 + ".docx",
        ),
    ],
)
def test_names_of_uploads(
    upload: Call, sandbox: Sandbox, path: str, headers: dict[str, str], name: str
) -> None:
    """The query's name takes precedence over filename*, and that over filename; none is a path."""
    upload(path, headers=headers)

    assert [name] == [file["name"] for file in sandbox.files.values()]


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        pytest.param("/upload", {}, 400, 4001, id="no name"),
        pytest.param("/upload?fileId=short", NAMED, 400, 4000, id="short id"),
        pytest.param("/upload?fileId=" + "A" * 32, NAMED, 400, 4000, id="upper-case id"),
        pytest.param("/upload?filename=noextension", {}, 415, 415, id="no extension"),
        pytest.param(
            "/upload",
            {"Content-Disposition": "attachment; filename*=UTF-8''a(1).docx"},
            415,
            415,
            id="raw parentheses lose the name",
        ),
        pytest.param("/upload?url=http%3A%2F%2Fexample.com%2Fa.txt", {}, 500, 5008, id="remote"),
        pytest.param("/upload?url=file%3A%2F%2F%2Fetc%2Fpasswd", {}, 500, 5008, id="local file"),
    ],
)
def test_refused_upload(
    upload: Call, sandbox: Sandbox, path: str, headers: dict[str, str], status: int, code: int
) -> None:
    """A refused upload says why, and stores nothing."""
    answer = upload(path, headers=headers)

    assert (status, code) == (answer.status_code, answer.json()["Code"])
    assert {} == sandbox.files


def test_chosen_id(upload: Call, sandbox: Sandbox) -> None:
    """A caller's id is used; a second upload with it replaces the first one, or is refused."""
    path = f"/upload?fileId={FILE_ID}"
    assert FILE_ID == upload(path).json()["FileId"]
    assert 200 == upload(path, data=b"longer than before").status_code
    assert {FILE_ID: {"name": "my file.docx", "size": 18}} == sandbox.files

    sandbox.settings.known_file_id = "refuse"

    assert 400 == upload(path).status_code


def test_download_headers(upload: Call, caller: requests.Session) -> None:
    """GET and HEAD return name, extension and size; a name in the path is ignored."""
    url = upload().json()["Url"]

    answer, head = (
        caller.get(url + "/other%20name.bin", headers={"Authorization": None}),
        caller.head(url),
    )

    expected = {
        "content-disposition": "attachment; filename*=utf-8''my%20file.docx",
        "file-name": "my file.docx",
        "file-ext": "docx",
        "file-size": "10",
        "content-length": "10",
        "content-type": "application/octet-stream",
    }
    assert b"0123456789" == answer.content
    assert b"" == head.content
    for response in (answer, head):
        assert expected == {name: response.headers[name] for name in expected}


def test_inline_download(upload: Call, caller: requests.Session) -> None:
    """`download=inline` asks for the document to be shown."""
    url = upload().json()["Url"]

    assert caller.get(url + "?download=inline").headers["content-disposition"].startswith("inline;")


def test_ranges_only_where_switched_on(
    upload: Call, caller: requests.Session, sandbox: Sandbox
) -> None:
    """Byte ranges are undocumented: the whole document is sent, unless the switch allows parts."""
    url = upload().json()["Url"]
    assert (200, 10) == (
        caller.get(url, headers={"Range": "bytes=4-"}).status_code,
        len(caller.get(url).content),
    )

    sandbox.settings.byte_ranges = True

    part = caller.get(url, headers={"Range": "bytes=4-6"})
    assert (206, b"456", "bytes 4-6/10") == (
        part.status_code,
        part.content,
        part.headers["content-range"],
    )
    assert 200 == caller.get(url, headers={"Range": "bytes=99-"}).status_code


@pytest.mark.parametrize("suffix", ["", "/my%20file.docx"])
def test_delete(upload: Call, caller: requests.Session, suffix: str) -> None:
    """DELETE answers 200, then 404, with or without the name in the path."""
    url = upload().json()["Url"] + suffix

    statuses = [caller.delete(url, headers={"Authorization": None}).status_code for _ in range(2)]

    assert [200, 404] == statuses
    assert [404, 404] == [caller.get(url).status_code, caller.head(url).status_code]


@pytest.mark.parametrize(
    "path", ["/d/" + "0" * 32, "/d/..%2f..%2fetc%2fpasswd", "/d/../../etc/passwd"]
)
def test_unknown_file(caller: requests.Session, sandbox: Sandbox, path: str) -> None:
    """An unknown or malformed id is a 404; its body can be empty."""
    assert 404 == caller.get(path).json()["Code"]

    sandbox.settings.not_found_body = "empty"

    assert (404, b"") == (caller.get(path).status_code, caller.get(path).content)


def test_documents_expire(upload: Call, caller: requests.Session, sandbox: Sandbox) -> None:
    """A document older than `file_lifetime` is gone."""
    url = upload().json()["Url"]

    sandbox.settings.file_lifetime = 0.0

    assert 404 == caller.get(url).status_code
    assert {} == sandbox.files


def test_caller_who_stops_stores_nothing(sandbox: Sandbox) -> None:
    """A connection closed in the middle of a body leaves no document and nothing on disk."""
    host, port = sandbox.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /upload?filename=a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"
        )
        deadline = time.monotonic() + 5
        while not sandbox.requests:
            assert time.monotonic() < deadline
    while [path for path in sandbox.folder.rglob("*") if path.is_file()]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert {} == sandbox.files


def test_too_large_upload(upload: Call, sandbox: Sandbox) -> None:
    """Above `max_file_size` the answer is the switch's status, and nothing is stored."""
    sandbox.settings.max_file_size = 5

    assert 413 == upload().status_code
    assert {} == sandbox.files
