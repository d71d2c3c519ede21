"""This version reads what earlier ones stored next to the outputs."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.batch.checkpoint import Checkpoint
from airflow_provider_convertapi.batch.decisions import Item
from airflow_provider_convertapi.batch.manifest import Manifest
from airflow_provider_convertapi.batch.record import Record
from airflow_provider_convertapi.batch.shared_files import SharedFiles
from airflow_provider_convertapi.storage import Folder

if TYPE_CHECKING:
    from collections.abc import Iterator

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


NUMBERS = [1, -1, 2**70, 1.5, math.inf, math.nan, True]
ODD: list[Any] = [None, *NUMBERS, "x", "\x00", [], ["x"], [1], [[1]], {}, {"x": 1}]


def replaced(value: Any) -> Iterator[Any]:
    """Yield a JSON value with each of its parts replaced by something odd."""
    yield from ODD
    if not isinstance(value, dict | list):
        return
    for key, part in value.items() if isinstance(value, dict) else enumerate(value):
        for odd in replaced(part):
            other = copy.copy(value)
            other[key] = odd
            yield other


def test_whatever_a_checkpoint_holds_it_is_read_or_refused() -> None:
    """Whoever may write into the destination may write there anything."""
    lines = (DATA / "checkpoint.jsonl").read_bytes().splitlines()
    refused = 0
    for place, line in enumerate(lines[:2]):
        for value in replaced(json.loads(line)):
            planted = [*lines[:place], json.dumps(value).encode(), *lines[place + 1 :]]
            try:
                left = Checkpoint.read(planted, lambda _: "https://example.com/c", lambda _: None)
                assert list(left.lines())
                assert math.isfinite(left.started)
                assert 0 <= left.items.least_cost(1) < 2**63
            except ValueError:
                refused += 1
    assert refused > 100


@pytest.mark.parametrize("started", [-1e300, -1, 1e300, float("nan")])
def test_plan_of_an_impossible_time_is_refused(started: float) -> None:
    """Its age decides the time that is left, and which uploads are deleted at the end."""
    head, *rest = (DATA / "checkpoint.jsonl").read_bytes().splitlines()
    planted = json.dumps(json.loads(head) | {"started": started}).encode()

    with pytest.raises(ValueError, match="head"):
        Checkpoint.read([planted, *rest], lambda _: "https://example.com/c", lambda _: None)


def test_only_uploads_that_the_service_still_has_are_deleted() -> None:
    """A plan that says it began in 1970 does not end with hundreds of thousands of requests."""
    settings = SimpleNamespace(namespace="")
    session: Any = SimpleNamespace(settings=settings, key="k", task=SimpleNamespace(names={}))
    file: Any = SimpleNamespace(uri="/stamp.pdf", fingerprint="1-1")
    client: Any = SimpleNamespace(clock=lambda: 1_800_000_000.0)

    old = SharedFiles(session, {"OverlayFile": file}, since=0.0).uploaded(client)
    young = SharedFiles(session, {"OverlayFile": file}, since=client.clock()).uploaded(client)

    assert 3 == len(old)
    assert old[-1:] == young


@pytest.mark.parametrize("line", [b"", b"[" * 100_000, b"{}", b"null", b"\xff"])
def test_line_that_is_no_checkpoint_is_refused(line: bytes) -> None:
    """A torn file is not a plan."""
    with pytest.raises(ValueError):  # noqa: PT011 - the reason is not told to anybody
        Checkpoint.read([line], lambda _: None, lambda _: None)
