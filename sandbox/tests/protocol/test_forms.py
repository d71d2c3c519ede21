"""The five request forms, names, arrays, and how a document is named in them."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    from convertapi_sandbox import Sandbox

    Call = Callable[..., requests.Response]

ZIP = "/convert/file/to/zip"
DATA = base64.b64encode(b"some notes").decode()


def listed(answer: requests.Response) -> dict[str, bytes]:
    """Return the names and contents of an answered archive."""
    assert 200 == answer.status_code, answer.text
    [file] = answer.json()["Files"]
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(file["FileData"]))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def parameters(*items: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON body of those parameters."""
    return {"Parameters": list(items)}


@pytest.fixture
def uploaded(caller: requests.Session) -> dict[str, str]:
    """Upload one document and return the answer."""
    headers = {"Content-Disposition": 'attachment; filename="notes.txt"'}
    answer = caller.post("/upload", data=b"some notes", headers=headers)
    told: dict[str, str] = answer.json()
    return told


def test_multipart_files(caller: requests.Session) -> None:
    """Array parts have an index, which gives their order."""
    files = {"Files[1]": ("b.txt", b"second"), "files[0]": ("a.txt", b"first")}

    assert {"a.txt": b"first", "b.txt": b"second"} == listed(caller.post(ZIP, files=files))


@pytest.mark.parametrize("kind", ["FileId", "Url"])
def test_multipart_text_part_names_a_document(
    caller: requests.Session, uploaded: dict[str, str], kind: str
) -> None:
    """A file parameter may be a text part with a file id or a URL."""
    answer = caller.post(ZIP, files={"Files[0]": (None, uploaded[kind])})

    assert {"notes.txt": b"some notes"} == listed(answer)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(lambda _: {"Name": "notes.txt", "Data": DATA}, id="data"),
        pytest.param(lambda told: {"Id": told["FileId"]}, id="id"),
        pytest.param(lambda told: {"Url": told["Url"]}, id="url"),
    ],
)
def test_json_file_values(
    caller: requests.Session, uploaded: dict[str, str], value: Callable[[dict[str, str]], Any]
) -> None:
    """A JSON file value is base64 data with a name, a file id, or a URL."""
    body = parameters({"Name": "Files", "FileValues": [value(uploaded)]})

    assert {"notes.txt": b"some notes"} == listed(caller.post(ZIP, json=body))


def test_json_values_may_be_typed_or_text(caller: requests.Session, sandbox: Sandbox) -> None:
    """A Value is text, a boolean or a number."""
    files = {"Name": "Files", "FileValues": [{"Name": "notes.txt", "Data": DATA}]}
    for value in (True, "true", "True"):
        body = parameters(
            files, {"Name": "storefile", "Value": value}, {"Name": "Timeout", "Value": 60}
        )
        assert "FileId" in caller.post(ZIP, json=body).json()["Files"][0]
    assert 3 == len(sandbox.files)


@pytest.mark.parametrize("name", ["Files[0]", "files[0]", "FILES[0]", "Files", "Files[]"])
def test_urlencoded(caller: requests.Session, uploaded: dict[str, str], name: str) -> None:
    """An urlencoded form names documents by id; names are case-insensitive, indexes optional."""
    answer = caller.post(ZIP, data={name: uploaded["FileId"]})

    assert {"notes.txt": b"some notes"} == listed(answer)


def test_octet_stream_is_the_file(caller: requests.Session) -> None:
    """The body is the one File, named in Content-Disposition; parameters are in the query."""
    answer = caller.post(
        "/convert/md/to/pdf?filename=Renamed&STOREFILE=false",
        data=b"# Title\n",
        headers={
            "Content-Type": "application/octet-stream",
            "Content-Disposition": "attachment; filename*=UTF-8''a%20b%2B%C3%A9.md",
        },
    )

    [file] = answer.json()["Files"]
    assert "Renamed.pdf" == file["FileName"]
    assert base64.b64decode(file["FileData"]).startswith(b"%PDF")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_query_is_enough(caller: requests.Session, uploaded: dict[str, str], method: str) -> None:
    """A query without a body converts; GET answers with the bytes, for links in web pages."""
    answer = caller.request(
        method, ZIP, params={"Files[0]": uploaded["Url"]}, headers={"Accept": "*/*"}
    )

    if method == "GET":
        assert zipfile.is_zipfile(io.BytesIO(answer.content))
    else:
        assert {"notes.txt": b"some notes"} == listed(answer)


def test_link_that_is_to_be_shown(caller: requests.Session, uploaded: dict[str, str]) -> None:
    """`download=inline` in a link asks for the result to be shown, not saved."""
    params = {"Files[0]": uploaded["FileId"], "download": "inline"}

    disposition = caller.get(ZIP, params=params).headers.get("content-disposition", "")
    raw = caller.get(ZIP, params=params, headers={"Accept": "text/html"})

    assert "" == disposition  # this caller's Accept asks for JSON
    assert "inline; filename*=utf-8''notes.zip" == raw.headers["content-disposition"]


def test_query_and_body_combine(caller: requests.Session) -> None:
    """`?storefile=true` in addition to a body is what three official clients send."""
    answer = caller.post(ZIP + "?storefile=true", files={"Files[0]": ("a.txt", b"x")})

    assert "FileId" in answer.json()["Files"][0]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        pytest.param("0" * 32, 5009, id="unknown id"),
        pytest.param("report.docx", 5009, id="a local path sent as text"),
        pytest.param("http://127.0.0.1:9/x.txt", 5008, id="a host that is not allowed"),
        pytest.param("{origin}/d/" + "0" * 32, 5008, id="an expired URL of the sandbox"),
    ],
)
def test_document_that_cannot_be_had(
    caller: requests.Session, sandbox: Sandbox, value: str, code: int
) -> None:
    """A wrong id is 5009, a URL that cannot be read 5008; both are processed, and billed."""
    answer = caller.post(ZIP, data={"Files[0]": value.format(origin=sandbox.url)})

    assert (500, code) == (answer.status_code, answer.json()["Code"])
    assert 1 == sandbox.billed


def posted(body: str | bytes, content_type: str = "multipart/form-data; boundary=b") -> Any:
    """Return a request's body as it is, with its type."""
    return {"data": body, "headers": {"Content-Type": content_type}}


def multipart(*headers: str) -> Any:
    """Return a complete form, whose only part has additional headers."""
    lines = ["--b", 'Content-Disposition: form-data; name="File"; filename="a.txt"', *headers]
    return posted("\r\n".join([*lines, "", "text", "--b--", ""]))


@pytest.mark.parametrize(
    ("kwargs", "status", "code"),
    [
        pytest.param(posted("{", "application/json"), 400, 4002, id="bad JSON"),
        pytest.param({"json": ["x"]}, 400, 4002, id="JSON of another shape"),
        pytest.param({"json": parameters({"Value": 1})}, 400, 4002, id="JSON without a name"),
        pytest.param(posted("[" * 100_000, "application/json"), 400, 4002, id="deep JSON"),
        pytest.param(
            {"json": parameters({"Name": "File", "FileValue": {"Name": "a.txt"}})},
            400,
            4005,
            id="no data",
        ),
        pytest.param(
            {"json": parameters({"Name": "File", "FileValue": {"Name": "a.txt", "Data": "=%="}})},
            400,
            4005,
            id="bad base64",
        ),
        pytest.param(posted("x", "application/octet-stream"), 400, 4001, id="no name"),
        pytest.param(posted("x", "text/weird"), 415, 415, id="content type"),
        pytest.param(posted("--b\r\n", "multipart/form-data"), 400, 4000, id="no boundary"),
        pytest.param(posted("nonsense"), 400, 4000, id="bad multipart"),
        pytest.param(
            posted("--b\r\nContent-Disposition: form-data; name=f; filename=a.txt\r\n\r\nx"),
            400,
            4000,
            id="cut multipart",
        ),
        pytest.param(
            {"data": {f"p{i}": i for i in range(6000)}}, 400, 4000, id="too many parameters"
        ),
        pytest.param(multipart("X-Long: " + 20_000 * "x"), 400, 4000, id="long header of a part"),
        pytest.param(multipart(*10_000 * ["X: y"]), 400, 4000, id="many headers of a part"),
        pytest.param({}, 400, 4000, id="nothing"),
    ],
)
def test_unreadable_request(
    caller: requests.Session, sandbox: Sandbox, kwargs: dict[str, Any], status: int, code: int
) -> None:
    """A body that cannot be read is refused with its Code, and never billed."""
    answer = caller.post("/convert/txt/to/pdf", **kwargs)

    assert (status, code) == (answer.status_code, answer.json()["Code"])
    assert (0, []) == (sandbox.billed, list(sandbox.files))


def test_two_files_for_a_converter_of_one(caller: requests.Session) -> None:
    """Files for a single-input converter get the messages that users have reported."""
    files = {"Files[0]": ("a.txt", b"x"), "Files[1]": ("b.txt", b"y")}

    body = caller.post("/convert/txt/to/pdf", files=files).json()

    assert {
        "Code": 4000,
        "Message": "Parameter validation error.",
        "InvalidParameters": {
            "File": ["File size must be greater than 0 bytes.", "The File field is required."]
        },
    } == body


def test_lone_file_for_a_converter_of_many(caller: requests.Session, sandbox: Sandbox) -> None:
    """A single File is refused by a converter of Files, unless the switch allows it."""
    files = {"File": ("a.txt", b"x")}
    assert ["Files"] == list(caller.post(ZIP, files=files).json()["InvalidParameters"])

    sandbox.settings.lone_file = "accepted"

    assert 200 == caller.post(ZIP, files=files).status_code


def test_empty_file_is_refused(caller: requests.Session, sandbox: Sandbox) -> None:
    """A document of 0 bytes is a 400."""
    answer = caller.post("/convert/txt/to/pdf", files={"File": ("a.txt", b"")})

    assert ["File size must be greater than 0 bytes."] == answer.json()["InvalidParameters"]["File"]
    assert 0 == sandbox.billed


@pytest.mark.parametrize("name", ["virus.exe", "noextension", "", "notes.pdf"])
def test_wrong_extension_is_415(caller: requests.Session, name: str) -> None:
    """A document whose extension the converter does not list is a 415."""
    body = parameters({"Name": "File", "FileValue": {"Name": name, "Data": DATA}})

    answer = caller.post("/convert/txt/to/pdf", json=body)

    assert (415, 415) == (answer.status_code, answer.json()["Code"])


def test_json_is_not_read_for_ever(caller: requests.Session) -> None:
    """Names of the JSON form are case-insensitive too."""
    body = {"parameters": [{"name": "files", "filevalues": [{"name": "n.txt", "data": DATA}]}]}

    assert {"n.txt": b"some notes"} == listed(
        caller.post(
            ZIP, data=json.dumps(body), headers={"Content-Type": "application/json; charset=utf-8"}
        )
    )
