"""A folder of small documents, and the nights in which a batch converts it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import ConversionInterrupted
from tests.tries import TaskInstance, execute, nothing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_convertapi.batch.record import Record
    from convertapi_sandbox import Sandbox


@dataclass
class Night:
    """A folder, and its conversion night after night.

    :param source: the folder of documents.
    :param out: where their conversions go.
    """

    source: Path
    out: Path
    sandbox: Sandbox

    def write(self, *names: str, text: str = "Hello, {name}.\n") -> None:
        """Write small text documents."""
        for name in names:
            path = self.source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.format(name=name))

    def run(self, ti: TaskInstance | None = None, **arguments: Any) -> dict[str, Any]:
        """Run one try of a batch in this process, and return what the task returns."""
        operator = self.operator(arguments)
        summary: dict[str, Any] = operator.execute(
            context={"ti": ti or TaskInstance(), "task": operator}
        )
        return summary

    def stop_when(
        self,
        due: Callable[[], bool],
        ti: TaskInstance,
        *,
        stopped: Callable[[], None] = nothing,
        **arguments: Any,
    ) -> None:
        """Run a try, tell it to stop once `due`, and check that it ends with the error for that.

        :param stopped: done once it has been told.
        """
        operator = self.operator(arguments)
        with ThreadPoolExecutor(1) as worker:
            running = worker.submit(execute, operator, ti)
            while not due():
                assert not running.done()
                time.sleep(0.01)
            operator.on_kill()
            stopped()
            with pytest.raises(ConversionInterrupted):
                running.result(timeout=15)

    def resume(self, ti: TaskInstance, event: Any, **arguments: Any) -> dict[str, Any]:
        """Resume a deferred try on a new operator, as another process does."""
        operator = self.operator(arguments)
        context = {"ti": ti, "task": operator}
        summary: dict[str, Any] = operator.resume_execution(
            "execute_complete", {"event": event}, context
        )
        return summary

    def operator(self, arguments: dict[str, Any]) -> Any:
        """Make the operator of one process."""
        from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator

        given = {"source": str(self.source), "to_format": "pdf", "destination": str(self.out)}
        return ConvertApiBatchOperator(task_id="batch", poll_interval=0.5, **{**given, **arguments})

    def outputs(self) -> list[str]:
        """Return the files in the destination, without our own records."""
        found = (path for path in self.out.rglob("*") if path.is_file())
        names = (str(path.relative_to(self.out)) for path in found)
        return sorted(name for name in names if not name.startswith("_convertapi/"))

    def records(self) -> list[Record]:
        """Return the last record of each output in the manifest."""
        from airflow_provider_convertapi.manifest import read_manifest

        return read_manifest(str(self.out))

    def outcomes(self) -> dict[str, str]:
        """Return the status of each output in the manifest."""
        return {record.target: record.outcome for record in self.records()}

    @property
    def paid(self) -> int:
        """Return how many paid requests reached the service, successful or not."""
        return sum(entry.paid for entry in self.sandbox.requests)
