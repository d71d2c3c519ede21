"""The vendor's own Python client (package `convertapi`), unchanged, against the sandbox."""

from __future__ import annotations

import gc
import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import convertapi
import pikepdf
import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convertapi_sandbox import Sandbox


# The client leaves its files and its sessions to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def _configured(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Point the client, whose configuration is global, to the sandbox."""
    monkeypatch.setattr(convertapi, "base_uri", sandbox.url + "/")
    monkeypatch.setattr(convertapi, "api_credentials", sandbox.token)
    monkeypatch.setattr(convertapi, "conversion_timeout", None)
    yield
    gc.collect()  # now, while its warnings are expected


@pytest.fixture
def page(tmp_path: Path) -> str:
    """Return the path of a small document whose name needs escaping."""
    path = tmp_path / "a note (1) é.md"
    path.write_bytes(b"# Title\n\nSome text.\n")
    return str(path)


def test_convert_a_file(page: str, tmp_path: Path, sandbox: Sandbox) -> None:
    """A local file is uploaded, converted, and downloaded under its name."""
    result = convertapi.convert("pdf", {"File": page})
    [saved] = result.save_files(str(tmp_path))

    assert 1 == result.conversion_cost
    assert str(tmp_path / "a note (1) é.pdf") == saved
    with pikepdf.open(saved) as document:
        assert 1 == len(document.pages)
    assert 1 == sandbox.billed


def test_upload_a_stream(tmp_path: Path) -> None:
    """An open stream is uploaded under the given name."""
    stream = convertapi.UploadIO(io.BytesIO(b"# Title\n"), "stream.md")

    result = convertapi.convert("pdf", {"File": stream, "FileName": "renamed"})

    assert ("md", 32) == (stream.file_ext, len(stream.file_id))
    assert "renamed.pdf" == result.file.filename
    assert result.file.io.getvalue().startswith(b"%PDF")
    assert result.file.size == len(result.file.io.getvalue())


def test_merge(two_pages: bytes, tmp_path: Path) -> None:
    """Several files become one; the client uploads them in parallel."""
    paths = []
    for name in ("one.pdf", "two.pdf"):
        paths.append(str(tmp_path / name))
        (tmp_path / name).write_bytes(two_pages)

    saved = convertapi.convert("merge", {"Files": paths}).file.save(str(tmp_path / "merged.pdf"))

    with pikepdf.open(saved) as document:
        assert 4 == len(document.pages)


def test_zip_and_chain(page: str, tmp_path: Path, sandbox: Sandbox) -> None:
    """A result can be an input of the next conversion, by its URL; `zip` goes through `any`."""
    first = convertapi.convert("pdf", {"File": page})
    second = convertapi.convert("zip", {"Files": [first.file, page]})

    saved = second.file.save(str(tmp_path / "all.zip"))

    assert {"a note (1) é.pdf", "a note (1) é.md"} == set(zipfile.ZipFile(saved).namelist())
    assert 2 == sandbox.billed


def test_several_results(two_pages: bytes, tmp_path: Path) -> None:
    """Each page becomes a separate file."""
    stream = convertapi.UploadIO(io.BytesIO(two_pages), "pages.pdf")

    result = convertapi.convert("jpg", {"File": stream, "ImageResolution": 20})
    saved = result.save_files(str(tmp_path))

    assert 2 == len(set(saved))
    assert all(Path(path).read_bytes().startswith(b"\xff\xd8") for path in saved)


def test_delete(page: str, sandbox: Sandbox) -> None:
    """Documents that the client stored can be deleted by their URL."""
    file = convertapi.convert("pdf", {"File": page}).file

    assert 200 == requests.delete(file.url, timeout=9).status_code
    assert 404 == requests.get(file.url, timeout=9).status_code
    assert ["a note (1) é.md"] == [item["name"] for item in sandbox.files.values()]


def test_url_of_another_host_is_not_fetched(sandbox: Sandbox) -> None:
    """A web page on a host that nobody allowed is Code 5008."""
    with pytest.raises(convertapi.ApiError) as caught:
        convertapi.convert("pdf", {"Url": "http://127.0.0.1:9/"})

    assert 5008 == caught.value.code


def test_own_page_is_converted(sandbox: Sandbox) -> None:
    """A page stored in the sandbox itself is converted as `web`."""
    page = convertapi.UploadIO(io.BytesIO(b"<h1>Title</h1>"), "page.html")
    url = f"{sandbox.url}/d/{page.file_id}"

    assert convertapi.convert("pdf", {"Url": url}).file.io.getvalue().startswith(b"%PDF")


def test_user(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The master token can read the account."""
    monkeypatch.setattr(convertapi, "api_credentials", sandbox.master_token)

    assert 1000 == convertapi.user()["ConversionsTotal"]


def test_parameters_that_are_refused(page: str) -> None:
    """The client shows Code, message and what is wrong with each parameter."""
    with pytest.raises(convertapi.ApiError) as caught:
        convertapi.convert("pdf", {"File": page, "PageSize": "a4", "MarginTop": "wide"})

    assert (4000, {"MarginTop": ["The value 'wide' is not valid for MarginTop."]}) == (
        caught.value.code,
        caught.value.invalid_parameters,
    )


def test_timeout_out_of_range(page: str) -> None:
    """Its timeout argument becomes `Timeout`, which has a range."""
    with pytest.raises(convertapi.ApiError, match="between 10 and 1200"):
        convertapi.convert("pdf", {"File": page}, timeout=5)


def test_damaged_document(sandbox: Sandbox) -> None:
    """A damaged document is an error with a Code, and billed."""
    with pytest.raises(convertapi.ApiError) as caught:
        convertapi.convert(
            "jpg", {"File": convertapi.UploadIO(io.BytesIO(b"%PDF-1.7 broken"), "b.pdf")}
        )

    assert caught.value.code in (5001, 5002)
    assert 1 == sandbox.billed


@pytest.mark.parametrize(("balance", "token", "code"), [(0, None, 403), (9, "wrong", 4013)])
def test_refusals(
    page: str,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    balance: int,
    token: str | None,
    code: int,
) -> None:
    """Quota and wrong credentials reach the user with their Codes."""
    sandbox.balance = balance
    monkeypatch.setattr(convertapi, "api_credentials", token or sandbox.token)

    with pytest.raises(convertapi.ApiError) as caught:
        convertapi.convert("pdf", {"File": page})

    assert code == caught.value.code


def test_answer_that_is_no_json(page: str, sandbox: Sandbox) -> None:
    """A proxy's HTML page reaches the user as the HTTP error that it is."""
    sandbox.fail("POST /convert", html=True)

    with pytest.raises(requests.HTTPError, match="502"):
        convertapi.convert("pdf", {"File": page})


def test_truncated_download(page: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """A download that ends early is an error, not a truncated file."""
    file = convertapi.convert("pdf", {"File": page}).file
    sandbox.fail("GET /d", truncate=100)

    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        file.save(str(tmp_path / "short.pdf"))
