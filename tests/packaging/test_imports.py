"""What is imported when: provider discovery, DAG parsing and pytest pay for nothing of ours."""

from __future__ import annotations

import json
import subprocess
import sys

from airflow_provider_convertapi.provider_info import get_provider_info

PRINT_MODULES = "import json, sys; print(json.dumps(list(sys.modules)))"


def _python(code: str) -> str:
    """Run `code` in a fresh interpreter, and return what it printed last."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.strip().rpartition("\n")[2]


def _modules(code: str) -> set[str]:
    return set(json.loads(_python(f"{code}\n{PRINT_MODULES}")))


def _of(packages: set[str], modules: set[str]) -> set[str]:
    return {module for module in modules if module.partition(".")[0] in packages}


def test_airflow_imports_with_this_provider() -> None:
    """`import airflow` reads every provider's info, and one that fails would stop it."""
    assert "True" == _python(
        "import airflow.providers_manager as p;"
        "print('airflow-provider-convertapi' in p.ProvidersManager().providers)"
    )


def test_discovery_imports_nothing_else() -> None:
    """Provider info loads the package and itself, and neither Airflow nor any library."""
    ours = _modules("import airflow_provider_convertapi.provider_info")

    loaded = {m for m in ours - _modules("import typing") if m != "__future__"}
    assert {
        "airflow_provider_convertapi",
        "airflow_provider_convertapi.provider_info",
    } == loaded


def test_operators_import_no_client() -> None:
    """A DAG file that imports our operators loads neither requests, PyJWT nor aiohttp."""
    clients = {"aiohttp", "jwt", "requests"}
    plain = "from airflow.providers.common.compat.sdk import BaseOperator, conf"
    ours = "\n".join([plain, *(f"import {module}" for module in _listed("operators", "sensors"))])

    assert _of(clients, _modules(plain)) == _of(clients, _modules(ours))


def _listed(*kinds: str) -> list[str]:
    info = get_provider_info()
    entries = [entry for kind in kinds for entry in info.get(kind, [])]
    return [module for entry in entries for module in entry["python-modules"]]


def test_pytest_plugin_is_light() -> None:
    """The fixture's plugin, which every pytest run loads, needs no extra and no Airflow."""
    ours = _modules("import airflow_provider_convertapi.sandbox.plugin")

    assert set() == _of({"airflow", "jwt", "pikepdf", "starlette", "uvicorn"}, ours)
