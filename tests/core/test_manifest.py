"""`manifest.read`, and the command's tables."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi import manifest
from airflow_provider_convertapi.batch.manifest import MANIFEST, Manifest
from airflow_provider_convertapi.batch.record import Record
from airflow_provider_convertapi.errors import ParameterError
from airflow_provider_convertapi.storage import Folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def record(target: str, day: int, run_id: str, outcome: Any = "converted", **given: Any) -> Record:
    """Make a record of a day in January."""
    return Record(
        target=target,
        source=f"/in/{target}",
        fingerprint="1-1",
        from_format="txt",
        to_format="pdf",
        parameters=f"salt:{day}",
        outcome=outcome,
        when=datetime(2026, 1, day, 12, tzinfo=UTC).isoformat(timespec="microseconds"),
        dag_id="d",
        task_id="t",
        run_id=run_id,
        map_index=-1,
        try_number=1,
        **given,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a destination with the records of two runs."""
    own = Manifest(Folder(f"{tmp_path}/_convertapi/{MANIFEST}"))
    failure = {"error": "ConversionError", "code": 5002, "message": 'damaged, "very"', "cost": 1}
    own.write("1.jsonl", [record("a.pdf", 1, "1"), record("b.pdf", 1, "1", "failed", **failure)])
    own.write("2.jsonl", [record("a.pdf", 2, "2", "failed", **failure), record("c.pdf", 2, "2")])
    return tmp_path


def targets(found: Iterator[Record]) -> str:
    """Return what was found, for short: the file's letter, and how it went."""
    return " ".join(f"{one.target[0]}:{one.outcome}" for one in found)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "a:failed b:failed c:converted"),
        ({"outcome": "failed"}, "a:failed b:failed"),
        ({"outcome": "converted"}, "c:converted"),
        ({"outcome": "not_attempted"}, ""),
        ({"run_id": "1"}, "a:converted b:failed"),
        ({"run_id": "1", "outcome": "converted"}, "a:converted"),
        ({"run_id": "3"}, ""),
        ({"since": datetime(2026, 1, 2, tzinfo=UTC)}, "a:failed c:converted"),
        ({"since": datetime(2026, 1, 2)}, "a:failed c:converted"),  # noqa: DTZ001 - it is UTC
        ({"since": "2026-01-02T12:00:00+00:00"}, "a:failed c:converted"),
        ({"since": "2026-01-02"}, "a:failed c:converted"),
        ({"since": datetime(2026, 1, 2, 14, 1, tzinfo=timezone(timedelta(hours=2)))}, ""),
    ],
    ids=str,
)
def test_read(folder: Path, given: dict[str, Any], expected: str) -> None:
    """The last record of each file, of a run, with an outcome, or since a moment."""
    assert expected == targets(manifest.read(folder, **given))
    assert expected == targets(manifest.read(f"{folder}/_convertapi/manifest/", **given))


def test_read_where_there_is_none(tmp_path: Path) -> None:
    """A destination that no batch wrote has no records."""
    assert [] == list(manifest.read(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"outcome": "fail"}, "outcome is 'fail'; it must be"),
        ({"since": "yesterday"}, "since is 'yesterday'; it must be a date"),
        ({"since": 5}, "since is an int"),
    ],
)
def test_wrong_arguments(folder: Path, given: dict[str, Any], complaint: str) -> None:
    """A wrong one is named at once, before the first record is asked for."""
    with pytest.raises(ParameterError, match=complaint):
        manifest.read(folder, **given)


def test_csv_of_failures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Any program reads it, whatever a message holds."""
    assert 0 == manifest.main([str(folder), "--failed", "--csv"])

    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert ["/in/a.pdf", "/in/b.pdf"] == [row["source"] for row in rows]
    assert ("ConversionError", "5002", 'damaged, "very"', "1") == (
        rows[1]["error"],
        rows[1]["code"],
        rows[1]["message"],
        rows[1]["cost"],
    )


def test_csv_without_failures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No failures is a table without rows, and no error."""
    Manifest(Folder(f"{tmp_path}/_convertapi/{MANIFEST}")).write(
        "1.jsonl", [record("a.pdf", 1, "1")]
    )

    assert 0 == manifest.main([str(tmp_path), "--failed", "--csv"])
    assert 1 == len(capsys.readouterr().out.splitlines())
    assert 0 == manifest.main([str(tmp_path), "--csv", "--all"])
    assert 2 == len(capsys.readouterr().out.splitlines())
