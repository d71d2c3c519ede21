"""Secrets of a mapped task are masked as in any other."""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convertapi_sandbox import Sandbox
    from tests.conftest import RunDag

SECRET = f"session={secrets.token_hex(16)}"
"""Different in each run, because Airflow stores the code of DAG files, and so of this file."""


def test_rendered_fields_of_a_mapped_task(
    run_dag: RunDag,
    convertapi_sandbox: Sandbox,
    tmp_path: Path,
) -> None:
    """Cookies that a template rendered are not in the metadata database."""
    from airflow_provider_convertapi.operators.convert import ConvertApiOperator
    from tests.airflow_api import DAG

    (tmp_path / "letter.html").write_text("<p>Dear reader.</p>\n")
    with DAG(
        "mapped_secrets",
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        user_defined_macros={"cookies": lambda: SECRET},
    ) as dag:
        ConvertApiOperator.partial(
            task_id="convert",
            to_format="pdf",
            destination=f"{tmp_path}/out/",
            parameters={"Cookies": "{{ cookies() }}"},
            plan_only=True,
        ).expand(source=[str(tmp_path / "letter.html")])

    [ti] = run_dag(dag).get_task_instances()

    assert "success" == ti.state
    home = Path(os.environ["AIRFLOW_HOME"])
    database = b"".join(path.read_bytes() for path in home.glob("airflow.db*"))
    assert b'"Cookies": "***"' in database
    assert SECRET.encode() not in database
