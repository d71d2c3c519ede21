"""Run every benchmark of bench/ in a process of its own, and print what each measured.

``python dev/bench.py NAME ...`` runs only those named, for example ``import_time``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent / "bench"


def main(names: list[str]) -> int:
    """Run the benchmarks; the exit status counts those that failed."""
    failed = 0
    for script in sorted(BENCH.glob("*.py")):
        if names and script.stem not in names:
            continue
        print(f"\n=== {script.stem}", flush=True)
        failed += subprocess.run([sys.executable, str(script)], check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
