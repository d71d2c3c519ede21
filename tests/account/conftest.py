"""A sandbox whose connection has the master token."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from convertapi_sandbox import Sandbox


@pytest.fixture
def sandbox(convertapi_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Provide a fresh sandbox, and a connection with its master token."""
    connect(convertapi_sandbox, monkeypatch, master_token=convertapi_sandbox.master_token)
    return convertapi_sandbox


def connect(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, **extra: Any) -> None:
    """Let the default connection lead to the sandbox with these extras."""
    connection = {**sandbox.airflow_connection, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_CONVERTAPI_DEFAULT", json.dumps(connection))
