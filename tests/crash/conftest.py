"""A real Airflow in separate processes; tests kill some of them.

These tests take minutes, so they run when they are asked for: ``pytest tests/crash``.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from convertapi_sandbox import Sandbox
from dev.stage import EXAMPLES
from tests.airflow_parts import Airflow, settings
from tests.canary import leaks, secrets_of

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
DAG_IDS = ("on_worker", "limited", "deferred", "deferred_cancel", "twenty", "watched", "waves")
EXAMPLES_USED = ("invoices_to_rows", "monthly_budget")
WATCHED = ("documents_on_arrival", "pdfs_made")
"""The DAGs of the example that watches a folder."""


@pytest.fixture(scope="session")
def service() -> Iterator[Sandbox]:
    """Provide the ConvertAPI that this Airflow's connection points to."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def _running(service: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    home = tmp_path_factory.mktemp("airflow")
    documents = home / "documents"
    documents.mkdir()
    for number in range(20):
        (documents / f"{number}.txt").write_text(f"This is document {number}.\n")
    shutil.copytree(HERE / "dags", home / "dags")
    for name in EXAMPLES_USED:
        shutil.copy(EXAMPLES / f"{name}.py", home / "dags")
    (home / "incoming").mkdir()
    _write_watched(home / "dags")
    url, environment = settings(home, service, home / "dags")
    budget = {**service.airflow_connection, "extra": {"master_token": service.master_token}}
    environment |= {
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "6",
        # A dead triggerer is detected after so many seconds, not after half a minute.
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
        "AIRFLOW_CONN_CONVERTAPI_BUDGET": json.dumps(budget),
        "CRASH_DOCUMENTS": str(documents),
        "EXAMPLE_DOCUMENTS": str(home / "incoming"),
        "EXAMPLE_RESULTS": str(home / "results"),
    }
    airflow = Airflow(home, url, environment)
    with airflow.running((*DAG_IDS, *EXAMPLES_USED, *WATCHED)):
        yield airflow


def _write_watched(dags: Path) -> None:
    """Write the example that watches a folder, so that it looks there every second."""
    code = (EXAMPLES / f"{WATCHED[0]}.py").read_text(encoding="utf-8")
    for slow, fast in (("poll_interval=60", "poll_interval=1"), ("seconds=30", "seconds=0")):
        assert slow in code
        code = code.replace(slow, fast)
    (dags / f"{WATCHED[0]}.py").write_text(code, encoding="utf-8")


@pytest.fixture
def airflow(_running: Airflow, service: Sandbox) -> Iterator[Airflow]:
    """Provide the running Airflow, and its ConvertAPI with nothing in it.

    Afterwards nothing that Airflow wrote may hold a token or an id: logs, XCom, rendered fields,
    rows of triggers.
    """
    service.reset()
    yield _running
    home = _running.home
    files = [*home.glob("airflow.db*"), *home.glob("*.log"), *home.glob("logs/**/*.log")]
    texts = {file.name: file.read_bytes().decode("latin-1") for file in files}
    assert [] == leaks(secrets_of(service), texts)


@dataclass
class Conversion:
    """A document to convert, and where its output goes."""

    source: Path
    destination: Path
    hang: Path

    def params(self, *, hang: bool = False) -> dict[str, str]:
        """Return the configuration of its run."""
        given = {"source": str(self.source), "destination": str(self.destination)}
        return given | ({"hang": str(self.hang)} if hang else {})

    def is_whole(self) -> bool:
        """Tell whether the output is there, whole, and alone.

        A killed process may leave a partial file next to it, under a hidden name.
        """
        content = self.destination.read_bytes()
        alone = [self.destination] == list(self.destination.parent.glob("[!.]*"))
        return alone and content.startswith(b"%PDF") and content.rstrip().endswith(b"%%EOF")


@pytest.fixture
def conversion(tmp_path: Path) -> Conversion:
    """Provide a document to convert."""
    (tmp_path / "out").mkdir()
    (tmp_path / "letter.txt").write_text("Dear reader, this is a letter.\n")
    return Conversion(
        tmp_path / "letter.txt", tmp_path / "out" / "letter.pdf", tmp_path / "hang.pid"
    )
