"""Airflow's own commands show the provider, its connection type and its form."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from airflow_provider_convertapi import __version__
from airflow_provider_convertapi.provider_info import get_provider_info

pytestmark = pytest.mark.xdist_group("cli")  # the fixture takes seconds: once is enough

COMMANDS = ("list", "hooks", "widgets", "behaviours")
# One interpreter for all of them: starting Airflow takes seconds, a command takes none.
RUN_COMMANDS = f"""
from airflow.cli.cli_parser import get_parser
for command in {COMMANDS}:
    arguments = get_parser().parse_args(["providers", command, "-o", "json"])
    print("COMMAND", command, flush=True)
    arguments.func(arguments)
"""


@pytest.fixture(scope="module")
def shown() -> dict[str, list[dict[str, Any]]]:
    """Run `airflow providers ...`, and keep each command's rows.

    Airflow reads every provider's info when it is imported, and one that fails would stop it.
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN_COMMANDS],
        capture_output=True,
        text=True,
        check=True,
    )
    outputs = done.stdout.split("COMMAND ")[1:]
    return {
        output.partition("\n")[0]: json.loads(output[output.index("\n[") :]) for output in outputs
    }


def test_list_shows_the_package(shown: dict[str, list[dict[str, Any]]]) -> None:
    """`airflow providers list` names the package and its version."""
    [row] = [row for row in shown["list"] if row["package_name"] == "airflow-provider-convertapi"]

    assert __version__ == row["version"]
    assert "ConvertAPI" in row["description"]


def test_hooks_shows_the_connection_type(shown: dict[str, list[dict[str, Any]]]) -> None:
    """`airflow providers hooks` imports the hook, and shows it for the connection type."""
    [row] = [row for row in shown["hooks"] if row["connection_type"] == "convertapi"]

    assert ("ConvertApiHook", "convertapi_conn_id", "ConvertAPI") == (
        row["class"].rpartition(".")[2],
        row["conn_id_attribute_name"],
        row["hook_name"],
    )


def test_widgets_shows_every_field(shown: dict[str, list[dict[str, Any]]]) -> None:
    """`airflow providers widgets` has a row for each extra field of the form."""
    [connection_type] = get_provider_info()["connection-types"]
    prefix = "extra__convertapi__"
    names = {row["connection_parameter_name"] for row in shown["widgets"]}

    assert set(connection_type["conn-fields"]) == {
        name.removeprefix(prefix) for name in names if name.startswith(prefix)
    }


def test_behaviours_shows_the_form(shown: dict[str, list[dict[str, Any]]]) -> None:
    """`airflow providers behaviours` knows that the form changes standard fields."""
    assert {"field_behaviours": "convertapi"} in shown["behaviours"]
