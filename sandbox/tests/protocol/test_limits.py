"""Requests that are too large, and a disk or host that fails."""

from __future__ import annotations

import base64
import io
import json
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest

from convertapi_sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

    Call = Callable[..., requests.Response]

FORM = {"Content-Type": "multipart/form-data; boundary=b"}


def part(headers: bytes, content: bytes = b"") -> bytes:
    """Return one part of a form."""
    return b"--b\r\n" + headers + b"\r\n\r\n" + content + b"\r\n"


@pytest.mark.parametrize(
    ("path", "kwargs", "status", "code"),
    [
        pytest.param(
            "/convert/md/to/pdf",
            {"data": part(b'Content-Disposition: form-data; name="x"') * 2001, "headers": FORM},
            400,
            4000,
            id="parts",
        ),
        pytest.param(
            "/convert/md/to/pdf",
            {"files": {"x": (None, b"t" * (17 << 20))}},
            400,
            4000,
            id="text of a form",
        ),
        pytest.param(
            "/convert/md/to/pdf",
            {
                "data": "x=" + "t" * (33 << 20),
                "headers": {"Content-Type": "application/x-www-form-urlencoded"},
            },
            400,
            4000,
            id="urlencoded form",
        ),
        pytest.param(
            "/token/jwt",
            {"data": b" " * (1 << 17), "headers": {"Content-Type": "application/json"}},
            400,
            4002,
            id="token",
        ),
        pytest.param(
            "/upload", {"files": {"x": (None, b"no file")}}, 400, 4000, id="form without a file"
        ),
    ],
)
def test_too_much(
    caller: requests.Session,
    sandbox: Sandbox,
    path: str,
    kwargs: dict[str, Any],
    status: int,
    code: int,
) -> None:
    """Anything held in memory has a limit, and a 4xx says so."""
    answer = caller.post(path, **kwargs)

    assert (status, code) == (answer.status_code, answer.json()["Code"])
    assert [] == list(sandbox.folder.glob("scratch/*/*.*"))


def test_parts_may_have_other_headers(caller: requests.Session, sandbox: Sandbox) -> None:
    """A part's own content type changes nothing; names may be Latin-1."""
    named = b"Content-Disposition: form-data; name=f; filename=\xe9.txt"
    head = b"Content-Type: text/plain\r\n" + named + b"\r\nX: y"

    caller.post("/upload", data=part(head, b"abc") + b"--b--", headers=FORM)

    assert [{"name": "é.txt", "size": 3}] == list(sandbox.files.values())


def test_json_value_that_is_a_list(caller: requests.Session) -> None:
    """A structured value is passed on as the JSON text that it is."""
    file = {"Name": "a.md", "Data": base64.b64encode(b"x").decode()}
    parameters = [
        {"Name": "File", "FileValue": file},
        {"Name": "StoreFile", "Value": [1, {"a": 2}]},
    ]

    body = caller.post("/convert/md/to/pdf", json={"Parameters": parameters}).json()

    assert [f"The value {json.dumps([1, {'a': 2}])!r} is not valid for StoreFile."] == body[
        "InvalidParameters"
    ]["StoreFile"]


def test_remote_file_that_is_too_large(
    sandbox: Sandbox, zipped: Call, caller: requests.Session
) -> None:
    """A remote file above `max_file_size` is treated like one that cannot be read."""
    with Sandbox(workers=1) as other:
        named = {"Content-Disposition": "attachment; filename=a.txt", "Accept": "*/*"}
        url = caller.post(other.url + "/upload", data=b"0123456789", headers=named).json()["Url"]
        sandbox.settings.allow_hosts = "127.0.0.1"
        sandbox.settings.max_file_size = 5
        refused = zipped(files=None, data={"Files[0]": url})
        sandbox.settings.max_file_size = None
        taken = zipped(files=None, data={"Files[0]": url})

    assert (500, 5008) == (refused.status_code, refused.json()["Code"])
    assert 200 == taken.status_code


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:99999/x.txt", "http:///x.txt", "https://[::1/x.txt"]
)
def test_remote_url_that_is_none(sandbox: Sandbox, zipped: Call, url: str) -> None:
    """A malformed URL is treated like one that cannot be read."""
    sandbox.settings.allow_hosts = "127.0.0.1"

    assert 5008 == zipped(files=None, data={"Files[0]": url}).json()["Code"]


def test_remote_file_of_a_wrong_kind(
    sandbox: Sandbox, zipped: Call, caller: requests.Session
) -> None:
    """The extension of a remote file is checked once its name is known; nothing is billed."""
    with Sandbox(workers=1) as other:
        sandbox.settings.allow_hosts = "127.0.0.1"
        answer = zipped(files=None, data={"Files[0]": f"{other.url}/info/openapi/docx/to/pdf"})

    assert (415, 415) == (answer.status_code, answer.json()["Code"])
    assert 0 == sandbox.billed


@pytest.mark.parametrize("hook", ["http://127.0.0.1:9/", "{origin}/nowhere"])
def test_web_hook_that_fails(sandbox: Sandbox, zipped: Call, poll: Call, hook: str) -> None:
    """A web hook that cannot be reached, or answers with an error, does not affect the job."""
    sandbox.settings.allow_hosts = "127.0.0.1"

    params = {"WebHook": hook.format(origin=sandbox.url)}
    job_id = zipped("/async/convert/file/to/zip", params=params).json()["JobId"]

    assert 200 == poll(job_id).status_code
    deadline = time.monotonic() + 10
    while sandbox.at_work:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_networks_that_are_none(sandbox: Sandbox, zipped: Call, signed: Callable[..., str]) -> None:
    """With networks switched on, an entry that is not a network matches nobody."""
    sandbox.settings.client_ip_networks = True

    answer = zipped(headers={"Authorization": f"Bearer {signed(clientIp='somewhere, 10.0.0.0/8')}"})

    assert (401, 4012) == (answer.status_code, answer.json()["Code"])


def test_wrong_basic_credentials(zipped: Call) -> None:
    """Basic credentials with another secret are refused like any wrong token."""
    pair = base64.b64encode(b"1:wrong").decode()

    assert 4013 == zipped(headers={"Authorization": f"Basic {pair}"}).json()["Code"]


def test_unknown_legacy_token(caller: requests.Session, sandbox: Sandbox) -> None:
    """Deleting an unknown token is a 404."""
    assert (
        404
        == caller.delete(
            "/token/none", headers={"Authorization": f"Bearer {sandbox.secret}"}
        ).status_code
    )


@pytest.fixture
def fragile() -> Iterator[Sandbox]:
    """Serve from a folder that a test may break."""
    with Sandbox(workers=1) as server:
        yield server


def test_disk_that_fails(
    fragile: Sandbox, caller: requests.Session, caplog: pytest.LogCaptureFixture
) -> None:
    """A failing disk makes a conversion fail, which is billed; elsewhere Code 50050, logged."""
    named = {"Content-Disposition": "attachment; filename=a.txt"}
    url = caller.post(fragile.url + "/upload", data=b"x", headers=named).json()["Url"]
    for name in ("files", "jobs"):
        shutil.rmtree(fragile.folder / name)
    files = {"Files[0]": ("a.txt", io.BytesIO(b"x"))}

    converted = caller.post(fragile.url + "/convert/file/to/zip?StoreFile=true", files=files)
    downloaded = caller.get(url)
    files = {"Files[0]": ("a.txt", io.BytesIO(b"x"))}
    job = caller.post(fragile.url + "/async/convert/file/to/zip", files=files).json()["JobId"]
    while (polled := caller.get(f"{fragile.url}/async/job/{job}")).status_code == 202:
        time.sleep(0.01)

    assert (500, 5001) == (converted.status_code, converted.json()["Code"])
    assert (2, 1) == (fragile.billed, fragile.requests[1].cost)
    assert (500, 50050) == (downloaded.status_code, downloaded.json()["Code"])
    assert (500, 5001) == (polled.status_code, polled.json()["Code"])
    assert "The sandbox failed" in caplog.text
