"""A batch's summary as a source: what its run made, over all tries, without what was reused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import BatchFailedError, ParameterError
from airflow_provider_convertapi.shards import find_shards
from tests.batch.test_several import forget, write_pages
from tests.batch.test_waves import run_deferred
from tests.tries import TaskInstance, execute, run_try

if TYPE_CHECKING:
    from pathlib import Path

    from tests.batch.nights import Night

MODES = pytest.mark.parametrize("mode", ["durable", "direct", "deferred"])


def first() -> TaskInstance:
    """Return a new try of the first batch."""
    return TaskInstance(task_id="first")


def second(night: Night, summary: Any, mode: str, **given: Any) -> dict[str, Any]:
    """Run a batch over what the first one made."""
    ti = TaskInstance(task_id="second")
    arguments = {"source": summary, "destination": f"{night.out}-2", "to_format": "jpg", **given}
    if mode == "deferred":
        done, _ = run_deferred(night, ti, **arguments)
        return dict(done)
    return night.run(ti, durable=mode == "durable", **arguments)


def made(night: Night) -> list[str]:
    """Return the outputs of the second batch."""
    root: Path = night.out.with_name(f"{night.out.name}-2")
    files = (path.relative_to(root) for path in root.rglob("*.jpg"))
    return sorted(str(path) for path in files)


@MODES
def test_second_batch_takes_what_the_first_made(night: Night, mode: str) -> None:
    """Relative paths are mirrored, so that equal names in two folders stay apart."""
    night.write("a.txt", "sub/a.txt")

    summary = night.run(first())
    done = second(night, summary, mode)

    assert (2, ["a.jpg", "sub/a.jpg"]) == (done["converted"], made(night))
    assert 4 == night.sandbox.billed


def test_reused_is_left_out(night: Night) -> None:
    """Another night's batch hands on what is new."""
    night.write("a.txt")
    night.run(TaskInstance(task_id="first", run_id="1"))
    night.write("b.txt")

    summary = night.run(TaskInstance(task_id="first", run_id="2"))
    second(night, summary, "durable")

    assert ["b.jpg"] == made(night)


def test_all_tries_count(night: Night) -> None:
    """A try that failed has made something, too, and so has the run before a clear."""
    night.write("a.txt", "b.txt")
    night.sandbox.fail("POST /async/convert/*", verdict=50050)
    ti = TaskInstance(1, 2, task_id="first")
    with pytest.raises(BatchFailedError):
        night.run(ti, max_in_flight=1)
    night.run(TaskInstance(2, 2, task_id="first"), max_in_flight=1)

    summary = night.run(TaskInstance(3, 3, task_id="first"))
    second(night, summary, "durable")

    assert 0 == summary["converted"]
    assert ["a.jpg", "b.jpg"] == made(night)


def test_several_results_and_batches_of_one_folder(night: Night) -> None:
    """Each page is handed on; what another task of the same run wrote there is not."""
    write_pages(night, "scan.pdf", 100, 200)
    summary = night.run(first(), to_format="png")
    night.write("other.md")
    night.run(TaskInstance(task_id="other"), source=f"{night.source}/*.md", to_format="pdf")

    done = second(night, summary, "durable")

    assert (2, ["scan-2.jpg", "scan.jpg"]) == (done["converted"], made(night))


@pytest.mark.parametrize("on_empty", ["succeed", "skip", "fail"])
def test_nothing_made(night: Night, on_empty: str) -> None:
    """The batch operator follows `on_empty`, and the single operator skips."""
    from airflow.providers.common.compat.sdk import AirflowSkipException

    from airflow_provider_convertapi.errors import InputNotFoundError

    summary = night.run(first())
    ends: dict[str, Any] = {"skip": AirflowSkipException, "fail": InputNotFoundError}

    if on_empty in ends:
        with pytest.raises(ends[on_empty]):
            second(night, summary, "durable", on_empty=on_empty)
    else:
        assert 0 == second(night, summary, "durable", on_empty=on_empty)["converted"]
    with pytest.raises(AirflowSkipException, match="made nothing"):
        execute(single(summary, night.out / "all.pdf"), TaskInstance())


def single(source: Any, destination: Path, **given: Any) -> Any:
    """Make the operator for one conversion."""
    from airflow_provider_convertapi.operators.convert import ConvertApiOperator

    arguments = {"to_format": "merge", "poll_interval": 0.5, **given}
    return ConvertApiOperator(
        task_id="merge", source=source, destination=str(destination), **arguments
    )


@pytest.mark.parametrize("given", [{}, {"durable": False}, {"deferrable": True}], ids=str)
def test_single_operator_merges_what_was_made(night: Night, given: dict[str, Any]) -> None:
    """All results of the run become one file, in the order of their names."""
    night.write("b.txt", "a.txt")
    summary = night.run(first())
    out = night.out.with_name("all.pdf")

    outputs = run_try(lambda: single(summary, out, **given))

    assert [str(out)] == outputs
    assert 3 == night.sandbox.billed


def test_summaries_of_shards(night: Night) -> None:
    """Mapped batches are handed on together, and can be divided again."""
    night.write(*(f"{number}.txt" for number in range(6)))
    shards = find_shards(f"{night.source}/", files_per_shard=2)
    summaries = [
        night.run(TaskInstance(task_id="first", map_index=index), source=shard)
        for index, shard in enumerate(shards)
    ]

    again = find_shards(summaries, files_per_shard=2)
    done = [second(night, shard, "durable")["converted"] for shard in again]

    assert (3, 6) == (len(again), sum(done))
    assert [f"{number}.jpg" for number in range(6)] == made(night)


def test_second_night_of_the_second_batch(night: Night) -> None:
    """What was converted in the same run is reused, whichever task is cleared."""
    night.write("a.txt")
    summary = night.run(first())
    second(night, summary, "durable")
    forget(night)

    assert {"reused": 1, "cost": 0}.items() <= second(night, summary, "durable").items()


def test_plan_is_no_source(night: Night) -> None:
    """A batch that only planned has made nothing, and its answer says so."""
    night.write("a.txt")
    plan = night.run(first(), plan_only=True)

    with pytest.raises(ParameterError, match="plan_only=True, which has made nothing"):
        second(night, plan, "durable")
