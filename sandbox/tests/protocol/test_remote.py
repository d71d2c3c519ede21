"""Requests to other hosts: documents, pages and web hooks, on allowed hosts only."""

from __future__ import annotations

import base64
import http.server
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

    from convertapi_sandbox import Sandbox

    Call = Callable[..., requests.Response]


class _Remote(http.server.BaseHTTPRequestHandler):
    """A host with one document and one redirect, which accepts web hooks."""

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
    """Serve documents on another port, and record the requests."""
    handler = type("Remote", (_Remote,), {"seen": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    handler.port = server.server_port  # type: ignore[attr-defined]  # for the tests
    yield handler
    server.shutdown()
    server.server_close()
    thread.join()


def test_remote_upload_from_an_allowed_host(
    caller: requests.Session, sandbox: Sandbox, remote: Any
) -> None:
    """A URL is fetched from an allowed host, with the header that the caller gives."""
    url = f"http://127.0.0.1:{remote.port}/a%20b.txt"
    params = {"url": url, "headername": "X-Key", "headervalue": "v"}
    assert 500 == caller.post("/upload", params=params).status_code
    assert [] == remote.seen

    sandbox.settings.allow_hosts = f"example.com, 127.0.0.1:{remote.port}"

    body = caller.post("/upload", params=params).json()
    assert [("GET", "/a%20b.txt", "v", b"")] == remote.seen
    assert {body["FileId"]: {"name": "a b.txt", "size": 18}} == sandbox.files


def test_redirect_of_an_allowed_host_is_not_followed(
    caller: requests.Session, sandbox: Sandbox, remote: Any
) -> None:
    """A redirect is not followed, because nobody allowed its target."""
    sandbox.settings.allow_hosts = f"127.0.0.1:{remote.port}"

    params = {"url": f"http://127.0.0.1:{remote.port}/moved.txt"}
    answer = caller.post("/upload-from-url", params=params)

    assert (500, 5008) == (answer.status_code, answer.json()["Code"])
    assert 1 == len(remote.seen)


def test_conversion_fetches_its_input(zipped: Call, sandbox: Sandbox, remote: Any) -> None:
    """A URL as input is fetched when the conversion starts."""
    sandbox.settings.allow_hosts = "127.0.0.1"

    answer = zipped(files=None, data={"Files[0]": f"http://127.0.0.1:{remote.port}/a%20b.txt"})

    assert ["a b.zip"] == [file["FileName"] for file in answer.json()["Files"]]


@pytest.mark.parametrize("source", ["web", "url"])
def test_page_of_an_allowed_host(
    caller: requests.Session, sandbox: Sandbox, remote: Any, source: str
) -> None:
    """A web page is fetched from an allowed host, and converted as HTML."""
    url = f"http://127.0.0.1:{remote.port}/page"
    assert 5008 == caller.post(f"/convert/{source}/to/pdf", data={"Url": url}).json()["Code"]

    sandbox.settings.allow_hosts = "127.0.0.1"

    [file] = caller.post(f"/convert/{source}/to/pdf", data={"Url": url}).json()["Files"]
    assert base64.b64decode(file["FileData"]).startswith(b"%PDF")
    assert [("GET", "/page", None, b"")] == remote.seen


def test_web_hook_is_called_after_success(
    zipped: Call, caller: requests.Session, poll: Call, sandbox: Sandbox, remote: Any
) -> None:
    """A web hook gets the id of a finished job and, if switched on, of a failed one."""
    hook = f"http://127.0.0.1:{remote.port}/hook"
    refused = zipped("/async/convert/file/to/zip", params={"WebHook": hook})
    assert ["WebHook"] == list(refused.json()["InvalidParameters"])
    sandbox.settings.allow_hosts = "127.0.0.1"

    deadline = time.monotonic() + 20
    job_id = zipped("/async/convert/file/to/zip", params={"WebHook": hook}).json()["JobId"]
    while not remote.seen:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    broken = {"File": ("a.pdf", b"%PDF broken")}
    caller.post(
        "/async/convert/pdf/to/txt", params={"WebHook": hook, "JobId": "f" * 32}, files=broken
    )
    poll("f" * 32)
    sandbox.settings.webhook_on_failure = True
    caller.post(
        "/async/convert/pdf/to/txt", params={"WebHook": hook, "JobId": "e" * 32}, files=broken
    )

    while len(remote.seen) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert 200 == poll(job_id).status_code
    told = [body for _, _, _, body in remote.seen]
    assert [f'{{"JobId": "{job_id}"}}'.encode(), b'{"JobId": "' + b"e" * 32 + b'"}'] == told
