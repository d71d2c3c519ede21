"""Read the converters from ConvertAPI's OpenAPI document, and write them as a catalogue.

This module may change from release to release.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.converters import COMMON, FORM

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ROUTE = re.compile(r"^/convert/([a-z0-9_-]+/to/[a-z0-9_-]+)$")
_NOT_OURS = frozenset({*COMMON, "storefile"})
_DEFAULTS = {"required": False, "group": ""}


def catalogue_text(lines: Iterable[Mapping[str, Any]], source: str) -> bytes:
    """Return a catalogue's text.

    :param lines: one mapping for each converter: route, from, to, note and parameters.
    :param source: the name of their origin.
    """
    converters = list(lines)
    index: dict[str, dict[str, list[str]]] = {}
    several: dict[str, list[str]] = {}
    files = set()
    for converter in converters:
        origin, _, target = converter["route"].partition("/to/")
        index.setdefault(target, {})[origin] = converter["from"]
        kinds = {
            parameter["name"].lower(): parameter["type"] for parameter in converter["parameters"]
        }
        files |= {name for name, kind in kinds.items() if kind == "file"} - {"file"}
        if "files" in kinds:
            several.setdefault(target, []).append(origin)
    head = {"source": source, "files": sorted(files), "several": several, "index": index}
    first = FORM.decode() + json.dumps(head, separators=(",", ":")).removeprefix("{")
    return "\n".join([first, *map(_line, converters), ""]).encode()


def _line(converter: Mapping[str, Any]) -> str:
    parameters = [_short(parameter) for parameter in converter["parameters"]]
    kept = {key: converter[key] for key in ("route", "from", "to")}
    note = {"note": converter["note"]} if converter.get("note") else {}
    return json.dumps({**kept, **note, "parameters": parameters}, separators=(",", ":"))


def _short(parameter: Mapping[str, Any]) -> dict[str, Any]:
    """Return a parameter without its default values."""
    names = ("name", "type", "required", "default", "choices", "least", "most", "span")
    return {
        name: value
        for name in (*names, "extensions", "group")
        if (value := parameter.get(name)) not in (None, [], _DEFAULTS.get(name))
    }


def converters_of(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the lines of a catalogue from an OpenAPI document.

    `ValueError` if it describes no converter.
    """
    found = [
        _converter(route[1], operations["post"])
        for path, operations in sorted(_mapping(document.get("paths")).items())
        if (route := _ROUTE.match(path)) and "post" in operations
    ]
    if not found:
        raise ValueError("it describes no converter")
    return found


def _converter(route: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    content = _mapping(_mapping(operation.get("requestBody")).get("content"))
    schema = _mapping(_mapping(content.get("multipart/form-data")).get("schema"))
    required = schema.get("required") or ()
    return {
        "route": route,
        "from": _listed(operation.get("x-ca-source-formats")),
        "to": _listed(operation.get("x-ca-destination-formats")),
        "parameters": [
            _parameter(name, facts, is_required=name in required)
            for name, facts in _mapping(schema.get("properties")).items()
            if name.lower() not in _NOT_OURS
        ],
    }


def _parameter(name: str, facts: Mapping[str, Any], *, is_required: bool) -> dict[str, Any]:
    span = _mapping(facts.get("x-ca-range"))
    kind = _type(facts)
    return {
        "name": name,
        "type": kind,
        "required": is_required,
        "default": facts.get("default"),
        "choices": [str(value) for value in facts.get("enum") or ()],
        "least": facts.get("minimum"),
        "most": facts.get("maximum"),
        "span": [int(span["from"]), int(span["to"])] if {"from", "to"} <= set(span) else [],
        "extensions": _listed(facts.get("x-ca-allowed-extensions")),
        "group": facts.get("x-ca-group", ""),
    }


def _type(facts: Mapping[str, Any]) -> str:
    shown = " ".join(str(facts.get(f"x-ca-{key}", "")) for key in ("type", "representation"))
    items = _mapping(facts.get("items"))
    if facts.get("format") == "binary" or items.get("format") == "binary":
        return "files" if facts.get("type") == "array" else "file"
    if facts.get("enum"):
        return "enum"
    told = next((kind for kind in ("color", "json") if kind in shown.lower()), None)
    return told or str(facts.get("type", "string"))


def _listed(value: Any) -> list[str]:
    """Return the extensions of a list, or of a text with commas."""
    parts = value.split(",") if isinstance(value, str) else value or ()
    listed = [str(part).strip().lower().removeprefix(".") for part in parts]
    return [part for part in listed if part]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
