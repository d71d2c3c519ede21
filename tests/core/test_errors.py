"""The error tree: drawn, told apart by fields, and whole after a journey between processes."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from typing import Any

import pytest

from airflow_provider_convertapi import errors
from airflow_provider_convertapi.errors import ConvertApiError

CLASSES = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, ConvertApiError)
]

FIELDS: dict[str, dict[str, Any]] = {
    "ParameterError": {"invalid": {"PageRange": ["is no range"]}, "lasting": False},
    "UnsupportedFormatError": {"lasting": False},
    "AuthenticationError": {"code": 4012},
    "ThrottledError": {"retry_after": 7.5},
    "TransportError": {"sent": False},
    "ConversionError": {"code": 5002},
    "TransientConversionError": {"code": 5000},
}
"""What instances carry beside their message."""


def make(kind: type[ConvertApiError], message: str = "what happened") -> ConvertApiError:
    """Return an instance with all its fields."""
    return kind(message, **FIELDS.get(kind.__name__, {}))


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("travel", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy])
def test_fields_survive_a_journey(kind: type[ConvertApiError], travel: Any) -> None:
    """An error that crossed a process border is the same error, fields and all."""
    error = make(kind)

    arrived = travel(error)

    assert (kind, str(error), error.args) == (type(arrived), str(arrived), arrived.args)
    assert ("what happened", *FIELDS.get(kind.__name__, {}).values()) == error.args
    assert vars(error) == vars(arrived)
    assert {"message": "what happened", **FIELDS.get(kind.__name__, {})} == vars(arrived)


@pytest.mark.parametrize("kind", CLASSES)
def test_text_is_the_message(kind: type[ConvertApiError]) -> None:
    """Fields do not clutter what people read."""
    assert "what happened" == str(make(kind))


@pytest.mark.parametrize("kind", CLASSES)
def test_drawn_in_the_tree(kind: type[ConvertApiError]) -> None:
    """Each class stands in the tree, under its parent, with a star where it is transient."""
    tree = (errors.__doc__ or "").partition("::")[2]
    entries = re.split(r"\n    (?=ConvertApiError|(?:[| ]  )*[|`]- )", tree)
    [entry] = [entry for entry in entries if re.search(rf"\b{kind.__name__}\b", entry)]
    [branch] = re.findall(rf"(.*){kind.__name__}", entry)
    depth = len(kind.__mro__) - len(ConvertApiError.__mro__) - (ValueError in kind.__mro__)

    assert kind.transient == ("*" in entry)
    assert 3 * depth == len(branch)


def test_wrong_connection_is_a_value_error() -> None:
    """A wrong connection is caught by those who expect Python's own class, too."""
    assert issubclass(errors.ConnectionConfigError, ValueError)


def test_defaults_of_fields() -> None:
    """What is not known has a value that says so; a request counts as sent unless it is proved."""
    assert {} == errors.ParameterError("m").invalid
    assert True is errors.ParameterError("m").lasting
    assert True is errors.UnsupportedFormatError("m").lasting
    assert None is errors.AuthenticationError("m").code
    assert None is errors.ThrottledError("m").retry_after
    assert True is errors.TransportError("m").sent


def test_knows_no_airflow() -> None:
    """The module imports nothing that could be missing anywhere."""
    imports = re.findall(r"(?m)^(?:from|import) (\w+)", inspect.getsource(errors))

    assert {"__future__", "typing"} == set(imports)
