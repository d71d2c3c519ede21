"""The account of `make live`; without one, nothing here runs."""

from __future__ import annotations

import os
import uuid

import pytest

CONNECTION = "AIRFLOW_CONN_CONVERTAPI_DEFAULT"


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> str:
    """Make the account the default connection; return a key that no earlier run has used."""
    given = os.environ.get("LIVE_CONNECTION")
    if not given:
        pytest.exit("LIVE_CONNECTION is not set: run these tests by `make live`", returncode=2)
    monkeypatch.setenv(CONNECTION, given)
    return uuid.uuid4().hex
