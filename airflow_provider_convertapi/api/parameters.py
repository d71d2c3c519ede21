"""Check the values of converters' parameters.

This module may change from release to release.
"""

from __future__ import annotations

import json
import math
import re
from enum import Enum
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.converters import extension_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from airflow_provider_convertapi.api.converters import Parameter

FIELD_NAME = re.compile(r"[A-Za-z0-9_.-]+(\[[0-9]+\])?")
"""What a parameter of ConvertAPI may be called."""

_INTEGER = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)\s*", re.ASCII)
_PART_OF_RANGE = re.compile(r"\d+|\d*-\d*|even|odd|last|\d+-last", re.ASCII)
_SENT_AS_JSON = ("cookies", "headers", "password")
"""Parts of the names of texts that may also be lists or mappings, which are sent as JSON."""

_MOST_NAMED = 12
_MOST_SHOWN = 40


def complaint(parameter: Parameter, value: Any) -> str | None:
    """Return why a value is wrong, as the rest of a sentence; None if it is right.

    :param value: the value in the DAG, or its text; no secret in it is shown.
    """
    given = value.value if isinstance(value, Enum) else value
    return _CHECKS.get(parameter.type, _text)(parameter, given)


def is_a(value: Any) -> str:
    """Return the type of a value, as the rest of a sentence."""
    if value is None:
        return "is None"
    kind = type(value).__name__
    return f"is {'an' if kind[0] in 'aeio' else 'a'} {kind}"


def has_utf8(text: str) -> bool:
    """Tell whether a text can be sent; one with half a character (a lone surrogate) cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a question with a similar name, as the end of a sentence; empty if there is none."""
    from difflib import get_close_matches  # noqa: PLC0415 - only needed where something is wrong

    by_case, given = {other.lower(): other for other in names}, name.lower()
    # Swapped letters are the most common mistake.
    swapped = [one for one in by_case if sorted(one) == sorted(given)]
    close = swapped or get_close_matches(given, by_case, n=1, cutoff=0.65)
    return f"; did you mean `{by_case[close[0]]}`?" if close else ""


def listed(names: Sequence[str], *, most: int = _MOST_NAMED) -> str:
    """Return names with commas, only the first of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def in_message(value: object) -> str:
    """Return a value for a message; the start of a long one."""
    try:
        text = repr(value)
    except ValueError:  # Python does not write whole numbers of more than 4,300 digits
        text = f"<{type(value).__name__} of very many digits>"
    except Exception:  # noqa: BLE001 - it may be nested too deep, or be an object of the user's
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def _number(parameter: Parameter, value: Any) -> str | None:
    if _is_number(value, whole=parameter.type == "integer") and _is_within(parameter, value):
        return None
    return f"is {in_message(value)}; it must be {_wanted_number(parameter)}"


def _is_number(value: Any, *, whole: bool) -> bool:
    if isinstance(value, str):
        return (_INTEGER if whole else _NUMBER).fullmatch(value) is not None
    return isinstance(value, int if whole else int | float) and not isinstance(value, bool)


def _is_within(parameter: Parameter, value: Any) -> bool:
    try:
        number = float(value)
    except OverflowError:  # a whole number may have any size
        number = math.inf
    # A comparison with NaN is false, so NaN is not within any limit.
    least, most = parameter.least, parameter.most
    return (least is None or number >= least) and (most is None or number <= most)


def _wanted_number(parameter: Parameter) -> str:
    kind = "a whole number" if parameter.type == "integer" else "a number"
    least, most = parameter.least, parameter.most
    if least is None and most is None:
        return kind
    if most is None:
        return f"{kind} of at least {least:.15g}"
    if least is None:
        return f"{kind} of at most {most:.15g}"
    return f"{kind} from {least:.15g} to {most:.15g}"


def _boolean(_: Parameter, value: Any) -> str | None:
    if isinstance(value, bool) or str(value).strip().lower() in {"true", "false"}:
        return None
    return f"is {in_message(value)}; it must be True or False"


def _enum(parameter: Parameter, value: Any) -> str | None:
    given = "" if isinstance(value, bool) else str(value).strip()
    choices = parameter.choices
    if given.lower() in {choice.lower() for choice in choices}:
        return None
    meant = did_you_mean(given, choices)
    one_of = listed([repr(choice) for choice in choices], most=30)
    return f"is {in_message(value)}; it must be one of {one_of}{meant}"


def _text(parameter: Parameter, value: Any) -> str | None:
    is_nested = isinstance(value, list | tuple | dict)
    may_be_nested = any(part in parameter.name.lower() for part in _SENT_AS_JSON)
    if isinstance(value, bool) or (is_nested and not may_be_nested):
        return f"{is_a(value)}; it must be text"
    if parameter.required and not str(value).strip():
        return "is empty; if it is templated, see what the template rendered to"
    return _range(parameter, str(value)) if parameter.span else None


def _range(parameter: Parameter, text: str) -> str | None:
    least, most = parameter.span
    parts = [part.strip().lower() for part in text.split(",")] if text.strip() else []
    # Not as `int`, which takes only so many digits.
    numbers = [float(number) for part in parts for number in re.findall(r"\d+", part, re.ASCII)]
    # The service may know other words beside digits, but no page has a decimal point.
    are_parts = all(
        _PART_OF_RANGE.fullmatch(part) or re.fullmatch(r"[^.]*\d[^.]*", part) for part in parts
    )
    if parameter.name != "WorksheetIndex" and not are_parts:
        return f"is {in_message(text)}; it must be a range such as '1-10' or '1,3,5'"
    if all(least <= number <= most for number in numbers):
        return None
    return f"is {in_message(text)}; its numbers must be from {least} to {most}"


def _json(parameter: Parameter, value: Any) -> str | None:
    if isinstance(value, list | tuple | dict):
        return None if value or not parameter.required else "is empty; it must be JSON"
    try:
        json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return "is not JSON; give a list or a mapping, or text that holds JSON"
    return None


def _file(parameter: Parameter, value: Any) -> str | None:
    extension = extension_of(str(value).partition("?")[0].partition("#")[0])
    allowed = parameter.extensions
    if not extension or not allowed or extension in allowed:
        return None
    return f"is a .{extension} file; it must be one of {listed([f'.{one}' for one in allowed])}"


_CHECKS: Mapping[str, Callable[[Parameter, Any], str | None]] = {
    "integer": _number,
    "number": _number,
    "boolean": _boolean,
    "enum": _enum,
    "json": _json,
    "file": _file,
}
