"""What the hook does beside `convert`: results with their cost, batches, and plans."""

from __future__ import annotations

import inspect
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.batch.arguments import BatchKeywords, batch_arguments
from airflow_provider_convertapi.conversions.arguments import (
    ConversionKeywords,
    conversion_arguments,
)
from airflow_provider_convertapi.errors import ParameterError
from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
from airflow_provider_convertapi.operators.convert import ConvertApiOperator

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.hooks.conftest import MakeHook

OF_TASKS = {"convertapi_conn_id", "deferrable", "cancel_on_kill", "plan_only", "kwargs", "self"}
"""What only a task has."""


def defaults_of(operator: Any) -> dict[str, Any]:
    """Return the arguments of an operator that a hook may have, with their defaults."""
    parameters = inspect.signature(operator.__init__).parameters.values()
    return {
        one.name: one.default
        for one in parameters
        if one.name not in OF_TASKS and one.default is not one.empty
    }


@pytest.mark.parametrize(
    ("operator", "keywords", "make"),
    [
        (ConvertApiOperator, ConversionKeywords, conversion_arguments),
        (ConvertApiBatchOperator, BatchKeywords, batch_arguments),
    ],
)
def test_arguments_are_the_operators(operator: Any, keywords: Any, make: Any) -> None:
    """Names and defaults are the same; waves are for tasks that defer."""
    defaults = defaults_of(operator)
    made = make(source="a", to_format="b", destination="c")

    assert {name: getattr(made, name) for name in defaults} == defaults
    assert defaults.keys() - {"defer_batch"} == keywords.__annotations__.keys()


def test_run_tells_the_cost(sandbox: Sandbox, make_hook: MakeHook, letter: Path) -> None:
    """The result has the outputs, what they cost, and what was charged now."""
    out = letter.with_suffix(".pdf")

    first = make_hook().run(letter, "pdf", out)
    again = make_hook(2).run(letter, "pdf", out)

    assert ([str(out)], 1, 1) == (first.outputs, first.cost, first.charged)
    assert ([str(out)], 1, 0) == (again.outputs, again.cost, again.charged)
    assert 1 == sandbox.billed


def test_batch_and_plan(sandbox: Sandbox, make_hook: MakeHook, tmp_path: Path) -> None:
    """A batch returns the operator's summary, a plan its totals; a plan sends nothing."""
    (tmp_path / "in").mkdir()
    for name in ("a.txt", "b.txt"):
        (tmp_path / "in" / name).write_text(f"This is {name}.\n")
    source, out = tmp_path / "in/", f"{tmp_path}/out"
    hook = make_hook()

    plan = hook.plan(f"{source}/", "pdf", out)
    assert (2, 2) == (plan["to_convert"], plan["least_cost"])
    assert ([], False) == (list(sandbox.requests), (tmp_path / "out").exists())
    summary = hook.convert_batch(f"{source}/", "pdf", out, max_in_flight=2)
    merged = hook.convert(summary, "merge", tmp_path / "all.pdf")

    assert {"converted": 2, "cost": 2, "failed": 0}.items() <= summary.items()
    assert ([str(tmp_path / "all.pdf")], 3) == (merged, sandbox.billed)
    assert 0 == hook.plan(f"{source}/", "pdf", out)["to_convert"]


def test_plan_of_one(sandbox: Sandbox, make_hook: MakeHook, letter: Path) -> None:
    """Where a file is named, it is a plan of one conversion."""
    steps: Any = [{"to_format": "protect"}]

    plan = make_hook().plan(letter, "pdf", letter.with_suffix(".pdf"), steps=steps)

    assert (1, 2) == (plan["to_convert"], plan["least_cost"])
    assert [] == list(sandbox.requests)


def test_batch_that_made_nothing(sandbox: Sandbox, make_hook: MakeHook, tmp_path: Path) -> None:
    """Its summary as a source is nothing to convert, and nothing to plan."""
    (tmp_path / "in").mkdir()
    hook, out = make_hook(), tmp_path / "all.pdf"
    summary = hook.convert_batch(f"{tmp_path}/in/", "pdf", f"{tmp_path}/out")

    assert (0, 0) == itemgetter("to_convert", "least_cost")(hook.plan(summary, "merge", out))
    assert [] == hook.convert(summary, "merge", out)
    assert [] == list(sandbox.requests)


def test_unknown_argument(make_hook: MakeHook, letter: Path) -> None:
    """A misspelled name is a TypeError, and a wrong value names the argument."""
    wrong: dict[str, Any] = {"polling": 3}
    with pytest.raises(TypeError, match="polling"):
        make_hook().run(letter, "pdf", "o.pdf", **wrong)
    with pytest.raises(ParameterError, match="max_in_flight is 0"):
        make_hook().convert_batch(letter, "pdf", "o", max_in_flight=0)
