"""A fresh sandbox, and an empty folder for a night."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.batch.nights import Night

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from convertapi_sandbox import Sandbox

SETTLE = 0.3
"""Seconds; short, so that a later try does not wait long before it submits."""


@pytest.fixture
def sandbox(convertapi_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Provide a fresh sandbox and a short settle time."""
    monkeypatch.setenv("AIRFLOW__CONVERTAPI__SETTLE", str(SETTLE))
    return convertapi_sandbox


@pytest.fixture
def night(sandbox: Sandbox, tmp_path: Path) -> Night:
    """Provide an empty folder, and somewhere for its conversions."""
    (tmp_path / "in").mkdir()
    return Night(tmp_path / "in", tmp_path / "out", sandbox)


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Return what was logged since the last call.

    Airflow 2 logs to the stream that was set when it was imported, which may not be this test's.
    """
    from airflow import __version__

    def read() -> str:
        printed, logged = "".join(capfd.readouterr()), caplog.text
        caplog.clear()
        return logged if __version__.startswith("2.") else printed

    return read
