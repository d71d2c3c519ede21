"""Messages, set out so that a log page shows them whole."""

from __future__ import annotations

import pytest

from airflow_provider_convertapi.wording import (
    WIDTH,
    labelled,
    listed,
    on_one_line,
    reason,
    sentences,
    set_out,
    unlisted,
    wrapped,
)

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


def test_items_have_lines_of_their_own() -> None:
    """In a log, below their label; the text itself is on one line."""
    text = listed("2 files failed. Fix them.", ["a.docx: damaged", f"{LONG_URI}: gone " * 2])
    said, items = unlisted(text)

    assert "\n" not in text
    assert "2 files failed. Fix them." == said
    lines = labelled("What happened", "2 files failed.", items)
    assert ["What happened: 2 files failed.", "    a.docx: damaged"] == lines[:2]
    assert all(line.startswith(" " * 8) for line in lines[3:])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a\nERROR - paid.docx", "a\\nERROR - paid.docx"),
        ("a\r\x1b[2K.docx", "a\\r\\x1b[2K.docx"),
        ("a\u202excod.exe", "a\\u202excod.exe"),
        ("a\u2028b\udcff", "a\\u2028b\\udcff"),
        ("Zürich - \N{PARTY POPPER} 👩‍👩‍👧 née\N{NO-BREAK SPACE}x.docx", None),
    ],
    ids=["newline", "terminal", "direction", "separator", "text"],
)
def test_name_cannot_write_a_line_of_its_own(name: str, expected: str | None) -> None:
    """What would begin, hide or turn a line is shown as an escape, and no other character is."""
    wanted = name if expected is None else expected

    assert wanted == on_one_line(name)
    assert [f"File: {wanted}"] == labelled("File", name)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "a (1).docx (docx to pdf): HTTP 500: It is bad. Another try pays.",
            "HTTP 500: It is bad.",
        ),
        ("a.docx (docx to pdf), step 2 of 2 (pdf to jpg): Bad.", "step 2 of 2 (pdf to jpg): Bad."),
        ("It is gone", "It is gone"),
        (
            "a.docx (docx to pdf): HTTP 400: Refused. File: Its size is 0. It may be billed.",
            "HTTP 400: Refused. File: Its size is 0.",
        ),
        ("a.docx (docx to pdf): HTTP 500: Bad. This was billed. Fix it.", "HTTP 500: Bad."),
        ("", ""),
    ],
)
def test_reason(message: str, expected: str) -> None:
    """Neither cost nor remedy, nor the name that stands before it; but all of the first one's."""
    assert expected == reason(message, is_first=False)
    assert message == reason(message, is_first=True)
