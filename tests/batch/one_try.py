"""Run one try of a batch in a process that can be killed: SOURCE DESTINATION TRY [ARGUMENTS].

ARGUMENTS are further ones of the operator, as JSON.  Where it defers, this process is the
triggerer, too.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))


def main(source: str, destination: str, number: str, arguments: str = "{}") -> None:
    """Convert a folder of texts, with eight in flight."""
    from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
    from tests.tries import TaskInstance, run_try

    given = {
        "source": source,
        "destination": destination,
        "to_format": "pdf",
        "max_in_flight": 8,
        "poll_interval": 0.5,
        **json.loads(arguments),
    }
    run_try(lambda: ConvertApiBatchOperator(task_id="batch", **given), TaskInstance(int(number), 3))


if __name__ == "__main__":
    main(*sys.argv[1:])
