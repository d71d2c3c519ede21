"""What is imported when: provider discovery, DAG parsing and pytest pay for nothing of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from airflow_provider_convertapi.provider_info import get_provider_info


def _print(code: str) -> Any:
    """Run `code` in a fresh interpreter, unmeasured, and return the JSON that it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"import json, sys\n{code}"],
        capture_output=True,
        text=True,
        check=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")},
    )
    return json.loads(done.stdout)


def _top_level(modules: list[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def test_discovery_imports_nothing_else() -> None:
    """Provider info loads the package and itself, and neither Airflow nor any library."""
    loaded = _print(
        "import typing; before = set(sys.modules)\n"
        "import airflow_provider_convertapi.provider_info\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )

    assert [
        "__future__",
        "airflow_provider_convertapi",
        "airflow_provider_convertapi.provider_info",
    ] == loaded


def test_operators_import_no_client() -> None:
    """A DAG file that imports our operators loads no client, and nothing of OpenLineage."""
    imports = "\n".join(f"import {module}" for module in _listed("operators", "sensors"))
    loaded = _print(
        "from airflow_provider_convertapi.airflow_names import BaseOperator, conf\n"
        f"before = set(sys.modules)\n{imports}\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )

    assert "airflow_provider_convertapi" in _top_level(loaded)
    assert set() == {"aiohttp", "jwt", "openlineage", "requests"} & _top_level(loaded)


def _listed(*kinds: str) -> list[str]:
    info = get_provider_info()
    entries = [entry for kind in kinds for entry in info.get(kind, [])]
    return [module for entry in entries for module in entry["python-modules"]]


def test_pytest_plugin_is_light() -> None:
    """The fixture's plugin, which every pytest run loads, imports no server and no Airflow."""
    loaded = _print("import convertapi_sandbox.plugin\nprint(json.dumps(sorted(sys.modules)))")

    assert "convertapi_sandbox" in _top_level(loaded)
    assert set() == {"airflow", "jwt", "pikepdf", "starlette", "uvicorn"} & _top_level(loaded)
