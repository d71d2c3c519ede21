"""File names from the service are data."""

from __future__ import annotations

import re

import pytest

from airflow_provider_convertapi.storage import safe_name
from airflow_provider_convertapi.storage.names import distinct_names, temporary_name

_HOSTILE = [
    pytest.param("../../x", "_.._.._x", id="upwards"),
    pytest.param("/etc/passwd", "_etc_passwd", id="absolute"),
    pytest.param("a/b.pdf", "a_b.pdf", id="separator"),
    pytest.param("..\\..\\b.pdf", "_.._.._b.pdf", id="windows-separator"),
    pytest.param("C:\\temp\\b.pdf", "C__temp_b.pdf", id="windows-drive"),
    pytest.param("a\0b.pdf", "a_b.pdf", id="nul"),
    pytest.param("a\r\nb\x1b[2J.pdf", "a__b_[2J.pdf", id="control"),
    pytest.param("cod\u202efdp.exe", "cod_fdp.exe", id="text-turned-around"),
    pytest.param("\ud800.pdf", "_.pdf", id="lone-surrogate"),
    pytest.param("", "result", id="empty"),
    pytest.param(" \t ", "result", id="blank"),
    pytest.param(".", "result", id="dot"),
    pytest.param("..", "result", id="dots"),
    pytest.param(".pdf", "_.pdf", id="hidden"),
    pytest.param(" a.pdf. ", "a.pdf", id="margins"),
    pytest.param("nul.pdf", "_nul.pdf", id="windows-device"),
    pytest.param("_convertapi", "__convertapi", id="our-own-directory"),
    pytest.param('a<b>:"|?*.pdf', "a_b______.pdf", id="refused-by-shares"),
    pytest.param("a::b#c%20d [1] (2).pdf", "a__b#c%20d [1] (2).pdf", id="harmless"),
    pytest.param("żółć 漢字 👍🏽.pdf", "żółć 漢字 👍🏽.pdf", id="unicode"),
    pytest.param("e\u0301.pdf", "\u00e9.pdf", id="composed"),
]


@pytest.mark.parametrize(("given", "safe"), _HOSTILE)
def test_hostile_name_becomes_a_single_visible_file_name(given: str, safe: str) -> None:
    """A name keeps what is harmless in it, and loses what could lead elsewhere."""
    assert safe == safe_name(given)


@pytest.mark.parametrize("name", [case.values[0] for case in _HOSTILE])
def test_safe_name_is_safe_already(name: str) -> None:
    """Making a name safe twice changes nothing more."""
    assert safe_name(name) == safe_name(safe_name(name))


@pytest.mark.parametrize("letter", ["a", "é", "漢", "👍"])
def test_long_name_keeps_its_extension(letter: str) -> None:
    """A name of 300 characters is cut between characters, before its extension."""
    name = safe_name(letter * 300 + ".docx")

    assert re.fullmatch(f"{letter}+-[0-9a-f]{{8}}\\.docx", name)
    assert 196 <= len(name.encode()) <= 200


@pytest.mark.parametrize("extension", [".pdf", "", "." + "b" * 100])
def test_long_names_that_differ_late_stay_two(extension: str) -> None:
    """What is cut off is told by a digest: no result is taken for another one's."""
    first, second = (f"{'a' * 230}{end}{extension}" for end in "xy")

    assert safe_name(first) != safe_name(second)
    assert temporary_name(first) != temporary_name(second)
    assert [safe_name(first), safe_name(second)] == distinct_names([first, second])
    assert safe_name(first) == safe_name(first)


def test_extension_that_is_none_is_cut_like_any_text() -> None:
    """The text after the last dot of a sentence is not kept as an extension."""
    name = safe_name("a" * 180 + "." + "b" * 100)

    assert re.fullmatch("a{180}\\.b{10}-[0-9a-f]{8}", name)


def test_equal_names_become_distinct_in_order() -> None:
    """The first keeps its name; a number never meets a name that was given."""
    names = ["a.pdf", "a-2.pdf", "A.PDF", "a.pdf", "b", "B", "x/y", "x\\y"]

    expected = ["a.pdf", "a-2.pdf", "A-3.PDF", "a-4.pdf", "b", "B-2", "x_y", "x_y-2"]
    assert expected == distinct_names(names)


def test_long_equal_names_stay_within_the_limit() -> None:
    """The number that tells two names apart does not make them too long."""
    first, second = distinct_names(["é" * 300 + ".pdf"] * 2)

    assert first != second
    assert second.endswith("-2.pdf")
    assert len(second.encode()) <= 200


def test_temporary_name_fits_where_its_name_fits() -> None:
    """A file name of 255 bytes, which the user chose, has a temporary name, too."""
    assert len(temporary_name("é" * 127, "0123abcd").encode()) <= 255
