"""What a batch remembers was damaged, moved away, or belongs to a run that is dead."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi import manifest
from airflow_provider_convertapi.errors import (
    BatchFailedError,
    OutputNotWritableError,
    TransientBatchFailedError,
)
from tests.tries import TaskInstance, run_try

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.batch.nights import Night


def another_night(number: int = 2) -> TaskInstance:
    """Return the task instance of a later run."""
    return TaskInstance(run_id=f"night {number}")


def forget(night: Night) -> None:
    """Let the service forget all that it did, as it does within hours; what it billed stays."""
    night.sandbox.vanish_job()
    night.sandbox.expire_files()


class DeletedError(Exception):
    """The run was deleted while its task was deferred."""


def delete() -> None:
    """Delete the run."""
    raise DeletedError


def only_part(night: Night) -> Path:
    """Return the only part of a night's manifest."""
    (part,) = (night.out / "_convertapi" / "manifest").glob("*.jsonl")
    return part


def test_run_made_anew_has_a_plan_of_its_own(night: Night) -> None:
    """What a dead run of the same names left is not resumed: no file is paid and forgotten."""
    night.write("a.txt")
    with pytest.raises(DeletedError):
        run_try(lambda: night.operator({"deferrable": True}), deferred=delete)
    night.write("b.txt", "c.txt")

    summary = run_try(lambda: night.operator({"deferrable": True}))

    assert {"converted": 3, "cost": 2}.items() <= summary.items()
    assert ["a.pdf", "b.pdf", "c.pdf"] == night.outputs()
    assert (3, {}) == (night.sandbox.billed, night.sandbox.files)


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("place", ["_convertapi", "_convertapi/manifest", "_convertapi/plans"])
def test_place_of_the_records_is_tried_first(night: Night, place: str, deferrable: bool) -> None:
    """Where a batch could not say what it paid, it pays nothing, and says what is wrong."""
    if place == "_convertapi/plans" and not deferrable:
        pytest.skip("only a batch that defers writes plans")
    night.write("a.txt")
    (night.out / place).parent.mkdir(parents=True)
    (night.out / place).symlink_to((night.out / place).name)  # to itself

    with pytest.raises(OutputNotWritableError, match=rf"{place}.* cannot be written.*Nothing was"):
        run_try(lambda: night.operator({"deferrable": deferrable}))

    assert 0 == night.sandbox.billed


def test_directory_in_the_manifest_is_no_part(night: Night) -> None:
    """Only files are read."""
    night.write("a.txt")
    night.run()
    (night.out / "_convertapi" / "manifest" / "old.jsonl").mkdir()

    assert 1 == night.run(another_night())["reused"]


def test_lost_salt_pays_for_nothing_twice(night: Night) -> None:
    """Every record names the salt that it was written under."""
    night.write("a.txt", "b.txt")
    night.run()
    for salt in (night.out / "_convertapi").glob("salt-*"):
        salt.unlink()
    forget(night)

    plan = night.run(another_night(), plan_only=True)
    second, third = night.run(another_night()), night.run(another_night(3))

    assert 2 == plan["reused"]
    assert [2, 2] == [second["reused"], third["reused"]]
    assert 2 == night.sandbox.billed


def test_mark_of_an_editor_loses_no_record(night: Night) -> None:
    """A byte order mark and Windows' ends of lines change nothing."""
    night.write("a.txt", "b.txt")
    night.run()
    part = only_part(night)
    part.write_bytes(b"\xef\xbb\xbf" + part.read_bytes().replace(b"\n", b"\r\n"))
    forget(night)

    assert 2 == night.run(another_night())["reused"]


def test_lines_that_are_no_records_are_told_once(
    night: Night, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """However many they are: the log of a night names the part, and counts them."""
    night.write("a.txt")
    night.run()
    part = only_part(night)
    unknown = {**json.loads(part.read_bytes()), "outcome": "postponed"}
    with part.open("a") as file:
        file.write(json.dumps(unknown) + "\n" + "foreign\n" * 1000)

    assert 1 == night.run(another_night())["reused"]
    assert 1 == caplog.text.count("1001 lines of the manifest's part")
    capfd.readouterr()
    assert 0 == manifest.main([str(night.out)])
    assert "1 converted" in capfd.readouterr().out


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("overwrite", [False, True])
def test_directory_in_place_of_an_output_costs_nothing(
    night: Night, durable: bool, overwrite: bool
) -> None:
    """Its name is known before anything is paid."""
    night.write("a.txt")
    night.run(durable=durable)
    (night.out / "a.pdf").unlink()
    (night.out / "a.pdf" / "inner").mkdir(parents=True)
    forget(night)

    with pytest.raises(BatchFailedError, match=r"a\.pdf is a directory; move it away"):
        night.run(another_night(), durable=durable, overwrite=overwrite)

    assert 1 == night.sandbox.billed
    (night.out / "a.pdf" / "inner").rmdir()
    (night.out / "a.pdf").rmdir()
    assert 1 == night.run(another_night(3), durable=durable, overwrite=overwrite)["converted"]


@pytest.mark.parametrize("durable", [False, True])
def test_lost_link_in_place_of_an_output_costs_nothing(night: Night, durable: bool) -> None:
    """A link that leads nowhere is a file of somebody else's, too."""
    night.write("a.txt")
    night.out.mkdir()
    (night.out / "a.pdf").symlink_to("nowhere.pdf")

    with pytest.raises(BatchFailedError, match=r"a\.pdf exists and is not ours.*Nothing was paid"):
        night.run(durable=durable)

    assert 0 == night.sandbox.billed
    assert 1 == night.run(another_night(), durable=durable, overwrite=True)["converted"]


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("dag_id", [".hidden", "", "..", "ä/ö"])
def test_records_of_every_dag_are_found(night: Night, dag_id: str, deferrable: bool) -> None:
    """Names that begin with a dot are left out of a listing; code outside any DAG has no name."""
    night.write("a.txt")
    given = {"deferrable": deferrable}
    run_try(lambda: night.operator(given), TaskInstance(dag_id=dag_id, task_id=""))
    forget(night)

    next_night = TaskInstance(dag_id=dag_id, task_id="", run_id="next")

    assert 1 == run_try(lambda: night.operator(given), next_night)["reused"]
    assert ["a.pdf"] == [record.target for record in night.records()]


def test_records_of_code_outside_tasks_are_found(night: Night) -> None:
    """A script that converts a folder twice pays once."""
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

    night.write("a.txt")
    given: Any = {"source": str(night.source), "to_format": "pdf", "destination": str(night.out)}
    ConvertApiHook().convert_batch(**given)
    forget(night)

    assert 1 == ConvertApiHook().convert_batch(**given)["reused"]
    assert 1 == night.sandbox.billed


def test_code_outside_tasks_collects_what_an_earlier_call_submitted(
    night: Night, said: Callable[[], str]
) -> None:
    """A batch's ids name no task, so nothing is lost, and no warning says so."""
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

    night.write("a.txt")
    given: Any = {"source": str(night.source), "to_format": "pdf", "destination": str(night.out)}
    given["poll_interval"] = 0.5
    night.sandbox.jobs_take(polls=6)
    with pytest.raises(TransientBatchFailedError, match="ConversionTimeoutError"):
        ConvertApiHook().convert_batch(**given, timeout=1)

    assert 1 == ConvertApiHook().convert_batch(**given)["converted"]
    assert 1 == night.sandbox.billed
    assert "not durable" not in said()


@pytest.mark.parametrize("deferrable", [False, True])
def test_source_that_was_moved_is_told(night: Night, deferrable: bool) -> None:
    """There is a record of the output, but of another source; nothing is paid or overwritten."""
    night.write("a.txt")
    night.run()
    moved = night.source.with_name("elsewhere")
    night.source.rename(moved)
    given = {"deferrable": deferrable, "source": f"{moved}/"}

    with pytest.raises(BatchFailedError, match="A batch made it from another source") as failed:
        run_try(lambda: night.operator(given), another_night())

    assert "has no record" not in str(failed.value)
    assert 1 == night.sandbox.billed
