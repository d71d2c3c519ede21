"""/info: the list of converters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import requests


@pytest.fixture(autouse=True)
def _anonymous(caller: requests.Session) -> None:
    del caller.headers["Authorization"]


def test_list_of_all(caller: requests.Session) -> None:
    """Every pair of the catalogue is described with its parameters."""
    items = caller.get("/info").json()

    assert 314 == len(items)
    [docx] = [
        i
        for i in items
        if (["docx"], ["pdf"]) == (i["SourceFileFormats"], i["DestinationFileFormats"])
    ]
    parameters = {
        p["Name"]: p
        for group in docx["ConverterParameterGroups"]
        for p in group["ConverterParameters"]
    }
    assert ["doc", "docx"] == docx["SourceExtensions"]
    assert ("File", True) == (parameters["File"]["Type"], parameters["File"]["Required"])
    assert {"none", "headings", "bookmarks"} == set(parameters["BookmarkMode"]["Values"])
    assert {"Timeout", "StoreFile", "FileName"} < set(parameters)


@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("/info/docx/to/pdf", 1),
        ("/info/doc/to/pdf", 1),
        ("/info/zip/to/*", 2),
        ("/info/*/to/zip", 1),
        ("/info/heif/to/*", 5),
        ("/info/a/to/b", 0),
    ],
)
def test_filtered_list(caller: requests.Session, path: str, count: int) -> None:
    """Either side may be an alias or `*`; an unknown pair is an empty list."""
    assert count == len(caller.get(path).json())


def test_one_converter(caller: requests.Session) -> None:
    """A converter is found by its name."""
    assert "PDF to ZIP API" not in caller.get("/info/converter/docx-to-pdf").json()["Title"]
    missing = caller.get("/info/converter/nothing")
    assert 404 == missing.status_code
    assert "There is no such converter." == missing.json()["Message"]


@pytest.mark.parametrize(
    ("path", "status"), [("docx/to/pdf", 200), ("url/to/pdf", 200), ("docx/to/mp3", 404)]
)
def test_can_convert(caller: requests.Session, path: str, status: int) -> None:
    """The status alone says whether there is a converter."""
    assert status == caller.get(f"/info/canconvert/{path}").status_code


def test_openapi(caller: requests.Session) -> None:
    """The OpenAPI document contains every route, or the requested one."""
    whole, one = caller.get("/info/openapi").json(), caller.get("/info/openapi/doc/to/pdf").json()

    assert 314 == len(whole["paths"])
    assert ["/convert/docx/to/pdf"] == list(one["paths"])
    schema = one["paths"]["/convert/docx/to/pdf"]["post"]["requestBody"]["content"][
        "multipart/form-data"
    ]["schema"]
    assert {"type": "integer", "format": "int32", "minimum": 10, "maximum": 1200} == schema[
        "properties"
    ]["Timeout"]
    assert ["File"] == schema["required"]
    assert 404 == caller.get("/info/openapi/docx/to/mp3").status_code
