"""Every benchmark runs; with so few files, its figures mean nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
SMALL = {
    "batch": ["0", "100"],  # its comparison of speeds has a size of its own
    "client": ["3"],
    "event_loop": ["20", "1"],
    "faulted": ["20"],
    "import_time": None,  # it has one size, which takes a minute
    "large_file": ["8"],
    "parsing": [],
    "sandbox": ["8"],
    "storage_memory": ["1", "1", "1"],
    "stores": None,  # see tests/stores/test_benchmark.py
}


def test_all_are_here() -> None:
    """A new benchmark is run here, too."""
    assert {path.stem for path in BENCH.glob("*.py")} == set(SMALL)


@pytest.mark.long
@pytest.mark.once
@pytest.mark.parametrize("name", [name for name, sizes in SMALL.items() if sizes is not None])
def test_runs(name: str) -> None:
    """It prints its figures, and no error; whether its limits hold depends on the machine."""
    command = [sys.executable, str(BENCH / f"{name}.py"), *(SMALL[name] or [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=BENCH.parent)

    assert "Traceback" not in done.stderr
    assert done.stdout.strip()
