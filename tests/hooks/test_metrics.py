"""Airflow's own metrics of resumable jobs count ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.hooks.conftest import MakeHook

pytestmark = pytest.mark.long
stats = pytest.importorskip("airflow.sdk.observability.stats", reason="Airflow 3.3 has them")
pytest.importorskip("airflow.sdk.bases.resumablejobmixin", reason="Airflow 3.3 has them")


class Backend:
    """What a deployment counts with."""

    def __init__(self) -> None:
        self.counted: list[tuple[str, Any]] = []

    def incr(self, stat: str, **how: Any) -> None:
        """Note a count of Airflow's own family; the provider has others beside it."""
        if stat.startswith("resumable_job."):
            self.counted.append((stat, how.get("tags")))


class Unreachable:
    """A backend that cannot count."""

    def incr(self, stat: str, **how: Any) -> None:
        """Fail."""
        raise OSError("no route to the metrics")


@pytest.fixture
def backend() -> Iterator[Backend]:
    """Provide the backend that Airflow's metrics go to."""
    made = Backend()
    stats.initialize(factory=lambda: made, export_legacy_names=False)
    yield made
    stats.initialize(factory=stats_off, export_legacy_names=False)


def stats_off() -> Any:
    """Return Airflow's default backend."""
    from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger

    return NoStatsLogger()


def test_each_way_to_begin_is_counted(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, backend: Backend
) -> None:
    """First a new job, then what it made; once that is removed, another attempt."""
    out = letter.with_suffix(".pdf")
    found = []
    for number in (1, 2, 3):
        if number == 3:
            out.unlink()
        make_hook(number).convert(letter, "pdf", out)
        found.append([stat.removeprefix("resumable_job.") for stat, _ in backend.counted])
        backend.counted.clear()

    attempt = "reconnect_attempt"
    assert found == [
        ["fresh_submit"],
        [attempt, "already_succeeded"],
        [attempt, "terminal_resubmit"],
    ]
    assert 2 == sandbox.billed


def test_names_and_tags_are_airflows(make_hook: MakeHook, letter: Path, backend: Backend) -> None:
    """The names are those of Airflow's own list, the tags those of its mixin."""
    from airflow.sdk._shared.observability.metrics.metrics_registry import MetricsRegistry

    make_hook().convert(letter, "pdf", letter.with_suffix(".pdf"))

    assert backend.counted == [("resumable_job.fresh_submit", {"operator": "ConvertApiHook"})]
    assert MetricsRegistry().get("resumable_job.fresh_submit")


def test_metrics_that_fail_harm_nothing(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, backend: Backend
) -> None:
    """The conversion is what matters."""
    del backend
    stats.initialize(factory=Unreachable, export_legacy_names=False)

    make_hook().convert(letter, "pdf", letter.with_suffix(".pdf"))

    assert 1 == sandbox.billed
