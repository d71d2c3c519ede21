"""Which parameters the sandbox accepts: none that it would silently ignore."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from convertapi_sandbox.catalogue import converters
from convertapi_sandbox.engines import pairs, unsupported_parameters

if TYPE_CHECKING:
    from tests.engines.conftest import Refused


@pytest.mark.parametrize("row", pairs.ROWS, ids=lambda row: f"{row.sources}-to-{row.targets}")
def test_honoured_parameters_are_the_service_s(row: pairs.Row) -> None:
    """Each is spelled as in the catalogue."""
    known = {name for converter in converters().values() for name in converter.parameters}

    assert set() == set(row.parameters.split()) - known


@pytest.mark.parametrize(
    ("pair", "parameters", "refused"),
    [
        (("docx", "pdf"), {"PageRange": "1", "UpdateToc": False, "Pdfa": True}, []),
        (
            ("docx", "pdf"),
            {"UpdateToc": True, "ConvertMarkups": True},
            ["UpdateToc", "ConvertMarkups"],
        ),
        (("docx", "pdf"), {"BookmarkMode": "bookmarks"}, ["BookmarkMode"]),
        (("html", "pdf"), {"UserCss": "p {}", "MarginTop": 5}, ["UserCss"]),
        (("pdf", "jpg"), {"ColorSpace": "cmyk", "BitDepth": "8"}, []),
        (("pdf", "png"), {"ColorSpace": "cmyk", "BitDepth": "16"}, ["ColorSpace", "BitDepth"]),
        (("pdf", "txt"), {"OcrMode": "force", "OcrLanguage": "de"}, ["OcrMode"]),
        (("pdf", "text-watermark"), {"Text": "x", "FontName": "arial"}, ["FontName"]),
        (("file", "zip"), {"CompressionLevel": "Fastest"}, []),
        (("pdf", "merge"), {"RemoveDuplicateFonts": True}, ["RemoveDuplicateFonts"]),
        (("pdf", "redact"), {"Preset": "gdpr", "PII": True}, ["Preset", "PII"]),
        (("pdf", "redact"), {"Preset": "manual", "MinimumConfidence": 0.9}, []),
        (("pptx", "pdf"), {"ConvertSpeakerNotes": "SeparatePage"}, ["ConvertSpeakerNotes"]),
    ],
    ids=str,
)
def test_what_cannot_be_honoured_is_named(
    pair: tuple[str, str], parameters: dict[str, str | int | bool], refused: list[str]
) -> None:
    """And only that."""
    assert refused == unsupported_parameters(*pair, parameters)


def test_a_zip_with_a_password_would_not_be_encrypted() -> None:
    """So the password is refused, not ignored."""
    assert ["Password"] == unsupported_parameters("file", "zip", {"Password": "x"})


def test_pair_that_is_none(refused: Refused) -> None:
    """The engines refuse a parameter that is not in their table."""
    assert (415, 415) == refused("pdf", "docx", b"%PDF-")
