"""Run the live check, and then a handful of tests, against the real ConvertAPI.

The account is named by environment variables; without a token nothing is sent:

``CONVERTAPI_TOKEN``         the API token (required)
``CONVERTAPI_KID``           its Kid; without it the token itself is sent
``CONVERTAPI_MASTER_TOKEN``  measures what is billed
``CONVERTAPI_BASE_URL``      such as https://eu-v2.convertapi.com; empty for the worldwide host
``CONVERTAPI_SPEND``         conversions that the check may take; 9 if empty, 0 for what is free
``CONVERTAPI_LIMITED_TOKEN``, ``CONVERTAPI_LIMITED_KID``  a token with a usage limit of 1
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "live"
REPORT = BUILD / "convertapi-live-check.md"
TESTS = 4
"""Conversions that the tests take, if nothing fails."""


def main() -> int:
    """Return the exit status; ``--check`` only looks at the environment."""
    problem = _problem()
    if problem:
        print(problem, file=sys.stderr)
        return 2
    if "--check" in sys.argv:
        return 0
    BUILD.mkdir(parents=True, exist_ok=True)
    allowed = int(_given("SPEND") or 9)
    environment = _environment()
    command = ["-m", "airflow_provider_convertapi.probe", "--conn-id", "convertapi_live"]
    command += ["--spend", str(allowed), "--report", str(REPORT)]
    if _given("LIMITED_TOKEN"):
        command += ["--limited-conn-id", "convertapi_limited"]
    checked = subprocess.run([sys.executable, *command], env=environment, check=False).returncode
    if checked or not allowed:
        return checked
    print(f"Running the tests, which take about {TESTS} conversions more …", flush=True)
    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", str(ROOT / "tests" / "live")]
    return subprocess.run([sys.executable, *tests], env=environment, check=False).returncode


def _given(name: str) -> str:
    return os.environ.get(f"CONVERTAPI_{name}", "").strip()


def _problem() -> str:
    """Return what is wrong with the environment; empty if nothing is."""
    if not _given("TOKEN"):
        return (
            "CONVERTAPI_TOKEN is not set: it holds the API token of the account that pays "
            "(ConvertAPI dashboard, Authentication). Nothing was sent. CONVERTAPI_KID and "
            "CONVERTAPI_MASTER_TOKEN are worth setting, too."
        )
    if _given("SPEND") and not _given("SPEND").isdigit():
        return "CONVERTAPI_SPEND is not a number of conversions. Nothing was sent."
    return ""


def _environment() -> dict[str, str]:
    """Return the environment with the account as Airflow connections, in a home of its own."""
    live = _connection("TOKEN", "KID", {"master_token": _given("MASTER_TOKEN")})
    own = {
        "AIRFLOW_HOME": str(BUILD / "airflow"),
        "AIRFLOW_CONN_CONVERTAPI_LIVE": live,
        "AIRFLOW_CONN_CONVERTAPI_LIMITED": _connection("LIMITED_TOKEN", "LIMITED_KID", {}),
        # The tests forget connections of their environment, and take this one.
        "LIVE_CONNECTION": live,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
    }
    return {**os.environ, **own}


def _connection(token: str, kid: str, extra: dict[str, str]) -> str:
    return json.dumps(
        {
            "conn_type": "convertapi",
            "host": _given("BASE_URL"),
            "login": _given(kid),
            "password": _given(token),
            "extra": extra,
        }
    )


if __name__ == "__main__":
    sys.exit(main())
