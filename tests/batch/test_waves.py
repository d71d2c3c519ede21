"""Batches that wait in the triggerer: what travels, what is resumed, what is paid."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import (
    AuthenticationError,
    BatchFailedError,
    ConversionInterrupted,
    InputNotFoundError,
    QuotaExhaustedError,
)
from tests.tries import TaskInstance

if TYPE_CHECKING:
    from tests.batch.nights import Night

FILES = 20
NAMES = [f"{number % 3}/file-{number:03d}.txt" for number in range(FILES)]


def fire(trigger: Any) -> Any:
    """Run a trigger as the triggerer does, and return its event as it travels."""
    path, arguments = trigger.serialize()
    again = type(trigger)(**json.loads(json.dumps(arguments)))
    assert path.endswith("ConvertApiJobTrigger")

    async def first() -> Any:
        async for event in again.run():
            return event.payload
        return None

    return json.loads(json.dumps(asyncio.run(first())))


def run_deferred(night: Night, ti: TaskInstance | None = None, **arguments: Any) -> Any:
    """Run a deferrable batch to its end; return what it returns, and how often it resumed."""
    from tests.airflow_api import TaskDeferred

    resumes, event = 0, None
    ti = ti or TaskInstance()
    while True:
        try:
            if event is None:
                return night.run(ti, **{"deferrable": True, **arguments}), resumes
            return night.resume(ti, event, **{"deferrable": True, **arguments}), resumes
        except TaskDeferred as deferred:
            event = fire(deferred.trigger)
            resumes += 1


def test_waves_convert_everything(night: Night) -> None:
    """Several waves, each resumed from the manifest; nothing is paid twice or left behind."""
    night.write(*NAMES)

    summary, resumes = run_deferred(night, defer_batch=8)

    assert {"converted": FILES, "cost": FILES, "failed": 0}.items() <= summary.items()
    assert 2 <= resumes <= 5
    assert FILES == len(night.outputs()) == night.sandbox.billed
    assert {} == night.sandbox.files
    assert [] == list((night.out / "_convertapi" / "plans").iterdir())


def test_wave_that_is_collected_at_once_is_not_the_last(night: Night) -> None:
    """Jobs of an earlier try are collected in turn; the files after them are converted too."""
    from tests.airflow_api import TaskDeferred

    night.write(*NAMES)
    with pytest.raises(TaskDeferred):
        night.run(TaskInstance(1, 1), deferrable=True)

    summary, _ = run_deferred(night, TaskInstance(2, 1), defer_batch=8)

    assert {"converted": FILES, "not_attempted": 0}.items() <= summary.items()
    assert FILES == len(night.outputs()) == night.sandbox.billed


def test_wave_that_fails_at_once_is_not_the_last(night: Night) -> None:
    """Files that are refused where they are submitted leave room for others."""
    night.write(*NAMES)
    night.sandbox.fail("POST /async/convert", status=415, code=415, times=8)

    summary, _ = run_deferred(night, defer_batch=8, failure_policy="never")

    expected = {"converted": FILES - 8, "failed": 8, "not_attempted": 0}
    assert expected.items() <= summary.items()


def test_resume_lists_nothing(night: Night) -> None:
    """A file that comes while the task sleeps is for the next night; one that goes is collected."""
    from tests.airflow_api import TaskDeferred

    night.write("a.txt", "b.txt")
    ti = TaskInstance()
    with pytest.raises(TaskDeferred) as deferred:
        night.run(ti, deferrable=True)
    night.write("c.txt")
    (night.source / "a.txt").unlink()

    summary = night.resume(ti, fire(deferred.value.trigger), deferrable=True)

    assert 2 == summary["converted"]
    assert ["a.pdf", "b.pdf"] == night.outputs()


def test_trigger_arguments_open_nothing(night: Night) -> None:
    """Airflow's database and the files next to the outputs contain no token and no id."""
    from tests.airflow_api import TaskDeferred

    night.write("a.txt", "b.txt")
    with pytest.raises(TaskDeferred) as deferred:
        night.run(deferrable=True)

    kept = json.dumps(deferred.value.trigger.serialize())
    kept += "".join(
        path.read_text() for path in (night.out / "_convertapi").rglob("*") if path.is_file()
    )
    secrets = [night.sandbox.token, *night.sandbox.jobs, *night.sandbox.files]
    assert 2 <= len(night.sandbox.jobs)
    assert [] == [secret for secret in secrets if secret in kept]


def test_quota_ends_in_a_wave(night: Night) -> None:
    """What is in flight is saved before the task fails; the cleared task converts only the rest."""
    night.write(*NAMES)
    night.sandbox.balance = 11

    with pytest.raises(QuotaExhaustedError, match="9 are left"):
        run_deferred(night, defer_batch=8)
    assert 11 == len(night.outputs()) == night.sandbox.billed
    night.sandbox.balance = 100

    summary, _ = run_deferred(night, TaskInstance(2, 1), defer_batch=8)

    assert {"converted": 9, "reused": 11}.items() <= summary.items()
    assert FILES == night.sandbox.billed
    assert {} == night.sandbox.files


def test_failures_survive_resumes(night: Night) -> None:
    """A file that failed in the first wave fails the task after the last, and is reported."""
    night.write(*NAMES)
    night.sandbox.fail("POST /async/convert/*", verdict=5002, times=1)

    with pytest.raises(BatchFailedError, match="1 of 20 files failed"):
        run_deferred(night, defer_batch=8)

    assert FILES - 1 == len(night.outputs())
    assert FILES == night.sandbox.billed


def test_next_try_collects_what_a_lost_task_had_submitted(night: Night) -> None:
    """A task that never resumes leaves its jobs to the next try, which does not pay again."""
    from tests.airflow_api import TaskDeferred

    night.write(*NAMES)
    with pytest.raises(TaskDeferred):
        night.run(TaskInstance(1, 1), deferrable=True)

    summary = night.run(TaskInstance(2, 1))

    assert {"converted": FILES, "cost": 0}.items() <= summary.items()
    assert FILES == night.sandbox.billed


def test_lost_plan_is_for_the_next_try(night: Night) -> None:
    """A task whose plan was removed fails with a transient error, and the next try pays nothing."""
    from tests.airflow_api import TaskDeferred

    night.write("a.txt")
    ti = TaskInstance(1, 1)
    with pytest.raises(TaskDeferred) as deferred:
        night.run(ti, deferrable=True)
    for path in (night.out / "_convertapi" / "plans").iterdir():
        path.unlink()

    with pytest.raises(ConversionInterrupted, match="next try"):
        night.resume(ti, fire(deferred.value.trigger), deferrable=True)
    summary, _ = run_deferred(night, TaskInstance(2, 1))

    assert 1 == summary["converted"]
    assert 1 == night.sandbox.billed


def test_changed_token_is_no_reason_to_submit_again(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another token the jobs cannot be found: an error, and nothing sent."""
    from tests.airflow_api import TaskDeferred

    night.write("a.txt")
    ti = TaskInstance()
    with pytest.raises(TaskDeferred) as deferred:
        night.run(ti, deferrable=True)
    event = fire(deferred.value.trigger)
    connection = night.sandbox.airflow_connection | {"password": night.sandbox.rotate_token()}
    monkeypatch.setenv("AIRFLOW_CONN_CONVERTAPI_DEFAULT", json.dumps(connection))

    with pytest.raises(AuthenticationError, match="was changed"):
        night.resume(ti, event, deferrable=True)

    assert 1 == night.sandbox.billed


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(("a.b", "c"), ("a", "b.c"), id="dots"),
        pytest.param(("dag", "täsk"), ("dag", "tüsk"), id="not-ascii"),
        pytest.param((100 * "d", "t"), (100 * "d", "u"), id="long"),
    ],
)
def test_tasks_of_like_names_keep_their_plans_apart(
    night: Night, one: tuple[str, str], other: tuple[str, str]
) -> None:
    """Two tasks that write one destination in one run resume their own plans."""
    from tests.airflow_api import TaskDeferred

    night.write("a/a.txt", "b/b.txt")
    begun: list[tuple[TaskInstance, str, Any]] = []
    for (dag_id, task_id), name in ((one, "a"), (other, "b")):
        ti, source = TaskInstance(dag_id=dag_id, task_id=task_id), f"{night.source}/{name}/"
        with pytest.raises(TaskDeferred) as deferred:
            night.run(ti, source=source, deferrable=True)
        begun.append((ti, source, deferred.value.trigger))

    summaries = [
        night.resume(ti, fire(trigger), source=source, deferrable=True)
        for ti, source, trigger in begun
    ]

    assert [1, 1] == [summary["converted"] for summary in summaries]
    assert ["a.pdf", "b.pdf"] == night.outputs()
    assert 2 == night.sandbox.billed


def test_urls_stay_out_of_the_plan(night: Night) -> None:
    """A signed URL is converted in a wave, and neither plan nor manifest holds its signature."""
    from tests.airflow_api import TaskDeferred

    night.sandbox.settings.allow_hosts = "127.0.0.1"
    url = f"{night.sandbox.url}/web/to/pdf/openapi?signature=very-secret"
    ti = TaskInstance()
    given = {"source": [url], "from_format": "web", "failure_policy": "never"}
    with pytest.raises(TaskDeferred) as deferred:
        night.run(ti, deferrable=True, **given)
    kept = [p.read_text() for p in (night.out / "_convertapi").rglob("*") if p.is_file()]
    night.resume(ti, fire(deferred.value.trigger), deferrable=True, **given)
    kept += [p.read_text() for p in (night.out / "_convertapi").rglob("*") if p.is_file()]

    assert 1 == len(night.records())
    assert [] == [text for text in kept if "very-secret" in text]


def test_url_with_a_line_end_is_resumed(night: Night) -> None:
    """A URL from a file or an XCom may end with a newline; the plan recognises it all the same."""
    night.sandbox.settings.allow_hosts = "127.0.0.1"
    url = f"{night.sandbox.url}/web/to/pdf/openapi\n"

    run_deferred(night, source=[url], from_format="web", failure_policy="never")

    assert 1 == len(night.records())


def test_direct_batches_do_not_defer(night: Night) -> None:
    """There is no job to wait for: the task runs directly, and says so."""
    night.write("a.txt")

    started = time.monotonic()
    summary = night.run(deferrable=True, durable=False)

    assert 1 == summary["converted"]
    assert 30 > time.monotonic() - started


STAMPED = 6


@pytest.fixture
def stamped(night: Night) -> dict[str, Any]:
    """Provide a batch of PDFs that get a stamp, in waves of four; `stamp.pdf` is next to them."""
    names = [f"{number}.txt" for number in range(STAMPED)]
    night.write(*names)
    pages = night.source.parent / "pages"
    night.run(TaskInstance(run_id="before"), destination=str(pages))
    stamp = pages.parent / "stamp.pdf"
    stamp.write_bytes((pages / "0.pdf").read_bytes())
    return {
        "source": f"{pages}/*.pdf",
        "to_format": "pdf-watermark",
        "parameters": {"OverlayFile": str(stamp)},
        "deferrable": True,
    }


def in_two_steps(night: Night, stamped: dict[str, Any]) -> dict[str, Any]:
    """Return a batch of texts whose PDFs get the stamp in a second step."""
    step = {"to_format": "pdf-watermark", "parameters": stamped["parameters"]}
    return {"source": str(night.source), "to_format": "pdf", "steps": [step], "deferrable": True}


@pytest.mark.parametrize("with_steps", [False, True], ids=["parameter", "step"])
@pytest.mark.parametrize("change", ["gone", "written"])
def test_file_parameter_is_not_needed_to_collect(
    night: Night, stamped: dict[str, Any], change: str, with_steps: bool
) -> None:
    """A task that resumes where the stamp is gone, or another, collects all that was submitted."""
    from tests.airflow_api import TaskDeferred

    given = in_two_steps(night, stamped) if with_steps else stamped
    stamp, ti = night.source.parent / "stamp.pdf", TaskInstance()
    with pytest.raises(TaskDeferred) as deferred:
        night.run(ti, **given)
    event = fire(deferred.value.trigger)
    stamp.unlink() if change == "gone" else stamp.write_bytes(b"%PDF-another")

    summary = night.resume(ti, event, **given)

    assert {"converted": STAMPED, "failed": 0}.items() <= summary.items()
    assert STAMPED == len(night.outputs())
    assert STAMPED * (3 if with_steps else 2) == night.sandbox.billed
    assert {} == night.sandbox.files


def test_lost_file_parameter_ends_a_batch_between_waves(
    night: Night, stamped: dict[str, Any]
) -> None:
    """Submitted files are collected first; the others are counted separately, and cost nothing."""
    from tests.airflow_api import TaskDeferred

    ti, stamp = TaskInstance(), night.source.parent / "stamp.pdf"
    with pytest.raises(TaskDeferred) as deferred:
        night.run(ti, defer_batch=4, **stamped)
    event = fire(deferred.value.trigger)
    aside = stamp.rename(stamp.with_name("aside.pdf"))

    with pytest.raises(InputNotFoundError, match=r"stamp\.pdf.* 4 of 6 files .* 2 are left"):
        night.resume(ti, event, defer_batch=4, **stamped)
    collected = night.outputs()
    aside.rename(stamp)
    summary, _ = run_deferred(night, TaskInstance(2, 1), **stamped)

    assert 4 == len(collected)
    assert {"converted": 2, "reused": 4}.items() <= summary.items()
    assert STAMPED * 2 == night.sandbox.billed


def test_records_of_an_equal_try_are_not_of_this_plan(night: Night) -> None:
    """A run that is tested again has the same try number; what it finds done is reused."""
    night.write("a.txt", "b.txt")
    run_deferred(night)
    night.write("c.txt")

    summary, _ = run_deferred(night)

    assert {"converted": 1, "reused": 2, "cost": 1}.items() <= summary.items()
    assert 3 == night.sandbox.billed


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"parameters": {"PageSize": "a5"}}, id="parameters"),
        pytest.param({"conversion_key": "again"}, id="conversion_key"),
        pytest.param({"steps": [{"to_format": "compress"}]}, id="steps"),
    ],
)
def test_resume_with_other_arguments_publishes_nothing(
    night: Night, change: dict[str, Any]
) -> None:
    """Outputs are never filed under parameters that they were not made with."""
    from tests.airflow_api import TaskDeferred

    night.write("a.txt", "b.txt")
    with pytest.raises(TaskDeferred) as deferred:
        night.run(TaskInstance(1, 1), deferrable=True)
    event = fire(deferred.value.trigger)

    with pytest.raises(ConversionInterrupted, match="arguments changed"):
        night.resume(TaskInstance(1, 1), event, deferrable=True, **change)
    assert [] == night.outputs()

    summary, _ = run_deferred(night, TaskInstance(2, 1))
    assert 2 == summary["converted"] == night.sandbox.billed


def test_plan_of_other_arguments_is_not_resumed(night: Night) -> None:
    """An event that tells nothing, as an earlier version's, meets a plan that does."""
    from tests.airflow_api import TaskDeferred

    night.write("a.txt")
    with pytest.raises(TaskDeferred) as deferred:
        night.run(TaskInstance(1, 1), deferrable=True)
    event = {**fire(deferred.value.trigger), "asked": ""}

    with pytest.raises(ConversionInterrupted):
        night.resume(TaskInstance(1, 1), event, deferrable=True, conversion_key="again")

    assert 1 == night.resume(TaskInstance(1, 1), event, deferrable=True)["converted"]


PLANTED = [
    pytest.param(0, "{elsewhere}/secret.txt", id="input-elsewhere"),
    pytest.param(0, "{source}/../elsewhere/secret.txt", id="input-upwards"),
    pytest.param(0, "{source}/_convertapi/a.txt", id="input-among-our-records"),
    pytest.param(0, "https://example.com/secret.txt", id="url"),
    pytest.param(0, 5, id="no-text"),
    pytest.param(1, "../elsewhere/b.pdf", id="output-upwards"),
    pytest.param(1, "_convertapi/manifest/b.pdf", id="output-among-our-records"),
    pytest.param(1, "sub/", id="output-without-a-name"),
    pytest.param(4, ["../elsewhere/secret.txt"], id="output-to-replace"),
    pytest.param(8, -5, id="more-to-spend"),
]


@pytest.mark.parametrize(("column", "value"), PLANTED)
@pytest.mark.parametrize("form", ["{source}/", "{source}/*.txt", ["{source}/a.txt", "{source}/b*"]])
def test_plan_that_somebody_changed_is_not_followed(
    night: Night, column: int, value: Any, form: Any
) -> None:
    """Whoever may write into the destination cannot have other files read or written."""
    from tests.airflow_api import TaskDeferred

    night.write("a.txt", "b.txt", "b2.txt")
    elsewhere = night.source.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "secret.txt").write_text("Nobody asked for this.")
    places = {"source": night.source, "elsewhere": elsewhere}
    ti = TaskInstance()
    uris = [form] if isinstance(form, str) else form
    given = {"source": [uri.format(**places) for uri in uris], "deferrable": True, "defer_batch": 1}
    with pytest.raises(TaskDeferred) as deferred:
        night.run(ti, **given)
    [plan] = (path for path in (night.out / "_convertapi").rglob("*-1.jsonl") if path.is_file())
    lines = [json.loads(line) for line in plan.read_text().splitlines()]
    lines[-1][column] = value.format(**places) if isinstance(value, str) else value
    plan.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    event = fire(deferred.value.trigger)
    billed = night.sandbox.billed  # of the job that has ended by now

    with pytest.raises(ConversionInterrupted, match="not what was asked for"):
        night.resume(ti, event, **given)

    assert billed == night.sandbox.billed
    assert ["secret.txt"] == [path.name for path in elsewhere.iterdir()]


@pytest.mark.parametrize("change", ["changed", "removed"])
def test_records_of_a_dead_run_settle_nothing(night: Night, change: str) -> None:
    """A run made anew under its run id has the names and numbers of the dead one's records."""
    night.write("a.txt", "b.txt")
    run_deferred(night)
    if change == "changed":
        night.write("a.txt", text="Another text for {name}.\n")
    else:
        (night.out / "a.pdf").unlink()

    summary, _ = run_deferred(night)

    assert {"converted": 1, "reused": 1, "cost": 1}.items() <= summary.items()
    assert ["a.pdf", "b.pdf"] == night.outputs()
    assert 3 == night.sandbox.billed
    assert {} == night.sandbox.files
