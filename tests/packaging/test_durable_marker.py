"""Airflow's registry shows which operators are durable, by a marker of each class."""

from __future__ import annotations

import inspect

import pytest

from airflow_provider_convertapi.decorators.convertapi import _ConvertApiDecoratedOperator
from airflow_provider_convertapi.operators.account import ConvertApiAccountOperator
from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
from airflow_provider_convertapi.operators.convert import ConvertApiOperator


def registry_says(operator: type) -> tuple[bool, bool]:
    """Tell whether the registry calls it durable, and deferrable.

    Airflow's tool (`dev/registry/extract_parameters.py`, not part of a release) asks the class for
    the marker under the name that it has inside that class, and looks for deferral in the source of
    the method that runs.
    """
    marker = f"_{operator.__name__.lstrip('_')}__supports_durable_execution"
    source = inspect.getsource(operator.execute)  # type: ignore[attr-defined] # each operator has it
    return getattr(operator, marker, None) is True, "self.deferrable" in source


@pytest.mark.parametrize("operator", [ConvertApiOperator, ConvertApiBatchOperator])
def test_operators_are_durable_and_deferrable(operator: type) -> None:
    """Each class has the marker itself."""
    assert registry_says(operator) == (True, True)


def test_decorator_is_durable() -> None:
    """A class of its own, whose name begins with an underscore, which Python leaves out."""
    assert registry_says(_ConvertApiDecoratedOperator)[0]


def test_marker_is_not_passed_on() -> None:
    """A user's subclass may do anything: it says for itself what it keeps."""

    class Other(ConvertApiOperator):
        """A user's own."""

    assert not registry_says(Other)[0]
    assert not registry_says(ConvertApiAccountOperator)[0]
