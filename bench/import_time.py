"""What importing our operators adds to the parsing of a DAG file, compared with a peer's.

Each figure is the median of fresh processes in which `airflow.sdk` is already imported.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

PROCESSES = 10
OURS = "airflow_provider_convertapi.operators.convert"
TARGETS = (
    OURS,
    "airflow_provider_convertapi.operators.batch",
    "airflow_provider_convertapi.sensors.job",
    "airflow.providers.http.operators.http",
    "convertapi",
)
PROGRAM = """
import sys, time
import airflow.sdk
before, start = set(sys.modules), time.perf_counter()
import {module}
print(time.perf_counter() - start, len(set(sys.modules) - before))
"""


def measure(module: str) -> tuple[float, int] | None:
    """Return the median time in seconds and the modules that it loads; None if it is missing."""
    seconds, loaded = [], 0
    for _ in range(PROCESSES):
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(module=module)],
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            return None
        took, count = run.stdout.split()
        seconds.append(float(took))
        loaded = int(count)
    return statistics.median(seconds), loaded


def main() -> None:
    """Print one line for each import."""
    for module in TARGETS:
        measured = measure(module)
        if measured is None:
            print(f"{module:50} not there")
        else:
            print(f"{module:50} {measured[0] * 1000:7.1f} ms  {measured[1]:4} modules")
    print("limit: 20 ms for each of ours")


if __name__ == "__main__":
    main()
