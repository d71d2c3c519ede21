"""An Airflow of its own for the contract, which runs where only the wheel and pytest are installed.

What it needs of the service is in the environment: `CONTRACT_CONNECTION`, a connection as JSON.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

HOME = Path(tempfile.mkdtemp(prefix="contract-home-"))
CONNECTION: dict[str, Any] = json.loads(os.environ.get("CONTRACT_CONNECTION", "{}"))
BACKEND = "airflow.secrets.local_filesystem.LocalFilesystemBackend"

(HOME / "dags").mkdir()
(HOME / "connections.json").write_text(json.dumps({"from_backend": CONNECTION}))
os.environ.update(
    {
        "AIRFLOW_HOME": str(HOME),
        "AIRFLOW__CORE__DAGS_FOLDER": str(HOME / "dags"),
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(bytes(32)).decode(),
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW__CONVERTAPI__SETTLE": "0.3",
        "AIRFLOW__SECRETS__BACKEND": BACKEND,
        "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps(
            {"connections_file_path": str(HOME / "connections.json")}
        ),
        "AIRFLOW_CONN_CONVERTAPI_DEFAULT": json.dumps(CONNECTION),
    }
)


def pytest_unconfigure() -> None:
    """Remove the home."""
    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def airflow() -> Callable[..., str]:
    """Run Airflow's command, and return what it prints."""

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "airflow", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert 0 == done.returncode, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def database(airflow: Callable[..., str]) -> None:
    """Create Airflow's database."""
    airflow("db", "migrate")


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    """Provide a small document."""
    path = tmp_path / "in" / "letter.md"
    path.parent.mkdir()
    path.write_text(f"# A letter\n\nIt lies in {tmp_path}.\n", "utf-8")
    return path
