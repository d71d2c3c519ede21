"""What is told of a batch's sources, however they are given."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from airflow_provider_convertapi.batch.arguments import BatchArguments
from airflow_provider_convertapi.batch.request import check_request
from airflow_provider_convertapi.batch.summary import Summary
from airflow_provider_convertapi.operators.lineage import of_batch

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://h.org/a.docx?sig=x*y"

SUMMARY = {
    "converted": 1,
    "reused": 0,
    "failed": 0,
    "not_attempted": 0,
    "cost": 1,
    "manifest": "s3://c@b/made/_convertapi/manifest/",
    "task": {},
}

SOURCES = [
    pytest.param("/in/", ["/in/"], id="directory"),
    pytest.param("s3://c@b/in/**/*.docx", ["s3://c@b/in/"], id="glob"),
    pytest.param(
        ["/in/a.docx", ["/in/b.docx", "/in/a.docx"]], ["/in/a.docx", "/in/b.docx"], id="list"
    ),
    pytest.param([URL], [URL], id="url"),
    pytest.param({"source": "/in/*.docx", "shard": [0, 2]}, ["/in/"], id="shard"),
    pytest.param(SUMMARY, ["s3://c@b/made/"], id="what-a-batch-made"),
]


@pytest.mark.parametrize(("source", "roots"), SOURCES)
def test_sources_of_a_batch(source: Any, roots: list[str], tmp_path: Path) -> None:
    """They are what the user gave, up to a glob's first wildcard; no file of a listing is named."""
    batch = _batch(source, tmp_path, {"OverlayFile": "/stamps/paid.pdf"})

    found = of_batch(batch, "digest")

    assert found is not None
    assert [*roots, "/stamps/paid.pdf"] == list(found.inputs)
    assert (f"{tmp_path}/out/",) == found.outputs
    assert {"converter": "*/to/watermark-overlay", "cost": 3, "charged": 3, "outputs": 4} == {
        name: found.extra()[name] for name in ("converter", "cost", "charged", "outputs")
    }


def test_batch_that_has_not_begun(tmp_path: Path) -> None:
    """There is nothing to tell of it."""
    batch = _batch("/in/", tmp_path, {"OverlayFile": "/stamps/paid.pdf"})
    batch.summary = None

    assert of_batch(batch, "digest") is None


def _batch(source: Any, place: Path, parameters: dict[str, Any]) -> Any:
    options: dict[str, Any] = dict.fromkeys(BatchArguments.__dataclass_fields__)
    options |= {"timeout": 1800, "poll_interval": 10, "durable": True, "overwrite": False}
    options |= {"on_quota_exhausted": "fail", "max_in_flight": 4, "failure_policy": "any"}
    options |= {"on_collision": "fail", "defer_batch": 500, "retry_failed": False, "min_age": 0}
    options |= {"on_empty": "succeed", "on_missing_output": "convert", "content_hash": False}
    options |= {"source": source, "destination": f"{place}/out", "parameters": parameters}
    request = check_request(
        cast("Any", BatchArguments)(**options | {"to_format": "watermark-overlay"})
    )
    return SimpleNamespace(request=request, summary=Summary(converted=3, outputs=4, cost=3))
