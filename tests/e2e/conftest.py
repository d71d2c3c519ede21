"""Real task runs of real DAGs, with a ConvertAPI and an S3 on loopback."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest

from dev import s3 as s3_stage
from dev.stage import DOCUMENTS, OFFICE_DOCUMENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airflow.models.dagrun import DagRun
    from airflow.sdk import DAG

    from convertapi_sandbox import Sandbox

_AIRFLOW_2 = version("apache-airflow").startswith("2.")


@pytest.fixture
def sandbox(convertapi_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Provide a fresh sandbox and a short settle time."""
    monkeypatch.setenv("AIRFLOW__CONVERTAPI__SETTLE", "0.2")
    return convertapi_sandbox


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the examples to their documents, and return where their results go."""
    monkeypatch.setenv("EXAMPLE_DOCUMENTS", str(DOCUMENTS))
    monkeypatch.setenv("EXAMPLE_RESULTS", str(tmp_path))
    return tmp_path


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Provide a function that returns what was logged since it was called last."""

    def read() -> str:
        # Airflow 3 writes task logs to stdout; Airflow 2 hands them to `logging`.
        output, logged = capfd.readouterr(), caplog.text
        caplog.clear()
        return f"{output.out}{output.err}{logged}"

    return read


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Provide a client of an S3 server that holds the documents, with the connection `s3_example`.

    Airflow keeps one store for each connection id and process: the id must be this server's alone.
    """
    with s3_stage.s3_server() as url:
        monkeypatch.setenv("AIRFLOW_CONN_S3_EXAMPLE", s3_stage.airflow_connection(url))
        yield s3_stage.filled(url, OFFICE_DOCUMENTS)


@pytest.fixture
def clear_and_run(airflow_db: Path) -> Callable[[DAG, DagRun], Any]:
    """Clear the only task of a finished run, as a user does, and run its next try.

    `dag.test()` cannot: for a date that it knows it makes the run anew, and tries start at 1.
    """

    def clear(dag: DAG, dag_run: DagRun) -> Any:
        from airflow.models.taskinstance import clear_task_instances
        from airflow.utils.session import create_session

        with create_session() as session:
            [task] = dag_run.get_task_instances(session=session)
            clear_task_instances([task], session)
            task.try_number += 1  # the scheduler's part
            session.commit()
            _run(task, dag, session)
            return dag_run.get_task_instance(task.task_id, session=session)

    return clear


def _run(task_instance: Any, dag: DAG, session: Any) -> None:
    """Run one task instance as `dag.test()` does."""
    operator = dag.task_dict[task_instance.task_id]
    if _AIRFLOW_2:
        from airflow.models.dag import _run_task as run_on_2

        task_instance.task = operator
        run_on_2(ti=task_instance, session=session)
    else:
        from airflow.sdk.definitions.dag import _run_task

        _run_task(ti=task_instance, task=operator)
