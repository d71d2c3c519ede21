"""Check an operator's arguments when its DAG file is parsed, offline.

Templates, and results of other tasks, are checked when the task runs.

This module may change from release to release.  It is loaded when a DAG file is parsed, so it
imports neither a store nor a client.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.converters import catalogue
from airflow_provider_convertapi.api.parameters import is_a
from airflow_provider_convertapi.configuration import configured_catalogue, load_catalogue
from airflow_provider_convertapi.conversions.catalogued import UNKNOWN, check_catalogue
from airflow_provider_convertapi.conversions.fields import check_step_keys, split_parameters
from airflow_provider_convertapi.conversions.origins import (
    NOTHING,
    converter_of_all,
    format_of,
    format_of_template,
    is_url,
    source_format,
)
from airflow_provider_convertapi.conversions.values import (
    LONGEST_TEXT,
    check_readable,
    flatten,
    format_name,
    is_several,
    is_summary,
    plain_text,
    wrong,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_convertapi.conversions.values import Options

_MARKS = ("{{", "{%", "{#")
_DEFERRED = ("iter_references", "resolve", "template_fields")
"""Attributes of objects that Airflow replaces before the task runs."""


def check_declared(
    given: Mapping[str, Any],
    rendered: Sequence[str],
    options: Options,
    source_of: Callable[[Any], Any] | None,
) -> None:
    """Raise `ParameterError` or `UnsupportedFormatError` if an operator's arguments are wrong.

    :param given: the arguments by name, as in the DAG file.
    :param rendered: the names of the arguments that Airflow renders.
    :param options: the checks of the arguments that can be checked alone.
    :param source_of: checks a shard, and returns its source first; None for an operator that takes
        no shards and no directories.
    """
    key = _key(given, rendered, options)
    if key in _GOOD:
        return
    is_good = _check(given, rendered, options, source_of)
    if is_good and key is not None:
        if len(_GOOD) >= _MOST_GOOD:
            _GOOD.clear()
        _GOOD.add(key)


_GOOD: set[int | None] = set()
"""Hashes of declarations without errors: the operators of one DAG file are often alike."""

_MOST_GOOD = 10_000


def _key(given: Mapping[str, Any], rendered: Sequence[str], options: Options) -> int | None:
    """Return a hash of everything that is checked; of file names, only the extension is.

    It takes a tenth of the time of a check.  None if the arguments cannot be hashed.
    """
    source, destination = given["source"], given["destination"]
    if type(source) is not str or type(destination) is not str:
        return None
    values = options.values_of(given)
    parameters, steps = given["parameters"], given["steps"]
    try:
        nested = "" if parameters is None and steps is None else repr((parameters, steps))
        # The types, too: 1 equals True, but is not a valid switch.
        told = (_ending(source), _ending(destination), nested, tuple(map(type, values)))
        return hash((told, values, tuple(rendered), catalogue(), configured_catalogue()))
    except Exception:  # noqa: BLE001 - a value that cannot be hashed or written
        return None


def _ending(name: str) -> tuple[str, bool, bool]:
    """Return the part of a file's name that is checked; the whole name if it is unusual."""
    if len(name) > LONGEST_TEXT:
        return name, True, True
    base = name[name.rfind("/") + 1 :]
    dot = base.rfind(".")
    if dot < 0 and name.strip() not in {"", "None"} and "http" not in name[:8].lower():
        return "", "{" in name, False
    if dot < 1 or base[dot - 1] == "." or "http" in name[:8].lower():
        return name, True, True
    return base[dot:], "{" in name, False


def _check(
    given: Mapping[str, Any],
    rendered: Sequence[str],
    options: Options,
    source_of: Callable[[Any], Any] | None,
) -> bool:
    """Raise the first error; return whether there was no warning either."""
    load_catalogue()
    for name, value in given.items():
        check_readable(name, value)
    for name, check in options.checks.items():
        if name in given and (name not in rendered or is_known(given[name])):
            check(given[name])
    _check_destination(given["destination"])
    is_batch, source = source_of is not None, given["source"]
    if source_of and (is_known(source) or isinstance(source, Mapping)):
        source, _ = source_of(_known_part(source))
    sources = _sources(source, is_batch=is_batch)
    target = _format(given["to_format"])
    origin = _format(given["from_format"])
    parameters = _parameters("parameters", given["parameters"])
    steps = _steps(given["steps"])
    if steps and given["durable"] is False:
        raise wrong("steps", "needs durable=True: its results are kept at ConvertAPI")
    origins = None
    if target is not UNKNOWN:
        _check_nothing(source, origin, target, is_batch=is_batch)
        origins = (
            _origins_of_batch(sources, origin)
            if is_batch
            else _origins(sources, origin, target, has_steps=bool(steps))
        )
    return check_catalogue(origins, target, parameters, steps)


def is_known(value: Any) -> bool:
    """Tell whether a value is final: not a template, and not another task's result."""
    if isinstance(value, str):
        return "{" not in value or not any(mark in value for mark in _MARKS)
    if value is None or isinstance(value, bool | int | float):
        return True
    if isinstance(value, Mapping):
        return all(map(is_known, value.values()))
    if isinstance(value, list | tuple | AbstractSet):
        return all(map(is_known, value))
    is_deferred = any(hasattr(value, name) for name in _DEFERRED) and not hasattr(value, "protocol")
    # `ArgNotSet` stands for arguments that `.expand` and decorators fill in later.  Its module is
    # another one in Airflow 2 and 3, so it is told by its name.
    return not is_deferred and type(value).__name__ != "ArgNotSet"


def _format(value: Any) -> Any:
    """Return a format as ConvertAPI spells it, None if it is not given, or `UNKNOWN`."""
    if value is None:
        return None
    return format_name("to_format", value) if is_known(value) else UNKNOWN


def _check_destination(value: Any) -> None:
    if is_known(value) and is_url(plain_text("destination", value)):
        raise wrong("destination", "is a URL; it must be a path, or the URI of a store")


def _known_part(source: Any) -> Any:
    """Return a source; if it is a shard, without its numbers that are templates."""
    if not isinstance(source, Mapping):
        return source
    numbers = ("shard", "max_conversions")
    return {name: v for name, v in source.items() if name not in numbers or is_known(v)}


# --- sources -----------------------------------------------------------------------------------


def _sources(source: Any, *, is_batch: bool) -> list[Any] | None:
    """Return the sources one by one; None if their number is not known yet."""
    if source is None:
        return []
    is_list = is_several(source)
    if not is_list and not is_known(source):
        return None if not isinstance(source, str) else [source]
    items = flatten(source)
    if not items and not is_batch:  # `on_empty` decides what a batch of no files does
        raise wrong("source", "is an empty list; give at least one file")
    for number, item in enumerate(items):
        if is_known(item) and not is_summary(item):
            plain_text(f"source[{number}]" if is_list else "source", item)
    return items


def _check_nothing(source: Any, origin: Any, target: str, *, is_batch: bool) -> None:
    if origin is UNKNOWN:
        return
    found = catalogue().find(origin or NOTHING, target)
    takes_nothing = found is not None and found.takes_nothing
    if source is None and (is_batch or not takes_nothing):
        raise wrong("source", "is None; it must be a file, a URL or a list of those")
    if found is not None and origin and takes_nothing and source is not None:
        raise wrong("source", f"must be None: {found.name} takes no file")


def _format_of(item: Any) -> str | None:
    """Return the format that a source's name shows; None if that is not known yet."""
    if isinstance(item, str) and not is_known(item):
        return format_of_template(item)
    if is_summary(item):
        return None
    return format_of(plain_text("source", item)) if is_known(item) else None


def _origins(
    sources: list[Any] | None, origin: Any, target: str, *, has_steps: bool
) -> list[str] | None:
    """Return the source formats of the first converter; None if they are not known yet."""
    if origin is UNKNOWN or sources is None:
        return None if origin in (None, UNKNOWN) else [origin]
    formats = [_format_of(item) for item in sources]
    known = [one for one in formats if one is not None]
    if origin is None and len(known) < len(formats):
        return None
    together = converter_of_all(origin, known, target)
    if together is None and len(sources) > 1:
        if not has_steps:
            # Airflow may render one item to several, but never to none.
            name = origin or source_format(None, known, target)
            raise wrong(
                "source",
                f"lists {len(sources)} files, but {name} to {target} converts one at a time; map "
                "the task over them",
            )
        return [origin] if origin else known
    if origin is None and "" in known and not (together and together.takes_anything):
        from airflow_provider_convertapi.storage.uris import shown

        item = shown(str(sources[known.index("")]))
        raise wrong(
            "from_format",
            f"is not given and {item} has no extension to infer it from; set from_format",
        )
    return [source_format(origin, known, target)]


def _origins_of_batch(sources: list[Any] | None, origin: Any) -> list[str] | None:
    """Return the formats of the files; None if one of the sources may be a directory."""
    if origin is not None:
        return None if origin is UNKNOWN else [origin]
    if not sources:
        return None
    formats = [_format_of(item) for item in sources]
    # The name of a directory may look as if it had an extension: 2026.11
    are_formats = all(one and catalogue().targets_of(one) for one in formats)
    return [one for one in formats if one] if are_formats else None


# --- parameters and steps ----------------------------------------------------------------------


def _parameters(field: str, given: Any) -> Any:
    """Return parameters by name, `UNKNOWN` for templates; `UNKNOWN` if all are one template."""
    if not isinstance(given, Mapping) and not is_known(given):
        return UNKNOWN
    if given is None or not isinstance(given, Mapping):
        split_parameters(given, field)
        return {}
    known = {name: value for name, value in given.items() if is_known(value)}
    split_parameters({**dict.fromkeys(given), **known}, field)
    return {str(name): value if name in known else UNKNOWN for name, value in given.items()}


def _steps(steps: Any) -> list[dict[str, Any]]:
    if steps is None or (not isinstance(steps, list | tuple) and not is_known(steps)):
        return []
    if not is_several(steps):
        raise wrong("steps", f"{is_a(steps)}; it must be a list of mappings")
    checked = []
    for number, step in enumerate(steps):
        if not isinstance(step, Mapping) and not is_known(step):
            checked.append(dict.fromkeys(("from_format", "to_format", "parameters"), UNKNOWN))
            continue
        field = f"steps[{number}]"
        check_step_keys(field, step)
        checked.append(
            {
                "to_format": _step_format(field, step, "to_format"),
                "from_format": _step_format(field, step, "from_format"),
                "parameters": _parameters(f"{field}['parameters']", step.get("parameters")),
            }
        )
    return checked


def _step_format(field: str, step: Mapping[str, Any], name: str) -> Any:
    value = step.get(name)
    if value is None and name == "from_format":
        return None
    return format_name(f"{field}[{name!r}]", value) if is_known(value) else UNKNOWN
