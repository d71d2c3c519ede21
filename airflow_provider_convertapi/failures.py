"""Subclasses of the permanent errors, each of which is also an `AirflowFailException`.

Airflow ends a task at once, without its remaining retries, for an `AirflowFailException`.  Every
permanent error of `airflow_provider_convertapi.errors` leaves the hook, the operators and the
sensors as its subclass here, so ``except QuotaExhaustedError`` still catches it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_provider_convertapi import errors
from airflow_provider_convertapi.airflow_names import AirflowFailException
from airflow_provider_convertapi.errors import ConvertApiError, QuotaExhaustedError
from airflow_provider_convertapi.wording import set_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "AuthenticationFailure",
    "BatchFailedFailure",
    "BudgetExceededFailure",
    "ConnectionConfigFailure",
    "ConversionFailure",
    "InputNotFoundFailure",
    "OutputExistsFailure",
    "OutputNotWritableFailure",
    "ParameterFailure",
    "QuotaExhaustedFailure",
    "ResultCheckFailure",
    "ResultExpiredFailure",
    "ResultLostFailure",
    "UnexpectedAnswerFailure",
    "UnsupportedFormatFailure",
]


class ConnectionConfigFailure(errors.ConnectionConfigError, AirflowFailException):
    """`ConnectionConfigError` that ends the task."""


class ParameterFailure(errors.ParameterError, AirflowFailException):
    """`ParameterError` that ends the task."""


class UnsupportedFormatFailure(errors.UnsupportedFormatError, AirflowFailException):
    """`UnsupportedFormatError` that ends the task."""


class InputNotFoundFailure(errors.InputNotFoundError, AirflowFailException):
    """`InputNotFoundError` that ends the task."""


class OutputExistsFailure(errors.OutputExistsError, AirflowFailException):
    """`OutputExistsError` that ends the task."""


class OutputNotWritableFailure(errors.OutputNotWritableError, AirflowFailException):
    """`OutputNotWritableError` that ends the task."""


class AuthenticationFailure(errors.AuthenticationError, AirflowFailException):
    """`AuthenticationError` that ends the task."""


class QuotaExhaustedFailure(errors.QuotaExhaustedError, AirflowFailException):
    """`QuotaExhaustedError` that ends the task."""


class ConversionFailure(errors.ConversionError, AirflowFailException):
    """`ConversionError` that ends the task."""


class ResultCheckFailure(errors.ResultCheckError, AirflowFailException):
    """`ResultCheckError` that ends the task."""


class ResultLostFailure(errors.ResultLostError, AirflowFailException):
    """`ResultLostError` that ends the task."""


class ResultExpiredFailure(errors.ResultExpiredError, AirflowFailException):
    """`ResultExpiredError` that ends the task."""


class UnexpectedAnswerFailure(errors.UnexpectedAnswerError, AirflowFailException):
    """`UnexpectedAnswerError` that ends the task."""


class BudgetExceededFailure(errors.BudgetExceededError, AirflowFailException):
    """`BudgetExceededError` that ends the task."""


class BatchFailedFailure(errors.BatchFailedError, AirflowFailException):
    """`BatchFailedError` that ends the task."""


# Where Airflow ends a task for them: `airflow/sdk/execution_time/task_runner.py`, and in Airflow 2
# `airflow/models/taskinstance.py`.
_FAILURES: dict[type[ConvertApiError], type[ConvertApiError]] = {
    failure.__mro__[1]: failure
    for failure in list(globals().values())
    if isinstance(failure, type)
    and issubclass(failure, ConvertApiError)
    and issubclass(failure, AirflowFailException)
}


def as_failure(error: ConvertApiError) -> ConvertApiError:
    """Return a permanent error as its failure class, any other unchanged."""
    # By the exact class: a TransientConversionError is a ConversionError, but must be retried.
    failure = _FAILURES.get(type(error))
    return error if failure is None else failure(*error.args)


@contextmanager
def explicit_failures(
    *, quota: str = "fail", tell: Callable[[ConvertApiError], None] | None = None
) -> Iterator[None]:
    """Raise permanent errors of the block as failures, so that no retry is used up.

    :param quota: ``fail`` (default), or ``raise`` to raise `QuotaExhaustedError` unchanged,
        so that Airflow's retries and retry policies decide.
    :param tell: logs an error for people; called once, before it is raised.
    """
    try:
        yield
    except ConvertApiError as error:
        stays = isinstance(error, QuotaExhaustedError) and quota == "raise"
        failure = error if stays else as_failure(error)
        if tell is not None and error.set_out is None:
            tell(error)
        failure.set_out = set_out(failure.title, failure.message)
        if failure is error:
            raise
        # Not `from error`: the log would show the same error twice.
        raise failure.with_traceback(error.__traceback__) from error.__cause__
