"""A real Airflow in processes of its own, which tests kill parts of.

These tests take minutes, so they run when they are asked for: ``pytest tests/crash``.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import requests

from airflow_provider_convertapi.sandbox import Sandbox
from tests.canary import leaks, secrets_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START_LIMIT = 240.0
STEP_LIMIT = 120.0
DAGS = Path(__file__).parent / "dags"
PARTS = {
    "api-server": (),
    "scheduler": ("--skip-serve-logs",),
    "dag-processor": (),
    "triggerer": ("--skip-serve-logs",),
}


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Leave this folder out unless it, or something in it, is named."""
    here = Path(__file__).parent
    named = [Path(str(argument).partition("::")[0]).resolve() for argument in config.args]
    return None if any(path.is_relative_to(here) for path in named) else True


def wait_for(what: str, ready: Callable[[], Any], limit: float = STEP_LIMIT) -> Any:
    """Return the first true value; fail with what was waited for."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if value := ready():
            return value
        time.sleep(0.1)
    pytest.fail(f"waited {limit:g} s for {what}")


def session_of(pid: int) -> int | None:
    """Return the session of a process, None for one that has ended."""
    try:
        return os.getsid(pid)
    except OSError:
        return None


@dataclass
class Airflow:
    """A running Airflow, reached as a user reaches it."""

    home: Path
    url: str
    environment: dict[str, str]
    parts: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    session: requests.Session = field(default_factory=requests.Session)

    # --- its processes -----------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start one part."""
        with (self.home / f"{name}.log").open("ab") as log:
            self.parts[name] = subprocess.Popen(
                [sys.executable, "-m", "airflow", name, *PARTS[name]],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def family(self, name: str) -> list[psutil.Process]:
        """Return the processes of one part: whatever it started is in its session."""
        pid = self.parts[name].pid
        return [p for p in psutil.process_iter() if session_of(p.pid) == pid]

    def kill(self, name: str) -> None:
        """End one part at once, with all that it started."""
        for process in self.family(name):
            process.kill()
        self.parts[name].wait()

    def stop(self) -> None:
        """End every part."""
        for name in self.parts:
            self.kill(name)

    # --- its API -----------------------------------------------------------------------------

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """Make a call of Airflow's own API."""
        answer = self.session.request(method, f"{self.url}/api/v2/{path}", timeout=30, **arguments)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def is_ready(self) -> bool:
        """Tell whether the DAGs are known."""
        try:
            token = self.session.get(f"{self.url}/auth/token", timeout=10).json()["access_token"]
            self.session.headers["Authorization"] = f"Bearer {token}"
            known = {dag["dag_id"] for dag in self.call("GET", "dags")["dags"]}
        except (requests.RequestException, AssertionError, KeyError):
            return False
        return {"on_worker", "limited", "deferred", "deferred_cancel", "twenty"} <= known

    def trigger(self, dag_id: str, **params: Any) -> Run:
        """Start a run."""
        run_id = secrets.token_hex(8)
        body = {"logical_date": None, "conf": params, "dag_run_id": run_id}
        self.call("POST", f"dags/{dag_id}/dagRuns", json=body)
        return Run(self, dag_id, run_id)


@dataclass
class Run:
    """One run of a DAG with one task, or with one mapped task."""

    airflow: Airflow
    dag_id: str
    run_id: str

    @property
    def path(self) -> str:
        """Return the run's path in the API."""
        return f"dags/{self.dag_id}/dagRuns/{self.run_id}"

    def tasks(self) -> list[dict[str, Any]]:
        """Return its task instances."""
        found = self.airflow.call("GET", f"{self.path}/taskInstances?limit=100")
        tasks: list[dict[str, Any]] = found["task_instances"]
        return tasks

    def states(self) -> list[str | None]:
        """Return the states of its task instances."""
        return [task["state"] for task in self.tasks()]

    def wait(self, state: str, limit: float = STEP_LIMIT) -> list[dict[str, Any]]:
        """Wait until every task is in a state; fail at once when one has failed for good."""

        def reached() -> bool:
            states = self.states()
            assert state == "failed" or "failed" not in states, self.log()
            return bool(states) and set(states) == {state}

        wait_for(f"{self.dag_id} to be {state}", reached, limit)
        return self.tasks()

    def clear(self) -> None:
        """Clear its task, as a user does."""
        body = {
            "dry_run": False,
            "dag_run_id": self.run_id,
            "task_ids": ["convert"],
            "only_failed": False,
            "reset_dag_runs": True,
        }
        self.airflow.call("POST", f"dags/{self.dag_id}/clearTaskInstances", json=body)

    def fail(self) -> None:
        """Mark its task failed, as a user does."""
        self.airflow.call(
            "PATCH", f"{self.path}/taskInstances/convert", json={"new_state": "failed"}
        )

    def log(self) -> str:
        """Return what its tries wrote."""
        files = sorted((self.airflow.home / "logs").glob(f"**/run_id={self.run_id}/**/*.log"))
        return "\n".join(file.read_text(encoding="utf-8") for file in files)


@pytest.fixture(scope="session")
def service() -> Iterator[Sandbox]:
    """Give the ConvertAPI that this Airflow's connection points to."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def _running(service: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    home = tmp_path_factory.mktemp("airflow")
    documents = home / "documents"
    documents.mkdir()
    for number in range(20):
        (documents / f"{number}.txt").write_text(f"This is document {number}.\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    environment = {**os.environ, **_settings(home, url, service)}
    subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        env=environment,
        check=True,
        capture_output=True,
        timeout=START_LIMIT,
    )
    airflow = Airflow(home, url, environment)
    airflow.session.trust_env = False
    try:
        for name in PARTS:
            airflow.start(name)
        wait_for("Airflow to know its DAGs", airflow.is_ready, START_LIMIT)
        yield airflow
    finally:
        airflow.stop()


def _settings(home: Path, url: str, service: Sandbox) -> dict[str, str]:
    secret = secrets.token_urlsafe(32)
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API_AUTH__JWT_SECRET": secret,
        "AIRFLOW__API__SECRET_KEY": secret,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": url.rpartition(":")[2],
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "6",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        # A worker that is gone is missed after these seconds, not after five minutes.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "3",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        "AIRFLOW__CONVERTAPI__SETTLE": "2",
        "AIRFLOW_CONN_CONVERTAPI_DEFAULT": service.airflow_connection_json,
        "CRASH_DOCUMENTS": str(home / "documents"),
    }


@pytest.fixture
def airflow(_running: Airflow, service: Sandbox) -> Iterator[Airflow]:
    """Give the running Airflow, and its ConvertAPI with nothing in it.

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

        What a killed process had begun to write stays beside it under a hidden name.
        """
        content = self.destination.read_bytes()
        alone = [self.destination] == list(self.destination.parent.glob("[!.]*"))
        return alone and content.startswith(b"%PDF") and content.rstrip().endswith(b"%%EOF")


@pytest.fixture
def conversion(tmp_path: Path) -> Conversion:
    """Give a document to convert."""
    (tmp_path / "out").mkdir()
    (tmp_path / "letter.txt").write_text("Dear reader, this is a letter.\n")
    return Conversion(
        tmp_path / "letter.txt", tmp_path / "out" / "letter.pdf", tmp_path / "hang.pid"
    )


def task_process(service: Sandbox) -> psutil.Process:
    """Return the process of the task that talks to the service now."""
    port = int(service.url.rpartition(":")[2])

    def find() -> psutil.Process | None:
        for connection in psutil.net_connections("tcp4"):
            remote = connection.raddr and connection.raddr.port == port
            if remote and connection.pid not in (None, os.getpid()):
                return psutil.Process(connection.pid)
        return None

    found: psutil.Process = wait_for("a task that talks to the service", find)
    return found
