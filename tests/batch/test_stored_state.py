"""This version reads what earlier ones stored next to the outputs."""

from __future__ import annotations

from pathlib import Path

from airflow_provider_convertapi.batch.checkpoint import Checkpoint
from airflow_provider_convertapi.batch.decisions import Item
from airflow_provider_convertapi.batch.manifest import Manifest
from airflow_provider_convertapi.batch.record import Record
from airflow_provider_convertapi.storage import Folder

DATA = Path(__file__).parent / "data"
DIGEST = "0011223344556677:00112233445566778899aabbccddeeff"


def test_manifest_part_of_the_first_format() -> None:
    """Every field of every kind of record is found again."""
    records = [
        record
        for name, record in Manifest(Folder(f"{DATA}/")).records()
        if name == "manifest-part.jsonl"
    ]

    assert ["converted", "converted", "failed", "failed", "not_attempted"] == [
        record.outcome for record in records
    ]
    assert records[1] == Record(
        target="b.jpg",
        source="s3://conn@bucket/in/b.pdf",
        fingerprint="sha256-ab",
        seen="9-etag",
        from_format="pdf",
        to_format="jpg",
        parameters=DIGEST,
        outcome="converted",
        when="2026-11-24T02:00:00.000001+00:00",
        dag_id="d",
        task_id="t",
        run_id="r",
        map_index=-1,
        try_number=1,
        outputs=("b.jpg", "b-2.jpg"),
        sizes=(10, 11),
        cost=2,
        attempt=1,
    )
    assert ("/in/\udcff.docx", 5003, True) == (
        records[2].source,
        records[2].code,
        records[2].bars,
    )
    assert 60 == records[3].timeout


def test_checkpoint_of_the_first_format() -> None:
    """A batch that was deferred before an upgrade is resumed after it."""
    url = "https://example.com/c.docx?key=1"
    checked: list[Item] = []
    urls = {"url-00112233445566778899aabbccddeeff": url}

    left = Checkpoint.read(
        Folder(f"{DATA}/").read_lines("checkpoint.jsonl"), urls.get, checked.append
    )

    assert [
        Item(
            "/in/a.docx",
            "a.pdf",
            "sha256-ab",
            seen="12-170",
            own_outputs=("a.pdf", "a-2.pdf"),
            foreign_outputs=("a-3.pdf",),
            barred_attempts=2,
            is_second_attempt=True,
            prepaid=1,
        ),
        Item("/in/\udcff.docx", "b.pdf", "1-2"),
        Item(url, "c.pdf", "url-00112233445566778899aabbccddeeff"),
    ] == list(left.items)
    assert 3 == len(checked)
    assert (1795824000.5, 3, 4, 1) == (left.started, left.spent, left.reused, left.known)
    assert ["/in/d.docx (known: ConversionError (Code 5003))"] == left.examples
    assert ("pdf", (DIGEST,), 2) == (left.to_format, left.digests, left.least_cost)
    assert {"OverlayFile": ["/in/o.pdf", "5-6", 5], "2.FileB": ["url-ff"]} == left.files
