"""Cells of a sheet as they are displayed: dates, thousands and decimals by number format."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_DATES = {
    "us": "%m/%d/%Y",
    "iso": "%Y-%m-%d",
    "eu": "%d/%m/%Y",
    "german": "%d.%m.%Y",
    "japanese": "%Y/%m/%d",
}
_DECIMALS = re.compile(r"0\.(0+)")


class Formatter:
    """Writes cells as text.

    Args:
        parameters: DateFormat, ThousandsSeparator and DecimalSeparator.
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._date = _DATES[str(parameters.get("DateFormat", "us"))]
        self._thousands = str(parameters.get("ThousandsSeparator", ","))
        self._decimal = str(parameters.get("DecimalSeparator", "."))

    def __call__(self, value: Any, number_format: str = "General") -> str:
        """Return a cell's value as its number format shows it."""
        match value:
            case None:
                text = ""
            case bool():
                text = str(value).upper()
            case dt.datetime() if value.time() != dt.time():
                text = value.strftime(f"{self._date} %H:%M:%S")
            case dt.date():  # and a datetime at midnight
                text = value.strftime(self._date)
            case int() | float():
                text = self._number(value, number_format)
            case _:
                text = str(value)
        return text

    def _number(self, value: float, number_format: str) -> str:
        pattern = number_format.split(";", 1)[0]
        decimals = _DECIMALS.search(pattern)
        if "%" in pattern:
            text = f"{value * 100:.{len(decimals[1]) if decimals else 0}f}%"
        elif decimals or "0" in pattern or "#" in pattern:
            group = "," if "," in pattern else ""
            text = f"{value:{group}.{len(decimals[1]) if decimals else 0}f}"
        else:
            text = f"{value:.15g}"
        # Both separators in one pass: the second must not replace what the first has written.
        return text.translate({ord(","): self._thousands, ord("."): self._decimal})
