"""How a conversion ended, and what a conversion has to know of the task that makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_convertapi.errors import (
    ConversionError,
    OutputExistsError,
    ParameterError,
    TransientConversionError,
)

if TYPE_CHECKING:
    from airflow_provider_convertapi.conversions.request import Order
    from airflow_provider_convertapi.errors import (
        ConvertApiError,
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """A conversion that ended well.

    :param outputs: URIs of the published files.
    :param cost: conversions that it took from the balance, whenever that was.
    :param charged: conversions that this run paid for; 0 when an earlier try had paid.
    :param sizes: bytes of each output.
    """

    outputs: list[str]
    cost: int
    charged: int
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Try:
    """Which try of the task this is.

    :param number: counted from 1; a clear goes on counting.
    :param started: seconds since the epoch at which the try began.
    :param settle: seconds that an accepted job may stay invisible at the service.
    :param follows_runs: whether an earlier run, too, may have submitted what this one is about to.
    """

    number: int
    started: float
    settle: float
    follows_runs: bool = False

    @property
    def is_later(self) -> bool:
        """Tell whether an earlier try may have submitted this conversion already."""
        return self.number > 1

    @property
    def may_be_known(self) -> bool:
        """Tell whether the service may know any attempt of this conversion already."""
        return self.is_later or self.follows_runs


def explained(verdict: ConvertApiError, order: Order, *, again: bool) -> ConvertApiError:
    """Say to which file it happened, what it cost and what comes next."""
    said = f"{order.describe()}: {verdict}"
    if not isinstance(verdict, ConversionError):
        if isinstance(verdict, ParameterError) and verdict.bars_file:
            said += " It may have been billed (1 conversion)."
        return type(verdict)(said, *verdict.args[1:])
    said += " This was billed (1 conversion)."
    if again:
        return TransientConversionError(
            f"{said} The next try makes one further attempt.", verdict.code
        )
    return ConversionError(
        f"{said} Another try would pay again and change nothing, so the task fails now.",
        verdict.code,
    )


def found_too_late(error: OutputExistsError, cost: int) -> OutputExistsError:
    """Say that what has no place was paid for."""
    return OutputExistsError(
        f"{error} It was converted and paid ({cost} conversion(s)), so it is not sent again by "
        "itself."
    )
