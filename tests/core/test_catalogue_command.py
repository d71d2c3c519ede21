"""`python -m airflow_provider_convertapi.catalogue`, without Airflow."""

from __future__ import annotations

import subprocess
import sys

import pytest

from airflow_provider_convertapi.api.converters import Catalogue, catalogue
from airflow_provider_convertapi.api.openapi import catalogue_text, converters_of
from airflow_provider_convertapi.catalogue import describe, differences, main


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["DOCX", "pdf"], "BookmarkMode     none | headings | bookmarks, default 'headings'"),
        (["pdf", "validate"], "pdfa to validate"),
        (["pdf", "merge"], 'source=["/data/in/a.pdf", "/data/in/b.pdf"]'),
        (["data", "qrcode"], "source=None"),
        (["web", "pdf"], 'source="https://example.com/"'),
        (["office", "pdf"], 'from_format="office"'),
        (["mobi", "pdf"], "margins are in points"),
        (["docx"], "docx can become: compare, docx"),
        (["--search", "markdown"], "to md: docx, html, pdf"),
        (["--search", "RedactionData"], "pdf to redact: RedactionData"),
        (["--search", "nonsense"], "Nothing is called 'nonsense'."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_asked_for(arguments: list[str], shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints what a person wants to know."""
    assert 0 == main(arguments)

    assert shown in capsys.readouterr().out


def test_unknown_pair(capsys: pytest.CaptureFixture[str]) -> None:
    """It says what there is instead."""
    assert 1 == main(["docx", "mp4"])

    assert "docx can become" in capsys.readouterr().err


def test_unknown_format(capsys: pytest.CaptureFixture[str]) -> None:
    """A format that no converter takes is as wrong alone as in a pair."""
    assert 1 == main(["dcox"])

    assert "ConvertAPI takes no such files; did you mean `docx`?" in capsys.readouterr().err


def test_reader_that_has_enough() -> None:
    """`… | head` ends without a traceback."""
    command = [sys.executable, "-m", "airflow_provider_convertapi.catalogue", "--search", "p"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        said = process.stderr.read()

    assert (b"", 0) == (said, process.returncode)


def test_nothing_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """It says how to ask."""
    assert 2 == main([])

    assert "usage" in capsys.readouterr().err


def test_every_pair_can_be_described() -> None:
    """Each has an example, and a line for each parameter."""
    for source, target in catalogue().pairs():
        converter = catalogue().converter(source, target)
        text = "\n".join(describe(converter, source))

        assert "ConvertApiOperator(" in text
        assert all(p.name in text for p in converter.parameters.values() if not p.is_input)


OPENAPI = {
    "paths": {
        "/convert/docx/to/pdf": {
            "post": {
                "x-ca-source-formats": "doc,docx",
                "x-ca-destination-formats": "pdf",
                "requestBody": {
                    "content": {
                        "multipart/form-data": {
                            "schema": {
                                "required": ["File"],
                                "properties": {
                                    "File": {
                                        "type": "string",
                                        "format": "binary",
                                        "x-ca-allowed-extensions": ".doc,.docx",
                                    },
                                    "StoreFile": {"type": "boolean"},
                                    "PageRange": {
                                        "type": "string",
                                        "default": "1-9000",
                                        "x-ca-range": {"from": "1", "to": "9000"},
                                    },
                                    "Zoom": {"type": "integer", "minimum": 1, "maximum": 9},
                                    "Tint": {"type": "string", "x-ca-type": "Color"},
                                    "BookmarkMode": {"type": "string", "enum": ["none", "all"]},
                                },
                            }
                        }
                    }
                },
            }
        },
        "/convert/docx/to/hologram": {"post": {"x-ca-destination-formats": ["hologram"]}},
        "/upload": {"post": {}},
    }
}


def test_catalogue_of_an_openapi_document() -> None:
    """Types, ranges, choices and formats are read; what is not a converter is left out."""
    new = Catalogue(catalogue_text(converters_of(OPENAPI), "a test"))
    found = new.find("doc", "pdf")

    assert [("docx", "hologram"), ("docx", "pdf")] == sorted(new.pairs())
    assert found
    assert ["file", "pagerange", "zoom", "tint", "bookmarkmode"] == list(found.parameters)
    assert (1, 9000) == found.parameters["pagerange"].span
    assert "color" == found.parameters["tint"].type
    assert ("none", "all") == found.parameters["bookmarkmode"].choices
    assert ("doc", "docx") == found.parameters["file"].extensions


def test_differences_are_shown() -> None:
    """What came, what went and what changed, each on a line."""
    lines = differences(catalogue(), Catalogue(catalogue_text(converters_of(OPENAPI), "a test")))

    assert "+ docx to hologram" == lines[0]
    assert "- pdf to merge" in lines
    assert "+ docx to pdf: Zoom, integer 1..9" in lines
    assert "- docx to pdf: UpdateToc" in lines
    changed = [line for line in lines if line.startswith("~ docx to pdf: PageRange")]
    assert "within 1-9000, default '1-9000'; was text, a range within 1-6000" in changed[0]


@pytest.mark.parametrize("document", [{}, {"paths": {}}, {"paths": {"/upload": {"post": {}}}}])
def test_document_without_converters(document: dict[str, object]) -> None:
    """It must not replace a catalogue."""
    with pytest.raises(ValueError, match="no converter"):
        converters_of(document)
