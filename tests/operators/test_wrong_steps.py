"""Invalid steps: the error names the field, and their contents are masked all the same."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import ParameterError
from tests.tries import TaskInstance, execute

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox


@pytest.mark.parametrize("name", ["batch.ConvertApiBatchOperator", "convert.ConvertApiOperator"])
@pytest.mark.parametrize(
    "steps", [{"to_format": "protect", "parameters": {}}, "[{'to_format': 'protect'}]", ["x"], 5]
)
def test_steps_that_are_no_list_of_mappings(
    convertapi_sandbox: Sandbox, tmp_path: Path, name: str, steps: Any
) -> None:
    """The DAG file has an error, or they get through rendering to it; nothing is sent."""
    module, _, kind = name.partition(".")
    operators = import_module(f"airflow_provider_convertapi.operators.{module}")
    (tmp_path / "a.txt").write_text("x")
    given = {"source": f"{tmp_path}/a.txt", "to_format": "pdf", "destination": "out/"}
    with pytest.raises(ParameterError, match=r"^steps.* must be a (list of mappings|mapping)"):
        getattr(operators, kind)(task_id="t", steps=steps, **given)
    operator = getattr(operators, kind)(task_id="t", steps="{{ steps }}", **given)
    operator.steps = steps  # what the template rendered to
    operator.render_template_fields({})

    with pytest.raises(ParameterError, match=r"(?m)^steps.* must be a (list of mappings|mapping)"):
        execute(operator, TaskInstance())

    assert [] == list(convertapi_sandbox.requests)
