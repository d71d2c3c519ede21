"""Check a converter's parameters, and write them as the fields of a request.

This module may change from release to release.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

from airflow_provider_convertapi.api.converters import is_file_parameter
from airflow_provider_convertapi.api.parameters import FIELD_NAME, did_you_mean, in_message, is_a
from airflow_provider_convertapi.conversions.values import plain_text, written, wrong

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
_SECONDS = re.compile(r"[0-9]{1,9}")
_LONGEST_NAME = 200
"""Characters that `FileName` may have (ConvertAPI's OpenAPI document).  The service would refuse a
longer one, too, but may bill that."""

_STEP_KEYS = ("to_format", "from_format", "parameters")


def split_parameters(
    parameters: object, field: str = "parameters"
) -> tuple[dict[str, str], dict[str, str], int | None]:
    """Check a converter's parameters; return URIs of files, the others as text, and `Timeout`.

    :param field: the user's name of the argument.
    """
    given = _parameters(parameters, field)
    files = {
        name: plain_text(f"{field}[{name!r}]", value)
        for name, value in given.items()
        if value is not None and is_file_parameter(name)
    }
    plain = {
        name: _value(f"{field}[{name!r}]", value)
        for name, value in given.items()
        if name not in files and value is not None
    }
    timeout = next((plain.pop(name) for name in list(plain) if name.lower() == "timeout"), None)
    for name, value in plain.items():
        if name.lower() == "filename" and not 1 <= len(value) <= _LONGEST_NAME:
            raise wrong(
                f"{field}[{name!r}]",
                f"has {len(value)} characters; it must have 1 to {_LONGEST_NAME}",
            )
    return files, plain, None if timeout is None else _timeout(field, timeout)


def _parameters(parameters: object, field: str) -> dict[str, Any]:
    if parameters is None:
        return {}
    if not isinstance(parameters, Mapping):
        raise wrong(
            field,
            f"{is_a(parameters)}; it must be a mapping of names to values",
        )
    for name in parameters:
        reason = _OURS.get(str(name).partition("[")[0].lower())
        if reason:
            raise wrong(f"{field}[{name!r}]", f"is set by this provider: {reason}")
        if not FIELD_NAME.fullmatch(str(name)):
            raise wrong(
                f"{field}[{in_message(name)}]",
                "is not a parameter's name, which has letters and digits only",
            )
    return {str(name): value for name, value in parameters.items()}


def check_step_keys(field: str, step: object) -> None:
    """Check that a step is a mapping with the right keys.

    :param field: the user's name of the step.
    """
    if not isinstance(step, Mapping) or "to_format" not in step or not set(step) <= {*_STEP_KEYS}:
        strange = (
            [str(key) for key in step if str(key) not in _STEP_KEYS]
            if isinstance(step, Mapping)
            else []
        )
        has = f", but has {strange[0]!r}{did_you_mean(strange[0], _STEP_KEYS)}" if strange else ""
        raise wrong(
            field,
            "must be a mapping with to_format and, if need be, from_format and parameters" + has,
        )


def _timeout(field: str, text: str) -> int:
    if not _SECONDS.fullmatch(text) or not LEAST_TIMEOUT <= int(text) <= MOST_TIMEOUT:
        raise wrong(
            f"{field}['Timeout']",
            f"is {text[:40]}; it must be {LEAST_TIMEOUT} to {MOST_TIMEOUT} seconds",
        )
    return int(text)


def _value(place: str, value: object) -> str:
    value = value.value if isinstance(value, Enum) else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return written(place, value)
    if isinstance(value, dict | list | tuple):
        try:
            return json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise wrong(place, f"holds what JSON has no form for: {error}") from None
    raise wrong(
        place,
        f"{is_a(value)}; it must be text, a number or true/false",
    )
