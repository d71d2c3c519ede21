"""The error tree: drawn, told apart by fields, and whole after a journey between processes."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi import errors, wording
from airflow_provider_convertapi.errors import ConvertApiError

if TYPE_CHECKING:
    from collections.abc import Callable

CLASSES = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value)
    and issubclass(value, ConvertApiError)
    and not value.__name__.startswith("_")
]

MOST_QUESTIONS = 15
"""A fact on the class serves those that come later, too; a list of classes has to be kept."""

FIELDS: dict[str, dict[str, Any]] = {
    "ParameterError": {"invalid": {"PageRange": ["is not a range"]}, "bars_file": False},
    "UnsupportedFormatError": {"bars_file": False},
    "AuthenticationError": {"code": 4012},
    "QuotaExhaustedError": {"paid": None},
    "OutputNotWritableError": {"paid": True},
    "ThrottledError": {"retry_after": 7.5, "code": 503},
    "TransportError": {"sent": False},
    "ConversionError": {"code": 5002},
    "TransientConversionError": {"code": 5000},
    "ResultCheckError": {"kept": ("/out/_convertapi/refused/a.pdf",)},
    "UnexpectedAnswerError": {"refused": True},
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
    assert True is errors.ParameterError("m").bars_file
    assert True is errors.UnsupportedFormatError("m").bars_file
    assert None is errors.AuthenticationError("m").code
    assert None is errors.ThrottledError("m").retry_after
    assert True is errors.TransportError("m").sent
    assert False is errors.UnexpectedAnswerError("m").refused


def names(fact: Callable[[ConvertApiError], object]) -> set[str]:
    """Return the classes whose instances have a fact, without their common ending."""
    instances = [
        kind("m", 5001) if issubclass(kind, errors.ConversionError) else kind("m")
        for kind in CLASSES
    ]
    return {type(error).__name__.removesuffix("Error") for error in instances if fact(error)}


def test_facts_that_money_depends_on() -> None:
    """Which errors were paid, which may have been, and which one must not pay for again."""
    assert {"Conversion", "TransientConversion", "ResultCheck"} == names(lambda e: e.paid)
    assert {"Transport", "UnexpectedAnswer"} == names(lambda e: e.is_answer_lost)
    assert {"ResultLost", "ResultExpired"} == names(lambda e: e.concerns == "result")
    bar = {"Conversion", "Parameter", "UnsupportedFormat", "ResultCheck"}
    assert bar == names(lambda e: e.bars_file)
    assert {"OutputExists"} == names(lambda e: e.bars_paid_file)
    refusals = {"Conversion", "TransientConversion", "Parameter", "UnsupportedFormat"}
    assert refusals == names(lambda e: e.is_refusal)
    assert not {"Parameter", "Transport", "ResultLost"} & names(lambda e: e.paid is False)


def test_facts_that_a_batch_depends_on() -> None:
    """What ends a batch is true of every file; what a later try lists anew may be there then."""
    account = {"QuotaExhausted", "Authentication", "ConnectionConfig"}
    run = {"ConversionInterrupted", "BudgetExceeded", "BatchFailed", "TransientBatchFailed"}
    run |= {"OutputNotWritable"}
    assert account | run == names(lambda e: e.halts_batch)
    assert {"InputNotFound"} == names(lambda e: e.transient_in_batch)
    assert {"Throttled"} == names(lambda e: e.asks_to_wait)


def test_facts_of_an_instance() -> None:
    """What an instance knows better than its class decides."""
    unsent = errors.TransportError("m", sent=False)
    refused = errors.UnexpectedAnswerError("m", refused=True)

    assert (False, False) == (unsent.is_answer_lost, unsent.is_refusal)
    assert (False, True) == (refused.is_answer_lost, refused.is_refusal)
    assert not errors.ParameterError("m", bars_file=False).bars_file
    assert not errors.UnsupportedFormatError("m", bars_file=False).bars_file


@pytest.mark.parametrize("kind", CLASSES)
def test_facts_by_name(kind: type[ConvertApiError]) -> None:
    """Of a recorded failure the name is enough."""
    assert kind is errors.facts_of(kind.__name__)


UNKNOWN = [None, "", "OSError", "ErrorOfALaterVersion", "ClassVar", "Concern", "__doc__"]
"""No error, errors that are not ours, and other names of the module."""


@pytest.mark.parametrize("name", UNKNOWN)
def test_facts_of_an_unknown_error(name: str | None) -> None:
    """Another try may help, and nothing is known that would bar a file or end a batch."""
    facts = errors.facts_of(name)

    assert facts.transient
    assert (False, False) == (facts.bars_file, facts.bars_paid_file)
    assert not facts("m").halts_batch
    assert facts.concerns not in {"document", "result"}


@pytest.mark.parametrize("error", [OSError("disk"), KeyError("key"), SystemExit()])
def test_foreign_error_has_the_facts_of_its_name(error: BaseException) -> None:
    """A store's own error decides the same now as when only its name is left, in a record."""
    assert errors.facts_of(type(error).__name__) is type(errors.with_facts(error))


@pytest.mark.parametrize("kind", CLASSES)
def test_own_error_has_its_own_facts(kind: type[ConvertApiError]) -> None:
    """What an instance knows better than its class is kept."""
    error = make(kind)

    assert error is errors.with_facts(error)


def test_knows_no_airflow() -> None:
    """The module imports nothing that could be missing anywhere, and neither does what it does."""
    found = inspect.getsource(errors) + inspect.getsource(wording)
    imports = re.findall(r"(?m)^(?:from|import) ([\w.]+)", found)

    own = "airflow_provider_convertapi.wording"
    assert {"__future__", "itertools", "re", "textwrap", "typing", own} == set(imports)


def test_decisions_ask_for_facts() -> None:
    """Outside the tree itself, hardly any code asks of which class an error is."""
    package = Path(str(errors.__file__)).parent
    asks = [
        f"{file.relative_to(package)}: {line.strip()}"
        for file in package.rglob("*.py")
        if file.name not in {"errors.py", "failures.py"}
        for line in file.read_text().splitlines()
        if re.search(r"isinstance\(.*Error\)", line)
    ]

    assert len(asks) <= MOST_QUESTIONS, "\n".join(asks)
