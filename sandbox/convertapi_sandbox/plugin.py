"""The pytest fixture `convertapi_sandbox`: one server per run, emptied before each test."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convertapi_sandbox import Sandbox

CONNECTION_VARIABLE = "AIRFLOW_CONN_CONVERTAPI_DEFAULT"


@pytest.fixture(scope="session")
def _convertapi_sandbox_server() -> Iterator[Sandbox]:
    from convertapi_sandbox import Sandbox  # noqa: PLC0415 - most test runs do not need it

    with Sandbox() as sandbox:
        yield sandbox


class IgnoredParameterWarning(UserWarning):
    """A request had a parameter that its converter does not have: the service ignores it."""


@pytest.fixture
def convertapi_sandbox(
    _convertapi_sandbox_server: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Sandbox]:
    """Return a running, empty sandbox, to which the default connection points.

    The server runs for the session; its journal, faults, documents, jobs, balance and switches
    are reset before each test. AIRFLOW_CONN_CONVERTAPI_DEFAULT is set for the test. After it,
    `IgnoredParameterWarning` tells which parameters the service would have ignored.
    """
    sandbox = _convertapi_sandbox_server
    sandbox.reset()
    monkeypatch.setenv(CONNECTION_VARIABLE, sandbox.airflow_connection_json)
    yield sandbox
    ignored = {(entry.path, name) for entry in sandbox.requests for name in entry.ignored}
    for path, name in sorted(ignored):
        text = f"{path} has no parameter {name}: ConvertAPI ignores it, and bills the conversion"
        warnings.warn(text, IgnoredParameterWarning, stacklevel=1)
