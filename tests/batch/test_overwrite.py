"""`overwrite=True` in another run, and whose an output of a batch is."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pypdfium2
import pytest

from airflow_provider_convertapi.errors import BatchFailedError
from tests.tries import TaskInstance, run_try

if TYPE_CHECKING:
    from pathlib import Path

    from tests.batch.nights import Night

MODES: list[dict[str, Any]] = [{}, {"deferrable": True}, {"durable": False}]
IDS = ["durable", "deferred", "direct"]


def damage(file: Path) -> None:
    """Write into a file, whose size stays the same."""
    before = file.stat()
    file.write_bytes(b"x" * before.st_size)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def run(night: Night, ti: TaskInstance, **arguments: Any) -> dict[str, Any]:
    """Run one try of a batch, its deferrals included."""
    from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator

    given: dict[str, Any] = {
        "source": str(night.source),
        "to_format": "pdf",
        "destination": str(night.out),
        "poll_interval": 0.5,
        **arguments,
    }
    summary: dict[str, Any] = run_try(lambda: ConvertApiBatchOperator(task_id="batch", **given), ti)
    return summary


@pytest.mark.parametrize("mode", MODES, ids=IDS)
def test_damaged_output_is_not_kept(night: Night, mode: dict[str, Any]) -> None:
    """It has the size that the service still announces, and is converted, and paid, anew."""
    night.write("a.txt", "Grüße [1].txt")
    run(night, TaskInstance(run_id="one"), **mode)
    good = {name: (night.out / name).read_bytes() for name in night.outputs()}
    damage(night.out / "Grüße [1].pdf")

    summary = run(night, TaskInstance(run_id="two"), overwrite=True, **mode)

    assert good == {name: (night.out / name).read_bytes() for name in night.outputs()}
    assert {"converted": 2, "reused": 0, "failed": 0}.items() <= summary.items()
    assert {} == night.sandbox.files
    # A direct conversion leaves nothing by which the undamaged one could be known again.
    assert (4 if "durable" in mode else 3) == night.sandbox.billed


@pytest.mark.parametrize("mode", MODES[:2], ids=IDS[:2])
def test_damaged_output_of_a_chain_is_not_kept(night: Night, mode: dict[str, Any]) -> None:
    """All steps are done again, since none of their documents is left."""
    night.write("a.txt")
    steps = [{"to_format": "txt"}]
    run(night, TaskInstance(run_id="one"), steps=steps, **mode)
    [name] = night.outputs()
    good = (night.out / name).read_bytes()
    damage(night.out / name)

    run(night, TaskInstance(run_id="two"), steps=steps, overwrite=True, **mode)

    assert good == (night.out / name).read_bytes()
    assert 4 == night.sandbox.billed


@pytest.mark.parametrize("mode", MODES[:2], ids=IDS[:2])
def test_old_version_that_comes_back(night: Night, mode: dict[str, Any]) -> None:
    """The service remembers its job; the output of the same size is the other version's."""
    source = night.source / "a.md"
    given = {"to_format": "html", **mode}
    source.write_text("One.\n")
    first = source.stat()
    run(night, TaskInstance(run_id="one"), **given)
    source.write_text("Two.\n")
    run(night, TaskInstance(run_id="two"), **given)
    source.write_text("One.\n")
    os.utime(source, ns=(first.st_atime_ns, first.st_mtime_ns))

    run(night, TaskInstance(run_id="three"), **given)

    assert b"One." in (night.out / "a.html").read_bytes()
    assert 3 == night.sandbox.billed


def test_retry_with_overwrite_pays_nothing_twice(night: Night) -> None:
    """Another try of the same run finds the records of its own run."""
    night.write("a.txt", "b.txt")
    run(night, TaskInstance(run_id="one"))
    for number in (1, 2):
        run(night, TaskInstance(number, run_id="two"), overwrite=True, conversion_key="2")

    assert 4 == night.sandbox.billed


@pytest.fixture
def nested(night: Night) -> dict[Path, bytes]:
    """Make a source whose files have the names of results of its inner folder; return them."""
    inner = night.source / night.source.name
    inner.mkdir()
    for number, place in enumerate((night.source / "a.pdf", night.source / "b-2.pdf"), 1):
        write_pages(place, 100 * number)
    write_pages(inner / "a.pdf", 300)
    write_pages(inner / "b.pdf", 400, 500)
    return {path: path.read_bytes() for path in night.source.rglob("*.pdf")}


def write_pages(place: Path, *widths: int) -> None:
    """Write a PDF with a page of each width."""
    document = pypdfium2.PdfDocument.new()
    for width in widths:
        document.new_page(width, 100)
    document.save(place)


@pytest.mark.parametrize("mode", MODES, ids=IDS)
@pytest.mark.parametrize("shard", [None, 0, 1, 2])
@pytest.mark.parametrize("overwrite", [False, True])
def test_result_is_never_written_over_an_input(
    night: Night,
    nested: dict[Path, bytes],
    mode: dict[str, Any],
    shard: int | None,
    overwrite: bool,
) -> None:
    """Whatever `overwrite` says, and if no record tells the input from an output."""
    source: Any = str(night.source)
    if shard is not None:
        source = {"source": source, "shard": [shard, 3]}

    for number in (1, 2):
        with suppress(BatchFailedError):
            run(
                night,
                TaskInstance(run_id=str(number)),
                source=source,
                to_format="split",
                destination=str(night.source.parent),
                overwrite=overwrite,
                **mode,
            )

    assert nested == {path: path.read_bytes() for path in nested}
