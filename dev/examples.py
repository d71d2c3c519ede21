"""Run the example DAGs in this process, as Airflow does, and read their logs."""

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
    "nightly_folder",
    "document_to_pdf",
    "pdf_to_images",
    "merge_and_protect",
    "bucket_to_bucket",
    "hook_in_task",
    "invoices_per_customer",
    "fan_out_shards",
    "chain",
    "documents_to_markdown",
    "tables_to_csv",
    "redact_to_markdown",
    "mailbox_to_case_file",
    "quota_exhausted",
)
NOT_IN_THE_DEMO = {
    "documents_on_arrival": "it waits, in a scheduler and a triggerer, for documents that arrive",
    "scans_to_archive": "the engine that reads scans is half a gigabyte",
    "monthly_budget": "it needs a master token, and a person answers",
    "invoices_to_rows": "the sandbox cannot read invoices, and a person answers",
}
CONF = {"fan_out_shards": {"files_per_shard": 1}}
"""The configuration of a run: by default, so few documents would be a single shard."""

_SAID = re.compile(r"\[info +\] (.+?) +\[\S+\] loc=(?:running|batch)\.py")
"""A line of what a task says about a conversion, or about a batch, that ended well."""
_INTO = re.compile(
    r"^Into: (?:\d+ files((?:\n    .+)+)|(.+))\nCost: .+ charged now: (\d+)\.$", re.MULTILINE
)
_BATCH = re.compile(
    r"^(\d+) converted; (\d+) reused, no charge; .+\nCharged now: (\d+) .+\nManifest: (\S+)$",
    re.MULTILINE,
)
_TOLD = re.compile(r"\[error +\] (.+?) +\[\S+\] loc=failure_log")
"""A line of what a failed task says above its traceback."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a task's log says about one conversion."""

    outputs: list[str]
    charged: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What the log says about the batches of one destination, such as shards of a folder."""

    converted: int
    reused: int
    charged: int
    manifest: str

    @property
    def counts(self) -> tuple[int, int, int]:
        """Return how many files were converted, reused and charged."""
        return self.converted, self.reused, self.charged

    @property
    def destination(self) -> str:
        """Return the URI of the directory that holds the outputs."""
        return self.manifest.partition("_convertapi/")[0]

    def outputs(self) -> list[str]:
        """Return the URIs of the outputs, as recorded in the manifest."""
        from airflow_provider_convertapi.manifest import read_manifest

        records = read_manifest(self.manifest)
        return [f"{self.destination}{output}" for record in records for output in record.outputs]


@dataclass(frozen=True, slots=True)
class Run:
    """One finished run of an example.

    :param tries: tries that ran and tries that were allowed, of the task that used most of them.
    :param error: what its log says above the traceback, None where there is none.
    """

    dag_id: str
    state: str
    tries: tuple[int, int]
    conversions: list[Conversion]
    batches: list[Batch]
    error: str | None

    @property
    def charged(self) -> int:
        """Return the number of conversions that the tasks report as paid."""
        single = sum(conversion.charged for conversion in self.conversions)
        return single + sum(batch.charged for batch in self.batches)

    def outputs(self) -> list[str]:
        """Return the URIs of all outputs that it made or reused."""
        single = [uri for conversion in self.conversions for uri in conversion.outputs]
        return single + [uri for batch in self.batches for uri in batch.outputs()]


def prepare() -> dict[str, DAG]:
    """Create Airflow's database, and return the example DAGs by id."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils.db import initdb

    initdb()
    bag = DagBag(EXAMPLES)
    if bag.import_errors:
        raise RuntimeError(bag.import_errors)
    return {dag_id: bag.dags[dag_id] for dag_id in ORDER}


def run(dag: DAG, log: Path) -> Run:
    """Run a DAG to its end, including retries."""
    sys.stdout.flush()
    start = log.stat().st_size
    dag_run: DagRun = dag.test(run_conf=CONF.get(dag.dag_id))
    sys.stdout.flush()
    with log.open(encoding="utf-8", errors="replace") as file:
        file.seek(start)
        text = file.read()
    said = "\n".join(_SAID.findall(text))
    return Run(
        dag_id=dag.dag_id,
        state=str(dag_run.state),
        tries=_tries(dag_run),
        conversions=_conversions(said),
        batches=_batches(said),
        error=_error(text),
    )


def _tries(dag_run: DagRun) -> tuple[int, int]:
    tasks: list[Any] = dag_run.get_task_instances()
    return max((task.try_number, task.max_tries + 1) for task in tasks)


def _conversions(said: str) -> list[Conversion]:
    return [
        Conversion(several.split() or [one], int(charged))
        for several, one, charged in _INTO.findall(said)
    ]


def _batches(said: str) -> list[Batch]:
    """Return the batches by destination, in the order in which the first of each ended."""
    found: dict[str, tuple[int, int, int]] = {}
    for converted, reused, charged, manifest in _BATCH.findall(said):
        before = found.get(manifest, (0, 0, 0))
        found[manifest] = (
            before[0] + int(converted),
            before[1] + int(reused),
            before[2] + int(charged),
        )
    return [Batch(*counts, manifest) for manifest, counts in found.items()]


def _error(said: str) -> str | None:
    return "\n".join(_TOLD.findall(said)) or None
