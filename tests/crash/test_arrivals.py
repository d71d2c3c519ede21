"""A watched folder, through a real triggerer and scheduler, and a triggerer that is killed."""

from __future__ import annotations

import shutil
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dev.stage import DOCUMENTS
from tests.airflow_parts import Run, wait_for
from tests.crash.conftest import WATCHED

if TYPE_CHECKING:
    from convertapi_sandbox import Sandbox
    from tests.airflow_parts import Airflow

pytestmark = pytest.mark.timeout(900)

WATCHING, GOING_ON = WATCHED

MOMENTS = (0.0, 1.0, 2.0, 3.5)
"""Seconds after which the triggerer is killed: before it looks, while the event travels, later."""

NOTHING_HAPPENS = 8.0
"""Seconds: eight looks of the watcher."""


class Folder:
    """The watched folder, and the runs that it led to."""

    def __init__(self, airflow: Airflow, service: Sandbox) -> None:
        self._airflow, self._service = airflow, service
        self.incoming = Path(airflow.environment["EXAMPLE_DOCUMENTS"])
        self.results = Path(airflow.environment["EXAMPLE_RESULTS"]) / "arrived"
        self.settle()

    def drop(self, *names: str) -> None:
        """Let files arrive, all at one moment."""
        made = self.incoming.with_name(f"made-{names[0]}")
        made.mkdir()
        for name in names:
            shutil.copy(DOCUMENTS / "report.docx", made / f"{name}.docx")
        made.rename(self.incoming / names[0])

    def runs(self, dag_id: str = WATCHING) -> list[dict[str, Any]]:
        """Return the runs of a DAG."""
        found = self._airflow.call("GET", f"dags/{dag_id}/dagRuns?limit=100")
        runs: list[dict[str, Any]] = found["dag_runs"]
        return runs

    def settle(self) -> None:
        """Wait until no run goes on, or begins."""
        ended = 0.0

        def is_quiet() -> bool:
            nonlocal ended
            states = [run["state"] for dag in (WATCHING, GOING_ON) for run in self.runs(dag)]
            assert "failed" not in states
            goes_on = not {"queued", "running"}.isdisjoint(states)
            ended = 0.0 if goes_on else ended or time.monotonic()
            return bool(ended) and time.monotonic() - ended > NOTHING_HAPPENS

        wait_for("quiet", is_quiet, 240)

    def converted(self, *names: str) -> bool:
        """Tell whether the results of all these files are there."""
        made = {path.stem for path in self.results.rglob("*.pdf")}
        return made >= set(names)


@pytest.fixture
def folder(airflow: Airflow, service: Sandbox) -> Folder:
    """Provide the watched folder."""
    return Folder(airflow, service)


def test_what_arrives_is_converted(airflow: Airflow, service: Sandbox, folder: Folder) -> None:
    """One file makes one run, nothing makes none, two make one; each starts the second DAG once."""
    before, after = len(folder.runs()), len(folder.runs(GOING_ON))

    folder.drop("one")
    wait_for("its result", lambda: folder.converted("one"))
    folder.settle()
    assert (1, 1) == (len(folder.runs()) - before, len(folder.runs(GOING_ON)) - after)

    folder.drop("two", "three")
    wait_for("their results", lambda: folder.converted("two", "three"))
    folder.settle()

    assert (2, 2) == (len(folder.runs()) - before, len(folder.runs(GOING_ON)) - after)
    assert {"success"} == {run["state"] for run in folder.runs() + folder.runs(GOING_ON)}
    assert {"asset_triggered"} == {run["run_type"] for run in folder.runs()}
    assert (3, {}) == (service.billed, service.files)
    events = airflow.call("GET", "assets/events?limit=100")["asset_events"]
    assert "one/one.pdf" in Run(airflow, GOING_ON, folder.runs(GOING_ON)[0]["dag_run_id"]).log()
    [first, *_] = [event["extra"] for event in events if event["extra"].get("from_trigger")]
    assert {"source", "files", "new", "state"} == first["payload"].keys()


def test_triggerer_is_killed(airflow: Airflow, service: Sandbox, folder: Folder) -> None:
    """Whenever it is killed after a file arrived: the file is converted, and paid once.

    So is one that arrives while there is no triggerer.
    """
    for seconds in MOMENTS:
        names = [f"killed-{seconds:g}-{moment}" for moment in ("before", "meanwhile")]
        folder.drop(names[0])
        time.sleep(seconds)
        airflow.kill("triggerer")
        folder.drop(names[1])
        airflow.start("triggerer")
        wait_for("the results", partial(folder.converted, *names), 240)
        assert (folder.incoming / names[0] / f"{names[0]}.docx").exists()

    folder.settle()
    assert (2 * len(MOMENTS), {}) == (service.billed, service.files)
