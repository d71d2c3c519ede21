"""A fresh ConvertAPI, and checks of it whose waits are short."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.clock import Clock
from airflow_provider_convertapi.connection import ConnectionSettings
from airflow_provider_convertapi.live.check import Check
from airflow_provider_convertapi.live.facts import KNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from convertapi_sandbox import Sandbox

# The service answers at once, so that the waits for it need not be long; ages are real.
QUICK = Clock(time.time, time.monotonic, lambda seconds: time.sleep(min(seconds, 0.02)))
LATENCY = 0.08


def connection(sandbox: Sandbox, **changed: Any) -> ConnectionSettings:
    """Return the settings of a connection with a master token."""
    extra = {"master_token": sandbox.master_token} | changed.pop("extra", {})
    fields = {
        "conn_id": "convertapi_default",
        "conn_type": "convertapi",
        "host": sandbox.url,
        "login": sandbox.kid,
        "password": sandbox.token,
        "schema": None,
        "port": None,
        "extra": json.dumps(extra),
    }
    return ConnectionSettings.from_connection(SimpleNamespace(**fields | changed))


@pytest.fixture
def new_check(convertapi_sandbox: Sandbox) -> Iterator[Callable[..., Check]]:
    """Return a function that makes a check which may spend so many conversions."""
    made: list[Check] = []

    def make(allowed: int = 0, nonce: str = "", clock: Clock = QUICK, **changed: Any) -> Check:
        settings = connection(convertapi_sandbox, **changed)
        said: list[str] = []
        made.append(Check(settings, clock, said.append, allowed, pages=3, nonce=nonce))
        # A conversion takes a while, and no processor: a job can be seen while it runs.
        convertapi_sandbox.settings.latency = LATENCY
        return made[-1]

    yield make
    for check in made:
        check.close()


def known(check: Check) -> dict[str, Any]:
    """Return the switches that a check has found."""
    found: dict[str, Any] = {}
    for fact in check.facts:
        if fact.state == KNOWN:
            found |= fact.switches
    return found
