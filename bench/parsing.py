"""What parsing a DAG file with 200 of our operators costs, compared with 200 BashOperators.

Each round makes both DAGs, one after the other, in processor time; the ratio is the median of all
rounds.  The operators' modules are loaded before: `import_time` measures that.
"""

from __future__ import annotations

import gc
import os
import statistics
import tempfile
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

OPERATORS, ROUNDS, LIMIT = 200, 21, 1.2


def makers() -> dict[str, Callable[[int], Any]]:
    """Return by name what declares the operator with a number."""
    from airflow.providers.standard.operators.bash import BashOperator

    from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
    from airflow_provider_convertapi.operators.convert import ConvertApiOperator

    return {
        "BashOperator": lambda number: BashOperator(
            task_id=f"t{number}", bash_command=f"convert /in/{{{{ ds }}}}/{number}.docx"
        ),
        "ConvertApiOperator": lambda number: ConvertApiOperator(
            task_id=f"t{number}",
            source=f"s3://in/{{{{ ds }}}}/{number}.docx",
            to_format="pdf",
            destination=f"s3://out/{{{{ ds }}}}/{number}.pdf",
            parameters={"PageRange": "1-10"},
        ),
        "ConvertApiBatchOperator": lambda number: ConvertApiBatchOperator(
            task_id=f"t{number}",
            source=f"s3://in/customer-{number}/",
            to_format="pdf",
            destination=f"s3://out/customer-{number}/",
        ),
    }


def parse(make: Callable[[int], Any]) -> float:
    """Return the seconds of processor time that one DAG costs."""
    from airflow.sdk import DAG

    gc.collect()
    gc.disable()
    begin = time.process_time()
    with DAG("parsed", schedule=None):
        for number in range(OPERATORS):
            make(number)
    took = time.process_time() - begin
    gc.enable()
    return took


def main() -> None:
    """Print the median for each operator, and its ratio to the BashOperator's."""
    os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp())
    kinds = makers()
    for make in kinds.values():
        parse(make)  # loads what the first of each loads
    rounds = [{name: parse(make) for name, make in kinds.items()} for _ in range(ROUNDS)]
    for name in kinds:
        took = statistics.median(one[name] for one in rounds)
        ratio = statistics.median(one[name] / one["BashOperator"] for one in rounds)
        print(f"{OPERATORS} x {name:24} {took * 1000:6.1f} ms  {ratio:5.2f} times BashOperator")
    print(f"limit: {LIMIT:.2f} times for each of ours")


if __name__ == "__main__":
    main()
