"""Run one try of a batch in a process that can be killed: SOURCE DESTINATION TRY."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))


def main(source: str, destination: str, number: str) -> None:
    """Convert a folder of texts, with eight in flight."""
    from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
    from tests.tries import TaskInstance, execute

    operator = ConvertApiBatchOperator(
        task_id="batch",
        source=source,
        to_format="pdf",
        destination=destination,
        max_in_flight=8,
        poll_interval=0.5,
    )
    execute(operator, TaskInstance(int(number), 3))


if __name__ == "__main__":
    main(*sys.argv[1:])
