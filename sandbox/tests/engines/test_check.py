"""`--check`, as a person runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convertapi_sandbox import check
from convertapi_sandbox.engines import MISSING

if TYPE_CHECKING:
    import pytest


def test_table_of_what_works(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each pair with its engine and results, the sum, and what pip can add."""
    assert 0 == check.run([("pdf", "jpg"), ("md", "pdf")])

    first, second, last, *absent = capsys.readouterr().out.splitlines()
    assert ["md", "to", "pdf", "documents", "ok", "1", "file(s),"] == first.split()[:7]
    assert ["pdf", "to", "jpg", "pages", "ok", "3", "file(s),"] == second.split()[:7]
    assert "2 of 2 conversions work." == last
    assert len(set(MISSING.values())) == len(absent)
    for (source, target), package in MISSING.items():
        [line] = [line for line in absent if line.endswith(f"pip install '{package}'")]
        assert f"{source} to {target}" in line


def test_failure_is_an_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    """And says why."""
    assert 1 == check.run([("md", "pdf"), ("md", "pcl")])

    failed, _, last, *_ = capsys.readouterr().out.splitlines()
    assert "FAILED" in failed
    assert "415" in failed
    assert "1 of 2 conversions work." == last
