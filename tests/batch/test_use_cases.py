"""The examples of use cases run on the documents of the demo, and what they make is read."""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from convertapi_sandbox import samples
from dev.documents import text_of
from dev.stage import DOCUMENTS, EXAMPLES

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.conftest import RunDag

pytestmark = [
    pytest.mark.timeout(300),  # the first run in a process loads Airflow's execution API
    pytest.mark.long,
]


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the examples to the demo's documents, and return where their results go."""
    monkeypatch.setenv("EXAMPLE_DOCUMENTS", str(DOCUMENTS))
    monkeypatch.setenv("EXAMPLE_RESULTS", str(tmp_path))
    return tmp_path


def test_documents_to_markdown(run_dag: RunDag, sandbox: Sandbox, results: Path) -> None:
    """Each document is a text whose headings divide it; the second run makes and chunks nothing."""
    runs = [run_dag(EXAMPLES / "documents_to_markdown.py") for _ in range(2)]

    words = {
        "report.md": "1,284 vessels called at the harbour",
        "handbook.md": "Berths with odd numbers are for guests.",
        "brochure.md": "Its gallery is open until nine",
        "timetable.md": "In a storm of force nine the ferry stays at the pier.",
    }
    texts = {path.name: path.read_text("utf-8") for path in (results / "markdown").glob("*.*")}
    assert ["success", "success"] == [run.state for run in runs]
    assert set(words) == set(texts)
    for name, sentence in words.items():
        assert sentence in " ".join(texts[name].replace("*", "").split())
    chunks = _returned(runs[0], "chunk")
    assert set(words) == set(chunks)
    assert 3 == chunks["handbook.md"]
    assert {} == _returned(runs[1], "chunk")
    assert 3 + 2 == sandbox.billed
    assert {} == sandbox.files


def test_scan_is_not_indexed(
    run_dag: RunDag, sandbox: Sandbox, results: Path, tmp_path: Path
) -> None:
    """A text without a word is refused and kept for a look, and nothing is chunked."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "scan.html").write_text("<html><body><p> </p></body></html>")

    run = run_dag(EXAMPLES / "documents_to_markdown.py", conf={"documents": f"{tmp_path}/in"})

    assert "failed" == run.state
    assert [] == list((results / "markdown").glob("*.md"))
    assert [*(results / "markdown" / "_convertapi" / "refused").rglob("scan.md")]
    assert 1 == sandbox.billed


def test_tables_to_csv(run_dag: RunDag, sandbox: Sandbox, results: Path) -> None:
    """The tables of all reports are read as one."""
    run = run_dag(EXAMPLES / "tables_to_csv.py")

    assert "success" == run.state
    expected = {"North pier": 12320 + 8540, "Guest pontoon": 4080 + 1880}
    assert expected == _returned(run, "fees_per_berth")
    assert 2 == sandbox.billed
    assert {} == sandbox.files


def test_redact_to_markdown(run_dag: RunDag, sandbox: Sandbox, results: Path) -> None:
    """What was removed is in no result, the rest is; the second run is skipped and pays nothing."""
    runs = [run_dag(EXAMPLES / "redact_to_markdown.py") for _ in range(2)]

    made = results / "complaints"
    pdfs = {path.stem: text_of(path.read_bytes()) for path in (made / "redacted").glob("*.pdf")}
    texts = {path.stem: path.read_text("utf-8") for path in (made / "markdown").glob("*.md")}
    assert ["success", "success"] == [run.state for run in runs]
    assert {"fog-horn", "berth-12"} == set(pdfs) == set(texts)
    for text in (*pdfs.values(), *texts.values()):
        assert not re.search(r"\d{3}-\d{4}|@|Grace", text)
    assert "fog horn has sounded at noon" in " ".join(texts["fog-horn"].split())
    assert "skipped" == _task(runs[1], "to_markdown").state
    assert 2 + 2 == sandbox.billed
    assert {} == sandbox.files


def test_text_with_a_telephone_number_is_refused(
    run_dag: RunDag, sandbox: Sandbox, results: Path
) -> None:
    """If the first stage misses something, the second one publishes nothing of it."""
    whole = (DOCUMENTS / "complaints" / "berth-12.pdf").read_bytes()
    sandbox.answer("pdf", "redact", files=[("*.pdf", whole)], name="berth-12.pdf")

    run = run_dag(EXAMPLES / "redact_to_markdown.py")

    assert "failed" == run.state
    assert ["fog-horn.md"] == [
        path.name for path in (results / "complaints" / "markdown").glob("*.md")
    ]


def test_mailbox_to_case_file(
    run_dag: RunDag, sandbox: Sandbox, results: Path, tmp_path: Path
) -> None:
    """Mails are merged by date with their attachments; later, only cases with new mail are."""
    mailbox = tmp_path / "mailbox"
    shutil.copytree(DOCUMENTS / "mailbox", mailbox)
    late = mailbox / "c-ring.eml"
    late.rename(tmp_path / late.name)
    conf = {"mailbox": str(mailbox)}

    first = run_dag(EXAMPLES / "mailbox_to_case_file.py", conf=conf)
    billed = [sandbox.billed]
    (tmp_path / late.name).rename(late)
    second = run_dag(EXAMPLES / "mailbox_to_case_file.py", conf=conf)
    billed.append(sandbox.billed)
    third = run_dag(EXAMPLES / "mailbox_to_case_file.py", conf=conf)

    horn, ring = (text_of((results / "cases" / f"case-{n}.pdf").read_bytes()) for n in (17, 18))
    places = [
        horn.find(words)
        for words in ("find our offer attached", "delivered and wired, for 4,150", "We take it")
    ]
    assert ["success"] * 3 == [run.state for run in (first, second, third)]
    assert -1 not in places
    assert sorted(places) == places
    assert "The ring is loose" in ring
    assert "A ring of steel" in ring
    assert [2 + 1, 3 + 2] == billed
    assert billed[-1] == sandbox.billed
    assert {} == sandbox.files


def _task(run: Any, task_id: str) -> Any:
    [task] = [ti for ti in run.get_task_instances() if ti.task_id == task_id]
    return task


def _returned(run: Any, task_id: str) -> Any:
    return _task(run, task_id).xcom_pull(task_ids=task_id)


def test_scans_to_archive(run_dag: RunDag, sandbox: Sandbox, results: Path, tmp_path: Path) -> None:
    """A scan becomes a PDF with text; one without a word is refused and kept for a look."""
    scans = tmp_path / "scans" / "2026"
    scans.mkdir(parents=True)
    for name in ("letter.pdf", "upside-down.pdf"):
        (scans / name).write_bytes(samples.content("scan"))
        os.utime(scans / name, (1, 1))
    readable = (DOCUMENTS / "complaints" / "berth-12.pdf").read_bytes()
    sandbox.answer("pdf", "ocr", files=[("*.pdf", samples.content("scan"))])
    sandbox.answer("pdf", "ocr", files=[("*.pdf", readable)], name="letter.pdf")

    runs = [
        run_dag(EXAMPLES / "scans_to_archive.py", conf={"scans": str(tmp_path / "scans")})
        for _ in range(2)
    ]

    archive = results / "archive"
    assert ["failed", "failed"] == [run.state for run in runs]
    assert ["2026/letter.pdf"] == [
        path.relative_to(archive).as_posix()
        for path in archive.rglob("*.pdf")
        if "_convertapi" not in path.parts
    ]
    assert [*(archive / "_convertapi" / "refused").rglob("upside-down.pdf")]
    assert "berth" in text_of((archive / "2026" / "letter.pdf").read_bytes()).lower()
    assert 2 == sandbox.billed
