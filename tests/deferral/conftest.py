"""Jobs at the sandbox, and triggers that watch them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.api.endpoints import start_conversion
from airflow_provider_convertapi.api.ids import JobIds, key_check

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox

SETTLE = 0.3
"""Seconds; short, so that nothing waits long for what does not come."""

StartJob = Callable[..., list[Any]]
MakeTrigger = Callable[..., Any]


@pytest.fixture
def sandbox(convertapi_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Provide a fresh sandbox and a short settle time."""
    monkeypatch.setenv("AIRFLOW__CONVERTAPI__SETTLE", str(SETTLE))
    return convertapi_sandbox


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    """Provide a small text document."""
    path = tmp_path / "in" / "letter.txt"
    path.parent.mkdir()
    path.write_text("Dear reader, this is a letter.\n")
    return path


@pytest.fixture
def start_job(sandbox: Sandbox, letter: Path) -> StartJob:
    """Start a conversion under the ids of a derivation; return what a trigger is given of it."""
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook
    from airflow_provider_convertapi.storage import find_source

    client = ConvertApiHook().open_session().client

    def start(derivation: str = "0" * 64, attempt: int = 0) -> list[Any]:
        job_id = JobIds(sandbox.token, derivation).job_id(attempt)
        client.send(start_conversion("txt", "pdf", job_id, [("File", find_source(str(letter)))]))
        return [derivation, attempt, time.time(), []]

    return start


@pytest.fixture
def make_trigger(sandbox: Sandbox) -> MakeTrigger:
    """Make a trigger for jobs at the sandbox; arguments win over short defaults."""
    from airflow_provider_convertapi.triggers.job import ConvertApiJobTrigger

    def make(jobs: list[list[Any]], *, seconds: float = 20.0, **arguments: Any) -> Any:
        defaults = {
            "convertapi_conn_id": "convertapi_default",
            "key_check": key_check(sandbox.token),
            "deadline": time.time() + seconds,
            "poll_interval": 0.2,
            "settle": SETTLE,
            "jobs": jobs,
        }
        return ConvertApiJobTrigger(**{**defaults, **arguments})

    return make
