"""Thousands of files in waves, through a real triggerer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.airflow_parts import Airflow

FILES = 2000
MOST_RESUMES = 5
WAITS = "the triggerer waits for them"

pytestmark = pytest.mark.timeout(1500)


def test_two_thousand_files_resume_five_times_at_most(
    airflow: Airflow, service: Sandbox, tmp_path: Path
) -> None:
    """The worker submits, sleeps and collects; each file is billed once, and nothing is left."""
    source, out = tmp_path / "in", tmp_path / "out"
    for number in range(FILES):
        place = source / f"{number % 20:02d}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:04d}.txt").write_text(f"Document {number}\n")
    service.balance = FILES
    # A task can resume before Airflow's scheduler has recorded that it was deferred.
    service.settings.latency = 15

    run = airflow.trigger("waves", source=str(source), destination=str(out))
    [task] = run.wait("success", limit=1200)

    assert 1 == task["try_number"]
    assert 1 <= run.log().count(WAITS) <= MOST_RESUMES
    assert FILES == len(list(out.rglob("[0-9]*.pdf")))
    assert (FILES, {}) == (service.billed, service.files)
