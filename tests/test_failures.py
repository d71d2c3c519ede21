"""Failures: the permanent errors, told to Airflow so that no retry burns."""

from __future__ import annotations

import pickle
import traceback

import pytest

from airflow_provider_convertapi import errors, failures
from airflow_provider_convertapi.airflow_names import AirflowFailException
from airflow_provider_convertapi.errors import ConvertApiError, QuotaExhaustedError
from airflow_provider_convertapi.failures import as_failure, explicit_failures
from tests.core.test_errors import CLASSES, make

PERMANENT = [kind for kind in CLASSES if not kind.transient and kind is not ConvertApiError]
TRANSIENT = [kind for kind in CLASSES if kind.transient]


@pytest.mark.parametrize("kind", PERMANENT)
def test_permanent_error_becomes_a_failure(kind: type[ConvertApiError]) -> None:
    """It ends the task at once, and is still caught as what it is, with its fields."""
    error = make(kind)

    failure = as_failure(error)

    assert isinstance(failure, AirflowFailException)
    assert isinstance(failure, kind)
    assert kind.__name__.removesuffix("Error") + "Failure" == type(failure).__name__
    assert (str(error), error.args, vars(error)) == (str(failure), failure.args, vars(failure))


@pytest.mark.parametrize("kind", PERMANENT)
def test_failure_survives_pickling(kind: type[ConvertApiError]) -> None:
    """Airflow carries exceptions between processes."""
    failure = as_failure(make(kind))

    arrived = pickle.loads(pickle.dumps(failure))

    assert (type(failure), vars(failure)) == (type(arrived), vars(arrived))


@pytest.mark.parametrize("kind", TRANSIENT)
def test_transient_error_has_no_failure(kind: type[ConvertApiError]) -> None:
    """Another try may end differently, so Airflow's retries are to be had."""
    error = make(kind)

    assert error is as_failure(error)
    with pytest.raises(kind) as caught, explicit_failures():
        raise error
    assert error is caught.value
    assert not isinstance(caught.value, AirflowFailException)


def test_failure_stays_the_failure_it_is() -> None:
    """Blocks may lie within each other: the inner one's word stands."""
    failure = as_failure(make(errors.OutputExistsError))

    with pytest.raises(errors.OutputExistsError) as caught, explicit_failures():
        raise failure
    assert failure is caught.value


def test_traceback_and_cause_are_kept() -> None:
    """A failure shows where the error came from, and what its raiser named as cause; no more."""

    def where_it_happened() -> None:
        try:
            {"a": 1}["a secret in passing"]
        except KeyError:
            cause = FileNotFoundError("a.docx")
            raise errors.InputNotFoundError("a.docx is not there") from cause

    with pytest.raises(failures.InputNotFoundFailure) as caught, explicit_failures():
        where_it_happened()

    text = "".join(traceback.format_exception(caught.value))
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    assert "where_it_happened" in text
    assert "a secret in passing" not in text


def test_quota_may_leave_as_it_is() -> None:
    """With `raise`, Airflow's retries and policies decide about an exhausted quota, and only it."""
    with pytest.raises(QuotaExhaustedError) as caught, explicit_failures(quota="raise"):
        raise QuotaExhaustedError("nothing is left")
    assert QuotaExhaustedError is type(caught.value)

    with pytest.raises(failures.ParameterFailure), explicit_failures(quota="raise"):
        raise errors.ParameterError("wrong")


def test_quota_fails_by_default() -> None:
    """An exhausted quota ends the task at once."""
    with pytest.raises(failures.QuotaExhaustedFailure), explicit_failures():
        raise QuotaExhaustedError("nothing is left")


def test_other_exceptions_pass() -> None:
    """What is none of ours is left alone."""
    with pytest.raises(ZeroDivisionError), explicit_failures():
        raise ZeroDivisionError
