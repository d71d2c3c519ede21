"""A scratch Airflow for every test process, and DAG runs in it.

The environment is set before anything imports Airflow, which reads it once.  Airflow itself is
imported inside fixtures only: what needs none of it pays nothing for it, and the tests of
`tests/core` run where there is none.
"""

from __future__ import annotations

import base64
import fcntl
import os
import shutil
import signal
import sqlite3
import tempfile
import warnings
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.airflow_2 import airflow_2_form

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.models.dagrun import DagRun
    from airflow.sdk import DAG

pytest_plugins = ("tests.canary",)

AIRFLOW_HOME = Path(tempfile.mkdtemp(prefix="airflow-home-"))

_SETTINGS = {
    "AIRFLOW_HOME": str(AIRFLOW_HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(AIRFLOW_HOME / "dags"),  # empty: `dag.test()` parses it
    "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "0",  # none: pytest's timeout is enough
    "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(bytes(32)).decode(),
    "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",  # the default asks a name server
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",  # Airflow 2.11 reports its use to a server
}


def _isolate_environment() -> None:
    """Forget the developer's own Airflow, accounts and proxies."""
    for name in list(os.environ):
        if name.startswith(("AIRFLOW", "AWS_", "CONVERTAPI")) or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ.update(_SETTINGS)
    (AIRFLOW_HOME / "dags").mkdir()


_isolate_environment()

# A background command of a shell ignores SIGINT, and so would the programs that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


LONG = ("batch", "parity")
"""Folders whose tests take minutes in total: `make test-long` runs them, `make test` does not."""


ON_REQUEST = ("browser", "crash", "celery", "contract", "live", "stores")
"""Folders whose tests start a whole Airflow, or servers that have to be installed, or spend the
conversions of a real account: left out unless they, or a part of them, are named."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip folders that run only on request."""
    here = Path(__file__).parent
    folder = next((here / f for f in ON_REQUEST if collection_path == here / f), None)
    if folder is None:
        return None
    named = [Path(str(argument).partition("::")[0]).resolve() for argument in config.args]
    return None if any(path.is_relative_to(folder) for path in named) else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of whole folders as long."""
    here = Path(__file__).parent
    for item in items:
        if any(item.path.is_relative_to(here / folder) for folder in LONG):
            item.add_marker("long")


def pytest_unconfigure() -> None:
    """Remove the scratch home once this process has run its tests."""
    shutil.rmtree(AIRFLOW_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def airflow_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepare this process's metadata database: the first process migrates it, others copy it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    template, own = shared / "airflow.db", AIRFLOW_HOME / "airflow.db"
    with (shared / "airflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.exists():
            _migrate()
            _copy_database(own, template)
    _copy_database(template, own)
    if _is_airflow_2():  # runs have notes, which refer to the users' table
        import_module("airflow.providers.fab.auth_manager.models")
    return own


def _migrate() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Airflow's own migrations
        from airflow.utils.db import initdb

        initdb()


def _copy_database(source: Path, target: Path) -> None:
    """Copy with SQLite's backup, because Airflow's pool may hold `target` open."""
    reader, writer = sqlite3.connect(source), sqlite3.connect(target)
    try:
        reader.backup(writer)
    finally:
        reader.close()
        writer.close()


class RunDag(Protocol):
    """The type of the fixture `run_dag`."""

    def __call__(
        self,
        dag: DAG | Path,
        *,
        logical_date: datetime | None = None,
        conf: dict[str, Any] | None = None,
    ) -> DagRun:
        """Run a DAG to its end in this process, triggers and retries included.

        :param dag: a DAG made in the test, or a file that holds exactly one.
        :param logical_date: the same date again clears that run and runs it again; None means now.
        :param conf: the run's configuration.
        :returns: the finished run, whatever its state.
        """
        ...


@pytest.fixture
def run_dag(airflow_db: Path) -> RunDag:
    """Run DAGs with `dag.test()`, in the same way on every Airflow."""

    def run(
        dag: DAG | Path,
        *,
        logical_date: datetime | None = None,
        conf: dict[str, Any] | None = None,
    ) -> DagRun:
        if isinstance(dag, Path):
            dag = _load(dag)
        if not _is_airflow_2():
            _serialize(dag)
        dag_run: DagRun = dag.test(run_conf=conf, **_when(logical_date))
        return dag_run

    return run


def _is_airflow_2() -> bool:
    return version("apache-airflow").startswith("2.")


def _when(logical_date: datetime | None) -> dict[str, Any]:
    """Name the run by its date: Airflow 3 makes the run id from `run_after`."""
    if logical_date is None:
        return {}
    if _is_airflow_2():
        return {"execution_date": logical_date}
    return {"logical_date": logical_date, "run_after": logical_date}


def _load(path: Path) -> DAG:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Airflow 3.2 moved it; 2.11 has only the old location
        from airflow.models.dagbag import DagBag

    if _is_airflow_2():
        copy = Path(tempfile.mkdtemp(dir=AIRFLOW_HOME)) / path.name
        copy.write_text(airflow_2_form(path.read_text("utf-8")), "utf-8")
        path = copy
    bag = DagBag(path)
    assert bag.import_errors == {}
    dag: DAG
    [dag] = bag.dags.values()
    return dag


def _serialize(dag: DAG) -> None:
    """Write `dag` to the database, because Airflow 3 needs it there to create a run."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db

    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(os.devnull)
    bag.dags[dag.dag_id] = dag
    sync_bag_to_db(bag, "dags-folder", None)
