"""`--check`, as a person runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convertapi_sandbox import check

if TYPE_CHECKING:
    import pytest


def test_table_of_what_works(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each pair with its engine and results, and the sum."""
    assert 0 == check.run([("pdf", "jpg"), ("md", "pdf")])

    first, second, last = capsys.readouterr().out.splitlines()
    assert ["md", "to", "pdf", "documents", "ok", "1", "file(s),"] == first.split()[:7]
    assert ["pdf", "to", "jpg", "pages", "ok", "3", "file(s),"] == second.split()[:7]
    assert "2 of 2 conversions work." == last


def test_failure_is_an_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    """And says why."""
    assert 1 == check.run([("md", "pdf"), ("md", "pcl")])

    failed, _, last = capsys.readouterr().out.splitlines()
    assert "FAILED" in failed
    assert "415" in failed
    assert "1 of 2 conversions work." == last
