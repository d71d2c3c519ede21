"""Every Python block of the README and the docs runs, DAGs included, against the sandbox."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.airflow_2 import airflow_2_form
from tests.docs.blocks import blocks

if TYPE_CHECKING:
    from convertapi_sandbox import Sandbox
    from tests.conftest import RunDag
    from tests.docs.blocks import Block

ROOT = Path(__file__).parents[2]
AIRFLOW_2 = version("apache-airflow").startswith("2.")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

EXAMPLES = sorted((ROOT / "example_dags").glob("*.py"))


@pytest.mark.parametrize("page", [*PAGES, *EXAMPLES], ids=lambda page: page.name)
def test_imports_are_written_for_airflow_2_too(page: Path) -> None:
    """Above each import of `airflow.sdk` a comment says its form on Airflow 2."""
    text = page.read_text("utf-8")

    assert "airflow.sdk import" not in airflow_2_form(text).replace("`airflow.sdk`", "")
    assert len(text.splitlines()) == len(airflow_2_form(text).splitlines())


@pytest.mark.timeout(180)  # a page may hold many conversions
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_blocks_run(
    page: Path,
    convertapi_sandbox: Sandbox,
    run_dag: RunDag,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A page's blocks run in order, in a folder with the example documents."""
    shutil.copytree(ROOT / "dev" / "documents", tmp_path, dirs_exist_ok=True)
    extra = {"master_token": convertapi_sandbox.master_token}
    connection = {**convertapi_sandbox.airflow_connection, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_CONVERTAPI_DEFAULT", json.dumps(connection))
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": page.stem}

    for block in blocks(page):
        if block.language != "python" or block.excuse:
            continue
        if "@dag" in block.code or "DAG(" in block.code:
            _run_as_dag_file(block, run_dag)
        else:
            # As many empty lines as stand above it, so that a traceback names the page's line.
            code = airflow_2_form(block.code) if AIRFLOW_2 else block.code
            source = "\n" * (block.line - 1) + code
            exec(compile(source, str(page), "exec"), namespace)


def _run_as_dag_file(block: Block, run_dag: RunDag) -> None:
    file = Path(f"{block.page.stem}_{block.line}.py").absolute()
    file.write_text(block.code, encoding="utf-8")

    dag_run = run_dag(file)

    assert "success" == dag_run.state, f"{block.page.name}:{block.line}"
