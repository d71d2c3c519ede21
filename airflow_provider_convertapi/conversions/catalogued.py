"""Check a conversion against the catalogue of converters, before anything is paid.

It checks the arguments of DAG files, which may be templates, and those of running tasks.

This module may change from release to release.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.converters import (
    ANYTHING,
    COMMON,
    catalogue,
    current_name,
)
from airflow_provider_convertapi.api.parameters import complaint, did_you_mean, listed
from airflow_provider_convertapi.configuration import takes_unknown
from airflow_provider_convertapi.errors import ParameterError, UnsupportedFormatError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from airflow_provider_convertapi.api.converters import Converter, Parameter

UNKNOWN: Any = object()
"""Stands for a value that is known only when the task runs."""

_IGNORED = "ConvertAPI would ignore what it does not know, and bill the conversion."
_AHEAD = (
    "If ConvertAPI is ahead of this provider's catalogue, refresh that, or set [convertapi] "
    "unknown_parameters = warn."
)


class Findings:
    """The errors in a conversion's arguments; doubtful ones become warnings."""

    def __init__(self) -> None:
        self._wrong: list[tuple[str, str]] = []
        self._unsupported: list[str] = []
        self._has_unknown = False
        self.has_warned = False

    def add(self, field: str, fault: str) -> None:
        """Note that an argument is wrong.

        :param fault: the rest of a sentence that begins with the argument's name.
        """
        if (field, fault) not in self._wrong:
            self._wrong.append((field, fault))

    def add_unknown(self, field: str, fault: str) -> None:
        """Note a parameter that the catalogue does not have; a warning, if so configured."""
        if takes_unknown():
            self.warn(sentence(field, fault))
        else:
            self._has_unknown = True
            self.add(field, fault)

    def add_unsupported(self, text: str) -> None:
        """Note a pair of formats that the catalogue does not have; a warning, if so configured."""
        if takes_unknown():
            self.warn(text)
        else:
            self._unsupported.append(with_stop(text))

    def warn(self, text: str) -> None:
        """Emit a warning, which Airflow shows for the DAG file, or in the task's log."""
        self.has_warned = True
        warnings.warn(with_stop(text), UserWarning, stacklevel=3)

    def raise_first(self) -> None:
        """Raise the noted errors: unknown pairs first, else all wrong arguments together."""
        if self._unsupported:
            # The check is free and is repeated: a later catalogue may have the pair.
            raise UnsupportedFormatError(" ".join([*self._unsupported, _AHEAD]), bars_file=False)
        if self._wrong:
            invalid: dict[str, list[str]] = {}
            for field, fault in self._wrong:
                invalid.setdefault(field, []).append(fault)
            texts = [with_stop(sentence(*one)) for one in self._wrong]
            texts += [_IGNORED, _AHEAD] if self._has_unknown else []
            raise ParameterError(" ".join(texts), invalid, bars_file=False)


def sentence(field: str, fault: str) -> str:
    """Return an argument's error as a sentence, without its full stop."""
    return f"{field}{'' if fault.startswith(':') else ' '}{fault}"


def with_stop(text: str) -> str:
    """Return a sentence with its full stop, unless it is a question."""
    return text if text.endswith("?") else f"{text}."


# --- which converter ---------------------------------------------------------------------------


def find_converter(findings: Findings, origin: str, target: str) -> list[Converter]:
    """Return the converter of a pair in a list, which is empty if the catalogue has none."""
    found = catalogue().find(origin, target)
    if found is None:
        findings.add_unsupported(_no_such_pair(origin, target))
    return [found] if found else []


def find_converters(findings: Findings, target: str) -> list[Converter]:
    """Return every converter to a format or tool, for a source that is not known yet."""
    found = catalogue().converters_to(target)
    if not found:
        targets = {name for _, name in catalogue().pairs()}
        meant = did_you_mean(target, targets)
        findings.add_unsupported(
            f"to_format is {target!r}, and ConvertAPI has no such format or tool{meant}"
        )
    return found


def _no_such_pair(origin: str, target: str) -> str:
    text = f"to_format is {target!r}: ConvertAPI does not convert {origin} to {target}"
    targets = catalogue().targets_of(origin)
    if targets:
        meant = did_you_mean(target, targets) or "."
        return f"{text}{meant} {origin} can become {listed(targets)}"
    sources = {source for source, _ in catalogue().pairs()}
    page = "; a web page needs from_format='web'" if origin in _PAGES else ""
    meant = page or did_you_mean(origin, sources)
    return f"source is {origin!r}: ConvertAPI takes no such files{meant}"


_PAGES = frozenset({"php", "asp", "aspx", "jsp", "cgi", "shtml", "xhtml", "com", "org", "net"})
"""Endings of web pages' addresses."""


# --- what it is given --------------------------------------------------------------------------


def check_parameters(
    findings: Findings,
    field: str,
    converters: Sequence[Converter],
    given: Mapping[str, Any],
    *,
    is_complete: bool = True,
) -> None:
    """Note unknown parameters, wrong values, and missing parameters.

    :param field: the user's name of the mapping.
    :param converters: the possible converters; without any, the service checks everything.
    :param given: values by name; `UNKNOWN` for values that are not known yet.
    :param is_complete: False if there may be more parameters than these.
    """
    if not converters:
        return
    seen: set[str] = set()
    for name, value in given.items():
        place, key = f"{field}[{name!r}]", name.lower()
        if key in seen:
            findings.add(place, "is given twice: ConvertAPI compares names without case")
        seen.add(key)
        having = [found for one in converters if (found := _parameter(one, key))]
        if not having:
            findings.add_unknown(place, _no_such_parameter(name, converters))
        elif value is not UNKNOWN and value is not None:
            _check_value(findings, place, having, value)
    if is_complete:
        _check_missing(findings, field, converters, given)


def _parameter(converter: Converter, key: str) -> Parameter | None:
    return converter.parameters.get(key) or COMMON.get(key)


def _no_such_parameter(name: str, converters: Sequence[Converter]) -> str:
    whose = (
        f"{converters[0].name} has"
        if len(converters) == 1
        else f"no converter to {converters[0].target} has"
    )
    names = {
        parameter.name
        for converter in converters
        for parameter in (*converter.parameters.values(), *COMMON.values())
        if not parameter.is_input
    }
    no_such = "no such parameter" if len(converters) == 1 else "such a parameter"
    return f": {whose} {no_such}{did_you_mean(name, names)}"


def _check_value(findings: Findings, place: str, having: Sequence[Parameter], value: Any) -> None:
    faults = [complaint(parameter, value) for parameter in having]
    if None in faults:
        return
    if all(parameter.ages for parameter in having):
        findings.warn(f"{place} {faults[0]}, as far as this provider knows")
    else:
        findings.add(place, str(faults[0]))


def _check_missing(
    findings: Findings, field: str, converters: Sequence[Converter], given: Mapping[str, Any]
) -> None:
    there = {name.lower() for name, value in given.items() if value is not None}
    for key, parameter in converters[0].parameters.items():
        needs = [one.parameters.get(key) for one in converters]
        if (
            not parameter.is_input
            and key not in there
            and all(one and one.required and one.default is None for one in needs)
        ):
            findings.add(field, f"lacks {parameter.name!r}, which {converters[0].name} requires")


# --- further steps -----------------------------------------------------------------------------


def formats_made(
    converters: Iterable[Converter], origin: str | None, given: Mapping[str, Any]
) -> set[str | None]:
    """Return the formats that a conversion may make.

    None stands for a format that is not known yet, `ANYTHING` for one that only the service knows.

    :param origin: the source format; None if it is not known.
    """
    known = {name: value for name, value in given.items() if value is not UNKNOWN}
    if any(value is UNKNOWN for value in given.values()) and any(
        parameter.names_result for one in converters for parameter in one.parameters.values()
    ):
        return {None}
    made: set[str | None] = {
        one.result_format(current_name(origin or one.source), known) or ANYTHING
        for one in converters
    }
    return made or {None}


def check_step(
    findings: Findings,
    field: str,
    step: Mapping[str, Any],
    made: AbstractSet[str | None],
) -> set[str | None]:
    """Check one further step; return the formats that it may make.

    :param field: the user's name of the step.
    :param step: its `to_format`, `from_format` (None: not given) and `parameters`, each of which
        may be `UNKNOWN`.
    :param made: the formats that the step before may make.
    """
    origin, target = step["from_format"], step["to_format"]
    converters = _step_converters(findings, field, step, made)
    given = step["parameters"]
    is_complete = given is not UNKNOWN
    if target is UNKNOWN:
        return {None}
    given = given if is_complete else {}
    check_parameters(findings, f"{field}['parameters']", converters, given, is_complete=is_complete)
    if origin is None:
        [origin] = made if len(made) == 1 and made != {ANYTHING} else [None]
    return formats_made(converters, None if origin is UNKNOWN else origin, given)


def _step_converters(
    findings: Findings, field: str, step: Mapping[str, Any], made: AbstractSet[str | None]
) -> list[Converter]:
    origin, target = step["from_format"], step["to_format"]
    if target is UNKNOWN:
        return []
    if origin is UNKNOWN or (origin is None and None in made):
        return find_converters(findings, target)
    origins = [origin] if origin else [one for one in made if one and one != ANYTHING]
    if not origins:
        findings.add(field, "needs from_format: only the service knows what the step before makes")
        return []
    found = [one for name in origins if (one := catalogue().find(name, target))]
    if not found:
        findings.add_unsupported(f"{field} does not follow: {_no_such_pair(origins[0], target)}")
    for converter in found:
        _check_follows(findings, field, converter, origin, made)
    return found


def _check_follows(
    findings: Findings,
    field: str,
    converter: Converter,
    origin: str | None,
    made: AbstractSet[str | None],
) -> None:
    if converter.takes_url or converter.takes_nothing:
        findings.add(field, f"cannot be a further step: {converter.name} takes no file")
        return
    taken = {*converter.extensions, converter.source, origin}
    before = sorted(str(one) for one in made if one)
    if (
        not made.isdisjoint({None, ANYTHING})
        or converter.takes_anything
        or taken.intersection(before)
    ):
        return
    findings.add(
        f"{field}['from_format']",
        f"is {origin!r}, which does not follow: the step before makes {listed(before)}",
    )


# --- all of it ---------------------------------------------------------------------------------


def check_catalogue(
    origins: Collection[str] | None,
    target: str,
    given: Mapping[str, Any],
    steps: Sequence[Mapping[str, Any]],
) -> bool:
    """Check one conversion, or several, against the catalogue; return whether nothing was warned.

    `UnsupportedFormatError` or `ParameterError`; unknown names may be warnings instead.

    :param origins: the source formats, each converted alone; None if they are not known yet.
    :param target: format or tool; `UNKNOWN` if it is not known yet.
    :param given: the parameters by name, or `UNKNOWN`, as may be each value.
    :param steps: as `check_step` takes them.
    """
    findings, made = Findings(), set[str | None]()
    is_complete = given is not UNKNOWN
    values = {str(name): value for name, value in given.items()} if is_complete else {}
    if target is UNKNOWN:
        made = {None}
    elif origins is None:
        converters = find_converters(findings, target)
        check_parameters(findings, "parameters", converters, values, is_complete=is_complete)
        made = formats_made(converters, None, values)
    else:
        for origin in sorted(set(origins)):
            found = find_converter(findings, origin, target)
            check_parameters(findings, "parameters", found, values, is_complete=is_complete)
            made |= formats_made(found, origin, values)
    for number, step in enumerate(steps):
        made = check_step(findings, f"steps[{number}]", step, made)
    findings.raise_first()
    return not findings.has_warned
