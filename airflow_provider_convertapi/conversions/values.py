"""Check single values that a user gave; `ParameterError` names what is wrong.

This module may change from release to release.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from os import PathLike, fspath
from typing import Any

from airflow_provider_convertapi.api.converters import is_file_parameter
from airflow_provider_convertapi.errors import ParameterError

LEAST_TIMEOUT, MOST_TIMEOUT = 10, 1200
"""Seconds that the service's `Timeout` may be (ConvertAPI's OpenAPI document)."""

_OURS = {
    "storefile": "it follows from `durable`",
    "jobid": "it is derived, so that no conversion is paid twice",
    "webhook": "the task waits for the job itself",
    "async": "it follows from `durable`",
    "file": "give `source`",
    "files": "give `source`",
    "url": "give `source`",
    "secret": "credentials belong in the connection",
    "token": "credentials belong in the connection",
    "apikey": "credentials belong in the connection",
    "auth": "credentials belong in the connection",
}
_FORMAT = re.compile(r"^[a-z0-9][a-z0-9_-]*$")
_LONGEST_NAME = 200


def wrong(name: str, complaint: str) -> ParameterError:
    """Return the error that an argument is wrong."""
    return ParameterError(f"{name} {complaint}.", {name: [complaint]})


def plain_text(name: str, value: object) -> str:
    """Return an argument's text, also of a path object; an empty one is an error."""
    text = fspath(value) if isinstance(value, PathLike) else value
    if not isinstance(text, str):
        text = (
            str(text) if hasattr(text, "protocol") else text
        )  # in some versions of Airflow an ObjectStoragePath is not a PathLike
    if not isinstance(text, str):
        raise wrong(name, f"is a {type(value).__name__}; it must be text")
    if not text.strip() or text.strip() == "None":
        raise wrong(name, "is empty; if it is templated, see what the template rendered to")
    return text.strip()


def choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Check that an argument is one of its choices."""
    if value not in choices:
        *others, last = [repr(one) for one in choices]
        raise wrong(name, f"is {value!r}; it must be {', '.join(others)} or {last}")


def callable_or_none(name: str, value: Any) -> Any:
    """Return an argument that is a callable, or None."""
    if value is not None and not callable(value):
        raise wrong(name, f"is a {type(value).__name__}; it must be a callable, such as a function")
    return value


def seconds(name: str, value: object, least: float | None = None) -> float:
    """Return an argument's seconds, also of a `timedelta` or of the text of a number.

    :param least: the least that it may be; None: anything above 0.
    """
    bound = "above 0" if least is None else f"of at least {least:g}"
    number = value.total_seconds() if isinstance(value, timedelta) else to_number(value)
    if number is None or (number <= 0 if least is None else number < least):
        raise wrong(name, f"is {value!r}; it must be a number of seconds {bound}")
    return number


def to_number(value: object) -> float | None:
    """Return a number, also one that a template rendered to text; None where it is not one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def flatten(source: object) -> list[object]:
    """Return the sources one by one: mapped tasks pass a sequence of lists."""
    if isinstance(source, Sequence) and not isinstance(source, str | bytes):
        return [item for part in source for item in flatten(part)]
    return [source]


def format_name(name: str, value: object) -> str:
    """Return an argument that names a format, as ConvertAPI spells it."""
    text = plain_text(name, value).lower().removeprefix(".")
    if not _FORMAT.match(text):
        raise wrong(name, f"is {text[:40]!r}; it must be a format such as 'pdf'")
    return text


def split_parameters(
    parameters: object,
) -> tuple[dict[str, str], dict[str, str], int | None]:
    """Check a converter's parameters; return URIs of files, the others as text, and `Timeout`."""
    given = _parameters(parameters)
    files = {
        name: plain_text(f"parameters[{name!r}]", value)
        for name, value in given.items()
        if is_file_parameter(name)
    }
    plain = {
        name: _value(name, value)
        for name, value in given.items()
        if name not in files and value is not None
    }
    timeout = next((plain.pop(name) for name in list(plain) if name.lower() == "timeout"), None)
    for name, value in plain.items():
        if name.lower() == "filename" and not 1 <= len(value) <= _LONGEST_NAME:
            raise wrong(
                f"parameters[{name!r}]",
                f"has {len(value)} characters; it must have 1 to {_LONGEST_NAME}",
            )
    return files, plain, None if timeout is None else _timeout(timeout)


def _parameters(parameters: object) -> dict[str, Any]:
    if parameters is None:
        return {}
    if not isinstance(parameters, Mapping):
        raise wrong(
            "parameters",
            f"is a {type(parameters).__name__}; it must be a mapping of names to values",
        )
    for name in parameters:
        reason = _OURS.get(str(name).partition("[")[0].lower())
        if reason:
            raise wrong(f"parameters[{name!r}]", f"is set by this provider: {reason}")
    return {str(name): value for name, value in parameters.items()}


def _timeout(text: str) -> int:
    if not text.isdigit() or not LEAST_TIMEOUT <= int(text) <= MOST_TIMEOUT:
        raise wrong(
            "parameters['Timeout']",
            f"is {text}; it must be {LEAST_TIMEOUT} to {MOST_TIMEOUT} seconds",
        )
    return int(text)


def _value(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, dict | list | tuple):
        return json.dumps(value)
    raise wrong(
        f"parameters[{name!r}]",
        f"is a {type(value).__name__}; it must be text, a number or true/false",
    )
