"""Redis and PostgreSQL, as processes of the tests on loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.airflow_parts import free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STOP_LIMIT = 30.0
_DATABASE_USER = "airflow"


@dataclass(frozen=True, slots=True)
class Redis:
    """A Redis that runs.

    :param record: a file with every command that it was sent.
    """

    port: int
    record: Path

    @property
    def url(self) -> str:
        """Return its URL for Celery."""
        return f"redis://127.0.0.1:{self.port}/0"

    def cli(self, *command: str) -> str:
        """Return what a command answers."""
        return _output("redis-cli", "-p", str(self.port), *command)


@dataclass(frozen=True, slots=True)
class PostgreSQL:
    """A PostgreSQL that runs, which trusts whoever reaches it.

    :param binaries: the directory of its programs.
    """

    port: int
    binaries: Path

    @property
    def url(self) -> str:
        """Return its URL for SQLAlchemy."""
        return f"postgresql+psycopg2://{self._address}"

    @property
    def _address(self) -> str:
        return f"{_DATABASE_USER}@127.0.0.1:{self.port}/postgres"

    def dump(self) -> str:
        """Return all that is in the database."""
        return _output(self.binaries / "pg_dump", f"postgresql://{self._address}")


@contextmanager
def redis_server(folder: Path) -> Iterator[Redis]:
    """Run a Redis that keeps nothing on the disk, and record what it is sent."""
    redis = Redis(free_port(), folder / "redis.record")
    port = str(redis.port)
    server = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", ""]
    client = ["redis-cli", "-p", port]
    with (
        (folder / "redis.log").open("wb") as log,
        redis.record.open("wb") as record,
        _running(server, signal.SIGTERM, stdout=log, stderr=log, cwd=folder),
    ):
        wait_for("Redis", lambda: _answers(*client, "ping"))
        with _running([*client, "monitor"], signal.SIGTERM, stdout=record):
            yield redis


@contextmanager
def postgresql_server() -> Iterator[PostgreSQL]:
    """Run a PostgreSQL with a new, empty database.

    It refuses to run as root, and then runs as the user of Debian's package, which cannot reach
    pytest's own directories.
    """
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parts[4]))
    database = PostgreSQL(free_port(), binaries)
    folder = tempfile.mkdtemp(prefix="postgresql-")
    who: dict[str, Any] = {}
    if os.getuid() == 0:
        entry = pwd.getpwnam("postgres")
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        who = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    data = ["-D", f"{folder}/data"]
    options = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": "200",
        "fsync": "off",  # no test asks what a power cut leaves
    }
    settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    try:
        subprocess.run(
            [binaries / "initdb", *data, "--auth=trust", "-U", _DATABASE_USER, "-E", "UTF8"],
            cwd=folder,
            check=True,
            capture_output=True,
            **who,
        )
        with (Path(folder) / "log").open("wb") as log:
            server: list[str | Path] = [
                binaries / "postgres",
                *data,
                "-p",
                str(database.port),
                *settings,
            ]
            # Its "fast" shutdown: it does not wait for those who are connected.
            with _running(server, signal.SIGINT, stdout=log, stderr=log, cwd=folder, **who):
                ready = (binaries / "pg_isready", "-h", "127.0.0.1", "-p", str(database.port))
                wait_for("PostgreSQL", lambda: _answers(*ready))
                yield database
    finally:
        shutil.rmtree(folder)


@contextmanager
def _running(command: Sequence[str | Path], stop: signal.Signals, **options: Any) -> Iterator[None]:
    """Run a program until the end of the block; a Ctrl-C is not for it."""
    process = subprocess.Popen(command, start_new_session=True, **options)
    try:
        yield
    finally:
        process.send_signal(stop)
        process.wait(STOP_LIMIT)


def _answers(*command: str | Path) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _output(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, check=True)
    return done.stdout.decode("latin-1")
