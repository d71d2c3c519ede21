"""The surroundings of the examples: a ConvertAPI, an S3 and an Airflow home, on this machine."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convertapi_sandbox import Sandbox
from dev import s3

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "example_dags"
DOCUMENTS = ROOT / "dev" / "documents"
OFFICE_DOCUMENTS = [DOCUMENTS / name for name in ("report.docx", "minutes.md", "notes.txt")]
PASSWORD = "lighthouse-112"  # noqa: S105 - opens a demo document; the demo shows it


@dataclass(frozen=True, slots=True)
class Stage:
    """A place where the examples run.

    :param home: holds everything that a run leaves behind.
    :param sandbox: the account that converts.
    :param exhausted: an account with no conversions left.
    :param s3: a client of the S3 server.
    """

    home: Path
    sandbox: Sandbox
    exhausted: Sandbox
    s3: Any

    @property
    def documents(self) -> Path:
        """Return the directory from which the examples read: a copy, to play with."""
        return self.home / "documents"

    @property
    def results(self) -> Path:
        """Return the directory into which the examples write."""
        return self.home / "results"

    @property
    def log(self) -> Path:
        """Return the file for all of Airflow's output."""
        return self.home / "airflow.log"


def clear(home: Path) -> None:
    """Remove what the last run left in a home, and copy the documents again."""
    shutil.rmtree(home, ignore_errors=True)
    (home / "results").mkdir(parents=True)
    shutil.copytree(DOCUMENTS, home / "documents")


@contextmanager
def set_stage(home: Path) -> Iterator[Stage]:
    """Start the servers and point this process's environment to them and to `home`.

    Call it before anything imports Airflow, which reads its environment once.
    """
    _forget_own_airflow()
    with s3.s3_server() as url, Sandbox() as sandbox, Sandbox(balance=0) as exhausted:
        client = s3.filled(url, OFFICE_DOCUMENTS)
        os.environ.update(_airflow_settings(home))
        os.environ.update(
            EXAMPLE_DOCUMENTS=str(home / "documents"),
            EXAMPLE_RESULTS=str(home / "results"),
            AIRFLOW_CONN_CONVERTAPI_DEFAULT=sandbox.airflow_connection_json,
            AIRFLOW_CONN_CONVERTAPI_EXHAUSTED=exhausted.airflow_connection_json,
            AIRFLOW_CONN_AWS_DEFAULT=s3.airflow_connection(url),
            AIRFLOW_VAR_REPORT_PASSWORD=PASSWORD,
        )
        yield Stage(home, sandbox, exhausted, client)


def _forget_own_airflow() -> None:
    """Ignore the Airflow, account and proxy of the caller's shell."""
    for name in list(os.environ):
        if name.startswith(("AIRFLOW", "AWS_")) or name.lower().endswith("_proxy"):
            del os.environ[name]


def _airflow_settings(home: Path) -> dict[str, str]:
    return {
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLES),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",  # the default asks a name server
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "NO_COLOR": "1",  # Airflow's log goes to a file
    }
