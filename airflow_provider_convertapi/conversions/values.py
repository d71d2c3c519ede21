"""Check single values that a user gave; `ParameterError` names the argument.

This module may change from release to release.
"""

from __future__ import annotations

import inspect
import math
import re
from collections import UserString
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import timedelta
from enum import Enum
from functools import partial
from operator import itemgetter
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, TypeGuard, get_args

from airflow_provider_convertapi.api.parameters import (
    has_utf8,
    in_message,
    is_a,
)
from airflow_provider_convertapi.conversions.arguments import OnQuota, ReportFormat
from airflow_provider_convertapi.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable

_FORMAT = re.compile(r"^[a-z0-9][a-z0-9_-]*$")
LONGEST_TEXT = 16 * 1024
"""Characters that a path, a URI or a URL may have; a document's content has more."""

_LARGEST = 10**4300 - 1
"""The largest whole number that Python writes (`sys.get_int_max_str_digits`)."""

_DEEPEST, _MOST_SHOWN_LEVELS = 50, 3
"""Levels to which a value may be nested, and of which a message shows the keys."""

_TEXT_OF = {
    # Of strings, of paths such as `PosixPath('a')`, of lists, or empty.  Globs such as `[abc]` and
    # `[a-c]*[0-9]` have no quotes.
    "list": re.compile(
        r"""\[\s*( | '.*' | ".*" | \w+\(.*\) | \[.*\] | \{.*\} )\s*\]""", re.DOTALL | re.VERBOSE
    ),
    "mapping": re.compile(r"""\{\s*['"]\w+['"]\s*:.*\}""", re.DOTALL),
}
"""Python's or JSON's text of a value."""


def wrong(name: str, complaint: str) -> ParameterError:
    """Return the error for an argument that is wrong.

    :param complaint: the rest of a sentence that begins with `name`, without its full stop.
    """
    return ParameterError(f"{name} {complaint}.", {name: [complaint]})


def check_readable(name: str, value: object, depth: int = 0) -> None:
    """Raise `ParameterError` for a value on which Python's own functions fail.

    It contains itself, is nested absurdly deep, or holds a number of too many digits.
    """
    value = value.value if isinstance(value, Enum) else value
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise wrong(name, f"is {in_message(value)}, which cannot be sent")
    if isinstance(value, Mapping):
        inner = list(value.items())
        for key in value:
            if isinstance(key, int) and abs(key) > _LARGEST:
                raise wrong(name, f"has the key {in_message(key)}, which cannot be sent")
    elif isinstance(value, list | tuple | AbstractSet):  # other sequences may be read from a store
        inner = list(enumerate(value))
    else:
        return
    if depth == _DEEPEST:
        raise wrong(name, f"contains itself, or is nested more than {_DEEPEST} levels deep")
    for key, one in inner:
        if type(one) is not str:
            place = f"{name}[{in_message(key)}]" if depth < _MOST_SHOWN_LEVELS else name
            check_readable(place, one, depth + 1)


def plain_text(name: str, value: object) -> str:
    """Return the text of an argument or path object; `ParameterError` if it is empty."""
    text = fspath(value) if isinstance(value, PathLike) else value
    if not isinstance(text, str):
        # In some versions of Airflow an ObjectStoragePath is not a PathLike.
        text = str(text) if hasattr(text, "protocol") else text
    if not isinstance(text, str):
        raise wrong(name, f"{is_a(value)}; it must be text")
    # Jinja renders None, such as a result that another task did not push, to this text.
    if not text.strip() or text.strip() == "None":
        raise wrong(name, "is empty; if it is templated, see what the template rendered to")
    if len(text) > LONGEST_TEXT:
        raise wrong(name, f"has {len(text):,} characters; give a path or a URI, not the content")
    return text.strip()


def source_text(name: str, value: object) -> str:
    """Return the text of a source; `ParameterError` if it is empty, or the text of several."""
    text = plain_text(name, value)
    for kind, whole_text in _TEXT_OF.items():
        if whole_text.fullmatch(text):
            raise wrong(
                name,
                f"is the text of a {kind}, which a template made of it. Pass the {kind} itself: "
                "the task's .output (an XComArg) instead of a template, or a DAG with "
                "render_template_as_native_obj=True",
            )
    return text


def choice(name: str, value: object, choices: Sequence[str | None]) -> Any:
    """Return an argument that must be one of its choices."""
    # An array cannot be compared with a text as a whole.
    if not isinstance(value, str | None) or value not in choices:
        *others, last = [repr(one) for one in choices]
        raise wrong(name, f"is {in_message(value)}; it must be {', '.join(others)} or {last}")
    return value


def report_format(value: object) -> ReportFormat:
    """Return the `format` of an account's report."""
    kind: ReportFormat = choice("format", value, get_args(ReportFormat))
    return kind


def check_of_results(name: str, value: Any) -> Any:
    """Return a check of results, or None; `ParameterError` if calling it could give no verdict.

    It is first called when the conversion is paid, which is too late to find that out.
    """
    if value is None or value is bool:
        return value
    if not callable(value):
        raise wrong(name, f"{is_a(value)}; it must be a callable, such as a function")
    if isinstance(value, type):
        raise wrong(name, f"is the class {value.__name__}; it must be an object or a function")
    _check_kind(name, value)
    try:
        inspect.signature(value).bind([])
    except TypeError as error:
        raise wrong(
            name, f"must be called with one argument, the list of paths, but this fails: {error}"
        ) from None
    except ValueError:  # some built-in functions do not tell their arguments
        pass
    return value


def _check_kind(name: str, function: Any) -> None:
    """Raise `ParameterError` for functions that return something to wait for or to iterate."""
    call = function
    while isinstance(call, partial):
        call = call.func
    call = call if inspect.isroutine(call) else type(call).__call__
    if inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call):
        raise wrong(name, "is an async function; it must return True, None or False itself")
    if inspect.isgeneratorfunction(call):
        raise wrong(name, "is a generator function; it must return True, None or False")


def seconds(name: str, value: object, least: float | None = None) -> float:
    """Return the seconds of an argument: a number, its text, or a `timedelta`.

    :param least: the least allowed value; None allows anything above 0.
    """
    bound = "above 0" if least is None else f"of at least {least:g}"
    number = value.total_seconds() if isinstance(value, timedelta) else to_number(value)
    is_enough = number is not None and (number > 0 if least is None else number >= least)
    if number is None or not is_enough or not math.isfinite(number):
        raise wrong(name, f"is {in_message(value)}; it must be a number of seconds {bound}")
    return number


def flag(name: str, value: object, *, optional: bool = False) -> bool | None:
    """Return an argument that is True or False; text is refused, since any text counts as True.

    :param optional: whether None is allowed as well.
    """
    if isinstance(value, bool) or (value is None and optional):
        return value
    raise wrong(
        name, f"is {in_message(value)}; it must be {'None, ' if optional else ''}True or False"
    )


def whole(
    name: str, value: object, least: int, most: int | None = None, *, optional: bool = False
) -> int | None:
    """Return the whole number of an argument or its text; None if it is `optional` and not given.

    :param least: the least allowed value; `most` is the greatest, None for no limit.
    """
    if value is None and optional:
        return None
    number = to_number(value)
    is_whole = number is not None and number.is_integer()
    if number is None or not is_whole or number < least or (most is not None and number > most):
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise wrong(name, f"is {in_message(value)}; it must be a whole number {bounds}")
    return int(number)


def to_number(value: object) -> float | None:
    """Return a number, or the number of a rendered text; None if it is not one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


_OF_A_SUMMARY = frozenset({"converted", "manifest"})
_OF_A_PLAN = frozenset({"to_convert", "manifest"})


def is_summary(item: object) -> bool:
    """Tell whether a source is a batch's summary; `ParameterError` if it is a batch's plan."""
    if not isinstance(item, Mapping):
        return False
    if item.keys() >= _OF_A_PLAN:
        raise wrong("source", "is the plan of a batch with plan_only=True, which has made nothing")
    return item.keys() >= _OF_A_SUMMARY


def is_several(value: object) -> TypeGuard[Sequence[Any]]:
    """Tell whether a value is a list or, like the results of a mapped task, acts as one."""
    return isinstance(value, Sequence) and not isinstance(
        value, str | UserString | bytes | bytearray | memoryview
    )


def flatten(source: object) -> list[object]:
    """Return the sources one by one; mapped tasks pass a sequence of lists."""
    if is_several(source):
        return [item for part in source for item in flatten(part)]
    return [source]


def format_name(name: str, value: object) -> str:
    """Return an argument that names a format, as ConvertAPI spells it."""
    text = plain_text(name, value).lower().removeprefix(".")
    if not _FORMAT.match(text):
        raise wrong(name, f"is {text[:40]!r}; it must be a format such as 'pdf'")
    return text


def key_text(value: object) -> str | None:
    """Return the text of a `conversion_key`; None if there is none."""
    if value is None or (isinstance(value, str | int | float) and not isinstance(value, bool)):
        return None if value is None else written("conversion_key", value)
    raise wrong("conversion_key", f"{is_a(value)}; it must be text")


class Options:
    """The arguments that can be checked alone.

    :param checks: for each argument, a function that checks it and returns its final form.
    """

    def __init__(self, checks: Mapping[str, Callable[[Any], Any]]) -> None:
        self.checks = checks
        self.values_of = itemgetter(*checks)

    def check(self, name: str, value: object) -> Any:
        """Return a checked argument; unchanged if it can only be checked together with others."""
        return self.checks[name](value) if name in self.checks else value


OPTIONS_OF_ONE: Mapping[str, Callable[[Any], Any]] = {
    "to_format": partial(format_name, "to_format"),
    "from_format": lambda value: None if value is None else format_name("from_format", value),
    "timeout": partial(seconds, "timeout"),
    "poll_interval": partial(seconds, "poll_interval"),
    "durable": partial(flag, "durable"),
    "overwrite": partial(flag, "overwrite", optional=True),
    "conversion_key": key_text,
    "result_check": partial(check_of_results, "result_check"),
    "on_quota_exhausted": partial(choice, "on_quota_exhausted", choices=get_args(OnQuota)),
    "convertapi_conn_id": partial(plain_text, "convertapi_conn_id"),
    "deferrable": partial(flag, "deferrable"),
    "cancel_on_kill": partial(flag, "cancel_on_kill"),
    "plan_only": partial(flag, "plan_only"),
}
OPTIONS = Options(OPTIONS_OF_ONE)
"""The arguments of one conversion."""


def written(place: str, value: str | float) -> str:
    """Return the text of a value that is sent, or part of an id."""
    if isinstance(value, float) and not math.isfinite(value):  # a missing value of pandas is NaN
        raise wrong(place, f"is {in_message(value)}, not a number; leave it out or give a value")
    try:
        text = str(value)
    except ValueError:
        raise wrong(place, f"is {in_message(value)}, which has too many digits") from None
    # Found only when it is sent, it would be too late: the steps before it would be paid.
    if not has_utf8(text):
        raise wrong(place, "holds half a character (a lone surrogate), which cannot be sent")
    return text
