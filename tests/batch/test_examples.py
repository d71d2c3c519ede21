"""The examples of batches run in a real Airflow, twice: the second time costs nothing."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pypdfium2
import pytest

from dev.s3 import connected_s3

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convertapi_sandbox import Sandbox
    from tests.conftest import RunDag

EXAMPLES = Path(__file__).parents[2] / "example_dags"

pytestmark = [
    pytest.mark.timeout(300),  # the first run in a process loads Airflow's execution API
    pytest.mark.long,
]


@pytest.fixture
def documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide a folder of documents, to which the examples point."""
    folder = tmp_path / "documents"
    for name in ("a.txt", "b.md", "deep/c.txt", "invoices/north/2.txt", "invoices/north/1.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"Document {name}\n")
    (folder / "invoices" / "south").mkdir()
    (folder / "invoices" / "south" / "1.txt").write_text("One for the south\n")
    monkeypatch.setenv("EXAMPLE_DOCUMENTS", str(folder))
    monkeypatch.setenv("EXAMPLE_RESULTS", str(tmp_path / "results"))
    return folder


@pytest.fixture
def bucket() -> Iterator[Any]:
    """Provide a client of an S3 server with a bucket of six documents."""
    # moto keeps one state for a process
    with connected_s3("s3_shards", "shards-in", "shards-out") as client:
        for number in range(6):
            client.put_object(Bucket="shards-in", Key=f"{number % 2}/{number}.txt", Body=b"Hello\n")
        yield client


def test_nightly_folder(run_dag: RunDag, sandbox: Sandbox, documents: Path) -> None:
    """The first night converts everything, the second nothing, the third what is new."""
    nights = []
    for new in (None, None, "new.txt"):
        if new:
            (documents / new).write_text("New\n")
        run = run_dag(EXAMPLES / "nightly_folder.py")
        [task] = run.get_task_instances()
        summary = task.xcom_pull(task_ids="to_pdf")
        nights.append((run.state, summary["converted"], summary["reused"], summary["cost"]))

    assert [("success", 6, 0, 6), ("success", 0, 6, 0), ("success", 1, 6, 1)] == nights
    assert 7 == sandbox.billed


def test_fan_out_shards(run_dag: RunDag, sandbox: Sandbox, bucket: Any) -> None:
    """The shards, named in the grid, convert the bucket; another number of them finds it done."""
    conf = {"source": "s3://s3_shards@shards-in/", "destination": "s3://s3_shards@shards-out/"}
    runs = [
        run_dag(EXAMPLES / "fan_out_shards.py", conf={**conf, "files_per_shard": size})
        for size in (2, 3)
    ]

    keys = [item["Key"] for item in bucket.list_objects_v2(Bucket="shards-out")["Contents"]]
    assert ["success", "success"] == [run.state for run in runs]
    shown = [
        [task.rendered_map_index for task in run.get_task_instances() if task.task_id == "to_pdf"]
        for run in runs
    ]
    assert ["shard 1 of 3", "shard 2 of 3", "shard 3 of 3"] == sorted(shown[0])
    assert ["shard 1 of 2", "shard 2 of 2"] == sorted(shown[1])
    assert 6 == len([key for key in keys if key.endswith(".pdf")])
    assert 6 == sandbox.billed
    assert {} == sandbox.files


def test_invoices_per_customer(
    run_dag: RunDag, sandbox: Sandbox, documents: Path, tmp_path: Path
) -> None:
    """Each customer gets one PDF with a page for each invoice, in their order."""
    run = run_dag(EXAMPLES / "invoices_per_customer.py")

    made = tmp_path / "results" / "customers"
    north = pypdfium2.PdfDocument(made / "north.pdf")
    text = [page.get_textpage().get_text_bounded() for page in north]
    assert "success" == run.state
    assert 2 == len(north)
    assert ["1.md", "2.txt"] == [
        name for page in text for name in ("1.md", "2.txt") if f"north/{name}" in page
    ]
    assert 1 == len(pypdfium2.PdfDocument(made / "south.pdf"))
    assert 3 + 2 == sandbox.billed


def test_chain(
    run_dag: RunDag, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three documents become one PDF that opens with the password alone, for five conversions."""
    password = "sesame-4711"
    monkeypatch.setenv("EXAMPLE_DOCUMENTS", str(EXAMPLES.parent / "dev" / "documents"))
    monkeypatch.setenv("EXAMPLE_RESULTS", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_VAR_REPORT_PASSWORD", password)

    run = run_dag(EXAMPLES / "chain.py")

    assert "success" == run.state
    assert 3 == len(pypdfium2.PdfDocument(tmp_path / "chained.pdf", password))
    with pytest.raises(pypdfium2.PdfiumError):
        pypdfium2.PdfDocument(tmp_path / "chained.pdf")
    assert 5 == sandbox.billed
    assert {} == sandbox.files


@pytest.mark.skipif(
    version("apache-airflow").startswith(("2.", "3.0.")), reason="before 3.1 nobody can be asked"
)
def test_monthly_budget(
    run_dag: RunDag,
    sandbox: Sandbox,
    documents: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A cheap night needs no person, and takes what the balance covers; tests/crash has others."""
    connection = {**sandbox.airflow_connection, "extra": {"master_token": sandbox.master_token}}
    monkeypatch.setenv("AIRFLOW_CONN_CONVERTAPI_DEFAULT", json.dumps(connection))
    sandbox.balance = 2
    assert 4 == len([*documents.rglob("*.txt")])

    run = run_dag(EXAMPLES / "monthly_budget.py", conf={"day": "2026-11-15"})

    states = {task.task_id: task.state for task in run.get_task_instances()}
    assert ("skipped", "success", "skipped") == tuple(
        states[name] for name in ("approve", "to_pdf", "report")
    )
    assert 2 == len([*(tmp_path / "results" / "budget").rglob("*.pdf")])
    assert (2, 0) == (sandbox.billed, sandbox.balance)
