"""Many conversions under five kinds of faults: none is lost, none is wrong, none is paid twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bench.faulted import WAYS, Faults, ours, run
from convertapi_sandbox.plugin import CONNECTION_VARIABLE
from tests.proxies import put_before

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox

pytestmark = [pytest.mark.long, pytest.mark.once]

COUNT = 60


@pytest.mark.parametrize(
    "way", [WAYS[0], *(pytest.param(w, marks=pytest.mark.long) for w in WAYS[1:])]
)
def test_no_double_charge_and_no_wrong_byte(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Sixty conversions, a quarter of which meet a fault, cost sixty; `make bench` makes 1,000."""
    sandbox.balance = 10 * COUNT
    faults = Faults()

    with put_before(sandbox.url, way, tmp_path, faults) as (url, environment):
        connection = json.dumps(sandbox.airflow_connection | {"host": url})
        for name, value in (environment | {CONNECTION_VARIABLE: connection}).items():
            monkeypatch.setenv(name, value)
        tally = run(sandbox, tmp_path, COUNT, ours)

    assert (COUNT, 0, COUNT) == (tally.finished, tally.wrong, tally.billed)
    assert {} == dict(sandbox.files)
    assert len({fault.match for fault in sandbox.faults if fault.hits}) > 1
    assert (way != WAYS[0]) == bool(faults.hits)
