"""The benchmark of the stores runs; with so small a file, its figures mean nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.stores.conftest import MAKERS

SCRIPT = Path(__file__).parents[2] / "bench/stores.py"


def test_runs() -> None:
    """Each store is published to and read from, or said to be left out."""
    command = [sys.executable, str(SCRIPT), "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert "Traceback" not in done.stderr
    assert set(MAKERS) <= {line.split()[0] for line in done.stdout.splitlines() if line}
