"""Many conversions under five kinds of faults: none is lost, none is wrong, none is paid twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.faulted import ours, run

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox

COUNT = 60


def test_no_double_charge_and_no_wrong_byte(sandbox: Sandbox, tmp_path: Path) -> None:
    """Sixty conversions, a quarter of which meet a fault, cost sixty; `make bench` makes 1,000."""
    sandbox.balance = 10 * COUNT

    tally = run(sandbox, tmp_path, COUNT, ours)

    assert (COUNT, 0, COUNT) == (tally.finished, tally.wrong, tally.billed)
    assert {} == dict(sandbox.files)
    assert len({fault.match for fault in sandbox.faults if fault.hits}) > 1
