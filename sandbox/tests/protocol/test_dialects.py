"""What the vendor's clients for PHP, Ruby and Go, and its command line, send, request by request.

The cases are those of their own live tests. The Python client is tested in `test_python_sdk`, and
the one for Node.js in `tests/node`; both are the packages themselves.
"""

from __future__ import annotations

import base64
import http.client
import io
import json
import zipfile
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, urlencode, urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convertapi_sandbox import Sandbox

BOUNDARY = "------------------------d74496d66958873e"
HEADING = b"# Title\n\nSome text.\n"


@dataclass
class Reply:
    """One answer: its status, headers and body."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON; every client insists on it."""
        assert self.headers["content-type"].startswith("application/json"), self.headers
        return json.loads(self.body)


class Client:
    """A client's way to talk: what it always sends, how it uploads, and how it converts."""

    headers: ClassVar[dict[str, str]] = {}
    web = "url"
    merged_as = "Files[{}]"

    def __init__(self, sandbox: Sandbox, credential: str) -> None:
        self.origin = urlsplit(sandbox.url)
        self.credential = credential

    def send(
        self, method: str, path: str, body: Any = None, *, anonymous: bool = False, **more: str
    ) -> Reply:
        """Send a request with the client's own headers, on a connection of its own."""
        credentials = {} if anonymous else {"Authorization": f"Bearer {self.credential}"}
        headers = {
            **self.headers,
            **credentials,
            **{name.replace("_", "-"): value for name, value in more.items()},
        }
        connection = http.client.HTTPConnection(str(self.origin.netloc), timeout=30)
        connection.putrequest(method, path, skip_accept_encoding=True)
        chunked = isinstance(body, list)
        if body is not None and not chunked:
            headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body, encode_chunked=chunked)
        answer = connection.getresponse()
        reply = Reply(answer.status, answer.headers, answer.read())
        connection.close()
        return reply

    def upload(self, name: str, content: bytes) -> str:
        """Upload a document and return what a parameter names it by."""
        raise NotImplementedError

    def post(self, path: str, parameters: dict[str, str]) -> Reply:
        """Request a conversion whose results are stored."""
        raise NotImplementedError

    def convert(self, source: str, target: str, **parameters: str) -> list[dict[str, Any]]:
        """Convert, and return the description of each result."""
        reply = self.post(f"/convert/{source}/to/{target}", parameters)
        assert 200 == reply.status, reply.body
        files: list[dict[str, Any]] = reply.json()["Files"]
        return files

    def download(self, url: str) -> bytes:
        """Fetch a result, as all of them do: without credentials."""
        reply = self.send("GET", url.removeprefix(f"{self.origin.scheme}://{self.origin.netloc}"),
                          anonymous=True)  # fmt: skip
        assert 200 == reply.status
        return reply.body


class Php(Client):
    """convertapi-php 3: curl with a multipart form."""

    headers: ClassVar = {
        "User-Agent": "ConvertAPI-PHP/3.0.0",
        "Accept": "application/json",
        "Accept-Encoding": "gzip,deflate",
    }

    def upload(self, name: str, content: bytes) -> str:
        """Send the file as the body."""
        named = f"attachment; filename*=UTF-8''{quote(name)}"
        reply = self.send("POST", "/upload", content, Content_Type="application/octet-stream",
                          Content_Disposition=named)  # fmt: skip
        return str(reply.json()["FileId"])

    def post(self, path: str, parameters: dict[str, str]) -> Reply:
        """Send a multipart form."""
        fields = {**parameters, "StoreFile": "true"}
        parts = "".join(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        )
        body = f"{parts}--{BOUNDARY}--\r\n".encode()
        return self.send(
            "POST", path, body, Content_Type=f"multipart/form-data; boundary={BOUNDARY}"
        )


class Ruby(Client):
    """convertapi-ruby 3: Net::HTTP, uploads in chunks and without credentials."""

    headers: ClassVar = {
        "User-Agent": "ConvertAPI-Ruby/3.0.0",
        "Accept": "application/json",
        "Accept-Encoding": "gzip;q=1.0,deflate;q=0.6,identity;q=0.3",
    }

    def upload(self, name: str, content: bytes) -> str:
        """Send an IO of unknown size, in chunks."""
        named = f"attachment; filename*=UTF-8''{quote(name)}"
        reply = self.send("POST", "/upload", [content[:7], content[7:]], anonymous=True,
                          Transfer_Encoding="chunked", Content_Disposition=named,
                          Content_Type="application/octet-stream")  # fmt: skip
        return str(reply.json()["FileId"])

    def post(self, path: str, parameters: dict[str, str]) -> Reply:
        """Send an urlencoded form."""
        body = urlencode({**parameters, "StoreFile": "true"}).encode()
        return self.send("POST", path, body, Content_Type="application/x-www-form-urlencoded")


class Go(Client):
    """convertapi-go 4: no Accept header; the answer of an upload is the id and nothing else."""

    headers: ClassVar = {"User-Agent": "ConvertAPI-Go/4 (linux)", "Accept-Encoding": "gzip"}
    web = "web"

    def upload(self, name: str, content: bytes) -> str:
        """Send the name in the query."""
        reply = self.send("POST", f"/upload?filename={quote(name)}", content,
                          Content_Type="application/octet-stream")  # fmt: skip
        assert reply.headers["content-type"].startswith("text/plain")
        return reply.body.decode()

    def post(self, path: str, parameters: dict[str, str]) -> Reply:
        """Send StoreFile in the query."""
        return self.send("POST", f"{path}?storefile=true", urlencode(parameters).encode(),
                         Content_Type="application/x-www-form-urlencoded")  # fmt: skip


@pytest.fixture(params=[Php, Ruby, Go])
def client(request: pytest.FixtureRequest, sandbox: Sandbox) -> Client:
    """Return a client; one credential converts and reads the account, as in the vendor's tests."""
    made: Client = request.param(sandbox, sandbox.master_token)
    return made


@pytest.fixture
def note(client: Client) -> str:
    """Upload a small document whose name needs escaping."""
    return client.upload("test é (1).md", HEADING)


def test_file(client: Client, note: str, sandbox: Sandbox) -> None:
    """A document is uploaded, converted and downloaded."""
    [file] = client.convert("md", "pdf", File=note)

    assert "test é (1).pdf" == file["FileName"]
    content = client.download(file["Url"])
    assert (b"%PDF", file["FileSize"]) == (content[:4], len(content))
    assert 1 == sandbox.billed


def test_parameters_and_alternative_converter(client: Client, note: str) -> None:
    """Parameters go along; the path may name the engine."""
    reply = client.post(
        "/convert/md/to/pdf/converter/alternative",
        {"File": note, "PageSize": "a5", "FileName": "renamed", "Timeout": "60"},
    )

    assert "renamed.pdf" == reply.json()["Files"][0]["FileName"]


def test_pages_zipped(client: Client, two_pages: bytes) -> None:
    """Two pages become test.jpg and test-2.jpg, and these test.zip, named after the first."""
    pages = client.convert(
        "pdf", "jpg", File=client.upload("test.pdf", two_pages), ImageResolution="20"
    )
    named = {client.merged_as.format(n): page["Url"] for n, page in enumerate(pages)}
    [zipped] = client.convert("any", "zip", **named)

    assert ["test.jpg", "test-2.jpg"] == [page["FileName"] for page in pages]
    assert "test.zip" == zipped["FileName"]
    with zipfile.ZipFile(io.BytesIO(client.download(zipped["Url"]))) as archive:
        assert ["test.jpg", "test-2.jpg"] == archive.namelist()


def test_chain_and_merge(client: Client, note: str) -> None:
    """Results are inputs of the next conversion, by id as by URL."""
    [first] = client.convert("md", "pdf", File=note)

    [merged] = client.convert(
        "pdf", "merge", **{"Files[0]": first["FileId"], "Files[1]": first["Url"]}
    )

    assert client.download(merged["Url"]).startswith(b"%PDF")


def test_web_page(client: Client, sandbox: Sandbox) -> None:
    """`Url` converts a page, under either name of its source."""
    page = client.upload("page.html", b"<h1>Title</h1>")

    [file] = client.convert(client.web, "pdf", Url=f"{sandbox.url}/d/{page}")

    assert client.download(file["Url"]).startswith(b"%PDF")


def test_remote_file(client: Client, note: str, sandbox: Sandbox) -> None:
    """A file parameter may be a URL."""
    [file] = client.convert("md", "html", File=f"{sandbox.url}/d/{note}")

    assert b"Title" in client.download(file["Url"])


def test_account(client: Client, note: str) -> None:
    """The same credential reads the account."""
    client.convert("md", "html", File=note)

    user = client.send("GET", "/user", Accept="application/json").json()

    assert (1000, 1) == (user["ConversionsTotal"], user["ConversionsConsumed"])


def test_deletion(client: Client, note: str, sandbox: Sandbox) -> None:
    """A result and an upload are deleted, without credentials."""
    [file] = client.convert("md", "html", File=note)

    statuses = [
        client.send("DELETE", f"/d/{file_id}", anonymous=True).status
        for file_id in (file["FileId"], note)
    ]

    assert ([200, 200], {}) == (statuses, sandbox.files)


@pytest.mark.parametrize(
    ("parameters", "code", "text"),
    [
        ({"Timeout": "5"}, 4000, "between 10 and 1200"),
        ({"File": "x.md"}, 5009, "File id is not valid"),
    ],
)
def test_errors(
    client: Client, note: str, parameters: dict[str, str], code: int, text: str
) -> None:
    """An error has a Code, a message, and what is wrong with a parameter."""
    reply = client.post("/convert/md/to/pdf", {"File": note, **parameters})

    assert code == reply.json()["Code"]
    assert text in str(reply.json())


def test_wrong_credentials(client: Client, note: str) -> None:
    """They are told from missing ones by nobody: both are 4013."""
    client.credential = "wrong"

    assert 4013 == client.post("/convert/md/to/pdf", {"File": note}).json()["Code"]


def test_asynchronous(client: Client, note: str) -> None:
    """A job is started with the form, and polled without credentials."""
    started = client.post("/async/convert/md/to/pdf", {"File": note}).json()

    path = f"/async/job/{started['JobId']}"
    while (reply := client.send("GET", path, anonymous=True)).status == 202:
        pass

    assert "test é (1).pdf" == reply.json()["Files"][0]["FileName"]


# --- the command line -----------------------------------------------------------------------------


def form(fields: dict[str, str], **files: tuple[str, bytes]) -> bytes:
    """Return a multipart form."""
    start = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="'
    parts = [f'{start}{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items()]
    for key, (name, content) in files.items():
        parts.append(f'{start}{key}"; filename="{name}"\r\n\r\n'.encode() + content + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def results(reply: Reply) -> Iterator[tuple[str, bytes]]:
    """Yield the name and bytes of each part of a multipart/mixed answer."""
    head = f"Content-Type: {reply.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + reply.body)
    for part in message.iter_parts():
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        yield str(part.get_filename()), content


def test_command_line(sandbox: Sandbox, two_pages: bytes) -> None:
    """It sends the document in a form, takes multipart/mixed, and sends what pdf to png ignores."""
    cli = Client(sandbox, sandbox.token)

    reply = cli.send(
        "POST",
        "/convert/pdf/to/png",
        form({"Resolution": "150", "ImageResolution": "20"}, File=("two.pdf", two_pages)),
        Content_Type=f"multipart/form-data; boundary={BOUNDARY}",
        Accept="multipart/mixed",
    )

    found = dict(results(reply))
    assert ["two.png", "two-2.png"] == list(found)
    assert all(content.startswith(b"\x89PNG") for content in found.values())
    assert [["Resolution"]] == [entry.ignored for entry in sandbox.requests]


# --- programs of others ---------------------------------------------------------------------------


def test_free_check_of_a_credential(sandbox: Sandbox) -> None:
    """A program tests its token with a GET that has no document: 401 only if the token is wrong."""
    path = "/convert/docx/to/pdf"

    good = Client(sandbox, sandbox.token).send("GET", path)
    wrong = Client(sandbox, "wrong").send("GET", path)

    assert (400, 401) == (good.status, wrong.status)
    assert (4013, 0) == (wrong.json()["Code"], sandbox.billed)


def test_program_that_names_no_format(sandbox: Sandbox) -> None:
    """A program that sends a form and no Accept header finds the document in JSON."""
    body = form({}, File=("a.md", HEADING))
    kind = f"multipart/form-data; boundary={BOUNDARY}"

    reply = Client(sandbox, sandbox.token).send(
        "POST", "/convert/md/to/pdf", body, Content_Type=kind
    )

    assert base64.b64decode(reply.json()["Files"][0]["FileData"]).startswith(b"%PDF")
