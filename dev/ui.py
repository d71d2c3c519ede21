"""Airflow's web server with the examples, to click through."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import psutil  # Airflow's own dependency
import requests  # noqa: TID253 - a script, not a DAG file

from dev.examples import ORDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dev.stage import Stage

START_TIMEOUT = 300.0
STOP_TIMEOUT = 5.0
PARTS = (
    ("api-server",),
    ("scheduler", "--skip-serve-logs"),  # the web server reads the log files; no port is needed
    ("dag-processor",),
    ("triggerer", "--skip-serve-logs"),
)


def serve(stage: Stage, screen: TextIO) -> int:
    """Start Airflow, run each example once, and keep serving until Ctrl-C or SIGTERM."""
    from airflow.utils.db import initdb

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.default_int_handler)
    url = f"http://127.0.0.1:{_free_port()}"
    try:
        print("Airflow starts, which takes about half a minute ...", file=screen, flush=True)
        initdb()
        with _airflow(stage, url) as parts:
            _run_examples(parts, url)
            print(_welcome(stage, url), file=screen, flush=True)
            _wait_for_end(parts)
        print(f"A component of Airflow ended unexpectedly; see {stage.log}", file=screen)
    except KeyboardInterrupt:
        print("\nStopped.", file=screen, flush=True)
        return 0
    return 1


def _welcome(stage: Stage, url: str) -> str:
    return (
        f"\nAirflow is at {url} and needs no password; the examples run now.\n"
        f"  quota_exhausted fails on purpose. Trigger any other again: it converts for real.\n"
        f"  Documents: {stage.documents}\n"
        f"             Change one, or add one, and trigger nightly_folder: it converts no other.\n"
        f"  Results:   {stage.results}\n"
        f"  Log:       {stage.log}\n"
        f"  Connection, to try the form and its Test: {stage.sandbox.airflow_connection_json}\n"
        "Ctrl-C stops everything."
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _airflow(stage: Stage, url: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run Airflow's components; at the end, stop all of their processes."""
    parts: list[subprocess.Popen[bytes]] = []
    environment = os.environ | _settings(url)
    with stage.log.open("ab") as log:
        try:
            for command in PARTS:
                part = subprocess.Popen(
                    [sys.executable, "-m", "airflow", *command],
                    env=environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C reaches only us, and we stop the rest
                )
                parts.append(part)
            yield parts
        finally:
            _stop(parts)


def _settings(url: str) -> dict[str, str]:
    secret = secrets.token_urlsafe(32)
    return {
        "AIRFLOW__API_AUTH__JWT_SECRET": secret,
        "AIRFLOW__API__SECRET_KEY": secret,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": url.rpartition(":")[2],
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
    }


def _stop(parts: list[subprocess.Popen[bytes]]) -> None:
    # All processes of Airflow are in one of these sessions, even if their parent ended before them.
    sessions = {part.pid for part in parts}
    family = [p for p in psutil.process_iter() if _session_of(p.pid) in sessions]
    for member in family:
        member.terminate()
    _, alive = psutil.wait_procs(family, STOP_TIMEOUT)
    for member in alive:
        member.kill()
    for part in parts:
        part.wait()


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:  # it has already ended
        return None


def _wait_for_end(parts: list[subprocess.Popen[bytes]]) -> None:
    while all(part.poll() is None for part in parts):
        time.sleep(1)


def _run_examples(parts: list[subprocess.Popen[bytes]], url: str) -> None:
    """Wait until Airflow knows the examples, then run each once."""
    session = requests.Session()
    session.trust_env = False
    deadline = time.monotonic() + START_TIMEOUT
    while not _knows_examples(session, url):
        if any(part.poll() is not None for part in parts) or time.monotonic() > deadline:
            raise RuntimeError("Airflow did not start; see its log")
        time.sleep(1)
    for dag_id in ORDER:
        _call(session, "POST", f"{url}/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None})


def _knows_examples(session: requests.Session, url: str) -> bool:
    try:
        token = _call(session, "GET", f"{url}/auth/token")["access_token"]
        session.headers["Authorization"] = f"Bearer {token}"
        dags = _call(session, "GET", f"{url}/api/v2/dags")["dags"]
    except requests.RequestException:
        return False
    return {dag["dag_id"] for dag in dags} >= set(ORDER)


def _call(session: requests.Session, method: str, url: str, **arguments: Any) -> Any:
    response = session.request(method, url, timeout=10, **arguments)
    response.raise_for_status()
    return response.json()
