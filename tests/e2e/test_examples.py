"""Every example DAG runs, and what it makes opens and is right."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pypdfium2
import pytest
from PIL import Image

from dev.demo import SENTENCES
from dev.documents import is_locked, text_of
from dev.examples import NOT_IN_THE_DEMO, ORDER
from dev.s3 import CONVERTED, INCOMING
from dev.stage import EXAMPLES, OFFICE_DOCUMENTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.conftest import RunDag

pytestmark = pytest.mark.timeout(180)  # the first run in a process loads Airflow's execution API

BROCHURE = {"sea": (18, 63, 96), "market": (244, 163, 81), "night": (29, 21, 68)}
"""What each page of the brochure shows, and the red, green and blue near its picture's top."""


def test_each_example_is_in_the_demo() -> None:
    """The demo leaves none out without a reason; tests/batch tests those of batches and chains."""
    assert {*ORDER, *NOT_IN_THE_DEMO} == {file.stem for file in EXAMPLES.glob("*.py")}


def test_document_to_pdf(run_dag: RunDag, sandbox: Sandbox, results: Path) -> None:
    """A Word document becomes a PDF that holds its text, table and list."""
    run = run_dag(EXAMPLES / "document_to_pdf.py")

    text = text_of((results / "report.pdf").read_bytes())
    assert "success" == run.state
    for words in ("Quarterly report of the harbour", SENTENCES["report"], "August 190 88 171"):
        assert words in text
    assert 1 == sandbox.billed


def test_pdf_to_images(run_dag: RunDag, sandbox: Sandbox, results: Path) -> None:
    """Each page becomes an A4 image of 150 dots an inch, named in the order of the pages."""
    run = run_dag(EXAMPLES / "pdf_to_images.py")

    names = ("brochure.jpg", "brochure-2.jpg", "brochure-3.jpg")
    files = [results / "pages" / name for name in names]
    images = [Image.open(file) for file in files]
    assert "success" == run.state
    assert [str(file) for file in files] == _pulled(run, "to_images")
    assert set(files) == set((results / "pages").iterdir())
    assert [(1241, 1754)] * 3 == [image.size for image in images]
    assert list(BROCHURE) == [_nearest(image) for image in images]
    assert 1 == sandbox.billed


def test_merge_and_protect(
    run_dag: RunDag,
    sandbox: Sandbox,
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: Callable[[], str],
) -> None:
    """The documents' PDFs are merged in their order; the whole opens with the password alone."""
    password = "sesame-4711"
    monkeypatch.setenv("AIRFLOW_VAR_REPORT_PASSWORD", password)

    run = run_dag(EXAMPLES / "merge_and_protect.py")

    pdf = (results / "harbour.pdf").read_bytes()
    log = said()
    assert "success" == run.state
    assert is_locked(pdf)
    with pytest.raises(pypdfium2.PdfiumError, match="password"):
        pypdfium2.PdfDocument(pdf, "wrong")
    text = text_of(pdf, password)
    places = [text.find(sentence) for sentence in SENTENCES.values()]
    assert -1 not in places
    assert sorted(places) == places
    assert 3 == len(pypdfium2.PdfDocument(pdf, password))
    assert 5 == sandbox.billed
    assert "charged now: 1" in log
    assert password not in log
    assert password not in _rendered(run, "protect")


@pytest.mark.filterwarnings("ignore:Accessing .* from the template")  # Airflow 2's own, of itself
def test_bucket_to_bucket(run_dag: RunDag, sandbox: Sandbox, s3: Any) -> None:
    """Each document of a bucket becomes a PDF in the other one; the first is left as it was."""
    conf = {"source": "s3://s3_example@incoming/", "destination": "s3://s3_example@converted/"}

    run = run_dag(EXAMPLES / "bucket_to_bucket.py", conf=conf)

    made = {key[:-4]: text_of(_object(s3, CONVERTED, key)) for key in _keys(s3, CONVERTED)}
    assert "success" == run.state
    assert {file.stem for file in OFFICE_DOCUMENTS} == set(made)
    for stem, text in made.items():
        assert SENTENCES[stem] in text
    for file in OFFICE_DOCUMENTS:
        assert file.read_bytes() == _object(s3, INCOMING, file.name)
    assert 3 == sandbox.billed


def test_hook_in_task(run_dag: RunDag, sandbox: Sandbox, results: Path) -> None:
    """A `@task` reads what the hook has converted for it."""
    run = run_dag(EXAMPLES / "hook_in_task.py")

    text = (results / "brochure.txt").read_text(encoding="utf-8")
    assert "success" == run.state
    assert "Its gallery is open until nine" in text
    assert len(text.split()) == _pulled(run, "count_words")
    assert 1 == sandbox.billed


def test_quota_exhausted(
    run_dag: RunDag,
    sandbox: Sandbox,
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: Callable[[], str],
) -> None:
    """The example fails as it says: one try of four, and a text that tells what to do."""
    monkeypatch.setenv("AIRFLOW_CONN_CONVERTAPI_EXHAUSTED", sandbox.airflow_connection_json)
    sandbox.balance = 0

    run = run_dag(EXAMPLES / "quota_exhausted.py")

    [task] = run.get_task_instances()
    log = said()
    assert ("failed", 1, 3) == (run.state, task.try_number, task.max_tries)
    assert 1 == len(sandbox.requests.filter(method="POST"))
    for words in ("'convertapi_exhausted'", "report.docx", "Buy conversions", "clear this task"):
        assert words in log


def test_documents_are_deleted_at_the_service(
    run_dag: RunDag, sandbox: Sandbox, results: Path
) -> None:
    """What an example has brought to the service and made there, is gone when it ends."""
    run_dag(EXAMPLES / "pdf_to_images.py")

    assert {} == sandbox.files


def _pulled(run: Any, task_id: str) -> Any:
    [task] = [ti for ti in run.get_task_instances() if ti.task_id == task_id]
    return task.xcom_pull(task_ids=task_id)


def _rendered(run: Any, task_id: str) -> str:
    from airflow.models.renderedtifields import RenderedTaskInstanceFields

    [task] = [ti for ti in run.get_task_instances() if ti.task_id == task_id]
    fields = RenderedTaskInstanceFields.get_templated_fields(task)
    assert "UserPassword" in str(fields)
    return str(fields)


def _nearest(image: Image.Image) -> str:
    pixel = image.convert("RGB").getpixel((620, 360))
    assert isinstance(pixel, tuple)
    return min(BROCHURE, key=lambda name: math.dist(BROCHURE[name], pixel))


def _keys(s3: Any, bucket: str) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]]


def _object(s3: Any, bucket: str, key: str) -> bytes:
    content: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return content
