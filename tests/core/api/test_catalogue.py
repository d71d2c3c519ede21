"""The catalogue: what it holds, and how a source and a target lead to a converter."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_convertapi.api.converters import (
    Catalogue,
    catalogue,
    shipped_catalogue,
    use_catalogue,
)
from airflow_provider_convertapi.api.openapi import catalogue_text
from airflow_provider_convertapi.api.parameters import complaint

SHIPPED = Catalogue(shipped_catalogue())


def test_every_converter_is_there_with_every_parameter() -> None:
    """The numbers are those of ConvertAPI's document; each line can be read."""
    converters = [SHIPPED.converter(*pair) for pair in SHIPPED.pairs()]

    assert 314 == len(converters)
    assert 2565 == sum(len(converter.parameters) for converter in converters)
    assert [] == [one.name for one in converters if not one.results]


def test_defaults_are_valid() -> None:
    """What the service takes where nothing is given would not be refused here."""
    wrong = [
        (converter.name, parameter.name)
        for pair in SHIPPED.pairs()
        for converter in [SHIPPED.converter(*pair)]
        for parameter in converter.parameters.values()
        if parameter.default is not None and complaint(parameter, parameter.default)
    ]

    assert [] == wrong


@pytest.mark.parametrize(
    ("origin", "target", "route"),
    [
        ("docx", "pdf", "docx to pdf"),
        ("doc", "pdf", "docx to pdf"),
        ("doc", "docx", "doc to docx"),
        ("pdf", "validate", "pdfa to validate"),
        ("anything", "zip", "file to zip"),
        ("", "zip", "file to zip"),
        ("any", "zip", "file to zip"),
        ("url", "pdf", "web to pdf"),
        ("jpeg", "pdf", "jpg to pdf"),
        ("jpeg", "jpg", "jpg to jpg"),
        ("tif", "jpg", "tiff to jpg"),
        ("htm", "md", "html to md"),
        ("msg", "pdf", "msg to pdf"),
        ("eml", "metadata", "email to metadata"),
        ("pps", "pdf", "ppsx to pdf"),
        ("png", "join", "images to join"),
        ("png", "moderate", "image to moderate"),
        ("pdf", "watermark-overlay", "pdf to pdf-watermark"),
        ("pdf", "encrypt", "pdf to protect"),
        ("data", "qrcode", "data to qrcode"),
        ("docx", "mp4", None),
        ("mp4", "pdf", None),
        ("", "pdf", None),
    ],
)
def test_pair_leads_to_its_converter(origin: str, target: str, route: str | None) -> None:
    """By its name, by an extension that it takes, and by a former name; else there is none."""
    found = SHIPPED.find(origin, target)

    assert route == (found and found.name)


@pytest.mark.parametrize(
    ("formats", "target", "source"),
    [
        (["pdf", "pdf"], "merge", "pdf"),
        (["png", "jpg"], "pdf", "images"),
        (["jpg", "jpeg"], "gif", "jpg"),
        (["docx", "xyz"], "zip", "file"),
        (["docx", "docx"], "pdf", None),
        (["bmp", "png"], "pdf", None),
    ],
)
def test_files_that_are_converted_together(
    formats: list[str], target: str, source: str | None
) -> None:
    """A converter of several files takes them if it takes each."""
    found = SHIPPED.find_for_all(formats, target)

    assert source == (found and found.source)


@pytest.mark.parametrize(
    ("pair", "parameters", "made"),
    [
        (("docx", "pdf"), {}, "pdf"),
        (("docx", "protect"), {}, "docx"),
        (("pdf", "ocr"), {}, "pdf"),
        (("pdf", "ocr"), {"outputtype": "TXT"}, "txt"),
        (("data", "qrcode"), {}, "svg"),
        (("data", "qrcode"), {"OutputFormat": "png"}, "png"),
        (("pdf", "extract-images"), {}, None),
        (("pdf", "extract-images"), {"ImageOutputFormat": "png"}, "png"),
        (("zip", "extract"), {}, None),
        (("pdf", "meta"), {}, "json"),
        (("html", "docx"), {}, "docx"),
    ],
)
def test_format_of_results(
    pair: tuple[str, str], parameters: dict[str, Any], made: str | None
) -> None:
    """It is the target's, the source's, the one that a parameter chooses, or the service's."""
    assert made == SHIPPED.converter(*pair).result_format(pair[0], parameters)


def test_only_what_is_asked_for_is_read() -> None:
    """The lines of other converters are not parsed, so that they may even be broken."""
    lines = shipped_catalogue().split(b"\n")
    broken = [lines[0], *(line if b'"docx/to/pdf"' in line else b"{" for line in lines[1:])]

    found = Catalogue(b"\n".join(broken)).find("doc", "pdf")

    assert found
    assert "docx" == found.source


def test_another_catalogue(tmp_path: Any) -> None:
    """A file takes the place of the provider's own, is read again when it changes, and may go."""
    file, new = tmp_path / "newer.jsonl", {"route": "docx/to/mp4", "from": ["docx"], "to": ["mp4"]}
    use_catalogue(str(file))
    assert catalogue().find("docx", "mp4") is None

    file.write_bytes(catalogue_text([{**new, "parameters": []}], "a test"))
    try:
        use_catalogue(str(file))
        assert catalogue().find("docx", "mp4")
        assert catalogue().find("docx", "pdf") is None
    finally:
        use_catalogue("")

    assert catalogue().find("docx", "pdf")


def test_foreign_file_is_no_catalogue(tmp_path: Any) -> None:
    """It is refused before anything is looked up in it."""
    file = tmp_path / "x.jsonl"
    file.write_text(json.dumps({"catalogue": 2}) + "\n")

    with pytest.raises(ValueError, match="not a catalogue"):
        use_catalogue(str(file))
