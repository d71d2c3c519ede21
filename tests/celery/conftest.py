"""A real Airflow on CeleryExecutor: Redis, PostgreSQL and two workers that share no directory.

These tests take minutes and need two servers, so they run when they are asked for:
``make test-celery``.
"""

from __future__ import annotations

import base64
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from convertapi_sandbox import Sandbox
from dev.s3 import CONVERTED, INCOMING, airflow_connection, filled, s3_server
from tests.airflow_parts import Airflow, Part, core_parts, session_of, settings
from tests.canary import leaks, secrets_of
from tests.celery.servers import postgresql_server, redis_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.celery.servers import PostgreSQL, Redis

HERE = Path(__file__).parent
EXAMPLE = HERE.parent.parent / "example_dags" / "fan_out_shards.py"
POOL, SLOTS = "convertapi", 2
"""The pool of `deferred_shards`, in which a deferred task holds its slot."""

WORKERS = ("worker-1", "worker-2")
_HIDDEN = re.compile(r"\\\\x((?:[0-9a-f]{2}){16,})|([A-Za-z0-9+/]{32,}={0,2})")
"""PostgreSQL's bytes in a dump, and Base64, in which Celery wraps what it sends."""


@pytest.fixture(scope="session")
def service() -> Iterator[Sandbox]:
    """Provide the ConvertAPI that this Airflow's connection points to."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def s3() -> Iterator[Any]:
    """Provide a client of an S3 server; this process also has an Airflow connection to it."""
    with s3_server() as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_AWS_DEFAULT", airflow_connection(url))
        yield filled(url, [])


@dataclass(frozen=True)
class Cluster:
    """An Airflow with its broker and its database."""

    airflow: Airflow
    redis: Redis
    database: PostgreSQL

    def workers_of(self, logs: list[Path]) -> set[str]:
        """Return the workers in whose own directories these logs lie."""
        return {log.relative_to(self.airflow.home).parts[0] for log in logs}

    def worker_of(self, pid: int) -> str:
        """Return the worker that a process is part of."""
        parts = self.airflow.parts.items()
        sessions = {part.process.pid: name for name, part in parts if part.process}
        return sessions[session_of(pid) or 0]

    def start_missing_workers(self) -> None:
        """Start the workers that a test has killed, and wait until each takes tasks."""
        for name in WORKERS:
            if self.airflow.parts[name].process is None:
                (self.airflow.home / f"{name}.log").unlink(missing_ok=True)
                self.airflow.start(name)
        logs = [self.airflow.home / f"{name}.log" for name in WORKERS]
        self.airflow.wait_for(
            "both workers", lambda: all(b" ready." in log.read_bytes() for log in logs)
        )


@pytest.fixture(scope="session")
def _cluster(
    service: Sandbox, s3: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    home = tmp_path_factory.mktemp("airflow")
    with redis_server(home) as redis, postgresql_server() as database:
        url, environment = settings(home, service, _copy_dags(home))
        environment |= {
            "AIRFLOW__CELERY__BROKER_URL": redis.url,
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database.url}",
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.url,
            # So many processes share two cores that a worker may well be late.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
        }
        parts = core_parts() | {name: _worker(home / name) for name in WORKERS}
        cluster = Cluster(Airflow(home, url, environment, parts), redis, database)
        with cluster.airflow.running(["fan_out_shards", "deferred_shards"]):
            pool = {"name": POOL, "slots": SLOTS, "include_deferred": True}
            cluster.airflow.call("POST", "pools", json=pool)
            yield cluster


def _copy_dags(home: Path) -> Path:
    dags = home / "dags"
    shutil.copytree(HERE / "dags", dags)
    shutil.copy(EXAMPLE, dags)
    return dags


def _worker(home: Path) -> Part:
    """Return a worker with its own directories, as on a separate machine."""
    (home / "tmp").mkdir(parents=True)
    own = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(_copy_dags(home)),
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
    }
    options = ("--celery-hostname", f"{home.name}@%h", "--concurrency", "2", "--skip-serve-logs")
    return Part(("celery", "worker", *options), own)


@pytest.fixture
def cluster(_cluster: Cluster, service: Sandbox) -> Iterator[Cluster]:
    """Provide the running Airflow with both its workers, and its ConvertAPI with nothing in it.

    Afterwards nothing that Airflow wrote or sent may hold a token or an id: logs, the database and
    whatever has passed the broker.
    """
    service.reset()
    _cluster.start_missing_workers()
    yield _cluster
    home = _cluster.airflow.home
    logs = [*home.glob("*.log"), *home.glob("**/logs/**/*.log")]
    texts = {str(log.relative_to(home)): log.read_bytes().decode("latin-1") for log in logs}
    texts["PostgreSQL"] = revealed(_cluster.database.dump())
    texts["Redis"] = revealed(_cluster.redis.record.read_bytes().decode("latin-1"))
    # The search does look into the two, and through what wraps their contents.
    assert all("to_pdf" in texts[name] for name in ("PostgreSQL", "Redis"))
    assert [] == leaks(secrets_of(service), texts)


def revealed(text: str) -> str:
    """Return a text followed by what is encoded in it."""
    found = []
    for match in _HIDDEN.finditer(text):
        if match[1]:
            found.append(bytes.fromhex(match[1]))
        else:
            digits = match[2].rstrip("=")
            digits = digits[:-1] if len(digits) % 4 == 1 else digits  # a word that is no Base64
            found.append(base64.b64decode(digits + "=" * (-len(digits) % 4)))
    return text + b"\n".join(found).decode("latin-1")


@dataclass
class Bucket:
    """Documents in S3, and their conversions."""

    client: Any
    name: str

    @property
    def params(self) -> dict[str, str]:
        """Return where they are, as the DAGs take it."""
        return {"source": self._uri(INCOMING), "destination": self.destination}

    @property
    def destination(self) -> str:
        """Return where the conversions go."""
        return self._uri(CONVERTED)

    def _uri(self, bucket: str) -> str:
        return f"s3://aws_default@{bucket}/{self.name}/"

    def fill(self, count: int) -> set[str]:
        """Put small documents there; return the names that their conversions are to have."""
        for number in range(count):
            self.client.put_object(
                Bucket=INCOMING,
                Key=f"{self.name}/{number % 7}/{number:03d}.txt",
                Body=f"This is document {number}.\n".encode(),
            )
        return {f"{number % 7}/{number:03d}.pdf" for number in range(count)}

    def whole_outputs(self) -> set[str]:
        """Return the names of the conversions that are whole."""
        found = self.client.list_objects_v2(Bucket=CONVERTED, Prefix=f"{self.name}/")
        names = [item["Key"] for item in found["Contents"] if item["Key"].endswith(".pdf")]
        return {name.removeprefix(f"{self.name}/") for name in names if self._is_whole(name)}

    def _is_whole(self, key: str) -> bool:
        body: bytes = self.client.get_object(Bucket=CONVERTED, Key=key)["Body"].read()
        return body.startswith(b"%PDF") and body.rstrip().endswith(b"%%EOF")


@pytest.fixture
def bucket(s3: Any, request: pytest.FixtureRequest) -> Bucket:
    """Provide a place in S3 of the test's own."""
    return Bucket(s3, request.node.name)
