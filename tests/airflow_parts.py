"""A real Airflow in separate processes, used as a user does.

Its parts are started, killed and started again by their names; its runs are triggered and watched
through its API.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from convertapi_sandbox import Sandbox

START_LIMIT = 240.0
STEP_LIMIT = 120.0


def wait_for(what: str, ready: Callable[[], Any], limit: float = STEP_LIMIT) -> Any:
    """Return the first true value; on timeout, fail with a description of it."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if value := ready():
            return value
        time.sleep(0.1)
    pytest.fail(f"waited {limit:g} s for {what}")


def free_port() -> int:
    """Return a free port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def session_of(pid: int) -> int | None:
    """Return the session of a process, None for one that has ended."""
    try:
        return os.getsid(pid)
    except OSError:
        return None


def task_process(service: Sandbox) -> psutil.Process:
    """Return the process of the task that is connected to the service."""
    port = int(service.url.rpartition(":")[2])

    def find() -> psutil.Process | None:
        for connection in psutil.net_connections("tcp4"):
            remote = connection.raddr and connection.raddr.port == port
            if remote and connection.pid not in (None, os.getpid()):
                return psutil.Process(connection.pid)
        return None

    found: psutil.Process = wait_for("a task that talks to the service", find)
    return found


@dataclass
class Part:
    """One long-running command of Airflow.

    :param command: what follows ``airflow``.
    :param environment: what is its own in the environment.
    """

    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None


def core_parts() -> dict[str, Part]:
    """Return the components of every Airflow."""
    return {
        "api-server": Part(("api-server",)),
        "scheduler": Part(("scheduler", "--skip-serve-logs")),
        "dag-processor": Part(("dag-processor",)),
        "triggerer": Part(("triggerer", "--skip-serve-logs")),
    }


@dataclass
class Airflow:
    """A running Airflow.

    :param home: the directory that contains everything.
    """

    home: Path
    url: str
    environment: dict[str, str]
    parts: dict[str, Part] = field(default_factory=core_parts)
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.session.trust_env = False

    # --- its processes -----------------------------------------------------------------------

    @contextmanager
    def running(self, dag_ids: Iterable[str]) -> Iterator[None]:
        """Create its database, start all components, wait for its DAGs; stop them at the end."""
        subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"],
            env=self.environment,
            check=True,
            capture_output=True,
            timeout=START_LIMIT,
        )
        wanted = set(dag_ids)
        try:
            for name in self.parts:
                self.start(name)
            self.wait_for("Airflow to know its DAGs", lambda: wanted <= self._known())
            yield
        finally:
            for name in self.parts:
                self.kill(name)

    def start(self, name: str) -> None:
        """Start one part."""
        part = self.parts[name]
        with (self.home / f"{name}.log").open("ab") as log:
            part.process = subprocess.Popen(
                [sys.executable, "-m", "airflow", *part.command],
                env=self.environment | part.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_for(self, what: str, ready: Callable[[], bool]) -> None:
        """Wait for a condition; fail immediately when a component has ended."""

        def is_ready() -> bool:
            for name, part in self.parts.items():
                ended = part.process is not None and part.process.poll() is not None
                assert not ended, (self.home / f"{name}.log").read_text(encoding="utf-8")
            return ready()

        wait_for(what, is_ready, START_LIMIT)

    def kill(self, name: str) -> None:
        """Kill one component with everything that it started, which is in its session."""
        process, self.parts[name].process = self.parts[name].process, None
        if process is None:
            return
        for member in psutil.process_iter():
            if session_of(member.pid) == process.pid:
                member.kill()
        process.wait()

    # --- its API -----------------------------------------------------------------------------

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """Make a call of Airflow's own API."""
        answer = self.session.request(method, f"{self.url}/api/v2/{path}", timeout=30, **arguments)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def _known(self) -> set[str]:
        """Return the DAGs that it knows; none while it is starting."""
        try:
            token = self.session.get(f"{self.url}/auth/token", timeout=10).json()["access_token"]
            self.session.headers["Authorization"] = f"Bearer {token}"
            return {dag["dag_id"] for dag in self.call("GET", "dags")["dags"]}
        except (requests.RequestException, AssertionError, KeyError):
            return set()

    def trigger(self, dag_id: str, **params: Any) -> Run:
        """Start a run."""
        run_id = secrets.token_hex(8)
        body = {"logical_date": None, "conf": params, "dag_run_id": run_id}
        self.call("POST", f"dags/{dag_id}/dagRuns", json=body)
        return Run(self, dag_id, run_id)


@dataclass
class Run:
    """One run of a DAG."""

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
        """Wait until every task is in a state; fail immediately when one has failed for good."""

        def reached() -> bool:
            states = self.states()
            assert state == "failed" or "failed" not in states, self.log()
            return bool(states) and set(states) == {state}

        wait_for(f"{self.dag_id} to be {state}", reached, limit)
        return self.tasks()

    def parked(self, task_id: str) -> int:
        """Return how many processes of a task that waits for a person the scheduler has seen end.

        Airflow takes that for the end of the task where the answer comes within the same second.
        """
        log = (self.airflow.home / "scheduler.log").read_text(encoding="utf-8", errors="replace")
        ended = f"executor event with state success .*task_id='{task_id}', run_id='{self.run_id}'"
        return len(re.findall(ended, log))

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

    def logs(self) -> list[Path]:
        """Return the log files of its tries."""
        return sorted(self.airflow.home.glob(f"**/run_id={self.run_id}/**/*.log"))

    def log(self) -> str:
        """Return the logs of its tries."""
        return "\n".join(file.read_text(encoding="utf-8") for file in self.logs())


def settings(home: Path, service: Sandbox, dags: Path) -> tuple[str, dict[str, str]]:
    """Return the URL and the environment of an Airflow, with the executor left to the caller."""
    url = f"http://127.0.0.1:{free_port()}"
    secret = secrets.token_urlsafe(32)
    return url, os.environ | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API_AUTH__JWT_SECRET": secret,
        "AIRFLOW__API__SECRET_KEY": secret,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": url.rpartition(":")[2],
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        # A dead worker is detected after so many seconds, not after five minutes.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "3",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        "AIRFLOW__CONVERTAPI__SETTLE": "2",
        "AIRFLOW_CONN_CONVERTAPI_DEFAULT": service.airflow_connection_json,
    }
