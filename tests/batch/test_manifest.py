"""The manifest: many writers, no lock, nothing lost, readable by anything that reads JSON lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.batch.decisions import Item, RequestDigest
from airflow_provider_convertapi.batch.index import Index
from airflow_provider_convertapi.batch.manifest import (
    MANY_PARTS,
    Manifest,
    last_records,
    part_name,
)
from airflow_provider_convertapi.batch.record import Record, parameters_digest
from airflow_provider_convertapi.batch.recorder import Recorder
from airflow_provider_convertapi.batch.tables import open_tables
from airflow_provider_convertapi.clock import SYSTEM_CLOCK
from airflow_provider_convertapi.conversions.task import TaskTry
from airflow_provider_convertapi.errors import BatchFailedError, OutputNotWritableError
from airflow_provider_convertapi.manifest import main, read_manifest
from airflow_provider_convertapi.storage import Folder
from tests.tries import TaskInstance

if TYPE_CHECKING:
    from tests.batch.nights import Night

TASK = TaskTry(dag_id="d", task_id="t", run_id="r", map_index=3, started=0.0)
RECORD = Record(
    target="a.pdf",
    source="/in/a.txt",
    fingerprint="1-2",
    from_format="txt",
    to_format="pdf",
    parameters="salt:digest",
    outcome="converted",
    when="2026-11-24T02:00:00.000001+00:00",
    dag_id="d",
    task_id="t",
    run_id="r",
    map_index=3,
    try_number=1,
    outputs=("a.pdf",),
    sizes=(10,),
    cost=1,
)

Numbered = Callable[[int], Record]


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Give an empty manifest on the disk."""
    return Manifest(Folder(f"{tmp_path}/manifest/"))


def numbered(number: int, **changes: object) -> Record:
    """Return a record of an output of its own."""
    return replace(RECORD, target=f"{number:04d}.pdf", **changes)  # type: ignore[arg-type] # any field


def test_record_survives_its_line() -> None:
    """What is read is what was written, including names that are not Unicode."""
    record = replace(RECORD, source="/in/\udcffä.txt", outputs=("a.pdf", "a-2.pdf"), sizes=(1, 2))

    assert record == Record.from_line(record.to_line())


@pytest.mark.parametrize(
    "when",
    [
        "2026-11-24T02:00:00.000001+00:00",
        "2026-11-24T02:00:00.000001Z",
        "2026-11-24T07:30:00.000001+05:30",
        "2026-11-23T18:00:00.000001-08:00",
        "2026-11-24 02:00:00.000001+00:00",
    ],
)
def test_times_are_compared_in_utc(when: str) -> None:
    """Whatever zone a line is written in, its time is the same text."""
    assert RECORD == Record.from_line(replace(RECORD, when=when).to_line())


@pytest.mark.parametrize("when", ["", "soon", "2026-99-24T02:00:00.000001+00:00", None, 7])
def test_line_without_a_time_is_no_record(when: Any) -> None:
    """It is left out, and no plan ends with an error that names no file."""
    assert Record.from_line(replace(RECORD, when=when).to_line()) is None


def test_records_of_two_clocks_ahead_keep_their_order(manifest: Manifest) -> None:
    """Where the store's clock is ahead, too, the names of the parts do not decide."""
    now = time.time()
    for name, ahead in (("b", 7200), ("a", 9000), ("c", 8000)):
        when = datetime.fromtimestamp(now + ahead, UTC).isoformat(timespec="microseconds")
        manifest.write(f"{name}.jsonl", [replace(RECORD, when=when, cost=ahead)])
        part = Path(manifest.files.uri, f"{name}.jsonl")
        os.utime(part, (now + ahead, now + ahead))
    manifest.write("0.jsonl", [replace(RECORD, when="2026-11-24T02:00:00.000001+00:00", cost=1)])

    read = sorted((record for _, record in manifest.records()), key=lambda one: one.when)

    assert [7200, 8000, 9000, 1] == [record.cost for record in read]


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b'{"target": "a"}', b"\xff\xfe"])
def test_line_that_is_no_record_is_left_out(line: bytes) -> None:
    """Foreign and torn lines are skipped, without an error."""
    assert Record.from_line(line) is None


def test_fields_of_later_versions_are_left_out() -> None:
    """A newer version may write more than this one knows."""
    line = json.dumps({**json.loads(RECORD.to_line()), "invented_later": 1}).encode()

    assert RECORD == Record.from_line(line)


NO_TEXT: list[Any] = [None, 1, 1.5, True, [], ["a"], {}, {"a": 1}, "\ud800"]
NO_NUMBER: list[Any] = [None, "1", 1.5, True, [], {}, 2**63, float("nan")]
MALFORMED: dict[str, list[Any]] = {
    **dict.fromkeys(("target", "source", "fingerprint", "parameters", "run_id", "plan"), NO_TEXT),
    **dict.fromkeys(("from_format", "to_format", "outcome", "dag_id", "task_id"), NO_TEXT),
    "when": [*NO_TEXT, "", "x", "2026-11-24", "2026-11-24T02:00:00"],
    **dict.fromkeys(("map_index", "try_number", "cost", "charged", "attempt"), NO_NUMBER),
    **{key: [each for each in NO_TEXT if each is not None] for key in ("seen", "error", "message")},
    **{key: [each for each in NO_NUMBER if each is not None] for key in ("code", "timeout")},
    "bars": [None, 0, 1, "true", []],
    "outputs": ["a.pdf", 1, {"a": 1}, [1], [None], [["a"]], ["a\ud800"]],
    "digests": ["a.pdf", 1, {"a": 1}, [1], [None], [["a"]]],
    "sizes": ["10", 10, {"1": 1}, ["10"], [None], [[1]], [1.5], [2**63]],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_line_with_a_value_of_another_kind_is_not_a_record(name: str) -> None:
    """Whoever may write into the destination may write there anything, and files get damaged."""
    known = json.loads(RECORD.to_line())
    taken = [
        value
        for value in MALFORMED[name]
        if Record.from_line(json.dumps({**known, name: value}).encode())
    ]
    assert not taken


def test_names_that_are_no_salts_do_not_fail_a_night(night: Night) -> None:
    """A salt is what we wrote: a foreign file beside it keys nothing."""
    night.write("a.txt")
    night.run()
    for name in (b"salt-", b"salt-\xff", b"salt-x y", b"salt-copy of 00"):
        (Path(os.fsdecode(os.fsencode(night.out) + b"/_convertapi/" + name))).write_bytes(b"x")
    assert night.run(TaskInstance(run_id="next"))["reused"] == 1


def test_malformed_records_do_not_fail_a_night(night: Night) -> None:
    """They are left out; what the other records say holds."""
    night.write("a.txt", "b.txt")
    night.run()
    (part,) = (night.out / "_convertapi" / "manifest").glob("*.jsonl")
    known = [json.loads(line) for line in part.read_bytes().splitlines()]
    planted = [
        json.dumps({**record, name: value})
        for record in known
        for name, values in MALFORMED.items()
        for value in values
    ]
    (part.parent / f"{part.stem}1.jsonl").write_text("\n".join(planted))
    night.write("b.txt", text="another version\n")
    summary = night.run(TaskInstance(run_id="next"))
    assert (summary["converted"], summary["reused"], summary["cost"]) == (1, 1, 1)


def test_digest_hides_and_depends_on_the_salt() -> None:
    """Equal parameters have equal digests under one salt, whatever their order."""
    first = parameters_digest({"a": 1, "b": "secret"}, "0011")

    assert first == parameters_digest({"b": "secret", "a": 1}, "0011")
    assert first != parameters_digest({"a": 1, "b": "secret"}, "0012")
    assert first.startswith("0011:")
    assert "secret" not in first


def test_concurrent_writers_and_compaction_lose_nothing(manifest: Manifest) -> None:
    """While tasks write and two of them compact, a reader misses no record."""
    writers, parts = 4, 30
    missing: list[str] = []

    def write(writer: int) -> None:
        task = replace(TASK, map_index=writer, run_id=str(writer))
        for sequence in range(parts):
            number = writer * parts + sequence
            manifest.write(part_name(task, sequence), [numbered(number)])
            if sequence % 10 == 9:
                manifest.compact(task)
            seen = {record.target for _, record in manifest.records()}
            missing.extend({numbered(n).target for n in range(writer * parts, number)} - seen)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == missing
    assert writers * parts == len(last_records(record for _, record in manifest.records()))
    assert MANY_PARTS + writers * 10 > len(manifest.part_names())


def test_compaction_keeps_what_decisions_need(manifest: Manifest) -> None:
    """Of each output the last conversion and the last failure stay, and the own run's records."""
    early, late = "2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"
    for number in range(MANY_PARTS + 1):
        manifest.write(f"{number}.jsonl", [numbered(number, run_id="x")])
    manifest.write("early.jsonl", [replace(RECORD, when=early, run_id="x", cost=0)])
    manifest.write("late.jsonl", [replace(RECORD, when=late, run_id="x", cost=0)])
    manifest.write("failed.jsonl", [replace(RECORD, outcome="failed", when=early, run_id="x")])
    manifest.write("own.jsonl", [replace(RECORD, when=early, cost=2)])

    manifest.compact(TASK)

    kept = [record for _, record in manifest.records()]
    assert 1 == len(manifest.part_names())
    assert MANY_PARTS + 1 + 3 == len(kept)
    assert early not in {r.when for r in kept if r.run_id == "x" and r.outcome == "converted"}


def test_index_takes_the_last_word(manifest: Manifest) -> None:
    """Records come in any order, twice at times: the latest counts, and costs count once."""
    index = Index(open_tables(), TASK, now=0.0)
    later = replace(RECORD, fingerprint="new", when="2026-12-01T00:00:00+00:00")
    for record in (later, RECORD, later):
        index.add(record)

    conversion = index.conversion("a.pdf")
    assert conversion is not None
    assert later.match == conversion.match
    assert 2 == index.spent


def test_conversion_outranks_a_failure_of_the_same_file() -> None:
    """Two runs at once, one of which failed: the file is converted."""
    failed = replace(RECORD, outcome="failed", when="2027-01-01T00:00:00+00:00")
    other = replace(failed, fingerprint="another version")

    assert RECORD == last_records([RECORD, failed])["a.pdf"]
    assert other == last_records([RECORD, other])["a.pdf"]


def test_failure_after_outputs_were_gone_outranks_the_conversion() -> None:
    """Whichever is read first; and a conversion that came after it counts again."""
    failed = replace(RECORD, outcome="failed", when="2027-01-01T00:00:00+00:00", outputs_gone=True)
    later = replace(RECORD, when="2028-01-01T00:00:00+00:00")

    for records in ([RECORD, failed], [failed, RECORD]):
        assert failed == last_records(records)["a.pdf"]
    for records in ([RECORD, failed, later], [later, failed, RECORD]):
        assert later == last_records(records)["a.pdf"]


def test_records_outlive_a_part_that_could_not_be_written(tmp_path: Path) -> None:
    """They wait in their order, and no document may go before its record is safe."""
    (tmp_path / "manifest").write_text("in the way")
    manifest = Manifest(Folder(f"{tmp_path}/manifest/"))
    digest = RequestDigest(to_format="pdf", digesting=lambda: ("salt:digest",))
    recorder = Recorder(manifest, TASK, digest, "plan", f"{tmp_path}/", None, SYSTEM_CLOCK)

    def add(name: str) -> None:
        item = Item(f"/in/{name}.txt", f"{name}.pdf", "1-2")
        task: Any = SimpleNamespace(
            item=item, request=None, attempt=0, bill=(0, 0), documents=[name]
        )
        recorder.failed(task, OSError())

    add("a")
    with pytest.raises(OutputNotWritableError, match="manifest"):
        recorder.publish()
    (tmp_path / "manifest").unlink()
    add("b")

    assert ["a", "b"] == recorder.publish()
    assert ["a.pdf", "b.pdf"] == [record.target for _, record in manifest.records()]
    assert [] == recorder.publish()


def test_first_tasks_at_once_understand_each_other(night: Night) -> None:
    """Two tasks that make the first records of a destination at once may each keep a salt."""
    night.write("a.txt", "b.txt")
    night.run(source=str(night.source / "a.txt"))
    own = night.out / "_convertapi"
    [salt] = [path.name for path in own.glob("salt-*")]
    (own / salt).unlink()
    night.run(source=str(night.source / "b.txt"))
    (own / salt).write_text("as if both had been there")

    summary = night.run(TaskInstance(run_id="two"))

    assert 2 == summary["reused"]


def test_many_tasks_share_a_destination(night: Night) -> None:
    """Shards of other numbers, in other runs, find each other's work."""
    names = [f"{number}.txt" for number in range(12)]
    night.write(*names)
    for index in range(3):
        night.run(
            TaskInstance(map_index=index), source={"source": str(night.source), "shard": [index, 3]}
        )

    summaries = [
        night.run(
            TaskInstance(run_id="two", map_index=index),
            source={"source": str(night.source), "shard": [index, 2]},
        )
        for index in range(2)
    ]

    assert 12 == sum(summary["reused"] for summary in summaries)
    assert 12 == night.sandbox.billed


@pytest.fixture
def failed_night(night: Night) -> Night:
    """Give a night in which one file of three failed."""
    night.write("a.txt", "b.txt", "c.txt")
    night.sandbox.fail("POST /async/convert/*", verdict=5003, times=1)
    with pytest.raises(BatchFailedError):
        night.run(max_in_flight=1)
    return night


def test_person_reads_it(failed_night: Night, capsys: pytest.CaptureFixture[str]) -> None:
    """The command sums up, and shows what failed and why."""
    assert 0 == main([str(failed_night.out)])

    said = capsys.readouterr().out
    assert "3 files: 2 converted, 1 failed, 0 not attempted; 3 conversions in all." in said
    assert "ConversionError: " in said
    assert "Code 5003" in said
    assert "->" not in said
    main([str(failed_night.out / "_convertapi/manifest"), "--all"])
    assert 2 == capsys.readouterr().out.count("->")


def test_program_reads_it(failed_night: Night) -> None:
    """As JSON lines it goes on into any other program."""
    command = [sys.executable, "-m", "airflow_provider_convertapi.manifest", "--json", "--all"]
    done = subprocess.run(
        [*command, str(failed_night.out)], capture_output=True, text=True, check=True
    )

    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert ["converted", "converted", "failed"] == sorted(r["outcome"] for r in records)


def test_no_manifest_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory without records is told from one with nothing to tell."""
    assert 1 == main([str(tmp_path)])
    assert "no manifest" in capsys.readouterr().err


def test_duckdb_reads_it(failed_night: Night) -> None:
    """The parts are one table for SQL."""
    import duckdb

    parts = failed_night.out / "_convertapi" / "manifest" / "*.jsonl"
    rows = (
        duckdb.connect()
        .execute(
            f"""SELECT outcome, count(*), sum(cost) FROM read_json_auto('{parts}')
            GROUP BY outcome ORDER BY outcome"""
        )
        .fetchall()
    )

    assert [("converted", 2, 2), ("failed", 1, 1)] == rows


def test_pandas_reads_it(failed_night: Night) -> None:
    """And one frame for pandas."""
    import pandas as pd  # type: ignore[import-untyped] # its stubs are a package of their own

    parts = (failed_night.out / "_convertapi" / "manifest").glob("*.jsonl")
    frame = pd.concat(pd.read_json(part, lines=True) for part in parts)

    assert {"converted": 2, "failed": 1} == frame["outcome"].value_counts().to_dict()
    assert [5003] == frame["code"].dropna().tolist()


def test_reader_takes_destination_or_manifest(failed_night: Night) -> None:
    """Both ways to name it lead to the same records."""
    by_destination = read_manifest(str(failed_night.out))

    assert by_destination == read_manifest(str(failed_night.out / "_convertapi/manifest/"))
    assert ["a.pdf", "b.pdf", "c.pdf"] == [record.target for record in by_destination]
