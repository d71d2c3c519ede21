"""The page of all arguments is what the docstrings say today, and they leave out no argument."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
from airflow_provider_convertapi.operators.convert import ConvertApiOperator
from airflow_provider_convertapi.sensors.job import ConvertApiJobSensor

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def reference() -> Any:
    """Load the program that writes the page."""
    spec = importlib.util.spec_from_file_location("reference", ROOT / "dev" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = sys.modules["reference"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_page_is_up_to_date(reference: Any) -> None:
    """`make reference` would change nothing."""
    assert (ROOT / "docs" / "reference.md").read_text("utf-8") == reference.page()


@pytest.mark.parametrize(
    "docstring",
    ["Say it.", "Say it.\n\n:param one: a.\n:param two: b.\n:param three: c.", ":param two: b."],
    ids=["none", "one too many", "one too few"],
)
def test_docstring_that_misses_an_argument_is_refused(
    reference: Any, docstring: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page is not written from a docstring that does not match its signature."""
    code = f'def convert(one: str, *, two: int = 2) -> None:\n    """{docstring}"""\n'
    monkeypatch.setattr(reference, "module", lambda name: ast.parse(code))

    with pytest.raises(reference.UndocumentedError, match="convert: missing or unknown"):
        reference.arguments_of("some.module", "convert")


@pytest.mark.parametrize(
    "operator", [ConvertApiOperator, ConvertApiBatchOperator, ConvertApiJobSensor]
)
def test_templated_arguments_are_marked(reference: Any, operator: Any) -> None:
    """What the page calls templated is what Airflow renders."""
    _, arguments = reference.arguments_of(
        operator.__module__.removeprefix("airflow_provider_convertapi."), operator.__name__
    )
    own = set(inspect.signature(operator.__init__).parameters) - {"self", "kwargs"}

    assert own == {argument.name for argument in arguments}
    assert set(operator.template_fields) == {
        argument.name for argument in arguments if "templated" in next(argument.lines())
    }
