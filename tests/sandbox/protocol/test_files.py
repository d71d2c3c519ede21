"""/upload and /d: raw, form and remote uploads; the answers that clients depend on; deletion."""

from __future__ import annotations

import base64
import http.server
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

    from airflow_provider_convertapi.sandbox import Sandbox

    Call = Callable[..., requests.Response]

FILE_ID = "0123456789abcdefghijklmnopqrstuv"
NAMED = {"Content-Disposition": "attachment; filename*=UTF-8''my%20file.docx"}


@pytest.fixture
def upload(caller: requests.Session) -> Call:
    """Return a call that uploads a few bytes raw."""

    def raw(path: str = "/upload", data: Any = b"0123456789", **kwargs: Any) -> requests.Response:
        kwargs.setdefault("headers", NAMED)
        return caller.post(path, data=data, **kwargs)

    return raw


def test_upload_answers_with_json(sandbox: Sandbox, upload: Call) -> None:
    """The answer tells name, extension, size, id and a URL without a name."""
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
    """Two official clients send no Accept header and take the whole body for the id."""
    answer = upload(headers=NAMED | {"Accept": accept, "Authorization": None})

    assert "text/plain; charset=utf-8" == answer.headers["content-type"]
    assert (32, True) == (len(answer.text), answer.text.isalnum())


def test_anything_means_json(upload: Call) -> None:
    """`Accept: */*`, which curl and requests send, gives JSON."""
    assert "FileId" in upload(headers=NAMED | {"Accept": "*/*"}).json()


@pytest.mark.parametrize("field", ["file", "FileData"])
def test_upload_as_a_form(caller: requests.Session, sandbox: Sandbox, field: str) -> None:
    """Whatever part has a filename is the document."""
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
    """The query's name wins over filename*, which wins over filename; none of them is a path."""
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
    """A caller's id is used; a second upload under it replaces the first, or is refused."""
    path = f"/upload?fileId={FILE_ID}"
    assert FILE_ID == upload(path).json()["FileId"]
    assert 200 == upload(path, data=b"longer than before").status_code
    assert {FILE_ID: {"name": "my file.docx", "size": 18}} == sandbox.files

    sandbox.settings.known_file_id = "refuse"

    assert 400 == upload(path).status_code


def test_download_headers(upload: Call, caller: requests.Session) -> None:
    """GET and HEAD tell name, extension and size; a name in the path is decoration."""
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
    """DELETE answers 200, then 404, with the name part or without."""
    url = upload().json()["Url"] + suffix

    statuses = [caller.delete(url, headers={"Authorization": None}).status_code for _ in range(2)]

    assert [200, 404] == statuses
    assert [404, 404] == [caller.get(url).status_code, caller.head(url).status_code]


@pytest.mark.parametrize(
    "path", ["/d/" + "0" * 32, "/d/..%2f..%2fetc%2fpasswd", "/d/../../etc/passwd"]
)
def test_unknown_file(caller: requests.Session, sandbox: Sandbox, path: str) -> None:
    """An id that is none is a 404, whatever it looks like; its body can be empty."""
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
    """A connection closed in the middle of a body leaves no document and no trace on disk."""
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


class _Remote(http.server.BaseHTTPRequestHandler):
    """A host with one document, one redirect, and an ear for web hooks."""

    seen: list[tuple[str, str, str | None, bytes]]

    def do_GET(self) -> None:
        self._note(b"")
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", "/a%20b.txt")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<p>remote text</p>")

    def do_POST(self) -> None:
        self._note(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def _note(self, body: bytes) -> None:
        self.seen.append((self.command, self.path, self.headers.get("X-Key"), body))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def remote() -> Iterator[type[_Remote]]:
    """Serve documents on another port, and return what was asked for there."""
    handler = type("Remote", (_Remote,), {"seen": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    handler.port = server.server_port  # type: ignore[attr-defined]  # for the tests
    yield handler
    server.shutdown()
    server.server_close()
    thread.join()


def test_remote_upload_from_an_allowed_host(upload: Call, sandbox: Sandbox, remote: Any) -> None:
    """A URL is fetched from a host that is allowed, with the one header that the caller names."""
    url = f"http://127.0.0.1:{remote.port}/a%20b.txt"
    params = {"url": url, "headername": "X-Key", "headervalue": "v"}
    assert 500 == upload(params=params, headers={}, data=b"").status_code
    assert [] == remote.seen

    sandbox.settings.allow_hosts = f"example.com, 127.0.0.1:{remote.port}"

    body = upload(params=params, headers={}, data=b"").json()
    assert [("GET", "/a%20b.txt", "v", b"")] == remote.seen
    assert {body["FileId"]: {"name": "a b.txt", "size": 18}} == sandbox.files


def test_redirect_of_an_allowed_host_is_not_followed(
    upload: Call, sandbox: Sandbox, remote: Any
) -> None:
    """Where a redirect leads to, nobody has allowed."""
    sandbox.settings.allow_hosts = f"127.0.0.1:{remote.port}"

    answer = upload(
        "/upload-from-url", params={"url": f"http://127.0.0.1:{remote.port}/moved.txt"}, data=b""
    )

    assert (500, 5008) == (answer.status_code, answer.json()["Code"])
    assert 1 == len(remote.seen)


def test_conversion_fetches_its_input(zipped: Call, sandbox: Sandbox, remote: Any) -> None:
    """A URL as input is fetched when the work begins."""
    sandbox.settings.allow_hosts = "127.0.0.1"

    answer = zipped(files=None, data={"Files[0]": f"http://127.0.0.1:{remote.port}/a%20b.txt"})

    assert ["a b.zip"] == [file["FileName"] for file in answer.json()["Files"]]


@pytest.mark.parametrize("source", ["web", "url"])
def test_page_of_an_allowed_host(
    caller: requests.Session, sandbox: Sandbox, remote: Any, source: str
) -> None:
    """A web page is fetched from a host that is allowed, and converted as the HTML it is."""
    url = f"http://127.0.0.1:{remote.port}/page"
    assert 5008 == caller.post(f"/convert/{source}/to/pdf", data={"Url": url}).json()["Code"]

    sandbox.settings.allow_hosts = "127.0.0.1"

    [file] = caller.post(f"/convert/{source}/to/pdf", data={"Url": url}).json()["Files"]
    assert base64.b64decode(file["FileData"]).startswith(b"%PDF")
    assert [("GET", "/page", None, b"")] == remote.seen


def test_web_hook_is_called_after_success(
    zipped: Call, caller: requests.Session, poll: Call, sandbox: Sandbox, remote: Any
) -> None:
    """A web hook is told the id of a job that is done, of a failed one where switched on."""
    hook = f"http://127.0.0.1:{remote.port}/hook"
    refused = zipped("/async/convert/file/to/zip", params={"WebHook": hook})
    assert ["WebHook"] == list(refused.json()["InvalidParameters"])
    sandbox.settings.allow_hosts = "127.0.0.1"

    job_id = zipped("/async/convert/file/to/zip", params={"WebHook": hook}).json()["JobId"]
    broken = {"File": ("a.pdf", b"%PDF broken")}
    caller.post(
        "/async/convert/pdf/to/txt", params={"WebHook": hook, "JobId": "f" * 32}, files=broken
    )
    poll("f" * 32)
    sandbox.settings.webhook_on_failure = True
    caller.post(
        "/async/convert/pdf/to/txt", params={"WebHook": hook, "JobId": "e" * 32}, files=broken
    )

    deadline = time.monotonic() + 10
    while len(remote.seen) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert 200 == poll(job_id).status_code
    told = [body for _, _, _, body in remote.seen]
    assert [f'{{"JobId": "{job_id}"}}'.encode(), b'{"JobId": "' + b"e" * 32 + b'"}'] == told
