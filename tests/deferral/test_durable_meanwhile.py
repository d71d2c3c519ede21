"""`durable` is turned off while a task is deferred: its jobs are paid, and collected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.tries import TaskInstance, run_try

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox


@pytest.mark.parametrize("kind", ["one", "batch", "waves"])
def test_jobs_are_collected_whatever_durable_says_now(
    convertapi_sandbox: Sandbox, tmp_path: Path, kind: str
) -> None:
    """The DAG was changed, or a template renders differently; nothing is paid twice."""
    from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
    from airflow_provider_convertapi.operators.convert import ConvertApiOperator

    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
    given: dict[str, Any] = {"durable": True, "deferrable": True, "poll_interval": 0.5}

    def make() -> Any:
        if kind == "one":
            return ConvertApiOperator(
                task_id="convert",
                source=str(tmp_path / "a.txt"),
                to_format="pdf",
                destination=f"{tmp_path}/out/a.pdf",
                **given,
            )
        return ConvertApiBatchOperator(
            task_id="convert",
            source=f"{tmp_path}/*.txt",
            to_format="pdf",
            destination=f"{tmp_path}/out/",
            defer_batch=1 if kind == "waves" else 500,
            **given,
        )

    run_try(make, TaskInstance(), deferred=lambda: given.update(durable=False))

    files = 1 if kind == "one" else 2
    assert files == len(list((tmp_path / "out").glob("*.pdf")))
    assert (files, {}) == (convertapi_sandbox.billed, convertapi_sandbox.files)
