"""Every module of the client and of the conversions is imported without Airflow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import airflow_provider_convertapi

PACKAGE = Path(str(airflow_provider_convertapi.__file__)).parent
FREE = ("api", "conversions", "storage", "connection", "errors", "provider_info")
"""Packages and modules that are loaded where there is no Airflow."""

SCRIPT = """
import importlib, json, sys
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
print(json.dumps(sorted(name for name in sys.modules if name.partition(".")[0] == "airflow")))
"""


def modules() -> list[str]:
    """Return the dotted names of all modules that need none."""
    files = [file for name in FREE for file in [*PACKAGE.glob(f"{name}/**/*.py"), PACKAGE / name]]
    paths = [file.with_suffix("").relative_to(PACKAGE.parent) for file in files]
    return sorted(".".join(path.parts).removesuffix(".__init__") for path in paths)


def test_no_module_loads_airflow() -> None:
    """Whatever is imported at a module's head, Airflow is not."""
    names = modules()

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(names)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert {f"airflow_provider_convertapi.{name}" for name in FREE} <= set(names)
    assert {"api.client", "conversions.chain"} <= {name.partition(".")[2] for name in names}
    assert "[]\n" == done.stdout
