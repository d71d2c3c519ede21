"""Messages, set out so that a log page shows them whole."""

from __future__ import annotations

import pytest

from airflow_provider_convertapi.wording import WIDTH, sentences, set_out, wrapped

LONG_URI = "s3://bucket/" + "a-rather-long-name/" * 8 + "report.docx"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It failed. It was billed. Fix it.", ["It failed.", "It was billed.", "Fix it."]),
        ("a.docx (v1. final) failed. Fix it.", ["a.docx (v1. final) failed.", "Fix it."]),
        ("It failed. (HTTP 500. Code 5002)", ["It failed.", "(HTTP 500. Code 5002)"]),
        ("a (1.docx failed. Fix it.", ["a (1.docx failed.", "Fix it."]),
        ("source is 'v1.2 of it'; e.g. that.", ["source is 'v1.2 of it'; e.g. that."]),
        ("it has no stop", ["it has no stop"]),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    """What stands in parentheses stays whole, unless they are a name's and never close."""
    assert expected == sentences(text)


@pytest.mark.parametrize(
    "text", ["It failed. " * 20, f"{LONG_URI} failed.", "Two\nlines.", "Short."]
)
def test_first_line_is_short_and_nothing_is_lost(text: str) -> None:
    """Where the text does not fit in a line, it stands below the title, whole."""
    lines = set_out("It failed.", text).split("\n", 1)

    assert len(lines[0]) <= WIDTH
    assert text == lines[-1] or text == "Two\nlines."


def test_lines_are_as_wide_as_a_page() -> None:
    """Only a word that is longer than a line sticks out."""
    lines = wrapped(f"{'word ' * 60}{LONG_URI} end", indent="  ")

    assert [line for line in lines if len(line) > WIDTH] == [f"  {LONG_URI}"]
