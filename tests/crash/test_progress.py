"""The progress of a batch, read over Airflow's REST API while it runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.airflow_parts import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.airflow_parts import Airflow, Run

pytest.importorskip("airflow.sdk.bases.resumablejobmixin", reason="Airflow 3.3 has the store")

FILES = 500

pytestmark = pytest.mark.timeout(900)


def progress_of(run: Run) -> dict[str, Any]:
    """Return what anyone who may read the task reads; nothing before the task has written."""
    path = f"{run.path}/taskInstances/convert"
    stored = run.airflow.call("GET", f"{path}/state-store")
    for entry in stored["task_state_store"]:
        if entry["key"] == "progress":
            value = entry["value"]
            found: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
            return found
    return {}


def test_progress_over_rest(airflow: Airflow, service: Sandbox, tmp_path: Path) -> None:
    """Values between nothing and all while it runs, and the summary in the end; numbers only."""
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for number in range(FILES):
        (source / f"{number:03d}.txt").write_text(f"Document {number}\n")
    service.balance = FILES

    run = airflow.trigger("watched", source=str(source), destination=str(out))
    seen: list[dict[str, Any]] = []

    def is_on_its_way() -> bool:
        found = progress_of(run) if run.states() else {}
        if found and found not in seen:
            seen.append(found)
        return len(seen) > 1 and 0 < found["done"] < FILES

    wait_for("progress between nothing and all", is_on_its_way, 300)
    assert set(run.states()) == {"running"}
    run.wait("success", limit=600)

    last = progress_of(run)
    path = f"{run.path}/taskInstances/convert/xcomEntries/return_value"
    summary = airflow.call("GET", f"{path}?deserialize=true")["value"]
    names = {"done": "converted", "failed": "failed", "reused": "reused", "cost": "cost"}
    assert {name: summary[key] for name, key in names.items()} == {k: last[k] for k in names}
    assert (FILES, 0, 0) == (last["done"], last["left"], last["seconds_left"])
    for value in [*seen, last]:
        assert FILES == value["done"] + value["failed"] + value["left"]
        assert all(one is None or isinstance(one, int) for one in value.values())
