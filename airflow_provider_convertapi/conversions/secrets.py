"""Find and hide the secrets in a conversion's arguments, in one place for all callers.

This module may change from release to release.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from itertools import islice
from operator import is_
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_convertapi.conversions.values import is_several
from airflow_provider_convertapi.storage.uris import LEAST_MASKED, secrets_of, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_SECRET_NAMES = (
    *("password", "passwd", "passphrase", "secret", "token", "apikey"),
    *("authorization", "bearer", "cookies", "headers"),
)
"""Parts of the names of secret parameters, in lower case."""

_HIDDEN = "***"

_GIVEN = "_BaseOperator__init_kwargs"
"""Where Airflow keeps a constructor's arguments; older OpenLineage providers copy it, too.

The name is private: airflow/sdk/bases/operator.py, airflow/models/baseoperator.py in Airflow 2.
"""

_SWITCHES = frozenset({"", "true", "false", "none", "null"})
"""Values such as that of `RespectOwnerPassword`, which are not secret."""

_URL_IN_TEXT = re.compile(r"https?:\\?/\\?/[^\s\"'<>]+", re.IGNORECASE)

_MOST_OF_URIS = 100
"""The most secrets of URIs that are masked: Airflow's masker compiles its whole pattern again for
each, and Airflow shortens a rendered field long before this many."""


def secrets_in(source: object, parameters: object, steps: object, destination: object) -> list[str]:
    """Return the secrets in a conversion's arguments, each text once.

    They are all values of passwords, cookies and headers, at any depth, and user, password, query
    and fragment of each URI.  Invalid arguments are searched as well, since they are refused only
    when the task runs.
    """
    of_uris = (text for uri in _leaves([destination, source]) for text in secrets_of(uri))
    found = dict.fromkeys(_of_parameters(parameters))
    found |= dict.fromkeys(_of_steps(steps))
    found |= dict.fromkeys(islice(of_uris, _MOST_OF_URIS))
    return list(found)


class Concealed(str):
    """A text without secrets that stands for a value with one.

    Code that copies or serializes a task's attributes, such as OpenLineage's, gets the text;
    `revealed` returns the value.
    """

    # A slot, because OpenLineage's redaction reads and changes the contents of a `__dict__`.
    __slots__ = ("_value",)
    _value: Any

    def __new__(cls, text: str, value: Any = None) -> Self:
        """Show `text` in place of `value`."""
        made = super().__new__(cls, text)
        made._value = value
        return made

    @property
    def value(self) -> Any:
        """Return what is concealed."""
        return self._value


def concealed_uris(uris: Any) -> Any:
    """Return a source or destination whose URIs show no secret."""

    def conceal(uri: Any) -> Any:
        text = _text(uri)
        return Concealed(shown(text), uri) if secrets_of(text) else uri

    return _each(uris, conceal)


def concealed_parameters(parameters: Any) -> Any:
    """Return parameters that show no secret; a value with a secret name becomes the text sent.

    Airflow's masker alone is not enough: it skips numbers, short texts and deeply nested ones.
    """
    if isinstance(parameters, str):  # a template rendered a mapping to text: it may hold anything
        return Concealed(_HIDDEN, parameters)
    if not isinstance(parameters, Mapping):
        return parameters
    return {
        name: _concealed(_as_text(value)) if _is_secret(name) else _without_named(value)
        for name, value in parameters.items()
    }


def concealed_steps(steps: Any) -> Any:
    """Return steps whose parameters show no secret."""
    if isinstance(steps, str):
        return Concealed(_HIDDEN, steps)
    if is_several(steps):
        return [concealed_steps(step) for step in steps]
    if isinstance(steps, Mapping) and "parameters" in steps:
        return {**steps, "parameters": concealed_parameters(steps["parameters"])}
    return steps


def revealed(value: Any) -> Any:
    """Return a value with its concealed parts restored."""
    return _each(value, lambda inner: inner.value if isinstance(inner, Concealed) else inner)


def conceal_given(task: object, names: Iterable[str]) -> None:
    """Replace the secrets in Airflow's copy of the constructor's arguments, too."""
    if given := vars(task).get(_GIVEN):
        shown = {name: getattr(task, name) for name in names if name in given}
        vars(task)[_GIVEN] = {**given, **shown}


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return a value with each leaf changed; the same object if no leaf changes.

    Sequences other than lists and tuples become lists.
    """
    if isinstance(value, Mapping):
        changed: Any = {name: _each(inner, change) for name, inner in value.items()}
        is_same = all(changed[name] is inner for name, inner in value.items())
    elif is_several(value):
        given = list(value)  # read once: each item of a mapped task's result is a request
        changed = [_each(inner, change) for inner in given]
        is_same = isinstance(value, list | tuple) and all(map(is_, changed, given))
    else:
        return change(value)
    return value if is_same else changed


def _without_named(value: Any) -> Any:
    """Return a value whose name is not secret, without the secrets inside it."""
    if isinstance(value, Mapping):
        return {
            name: _concealed(inner) if _is_secret(name) else _without_named(inner)
            for name, inner in value.items()
        }
    if is_several(value):
        return [_without_named(inner) for inner in value]
    if not (secrets := list(_named(value))):
        return value
    given = _text(value)
    # Replacing a short secret could reveal it, and a secret may be spelled otherwise in the text.
    is_plain = all(len(secret) >= LEAST_MASKED and secret in given for secret in secrets)
    return Concealed(without_secrets(given, secrets) if is_plain else _HIDDEN, value)


def _concealed(value: Any) -> Any:
    return Concealed(_HIDDEN, value) if any(True for _ in _hidden(value)) else value


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return a text from outside, such as the service's, without the secrets that it repeats."""
    # The longest first: one that is a part of another would leave the other's rest visible.
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= LEAST_MASKED:
            text = text.replace(secret, _HIDDEN)
    return text


def _of_steps(steps: object) -> Iterator[str]:
    if isinstance(steps, Mapping):
        yield from _of_parameters(steps.get("parameters"))
    elif is_several(steps):
        for step in steps:
            yield from _of_steps(step)
    elif isinstance(steps, str):
        yield steps


def _of_parameters(parameters: object) -> Iterator[str]:
    if isinstance(parameters, str):
        yield parameters  # a template rendered a mapping to text: it may hold anything
    else:
        yield from _named(parameters)


def _named(value: object) -> Iterator[str]:
    """Yield values with secret names at any depth, and the secrets of URLs everywhere."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _hidden(inner) if _is_secret(name) else _named(inner)
    elif is_several(value) or isinstance(value, AbstractSet):
        for inner in value:
            yield from _named(inner)
    elif value is not None:
        text = _text(value)
        for url in _URL_IN_TEXT.findall(text):
            yield from secrets_of(url.replace("\\/", "/"))
        if (parsed := _parsed(text)) is not None:
            yield from _named(parsed)


def _hidden(value: object) -> Iterator[str]:
    """Yield a secret value as it is sent, and each of its leaves."""
    for text in (_text(_as_text(value)), *_leaves(value), *_leaves(_parsed(value))):
        if text.strip().lower() not in _SWITCHES:
            yield text


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if is_several(value) or isinstance(value, AbstractSet):
        for inner in value:
            yield from _leaves(inner)
    elif value is not None:
        yield _text(value)


def _text(value: object) -> str:
    """Return the text of a value; bytes, which are refused later, are decoded."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes | bytearray) else str(value)


def _as_text(value: Any) -> Any:
    """Return a value in the form in which it is sent, or unchanged if it cannot be sent."""
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, int | float):
        return str(value)
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return value


def _parsed(text: object) -> object:
    """Return the value of a JSON text; None if it is not JSON."""
    if not isinstance(text, str) or text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        parsed: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed


def _is_secret(name: object) -> bool:
    return any(word in str(name).lower() for word in _SECRET_NAMES)
