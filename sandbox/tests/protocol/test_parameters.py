"""Routes and parameters: aliases, types, ranges, names of results, and refusals."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from convertapi_sandbox.engines import MISSING

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    from convertapi_sandbox import Sandbox

    Call = Callable[..., requests.Response]


@pytest.mark.parametrize(
    ("route", "name"),
    [
        ("any/to/zip", "notes.txt"),
        ("txt/to/zip", "notes.txt"),
        ("FILE/to/ZIP", "notes.txt"),
        ("pdf/to/zip", "notes.pdf"),
    ],
)
def test_aliases_lead_to_the_converter(caller: requests.Session, route: str, name: str) -> None:
    """Old names, extensions and upper case route to the canonical converter."""
    answer = caller.post(f"/convert/{route}", files={"Files[0]": (name, b"x")})

    assert 200 == answer.status_code


def test_alternative_engine_is_the_same_here(zipped: Call) -> None:
    """The older path, with the name of an engine, works as well."""
    assert 200 == zipped("/convert/file/to/zip/converter/whatever").status_code


@pytest.mark.parametrize(("status", "code"), [(400, 4000), (415, 415), (404, 404)])
def test_unknown_pair(caller: requests.Session, sandbox: Sandbox, status: int, code: int) -> None:
    """An unknown pair is refused with the status of the switch."""
    sandbox.settings.unknown_pair_status = status  # type: ignore[assignment]  # each is listed

    answer = caller.post("/convert/docx/to/mp3", files={"File": ("a.docx", b"x")})

    assert (status, code) == (answer.status_code, answer.json()["Code"])
    assert 0 == sandbox.billed


def test_pair_without_an_engine_says_who_has_one(
    caller: requests.Session, sandbox: Sandbox
) -> None:
    """A pair of the service that the sandbox cannot do is a 4xx that says so; nothing is faked."""
    answer = caller.post("/convert/dwg/to/pdf", files={"File": ("a.dwg", b"x")})

    assert 415 == answer.status_code
    assert "the real service" in answer.json()["Message"]
    assert 0 == sandbox.billed


@pytest.mark.skipif(("pdf", "ocr") not in MISSING, reason="text recognition is installed")
def test_pair_whose_engine_is_not_installed_says_how(
    caller: requests.Session, sandbox: Sandbox, two_pages: bytes
) -> None:
    """Text recognition is an extra: without it the answer names the command that adds it."""
    answer = caller.post("/convert/pdf/to/ocr", files={"File": ("a.pdf", two_pages)})

    assert (415, 415) == (answer.status_code, answer.json()["Code"])
    assert "python -m pip install 'convertapi-sandbox[ocr]'" in answer.json()["Message"]
    assert 0 == sandbox.billed


@pytest.mark.parametrize(
    ("data", "invalid"),
    [
        ({"Timeout": "5"}, {"Timeout": ["The field Timeout must be between 10 and 1200."]}),
        ({"Timeout": "1201"}, {"Timeout": ["The field Timeout must be between 10 and 1200."]}),
        ({"Timeout": "soon"}, {"Timeout": ["The value 'soon' is not valid for Timeout."]}),
        ({"Timeout": "10.5"}, {"Timeout": ["The value '10.5' is not valid for Timeout."]}),
        ({"Timeout": "1_0"}, {"Timeout": ["The value '1_0' is not valid for Timeout."]}),
        ({"Timeout": "nan"}, {"Timeout": ["The value 'nan' is not valid for Timeout."]}),
        ({"StoreFile": "yes"}, {"StoreFile": ["The value 'yes' is not valid for StoreFile."]}),
        (
            {"FileName": "n" * 201},
            {"FileName": ["The field FileName must be a string with a length between 1 and 200."]},
        ),
        (
            {"CompressionLevel": "most", "timeout": "0"},
            {
                "CompressionLevel": [
                    (
                        "The value 'most' is not valid for CompressionLevel. "
                        "Allowed: Optimal, Medium, Fastest, NoCompression."
                    )
                ],
                "Timeout": ["The field Timeout must be between 10 and 1200."],
            },
        ),
    ],
)
def test_invalid_parameters_are_named_together(
    zipped: Call, sandbox: Sandbox, data: dict[str, str], invalid: dict[str, list[str]]
) -> None:
    """All errors are reported together, under canonical names, and cost nothing."""
    body = zipped(data=data).json()

    assert (4000, invalid) == (body["Code"], body["InvalidParameters"])
    assert 0 == sandbox.billed


def test_required_parameter_is_asked_for(caller: requests.Session) -> None:
    """A parameter that is required and has no default must be given."""
    answer = caller.post("/convert/pdf/to/text-watermark", files={"File": ("a.pdf", b"%PDF")})

    assert {"Text": ["The Text field is required."]} == answer.json()["InvalidParameters"]


def test_values_are_read_without_regard_to_case(zipped: Call) -> None:
    """Allowed values and booleans may be in any case; empty ones count as not sent."""
    answer = zipped(data={"compressionlevel": "OPTIMAL", "STOREFILE": "False", "Timeout": ""})

    assert 200 == answer.status_code


def test_unknown_parameters(zipped: Call, sandbox: Sandbox) -> None:
    """Parameters that no converter has are ignored, or refused if the switch says so."""
    assert 200 == zipped(data={"Surprise": "1"}).status_code

    sandbox.settings.unknown_parameters = "refused"

    assert ["Surprise"] == list(zipped(data={"Surprise": "1"}).json()["InvalidParameters"])


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("report", "report.zip"),
        ("report.zip", "report.zip"),
        ("../../etc/passwd", "_.._etc_passwd.zip"),
        ("ünï \u2713", "ünï \u2713.zip"),
        ("n" * 200, "n" * 196 + ".zip"),
        ("a\x00b\x1f", "a_b_.zip"),
    ],
)
def test_file_name_is_sanitised(zipped: Call, wanted: str, name: str) -> None:
    """FileName is the base of the result's name, without a path and at most 200 bytes long."""
    [file] = zipped(data={"FileName": wanted}).json()["Files"]

    assert name == file["FileName"]


@pytest.mark.parametrize(
    ("style", "names"),
    [("dash", ["doc.jpg", "doc-2.jpg"]), ("underscore", ["doc_0.jpg", "doc_1.jpg"])],
)
def test_several_results_are_numbered(
    caller: requests.Session, sandbox: Sandbox, two_pages: bytes, style: str, names: list[str]
) -> None:
    """Several results of one input are numbered, in either documented style."""
    sandbox.settings.name_index = style  # type: ignore[assignment]  # each is listed

    answer = caller.post(
        "/convert/pdf/to/jpg",
        files={"File": ("doc.pdf", two_pages)},
        data={"ImageResolution": "20"},
        headers={"Accept": "application/octet-stream"},
    )

    files = answer.json()["Files"]  # raw bytes hold one result, so several are JSON
    assert names == [file["FileName"] for file in files]
    assert all(base64.b64decode(file["FileData"]).startswith(b"\xff\xd8") for file in files)


def test_parameter_of_another_converter_is_ignored(
    caller: requests.Session, sandbox: Sandbox, two_pages: bytes
) -> None:
    """The service ignores what its converter does not have; the journal tells it."""
    answer = caller.post(
        "/convert/pdf/to/png",
        files={"File": ("doc.pdf", two_pages)},
        data={"Resolution": "5", "imageresolution": "20", "Files": "x", "StoreFile": "true"},
    )

    assert 200 == answer.status_code
    [entry] = sandbox.requests
    assert ["Resolution"] == entry.ignored


def test_default_is_accepted_also_where_no_engine_can_do_it(caller: requests.Session) -> None:
    """To send a default is to leave the parameter out."""
    data = {"JavaScript": "true", "CssMediaType": "screen"}
    files = {"File": ("a.html", b"<p>A")}

    answer = caller.post("/convert/html/to/pdf", files=files, data=data)
    other = caller.post("/convert/html/to/pdf", files=files, data={"JavaScript": "false"})

    assert [200, 200] == [answer.status_code, other.status_code]
    assert {"CssMediaType"} == set(
        caller.post(
            "/convert/html/to/pdf", files=files, data={**data, "CssMediaType": "print"}
        ).json()["InvalidParameters"]
    )
