"""Find what must not be shown of a conversion's arguments, in one place for all callers.

This module may change from release to release.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.storage.uris import LEAST_MASKED, secrets_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SECRET_NAMES = (
    *("password", "passwd", "passphrase", "secret", "token", "apikey"),
    *("cookies", "headers"),
)
"""What the names of secret parameters hold, in lower case."""

_SWITCHES = frozenset({"", "true", "false", "none", "null"})
"""Values such as that of `RespectOwnerPassword`, which are not secret."""

_URL_IN_TEXT = re.compile(r"https?:\\?/\\?/[^\s\"'<>]+", re.IGNORECASE)

_MOST_OF_URIS = 100
"""Secrets of sources that are found: Airflow's masker compiles its whole pattern again for each,
and Airflow cuts a rendered field long before."""


def secrets_in(source: object, parameters: object, steps: object, destination: object) -> list[str]:
    """Return what must not be shown of a conversion's arguments, each text once.

    That is every leaf of passwords, cookies and headers, however they are nested, and user,
    password, query and fragment of each URI.  Invalid arguments are searched as well, since they
    are refused only when the task runs.
    """
    of_uris = (text for uri in _leaves([destination, source]) for text in secrets_of(uri))
    found = dict.fromkeys(_of_parameters(parameters))
    found |= dict.fromkeys(_of_steps(steps))
    found |= dict.fromkeys(islice(of_uris, _MOST_OF_URIS))
    return list(found)


def with_secrets_as_text(parameters: Any) -> Any:
    """Return parameters whose secret values are the text that is sent.

    Airflow's masker skips numbers, and texts that are nested deeply.
    """
    if not isinstance(parameters, Mapping):
        return parameters
    return {
        name: _as_text(value) if _is_secret(name) else value for name, value in parameters.items()
    }


def steps_with_secrets_as_text(steps: Any) -> Any:
    """Return the same for steps."""
    if not isinstance(steps, list | tuple):
        return steps
    return [
        {**step, "parameters": with_secrets_as_text(step["parameters"])}
        if isinstance(step, Mapping) and "parameters" in step
        else step
        for step in steps
    ]


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return a text from outside without the secrets that it repeats."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= LEAST_MASKED:
            text = text.replace(secret, "***")
    return text


def _of_steps(steps: object) -> Iterator[str]:
    if isinstance(steps, Mapping):
        yield from _of_parameters(steps.get("parameters"))
    elif isinstance(steps, list | tuple):
        for step in steps:
            yield from _of_steps(step)
    elif isinstance(steps, str):
        yield steps


def _of_parameters(parameters: object) -> Iterator[str]:
    if isinstance(parameters, str):
        yield parameters  # what a template made of a mapping: it may hold anything
    else:
        yield from _named(parameters)


def _named(value: object) -> Iterator[str]:
    """Yield what is secret by its name, at any depth, and the secrets of URLs everywhere."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _hidden(inner) if _is_secret(name) else _named(inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from _named(inner)
    elif value is not None:
        text = str(value)
        for url in _URL_IN_TEXT.findall(text):
            yield from secrets_of(url.replace("\\/", "/"))
        if (parsed := _parsed(text)) is not None:
            yield from _named(parsed)


def _hidden(value: object) -> Iterator[str]:
    """Yield a secret value as it is sent, and each of its leaves."""
    for text in (str(_as_text(value)), *_leaves(value), *_leaves(_parsed(value))):
        if text.strip().lower() not in _SWITCHES:
            yield text


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from _leaves(inner)
    elif value is not None:
        yield str(value)


def _as_text(value: Any) -> Any:
    """Return a value as it is sent, where it is a value that can be sent."""
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, int | float):
        return str(value)
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return value


def _parsed(text: object) -> object:
    """Return what the text of JSON holds, None where it is not one."""
    if not isinstance(text, str) or text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        parsed: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed


def _is_secret(name: object) -> bool:
    return any(word in str(name).lower() for word in _SECRET_NAMES)
