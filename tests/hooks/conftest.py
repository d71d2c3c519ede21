"""A task's try without Airflow running it: a hook whose task says which try it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook
    from convertapi_sandbox import Sandbox

SETTLE = 0.3
"""Seconds; short, so that a later try does not wait long before it submits."""

MakeHook = Callable[..., "ConvertApiHook"]


@pytest.fixture
def sandbox(convertapi_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Provide a fresh sandbox and a short settle time."""
    monkeypatch.setenv("AIRFLOW__CONVERTAPI__SETTLE", str(SETTLE))
    return convertapi_sandbox


@pytest.fixture
def make_hook(sandbox: Sandbox) -> MakeHook:
    """Make the hook of one try of one task; each call acts like a new process, as far as ids go."""
    from airflow_provider_convertapi.conversions.task import TaskTry
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

    def make(try_number: int = 1, **names: Any) -> ConvertApiHook:
        hook = ConvertApiHook()
        identity = {"dag_id": "d", "run_id": "r", "task_id": "t", **names}
        hook.open_session(TaskTry(**identity, number=try_number, started=time.time()))
        return hook

    return make


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    """Provide a small text document."""
    path = tmp_path / "in" / "letter.txt"
    path.parent.mkdir()
    path.write_text("Dear reader, this is a letter.\n")
    return path
