"""Several results of one file, and other files with the same names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pypdfium2
import pytest

from airflow_provider_convertapi.batch.names import shard_of
from airflow_provider_convertapi.errors import BatchFailedError
from tests.tries import TaskInstance

if TYPE_CHECKING:
    from tests.batch.nights import Night

MODES = pytest.mark.parametrize("durable", [True, False], ids=["durable", "direct"])


def write_pages(night: Night, name: str, *widths: int) -> None:
    """Write a PDF with a page of each width."""
    document = pypdfium2.PdfDocument.new()
    for width in widths:
        document.new_page(width, 100)
    document.save(night.source / name)


def run(night: Night, number: int, **arguments: Any) -> dict[str, Any]:
    """Make pictures of the folder in one night."""
    return night.run(TaskInstance(run_id=str(number)), to_format="jpg", **arguments)


def forget(night: Night) -> None:
    """Let the service forget its jobs and documents, as it does before the next night."""
    night.sandbox.vanish_job()
    night.sandbox.expire_files()


@MODES
def test_further_result_spares_a_reused_output(night: Night, durable: bool) -> None:
    """A second page is not written over another file's output; what is refused is paid once."""
    write_pages(night, "scan.pdf", 100)
    write_pages(night, "scan-2.pdf", 200)
    run(night, 1, durable=durable)
    other = (night.out / "scan-2.jpg").read_bytes()
    write_pages(night, "scan.pdf", 300, 400)

    for number in (2, 3):
        forget(night)
        with pytest.raises(BatchFailedError, match="OutputExistsError"):
            run(night, number, durable=durable)

    assert other == (night.out / "scan-2.jpg").read_bytes()
    assert 3 == night.sandbox.billed


def test_suffix_keeps_further_results_apart(night: Night) -> None:
    """With `on_collision="suffix"` they get the input's own extension, and stay."""
    write_pages(night, "scan.pdf", 100)
    write_pages(night, "scan-2.pdf", 200)
    run(night, 1, on_collision="suffix")
    write_pages(night, "scan.pdf", 300, 400)
    run(night, 2, on_collision="suffix")
    write_pages(night, "scan.pdf", 500, 600)
    run(night, 3, on_collision="suffix")

    assert 2 == run(night, 4, on_collision="suffix")["reused"]
    assert ["scan-2.jpg", "scan.jpg", "scan.pdf-2.jpg"] == night.outputs()
    assert 4 == night.sandbox.billed


@MODES
def test_further_result_spares_another_shards_output(night: Night, durable: bool) -> None:
    """A shard knows what others wrote by their records."""
    count = next(n for n in range(2, 50) if shard_of("scan.pdf", n) != shard_of("scan-2.pdf", n))
    scan, other = (
        {"source": str(night.source), "shard": [shard_of(name, count), count]}
        for name in ("scan.pdf", "scan-2.pdf")
    )
    write_pages(night, "scan.pdf", 100)
    write_pages(night, "scan-2.pdf", 200)
    run(night, 1, source=scan, durable=durable)
    run(night, 1, source=other, durable=durable)
    before = (night.out / "scan-2.jpg").read_bytes()
    write_pages(night, "scan.pdf", 300, 400)

    with pytest.raises(BatchFailedError, match="output of another file"):
        run(night, 2, source=scan, durable=durable, overwrite=True, conversion_key="2")

    assert before == (night.out / "scan-2.jpg").read_bytes()


@MODES
def test_further_result_spares_a_file_of_somebody_else(night: Night, durable: bool) -> None:
    """A file's results replace only what a batch wrote for it."""
    write_pages(night, "scan.pdf", 100)
    run(night, 1, durable=durable)
    (night.out / "scan-2.jpg").write_text("mine")
    write_pages(night, "scan.pdf", 300, 400)

    with pytest.raises(BatchFailedError, match="OutputExistsError"):
        run(night, 2, durable=durable)

    assert "mine" == (night.out / "scan-2.jpg").read_text()


def test_pages_may_come_and_go(night: Night) -> None:
    """A page's picture stays the file's own, also while the file has fewer pages."""
    for number, widths in enumerate([(100, 200), (300,), (400, 500)]):
        write_pages(night, "scan.pdf", *widths)
        run(night, number)

    assert 1 == run(night, 4)["reused"]
    assert ["scan-2.jpg", "scan.jpg"] == night.outputs()
    assert 3 == night.sandbox.billed


def test_name_of_a_former_page_may_be_taken(night: Night) -> None:
    """An earlier owner of the picture does not count: it is converted, and paid, once."""
    write_pages(night, "scan.pdf", 100, 200)
    run(night, 1)
    write_pages(night, "scan.pdf", 300)
    run(night, 2)
    assert ["scan.jpg"] == night.outputs()
    write_pages(night, "scan-2.pdf", 400)
    run(night, 3)

    assert 2 == run(night, 4)["reused"]
    assert 3 == night.sandbox.billed
