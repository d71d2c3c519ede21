"""Check the numbers that a user gives."""

from __future__ import annotations

import math
from typing import Any


def check_number(
    what: str,
    value: Any,
    least: float | None = 0,
    most: float | None = None,
    *,
    whole: bool = False,
    optional: bool = False,
) -> None:
    """Raise ValueError unless a value is a finite number within its bounds.

    Args:
        what: What the number is, as the beginning of a sentence.
        value: What the user gave.
        least: The least number that is allowed; None for no limit.
        most: The greatest one; None for no limit.
        whole: Whether it must be an int.
        optional: Whether None is allowed as well.
    """
    if value is None and optional:
        return
    kinds = (int,) if whole else (int, float)
    is_allowed = (
        type(value) in kinds  # not `isinstance`, since True is an int
        and math.isfinite(value)
        and (least is None or value >= least)
        and (most is None or value <= most)
    )
    if is_allowed:
        return
    kind = "a whole number" if whole else "a number"
    if most is not None:
        kind += f" from {least} to {most}"
    elif least is not None:
        kind += f" of at least {least}"
    msg = f"{what} must be {kind}{', or None' if optional else ''}, not {value!r}"
    raise ValueError(msg)
