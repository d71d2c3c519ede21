"""What a plan finds: outputs that stand where a listing does not look, entries that are missing."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.batch.decisions import Item
from airflow_provider_convertapi.batch.items import Items
from airflow_provider_convertapi.batch.manifest import MANY_PARTS, Manifest, part_name
from airflow_provider_convertapi.conversions.task import TaskTry
from airflow_provider_convertapi.errors import BatchFailedError
from airflow_provider_convertapi.storage import Folder
from tests.tries import TaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.batch.nights import Night


LONG = "\u6f22" * 100
LONG_DIRECTORY = f"{LONG[:63]}-{hashlib.sha256(LONG.encode()).hexdigest()[:8]}/x.pdf"


def test_linked_directory_of_the_destination_is_looked_into(night: Night) -> None:
    """A listing does not follow the link, so each recorded output is asked for."""
    night.write("2026/a.txt", "2026/b.txt")
    elsewhere = night.out.parent / "elsewhere"
    elsewhere.mkdir()
    night.out.mkdir()
    (night.out / "2026").symlink_to(elsewhere)
    night.run()

    assert 2 == night.run(TaskInstance(run_id="two"))["reused"]
    (elsewhere / "a.pdf").unlink()
    summary = night.run(TaskInstance(run_id="three"))

    assert (1, 1) == (summary["reused"], summary["converted"])


def test_items_are_read_by_output() -> None:
    """In the order of their letters, whatever letters those are, and all of them."""
    targets = [f"{number:04d}.pdf" for number in range(1200)]
    targets += ["z.pdf", "\u00e4.pdf", "\ud800.pdf", "\udcff.pdf", "\uffee.pdf", "\U0001f600.pdf"]
    items = Items(Item(f"/in/{target}", target, "1-2") for target in reversed(targets))

    assert sorted(targets) == [item.target for item in items]
    assert len(targets) == len(items)
    assert Item("/in/0007.pdf", "0007.pdf", "1-2") == items.settle("0007.pdf")
    assert items.settle("0007.pdf") is None
    assert items.settle("of-another-plan.pdf") is None
    assert sorted({*targets} - {"0007.pdf"}) == [item.target for item in items.unsettled()]
    assert len(targets) - 1 == items.unsettled_count


def _shift_records(night: Night, **by: float) -> None:
    """Have every record of a night say another time."""
    parts = night.out / "_convertapi" / "manifest"
    manifest = Manifest(Folder(f"{parts}/"))
    for name, record in list(manifest.records()):
        moved = datetime.fromisoformat(record.when) + timedelta(**by)
        manifest.write(name, [replace(record, when=moved.isoformat(timespec="microseconds"))])


def test_clock_that_was_ahead_does_not_win(night: Night) -> None:
    """What was written after its record counts, so that the new file is paid once."""
    night.write("a.txt")
    night.run()
    _shift_records(night, days=365)
    night.write("a.txt", text="another text of another length")
    night.run(TaskInstance(run_id="two"))

    summaries = [night.run(TaskInstance(run_id=run_id)) for run_id in ("three", "four")]

    assert [1, 1] == [summary["reused"] for summary in summaries]
    assert 2 == night.sandbox.billed


def test_clock_that_was_ahead_is_not_believed_later(night: Night) -> None:
    """Once its time has come, its record must not outrank what was written meanwhile."""
    night.write("a.txt")
    night.run()
    _shift_records(night, hours=1)
    night.write("a.txt", text="another text of another length")
    night.run(TaskInstance(run_id="two"))

    parts = (night.out / "_convertapi" / "manifest").glob("*.jsonl")
    lines = [json.loads(line) for part in parts for line in part.read_text().splitlines()]

    assert max(line["when"] for line in lines) < datetime.now(UTC).isoformat()
    [last] = [line for line in lines if line["when"] == max(line["when"] for line in lines)]
    assert "two" == last["run_id"]


def test_clock_that_was_ahead_is_believed_otherwise(night: Night) -> None:
    """Its record is the last one: what it says is reused, not paid again."""
    night.write("a.txt")
    night.run()
    night.write("a.txt", text="another text of another length")
    night.run(TaskInstance(run_id="two"))
    parts = night.out / "_convertapi" / "manifest"
    manifest = Manifest(Folder(f"{parts}/"))
    last = max(manifest.records(), key=lambda pair: pair[1].when)
    ahead = datetime.fromisoformat(last[1].when) + timedelta(days=365)
    manifest.write(last[0], [replace(last[1], when=ahead.isoformat(timespec="microseconds"))])

    assert 1 == night.run(TaskInstance(run_id="three"))["reused"]


def test_compaction_keeps_the_order_of_a_clock_that_was_ahead(night: Night) -> None:
    """Records are written anew with the time at which their part was."""
    night.write("a.txt")
    night.run()
    _shift_records(night, days=365)
    night.write("a.txt", text="another text of another length")
    night.run(TaskInstance(run_id="two"))
    manifest = Manifest(Folder(f"{night.out}/_convertapi/manifest/"))
    [(_, one), *_] = manifest.records()
    task = TaskTry(dag_id="d", task_id="t", run_id="other", started=0.0)
    for number in range(MANY_PARTS):
        manifest.write(part_name(task, number), [replace(one, target=f"{number}.pdf")])

    manifest.compact(task)

    assert 1 == len(manifest.part_names())
    assert max(record.when for _, record in manifest.records()) < datetime.now(UTC).isoformat()
    assert 1 == night.run(TaskInstance(run_id="three"))["reused"]


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("report[1].docx", "report[1].pdf"),
        ("what?.docx", "what_.pdf"),
        ("[draft]/b.docx", "b.pdf"),
        ("why?/b.docx", "b.pdf"),
        ("{a,b}.docx", "{a,b}.pdf"),
        ("~b.docx", "~b.pdf"),
        ("~/b.docx", "b.pdf"),
    ],
)
def test_missing_file_whose_name_is_like_a_glob_fails(night: Night, name: str, output: str) -> None:
    """A list's entry that names nothing is a missing file, not a glob that matches nothing."""
    night.write("a.txt")

    with pytest.raises(BatchFailedError, match=rf"1 of 2 files failed.*{re.escape(name)}"):
        night.run(source=[str(night.source / "a.txt"), str(night.source / name)])

    assert {"a.pdf": "converted", output: "failed"} == night.outcomes()


def test_files_whose_names_are_like_globs_are_converted(night: Night) -> None:
    """Each is converted once, whether a list names it or a listing finds it."""
    names = ["~a.txt", "~/b.txt", "q?.txt", "{a,b}.txt", "c[1].txt", "d[!x]*.txt", "e\\f.txt"]
    night.write(*names)

    summary = night.run(TaskInstance(run_id="one"), source=[str(night.source / n) for n in names])
    other = night.run(TaskInstance(run_id="two"), destination=str(night.out.parent / "other"))

    assert (7, 7) == (summary["converted"], other["converted"])
    assert 14 == night.sandbox.billed
    again = night.run(TaskInstance(run_id="three"), source=[str(night.source / n) for n in names])
    assert 7 == again["reused"]


def test_glob_that_matches_nothing_is_no_missing_file(night: Night) -> None:
    """A star is in no name that people give, and there may be nothing to do tonight."""
    night.write("a.txt")

    assert 1 == night.run(source=[f"{night.source}/*.txt", f"{night.source}/*.docx"])["converted"]


def test_output_of_another_conversion_is_an_input(night: Night) -> None:
    """Text to PDF, then PDF to pictures in one folder: each batch leaves out its own outputs."""
    night.write("a.txt")
    here = str(night.source)
    night.run(destination=here)

    summaries = [
        night.run(
            TaskInstance(run_id=run_id), source=f"{here}/*.*df", destination=here, to_format="jpg"
        )
        for run_id in ("two", "three")
    ]

    assert [(1, 0), (0, 1)] == [(one["converted"], one["reused"]) for one in summaries]
    last = night.run(TaskInstance(run_id="four"), source=f"{here}/*[!g]", destination=here)
    assert (0, 1) == (last["converted"], last["reused"])


@pytest.mark.parametrize(
    ("url", "output"),
    [
        pytest.param("a%2F..%2F..%2Fevil.txt", "a/_../_../evil.pdf", id="parent"),
        pytest.param("%2Fetc%2Fevil.txt", "_/etc/evil.pdf", id="root"),
        pytest.param(".%2Fevil.txt", "_./evil.pdf", id="here"),
        pytest.param("_convertapi%2Fmanifest%2Fx.txt", "__convertapi/manifest/x.pdf", id="own"),
        pytest.param("a%0Ab%2Fx.txt", "a_b/x.pdf", id="control"),
        pytest.param("..%20%2Fx.txt", "_.. /x.pdf", id="parent-on-windows"),
        pytest.param("...%2F..%2Fx.txt", "_.../_../x.pdf", id="dots"),
        pytest.param("_Convertapi.%20%2Fx.txt", "__Convertapi. /x.pdf", id="own-on-windows"),
        pytest.param("..%5C..%5Cevil.txt", "_.._.._evil.pdf", id="backslash"),
        pytest.param("a%00b%2Fc%00.txt", "a_b/c_.pdf", id="nul"),
        pytest.param("%252e%252e%252Fx.txt", "%2e%2e%2Fx.pdf", id="encoded-twice"),
        pytest.param("a%3Fb%2A.txt", "a_b_.pdf", id="wildcards"),
        pytest.param("~%2F%7Bx%7D.txt", "~/{x}.pdf", id="tilde-and-braces"),
        pytest.param(f"{'%E6%BC%A2' * 100}%2Fx.txt", LONG_DIRECTORY, id="long-directory"),
        pytest.param("2026%2Fx.y%2Fb.txt", "2026/x.y/b.pdf", id="harmless"),
    ],
)
def test_output_stays_in_the_destination(night: Night, url: str, output: str) -> None:
    """Every part of an output's path is cleaned, wherever the name comes from."""
    plan = night.run(source=[f"https://example.com/{url}"], plan_only=True)

    assert [output] == [example["output"] for example in plan["examples"]]


def test_what_is_left_out_is_counted(night: Night, said: Callable[[], str]) -> None:
    """By reason, once for the whole batch."""
    night.write("a.txt", "b.txt", "young.md")
    os.utime(night.source / "a.txt", (0, 0))
    os.utime(night.source / "b.txt", (0, 0))
    here = str(night.source)
    night.run(destination=here, source=f"{here}/*.txt")
    for path in night.source.glob("*.pdf"):
        os.utime(path, (0, 0))
    night.run(destination=f"{here}/zip", to_format="zip", source=f"{here}/a.txt")
    said()

    night.run(TaskInstance(run_id="two"), destination=here, min_age=3600)

    told = said()
    assert "2 files: 0 to convert" in told
    assert "Left out of the listing: 2 outputs of this conversion, 2 younger than min_age." in told

    zipped = {"source": f"{here}/**/a.[tz]*", "destination": f"{here}/zip", "to_format": "zip"}
    night.run(TaskInstance(run_id="two"), **zipped)

    assert "Left out of the listing: 1 in the destination." in said()
