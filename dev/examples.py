"""Run the example DAGs as Airflow runs them, in this process, and read what they say."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dev.stage import EXAMPLES

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.models.dagrun import DagRun
    from airflow.sdk import DAG

ORDER = (
    "document_to_pdf",
    "pdf_to_images",
    "merge_and_protect",
    "bucket_to_bucket",
    "hook_in_task",
    "quota_exhausted",
)
_CONVERTED = re.compile(
    r"Converted .+? into (.+)\. Cost: \d+ conversion\(s\); charged now: (\d+)\."
)


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a task's log says of one conversion."""

    outputs: list[str]
    charged: int


@dataclass(frozen=True, slots=True)
class Run:
    """One finished run of an example.

    :param tries: tries that ran and tries that were allowed, of the task that used most of them.
    :param error: the last error line of its log, None where there is none.
    """

    dag_id: str
    state: str
    tries: tuple[int, int]
    conversions: list[Conversion]
    error: str | None


def prepare() -> dict[str, DAG]:
    """Make Airflow's database and return the example DAGs by their id."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils.db import initdb

    initdb()
    bag = DagBag(EXAMPLES)
    if bag.import_errors:
        raise RuntimeError(bag.import_errors)
    return {dag_id: bag.dags[dag_id] for dag_id in ORDER}


def run(dag: DAG, log: Path) -> Run:
    """Run a DAG to its end, retries included."""
    sys.stdout.flush()
    start = log.stat().st_size
    dag_run: DagRun = dag.test()
    sys.stdout.flush()
    with log.open(encoding="utf-8", errors="replace") as file:
        file.seek(start)
        said = file.read()
    return Run(
        dag.dag_id, str(dag_run.state), _tries(dag_run), list(_conversions(said)), _error(said)
    )


def _tries(dag_run: DagRun) -> tuple[int, int]:
    tasks: list[Any] = dag_run.get_task_instances()
    return max((task.try_number, task.max_tries + 1) for task in tasks)


def _conversions(said: str) -> list[Conversion]:
    found = _CONVERTED.findall(said)
    return [Conversion(outputs.split(", "), int(charged)) for outputs, charged in found]


def _error(said: str) -> str | None:
    lines = [line.strip() for line in said.splitlines() if "QuotaExhausted" in line]
    return lines[-1] if lines else None
