"""Many triggers at once, in the process and the loop of Airflow's own triggerer."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.contract.conftest import CONNECTION

if TYPE_CHECKING:
    from collections.abc import Callable

AIRFLOW = version("apache-airflow")
TRIGGERS = 200


@pytest.mark.skipif(
    AIRFLOW.startswith("2."),
    reason="Airflow 2's triggers read the database themselves, and ask no supervisor",
)
@pytest.mark.skipif(
    AIRFLOW.startswith("3.0."),
    reason="Airflow 3.0's triggerer dies of a message above 64 KiB, such as 200 triggers of any "
    "kind, and its event loop may take an answer that a thread waits for",
)
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("database")
def test_triggers_start_at_once(airflow: Callable[..., str]) -> None:
    """Each reads its connection from the supervisor, while all the others do; each one fires.

    A lookup that blocks the loop, while another waits for the supervisor's answer, fails or hangs.
    """
    airflow("connections", "add", "stored", "--conn-json", json.dumps(CONNECTION))

    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("triggerer.py"), "stored", str(TRIGGERS)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    assert [TRIGGERS * ["answered"], []] == json.loads(done.stdout.splitlines()[-1])
