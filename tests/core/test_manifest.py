"""`manifest.read`, and the command's tables."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi import manifest
from airflow_provider_convertapi.batch.manifest import MANIFEST, Manifest
from airflow_provider_convertapi.batch.record import Record
from airflow_provider_convertapi.conversions.task import TaskTry
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


def test_csv_of_a_text_that_a_spreadsheet_would_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is text there, too, and as it is in JSON."""
    failed = record("a.pdf", 1, "1", "failed", error="ConversionError", message="=cmd()")
    Manifest(Folder(f"{tmp_path}/_convertapi/{MANIFEST}")).write("1.jsonl", [failed])

    assert 0 == manifest.main([str(tmp_path), "--csv"])
    [row] = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert 0 == manifest.main([str(tmp_path), "--json"])

    assert "'=cmd()" == row["message"]
    assert "=cmd()" == json.loads(capsys.readouterr().out)["message"]


def test_csv_without_failures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No failures is a table without rows, and no error."""
    Manifest(Folder(f"{tmp_path}/_convertapi/{MANIFEST}")).write(
        "1.jsonl", [record("a.pdf", 1, "1")]
    )

    assert 0 == manifest.main([str(tmp_path), "--failed", "--csv"])
    assert 1 == len(capsys.readouterr().out.splitlines())
    assert 0 == manifest.main([str(tmp_path), "--csv", "--all"])
    assert 2 == len(capsys.readouterr().out.splitlines())


@pytest.fixture
def priced(tmp_path: Path) -> Path:
    """Give a destination with what two DAGs paid on two days."""
    own = Manifest(Folder(f"{tmp_path}/_convertapi/{MANIFEST}"))
    first = [
        record("a.pdf", 1, "1", cost=2, charged=2),
        record("b.pdf", 1, "1", "failed", cost=1, charged=1),
        record("c.pdf", 1, "1", "not_attempted"),
        replace(record("d.pdf", 1, "1", cost=1, charged=1), dag_id="other", from_format="docx"),
    ]
    own.write("1.jsonl", first)
    again = [record("a.pdf", 2, "2", cost=4, charged=3), record("b.pdf", 2, "2", cost=1)]
    own.write("2.jsonl", [replace(one, parameters=first[0].parameters) for one in again])
    own.write("compacted.jsonl", first[:1])  # as while another task compacts
    return tmp_path


def test_costs_for_a_person(priced: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By day, DAG and pair: what each try paid, not what the last one left."""
    assert 0 == manifest.main([str(priced), "--cost"])

    assert [
        "2026-01-01  d      txt to pdf         3 conversion(s) for 2 file(s), 1 of them failed",
        "2026-01-01  other  docx to pdf        1 conversion(s) for 1 file(s)",
        "2026-01-02  d      txt to pdf         3 conversion(s) for 1 file(s)",
        "7 conversion(s) for 4 file(s) in all; days are those of UTC.",
    ] == capsys.readouterr().out.splitlines()


def test_costs_that_a_killed_try_paid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The try that collects a conversion records what it cost, so that counts, and counts once."""
    own = Manifest(Folder(f"{tmp_path}/_convertapi/{MANIFEST}"))
    collected = record("a.pdf", 1, "1", cost=2)
    own.write("2.jsonl", [collected, record("b.pdf", 2, "1", cost=3, charged=1)])
    later = replace(collected, when="2026-01-02T12:00:00.000000+00:00")
    own.write("3.jsonl", [later, record("c.pdf", 2, "1", "failed", cost=1)])
    task = TaskTry(dag_id="d", task_id="t", run_id="2", started=0.0)

    for _ in range(2):
        assert 0 == manifest.main([str(tmp_path), "--cost"])
        assert [
            "2026-01-01  d  txt to pdf        2 conversion(s) for 1 file(s)",
            "2026-01-02  d  txt to pdf        4 conversion(s) for 2 file(s), 1 of them failed",
            "6 conversion(s) for 3 file(s) in all; days are those of UTC.",
        ] == capsys.readouterr().out.splitlines()
        own.write("4.jsonl", [replace(collected, fingerprint="2-2", cost=0, when=later.when)])
        own.compact(task, always=True)


def test_costs_for_programs(priced: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same as a table and as lines of JSON."""
    assert 0 == manifest.main([str(priced), "--cost", "--csv"])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert 0 == manifest.main([str(priced), "--cost", "--json"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert {
        "day": "2026-01-01",
        "dag_id": "d",
        "from_format": "txt",
        "to_format": "pdf",
        "files": 2,
        "failed": 1,
        "conversions": 3,
    } == lines[0]
    assert rows == [{name: str(value) for name, value in line.items()} for line in lines]


def test_costs_hold_no_formula_and_no_false_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Anyone who can write into the destination may have chosen the name of the DAG."""
    own = Manifest(Folder(f"{tmp_path}/_convertapi/{MANIFEST}"))
    forged = replace(record("a.pdf", 1, "1", cost=1, charged=1), dag_id="=1+1\n\x1b[31m")
    own.write("1.jsonl", [forged])

    manifest.main([str(tmp_path), "--cost", "--csv"])
    [row] = csv.DictReader(io.StringIO(capsys.readouterr().out))
    manifest.main([str(tmp_path), "--cost"])
    lines = capsys.readouterr().out.splitlines()

    assert "'=1+1\n\x1b[31m" == row["dag_id"]
    assert [r"=1+1\n\x1b[31m"] == [line.split("  ")[1] for line in lines[:-1]]


def test_costs_of_records_that_tell_less(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They count all the same, as unknown; what a try paid is then what the file cost."""
    values = json.loads(record("a.pdf", 1, "1", cost=2).to_line())
    for name in ("dag_id", "from_format", "charged"):
        del values[name]
    folder = tmp_path / "_convertapi" / "manifest"
    folder.mkdir(parents=True)
    (folder / "1.jsonl").write_text(json.dumps(values) + "\n")

    assert 0 == manifest.main([str(tmp_path), "--cost"])

    said = capsys.readouterr().out
    assert "2026-01-01  unknown  unknown to pdf        2 conversion(s) for 1 file(s)" in said


def test_costs_of_tries_that_recorded_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a killed try paid counts with the result that another try collected, and once."""
    own = Manifest(Folder(f"{tmp_path}/_convertapi/{MANIFEST}"))
    collected = record("a.pdf", 1, "1", cost=2)
    fetched_again = replace(record("a.pdf", 2, "2", cost=2), parameters=collected.parameters)
    once_more = replace(fetched_again, attempt=1, charged=2, run_id="3")
    own.write("1.jsonl", [collected, record("b.pdf", 1, "1", cost=3, charged=1)])
    own.write("2.jsonl", [fetched_again, once_more])

    for run_id in ("4", "5"):
        manifest.main([str(tmp_path), "--cost"])
        assert [
            "2026-01-01  d  txt to pdf        5 conversion(s) for 2 file(s)",
            "2026-01-02  d  txt to pdf        2 conversion(s) for 1 file(s)",
            "7 conversion(s) for 3 file(s) in all; days are those of UTC.",
        ] == capsys.readouterr().out.splitlines()
        own.compact(TaskTry(dag_id="d", task_id="t", run_id=run_id, started=0.0), always=True)


def test_costs_survive_compaction(priced: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where records are dropped, what was paid stays."""
    manifest.main([str(priced), "--cost"])
    before = capsys.readouterr().out

    for run_id in ("3", "4"):
        task = TaskTry(dag_id="d", task_id="t", run_id=run_id, started=0.0)
        Manifest(Folder(f"{priced}/_convertapi/{MANIFEST}")).compact(task, always=True)
    manifest.main([str(priced), "--cost"])

    assert before == capsys.readouterr().out


@pytest.mark.parametrize("paid", [True, False])
def test_no_costs(tmp_path: Path, capsys: pytest.CaptureFixture[str], *, paid: bool) -> None:
    """A manifest of files that cost nothing is told from none."""
    if paid:
        own = Manifest(Folder(f"{tmp_path}/_convertapi/{MANIFEST}"))
        own.write("1.jsonl", [record("a.pdf", 1, "1")])

    assert int(not paid) == manifest.main([str(tmp_path), "--cost"])

    said = capsys.readouterr()
    assert "Nothing was paid." in said.out if paid else "no manifest" in said.err


@pytest.mark.parametrize(("form", "printed"), [("--json", []), ("--csv", ["day"])])
def test_no_costs_for_a_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str, printed: list[str]
) -> None:
    """Where nothing was paid there are no lines, and a table has its head."""
    own = Manifest(Folder(f"{tmp_path}/_convertapi/{MANIFEST}"))
    own.write("1.jsonl", [record("a.pdf", 1, "1")])

    assert 0 == manifest.main([str(tmp_path), "--cost", form])

    lines = capsys.readouterr().out.splitlines()
    assert printed == [line.split(",")[0] for line in lines]


@pytest.mark.parametrize(
    "change",
    [lambda line: line[:-30], lambda line: line.replace(b'"charged":5', b'"charged":-5')],
    ids=["torn", "negative"],
)
def test_costs_of_damaged_records_are_not_called_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Any
) -> None:
    """Where no record can be read, nobody knows what was paid."""
    own = Manifest(Folder(f"{tmp_path}/_convertapi/{MANIFEST}"))
    own.write("1.jsonl", [record("a.pdf", 1, "1", cost=5, charged=5)])
    [part] = (tmp_path / "_convertapi").rglob("1.jsonl")
    part.write_bytes(change(part.read_bytes()))

    assert 1 == manifest.main([str(tmp_path), "--cost"])

    said = capsys.readouterr()
    assert ("", True) == (said.out, "no manifest" in said.err)


@pytest.mark.parametrize("what", ["out/a.pdf", "out/_convertapi/manifest/1.jsonl", "d/" * 4000])
def test_what_is_no_destination(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    """A person gets a line, and no traceback."""
    (tmp_path / "out" / "_convertapi" / "manifest").mkdir(parents=True)
    for name in ("a.pdf", "_convertapi/manifest/1.jsonl"):
        (tmp_path / "out" / name).write_text("x")

    assert 1 == manifest.main([f"{tmp_path}/{what}"])
    assert "cannot be read: " in capsys.readouterr().err


@pytest.mark.parametrize("directory", ["", " "])
def test_no_directory(directory: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty variable of a shell does not mean the root of the disk."""
    assert 1 == manifest.main([directory])

    assert "directory is empty" in capsys.readouterr().err


def test_outcome_of_a_later_version_is_left_out(folder: Path) -> None:
    """Such a line is none that this version knows."""
    part = folder / "_convertapi" / "manifest" / "2.jsonl"
    later = part.read_text().replace('"converted"', '"postponed"').replace("c.pdf", "b.pdf")
    part.with_name("3.jsonl").write_text(later)

    assert "a:failed b:failed c:converted" == targets(manifest.read(folder))


class Compacting(Folder):
    """A manifest that another task compacts again and again, always after it was listed."""

    left = 30

    def names(self) -> list[str]:
        """Return the names; then let the other task compact them."""
        found = super().names()
        if Compacting.left:
            Compacting.left -= 1
            Manifest(Folder(self.uri)).compact(TaskTry(started=0.0), always=True)
        return found


def test_record_is_never_missed_while_others_compact(folder: Path) -> None:
    """What is missed would be paid again, so that a reader goes on until it has read everything."""
    place = f"{folder}/_convertapi/{MANIFEST}"
    for number in range(3):
        Manifest(Folder(place)).write(f"x{number}.jsonl", [record(f"x{number}.pdf", 3, "3")])

    read = {one.target for _, one in Manifest(Compacting(place)).records()}

    assert {"a.pdf", "b.pdf", "c.pdf", "x0.pdf", "x1.pdf", "x2.pdf"} == read
    assert 0 == Compacting.left


def test_part_that_leads_nowhere_ends_no_reader(folder: Path) -> None:
    """It is listed, and never there."""
    (folder / "_convertapi" / "manifest" / "0.jsonl").symlink_to("nowhere")

    assert "a:failed b:failed c:converted" == targets(manifest.read(folder))


def test_compaction_keeps_lines_that_it_does_not_know(folder: Path) -> None:
    """A later version, on another worker, may have written them."""
    part = folder / "_convertapi" / "manifest" / "2.jsonl"
    later = part.read_text().replace('"converted"', '"postponed"')
    part.write_text(later)

    Manifest(Folder(f"{folder}/_convertapi/{MANIFEST}")).compact(TaskTry(started=0.0), always=True)

    assert later == part.read_text()
    assert "a:failed b:failed" == targets(manifest.read(folder))


def test_name_writes_no_line_of_its_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A person reads one line for each file, whatever the file is called; JSON is for programs."""
    own = Manifest(Folder(f"{folder}/_convertapi/{MANIFEST}"))
    failure = {"error": "ConversionError", "message": "of \x1b[2K\nb.pdf", "cost": 1}
    own.write("3.jsonl", [record("\x1b[2K\nall is converted", 3, "3", "failed", **failure)])

    manifest.main([str(folder), "--failed"])
    text = capsys.readouterr().out

    assert all(line.isprintable() for line in text.split("\n"))
    assert "all is converted" not in [line.strip() for line in text.split("\n")]
    assert "/in/\\x1b[2K\\nall is converted" in text


def test_names_of_every_kind_are_printed(folder: Path) -> None:
    """Names that are not Unicode are printed, too, and those that the terminal cannot show."""
    own = Manifest(Folder(f"{folder}/_convertapi/{MANIFEST}"))
    own.write("3.jsonl", [record("\udcff\xe4.pdf", 3, "3")])
    command = [sys.executable, "-m", "airflow_provider_convertapi.manifest", str(folder), "--all"]

    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict", "PYTHONPATH": ":".join(sys.path)},
    )

    assert (0, b"") == (done.returncode, done.stderr)
    assert b"/in/\\udcff\\xe4.pdf" in done.stdout
