"""The page about the sandbox: its tests run as a user's would, and its tables are complete."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import pytest

from airflow_provider_convertapi.sandbox import Fault, Settings

PAGE = (Path(__file__).parents[3] / "docs" / "sandbox.md").read_text("utf-8")
BLOCK = re.compile(r"^```python\n# (\S+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.long
@pytest.mark.timeout(300)  # three DAG runs in an Airflow of their own, on a busy machine
def test_user_tests_pass(tmp_path: Path, airflow_db: Path) -> None:
    """The DAG and the tests of the page, in files of their own, pass in a fresh Airflow home."""
    files = dict(BLOCK.findall(PAGE))
    for name, code in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(code, "utf-8")
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


def test_every_switch_is_in_the_table() -> None:
    """Each switch is listed with its default, and no other."""
    table = PAGE[PAGE.index("| switch |") : PAGE.index("## What it cannot do")]

    told = dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \|", table, re.MULTILINE))

    assert {name: str(value) for name, value in Settings().as_dict().items()} == {
        name: value.strip('"') for name, value in told.items()
    }


def test_every_effect_is_told() -> None:
    """Each attribute of a fault is in the page."""
    told = set(re.findall(r"`(\w+)(?:=[^`]*)?`", PAGE))

    assert {field.name for field in fields(Fault)} - {"match", "hits"} <= told
