"""The tests on the page about the sandbox run as a user's would."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.airflow_2 import airflow_2_form

AIRFLOW_2 = version("apache-airflow").startswith("2.")
PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text("utf-8")
BLOCK = re.compile(r"^```python\n# (\S+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.long
@pytest.mark.timeout(300)  # three DAG runs in an Airflow of their own, on a busy machine
def test_user_tests_pass(tmp_path: Path, airflow_db: Path) -> None:
    """The DAG and the tests on the page, in separate files, pass in a fresh Airflow home."""
    files = dict(BLOCK.findall(PAGE))
    for name, code in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(airflow_2_form(code) if AIRFLOW_2 else code, "utf-8")
    with (
        closing(sqlite3.connect(airflow_db)) as own,
        closing(sqlite3.connect(tmp_path / "airflow.db")) as copy,
    ):
        own.backup(copy)
    home = {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags")}

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=tmp_path,
        env=os.environ | home,
        capture_output=True,
        text=True,
        check=False,
    )

    assert {"dags/invoices.py", "tests/test_invoices.py"} == set(files)
    assert "3 passed" in done.stdout, done.stdout + done.stderr
