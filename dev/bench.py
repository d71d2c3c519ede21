"""Run every benchmark of bench/ in its own process, and print the figures.

``python dev/bench.py NAME ...`` runs only those named, for example ``import_time``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent

OTHER_PYTHONS = {"stores": ROOT / ".venv-stores/bin/python"}
"""Benchmarks that need an environment of their own; all others run in this one."""


@contextmanager
def scratch() -> Iterator[Path]:
    """Make a benchmark and its processes write to one folder, which is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        os.environ["TMPDIR"] = tempfile.tempdir = name
        os.environ.setdefault("AIRFLOW_HOME", name)
        yield Path(name)


def main(names: list[str]) -> int:
    """Run the benchmarks; the exit status counts those that failed."""
    failed = 0
    for script in sorted((ROOT / "bench").glob("*.py")):
        if names and script.stem not in names:
            continue
        print(f"\n=== {script.stem}", flush=True)
        python = OTHER_PYTHONS.get(script.stem, sys.executable)
        failed += subprocess.run([python, script], check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
