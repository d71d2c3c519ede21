"""What OpenLineage receives of tasks that convert."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
from airflow_provider_convertapi.operators.convert import ConvertApiOperator
from dev.s3 import INCOMING
from dev.stage import DOCUMENTS, EXAMPLES
from tests.canary import secrets_of
from tests.e2e.dags import new_dag
from tests.openlineage import lineage, schema_errors

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.conftest import RunDag
    from tests.openlineage import Received

__all__ = ["lineage"]

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]

MODES: list[dict[str, Any]] = [{"deferrable": True}, {"deferrable": False}, {"durable": False}]

PASSWORD = "sesame-4711"


def test_events_of_the_examples(
    run_dag: RunDag,
    sandbox: Sandbox,
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    lineage: Received,
) -> None:
    """They are as OpenLineage's schema says, and hold files, converters and cost, and no secret."""
    monkeypatch.setenv("AIRFLOW_VAR_REPORT_PASSWORD", PASSWORD)

    for name in ("document_to_pdf", "pdf_to_images", "merge_and_protect", "nightly_folder"):
        assert "success" == run_dag(EXAMPLES / f"{name}.py").state

    assert [] == [fault for event in lineage for fault in schema_errors(event)]
    assert [] == [secret for secret in secrets_of(sandbox) if secret in lineage.text]
    assert PASSWORD not in lineage.text
    [single] = lineage.of("document_to_pdf", "to_pdf")
    assert [("file", f"{DOCUMENTS}/report.docx")] == names(single["inputs"])
    assert [("file", f"{results}/report.pdf")] == names(single["outputs"])
    [images] = lineage.of("pdf_to_images", "to_images")
    assert (["pdf/to/jpg"], 3) == (facet(images)["converters"], len(images["outputs"]))
    [merge] = lineage.of("merge_and_protect", "merge")
    assert ["pdf/to/merge"] == facet(merge)["converters"]
    assert 3 == len(merge["inputs"])
    [batch] = lineage.of("nightly_folder", "to_pdf")
    assert [("file", str(DOCUMENTS))] == names(batch["inputs"])
    assert [("file", f"{results}/nightly")] == names(batch["outputs"])
    statistics = batch["outputs"][0]["outputFacets"]["outputStatistics"]
    made = [*(results / "nightly").glob("**/*.pdf")]
    assert {len(made)} == {facet(batch)["converted"], facet(batch)["cost"], statistics["fileCount"]}
    assert sum(file.stat().st_size for file in made) == statistics["size"]


def test_same_lineage_in_every_mode(
    run_dag: RunDag, sandbox: Sandbox, tmp_path: Path, lineage: Received
) -> None:
    """The triggerer leaves no trace in it; a direct conversion and a batch have it, too."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.html").write_text("<p>Dear reader.</p>")
    one: dict[str, Any] = {"source": f"{tmp_path}/in/a.html", "to_format": "pdf", "overwrite": True}
    with new_dag("modes") as dag:
        for mode in MODES:
            name = "_".join(f"{key}_{value}" for key, value in mode.items())
            ConvertApiOperator(
                task_id=f"one_{name}", destination=f"{tmp_path}/out.pdf", **one, **mode
            )
            ConvertApiBatchOperator(
                task_id=f"many_{name}",
                **one | {"source": f"{tmp_path}/in/*.html"},
                destination=f"{tmp_path}/{name}",
                **mode,
            )

    assert "success" == run_dag(dag).state
    for kind, source in (("one", "in/a.html"), ("many", "in")):
        found = lineage.of("modes", kind)
        assert 3 == len(found)
        assert {("file", f"{tmp_path}/{source}")} == {n for e in found for n in names(e["inputs"])}
        assert [1, 1, 1] == [facet(event)["cost"] for event in found]
        assert 1 == len({facet(event)["parametersDigest"] for event in found})
        assert [True, False, False] == sorted((facet(e)["deferrable"] for e in found), reverse=True)


def test_file_that_airflow_notes_too_is_named_once(
    run_dag: RunDag,
    sandbox: Sandbox,
    s3: Any,
    lineage: Received,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A function that reads an object storage path tells Airflow's own collector of it."""
    from airflow_provider_convertapi.airflow_names import ObjectStoragePath
    from airflow_provider_convertapi.decorators.convertapi import convertapi_task

    # Airflow keeps the file system of a connection id, which another test's server had.
    monkeypatch.setenv("AIRFLOW_CONN_S3_ONCE", os.environ["AIRFLOW_CONN_S3_EXAMPLE"])
    place = "s3://s3_once@converted/once/"
    with new_dag("collected") as dag:

        @convertapi_task(to_format="pdf", destination=place)
        def pick() -> str:
            path = ObjectStoragePath(f"s3://s3_once@{INCOMING}/report.docx")
            with path.open("rb") as file:
                assert file.read(2) == b"PK"
            return str(path)

        pick()

    assert "success" == run_dag(dag).state
    [event] = lineage.of("collected", "pick")
    assert [(f"s3://{INCOMING}", "report.docx")] == names(event["inputs"])
    assert [("s3://converted", "once/report.pdf")] == names(event["outputs"])


def test_secrets_among_the_arguments(
    run_dag: RunDag,
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lineage: Received,
) -> None:
    """No event holds any, however short or deeply nested, although it holds all arguments."""
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__INCLUDE_FULL_TASK_INFO", "True")
    user, query, cookie, password = "qx7", "sig=0987612345", "c00kie-monster", "st3p-pass"
    with new_dag("secrets") as dag:
        dag.default_args["retries"] = 0
        ConvertApiOperator(
            task_id="fails",
            source=f"https://{user}:{user}@127.0.0.1:1/a.html?{query}",
            to_format="pdf",
            destination=f"{tmp_path}/",
            parameters={"Cookies": f"session={cookie}"},
            steps=[{"to_format": "protect", "parameters": {"UserPassword": password}}],
        )

    assert "failed" == run_dag(dag).state
    assert ["START", "FAIL"] == [event["eventType"] for event in lineage]
    [failed] = lineage.of("secrets", "fails", "FAIL")
    assert [("https://127.0.0.1:1", "a.html")] == names(failed["inputs"])
    assert ["html/to/pdf", "pdf/to/protect"] == facet(failed)["converters"]
    assert "'UserPassword': '***'" in lineage.text
    assert [] == [text for text in (user, query, cookie, password) if text in lineage.text]


def names(datasets: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return namespace and name of each."""
    return [(dataset["namespace"], dataset["name"]) for dataset in datasets]


def facet(event: dict[str, Any]) -> dict[str, Any]:
    """Return the facet of the conversion; empty where a task converts nothing."""
    found: dict[str, Any] = event["run"]["facets"].get("convertapi_conversion", {})
    return found
