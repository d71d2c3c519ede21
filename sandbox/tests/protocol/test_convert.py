"""Direct conversions: the answers, and what they cost."""

from __future__ import annotations

import base64
import io
import zipfile
from email.parser import BytesParser
from email.policy import default
from typing import TYPE_CHECKING

import pytest

from convertapi_sandbox import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    from convertapi_sandbox import Sandbox

    Call = Callable[..., requests.Response]


def test_json_answer_holds_the_document(sandbox: Sandbox, zipped: Call) -> None:
    """Without StoreFile the result is in the answer, in base64, and nothing is stored."""
    answer = zipped()

    body = answer.json()
    [file] = body["Files"]
    archive = zipfile.ZipFile(io.BytesIO(base64.b64decode(file["FileData"])))
    assert 200 == answer.status_code
    assert 1 == body["ConversionCost"]
    assert {"FileName", "FileExt", "FileSize", "FileData"} == set(file)
    assert ("notes.zip", "zip") == (file["FileName"], file["FileExt"])
    assert len(base64.b64decode(file["FileData"])) == file["FileSize"]
    assert b"some notes" == archive.read("notes.txt")
    assert (1, {}) == (sandbox.billed, sandbox.files)


def test_stored_result_has_an_id_and_a_url(
    sandbox: Sandbox, caller: requests.Session, zipped: Call
) -> None:
    """With StoreFile=true the answer has the URL of the result instead of its bytes."""
    [file] = zipped(data={"StoreFile": "true"}).json()["Files"]

    download = caller.get(file["Url"])
    assert {"FileName", "FileExt", "FileSize", "FileId", "Url"} == set(file)
    assert f"{sandbox.url}/d/{file['FileId']}/notes.zip" == file["Url"]
    assert file["FileSize"] == len(download.content)
    assert {file["FileId"]: {"name": "notes.zip", "size": file["FileSize"]}} == sandbox.files


def test_multipart_answer_has_a_part_per_result(zipped: Call) -> None:
    """Accept: multipart/mixed gives the bytes, with cost, name and size in each part's headers."""
    answer = zipped(headers={"Accept": "multipart/mixed"})

    head = b"Content-Type: " + answer.headers["content-type"].encode() + b"\r\n\r\n"
    message = BytesParser(policy=default).parsebytes(head + answer.content)
    [part] = message.iter_parts()
    data = part.get_payload(decode=True)
    assert isinstance(data, bytes)
    assert "1" == part["ConversionCost"]
    assert "notes.zip" == part.get_filename()
    told = f"Content-Disposition: attachment; filename*=utf-8''notes.zip; size={len(data)}\r\n"
    assert told.encode() in answer.content
    assert zipfile.is_zipfile(io.BytesIO(data))


def test_raw_answer_is_the_document(zipped: Call) -> None:
    """Accept: application/octet-stream gives the bytes and nothing else."""
    answer = zipped(headers={"Accept": "application/octet-stream"})

    assert zipfile.is_zipfile(io.BytesIO(answer.content))
    assert "attachment; filename*=utf-8''notes.zip" == answer.headers["content-disposition"]


def test_failed_conversion_is_billed(sandbox: Sandbox, caller: requests.Session) -> None:
    """A document that cannot be read ends in 500 with a Code, and costs one."""
    answer = caller.post(
        "/convert/pdf/to/merge", files={"Files[0]": ("broken.pdf", b"%PDF-1.7 nothing else")}
    )

    assert 500 == answer.status_code
    assert answer.json()["Code"] in (5001, 5002)
    assert 1 == sandbox.billed


@pytest.mark.parametrize("path", ["/convert/file/to/zip", "/async/convert/file/to/zip"])
def test_exhausted_quota_refuses_and_bills_nothing(
    sandbox: Sandbox, zipped: Call, path: str
) -> None:
    """At a balance of 0 the answer is 403; the journal says that billing was asked."""
    sandbox.balance = 0

    answer = zipped(path)

    assert (403, 403) == (answer.status_code, answer.json()["Code"])
    assert 0 == sandbox.billed
    [entry] = sandbox.requests
    assert (403, 403, True, 0) == (entry.status, entry.code, entry.paid, entry.cost)


def test_journal_tells_what_a_request_led_to(sandbox: Sandbox, zipped: Call) -> None:
    """Each request is in the journal with its credential, its status and its cost."""
    zipped()

    [entry] = sandbox.requests.filter(method="POST", path="/convert/*")
    assert (200, None, True, 1) == (entry.status, entry.code, entry.paid, entry.cost)
    assert ("api_token", None) == (entry.authorization_kind, entry.claims)


def test_reset_forgets_everything(sandbox: Sandbox, zipped: Call) -> None:
    """Journal, faults, documents, balance and switches are reset."""
    sandbox.settings.token_answer = "text"
    sandbox.fail("GET /user", status=500)
    zipped(data={"StoreFile": "true"})

    sandbox.reset()

    assert ([], [], {}, 0, 1000) == (
        sandbox.requests,
        sandbox.faults,
        sandbox.files,
        sandbox.billed,
        sandbox.balance,
    )
    assert Settings() == sandbox.settings
