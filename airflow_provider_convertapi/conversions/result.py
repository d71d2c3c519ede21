"""The result of a conversion, and errors that state its cost and remedy.

This module may change from release to release.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_convertapi.errors import (
    ConversionError,
    OutputExistsError,
    ParameterError,
    TransientConversionError,
)
from airflow_provider_convertapi.wording import ended

if TYPE_CHECKING:
    from airflow_provider_convertapi.errors import ConvertApiError


@dataclass(frozen=True, slots=True)
class ConversionResult:
    """What a successful conversion made and cost.

    :param outputs: URIs of the published files.
    :param cost: conversions that it took from the balance, in this or an earlier try.
    :param charged: conversions that this run paid for; 0 when an earlier try had paid.
    :param sizes: bytes of each output.
    :param digests: digests of the outputs' contents, if the destination keeps them.
    """

    outputs: list[str]
    cost: int
    charged: int
    sizes: tuple[int, ...] = ()
    digests: tuple[str, ...] = ()


def with_remedy(
    verdict: ConvertApiError, what: str, *, again: bool, is_of_batch: bool
) -> ConvertApiError:
    """Return the verdict with the file that it concerns, its cost and what happens next.

    :param what: the conversion, as it may be logged.
    :param again: whether the next try makes one more attempt.
    :param is_of_batch: whether it is one of many conversions, which go on without it.
    """
    said = ended(f"{what}: {verdict}")
    if not isinstance(verdict, ConversionError):
        if verdict.paid is None and verdict.bars_file:
            said += " It may have been billed (1 conversion)."
        return verdict.saying(said)
    said += " This was billed (1 conversion)."
    if again:
        return TransientConversionError(
            f"{said} The next try makes one further attempt.", verdict.code
        )
    remedy = (
        "It is not converted, and paid, again until the file or the parameters change, or with "
        "retry_failed=True."
        if is_of_batch
        else "Another try would pay again and change nothing, so the task fails now."
    )
    return ConversionError(f"{said} {remedy}", verdict.code)


def paid_but_unnamed(
    error: ParameterError, cost: int, *, is_stored: bool, bars_file: bool = False
) -> ParameterError:
    """Return the error of a destination that cannot hold the results, with what they cost.

    :param is_stored: whether the service keeps the results for a while.
    :param bars_file: whether a batch must not pay for the file again by itself.
    """
    remedy = (
        "they stay at ConvertAPI for two hours: correct destination and clear the task, "
        "which collects them without paying again"
        if is_stored
        else "direct mode keeps no result at ConvertAPI: a cleared task converts and pays again"
    )
    said = f"{error} The results were converted and paid ({cost} conversion(s)); {remedy}."
    return ParameterError(said, error.invalid, bars_file=bars_file)


def paid_but_blocked(
    error: OutputExistsError, cost: int, *, is_stored: bool = False
) -> OutputExistsError:
    """Return the error of a result that cannot be published, with what it cost.

    :param is_stored: whether the service keeps the result for a while.
    """
    remedy = " While ConvertAPI has the result, clearing the task collects it without paying again."
    return OutputExistsError(
        f"{error} It was converted and paid ({cost} conversion(s)), so it is not sent again "
        f"automatically.{remedy if is_stored else ''}"
    )
