"""Show what ConvertAPI converts: ``python -m airflow_provider_convertapi.catalogue``.

``docx pdf`` shows a pair, ``--search markdown`` finds pairs, and ``--refresh CONN_ID`` reads the
converters of a connection's ConvertAPI, shows the differences, and writes them to the file of
``[convertapi] catalogue``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.converters import Catalogue, catalogue, current_name
from airflow_provider_convertapi.api.openapi import catalogue_text
from airflow_provider_convertapi.configuration import catalogue_path, load_catalogue
from airflow_provider_convertapi.conversions.catalogued import Findings, find_converter
from airflow_provider_convertapi.errors import ConvertApiError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_provider_convertapi.api.converters import Converter, Parameter

__all__ = ["main"]

_FORMATS = {"markdown": "md", "word": "docx", "excel": "xlsx", "powerpoint": "pptx", "text": "txt"}
"""Common names of formats."""

_SHOWN = 40


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 1 if there is no such pair, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m airflow_provider_convertapi.catalogue")
    parser.add_argument("source", nargs="?", help="format of the source, such as docx")
    parser.add_argument("target", nargs="?", help="format or tool, such as pdf or merge")
    parser.add_argument("--search", metavar="WORD", help="find pairs by format, tool or parameter")
    parser.add_argument("--refresh", metavar="CONN_ID", help="read the catalogue of ConvertAPI")
    given = parser.parse_args(arguments)
    try:
        load_catalogue()
        lines = _asked(given)
    except ConvertApiError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command speaks to a person
        return 1
    if lines is None:
        parser.print_usage(sys.stderr)
        return 2
    for line in lines:
        print(line)  # noqa: T201 - as above
    return 0


def _asked(given: argparse.Namespace) -> list[str] | None:
    if given.refresh:
        return refresh(given.refresh)
    if given.search:
        return search(given.search) or [f"Nothing is called {given.search!r}."]
    if not given.source:
        return None
    origin = given.source.lower()
    targets = catalogue().targets_of(origin)
    if targets and not given.target:
        return [f"{given.source} can become: {', '.join(targets)}"]
    findings = Findings()
    found = find_converter(findings, origin, (given.target or "pdf").lower())
    findings.raise_first()
    return [line for converter in found for line in describe(converter, origin)]


# --- one pair ----------------------------------------------------------------------------------


def describe(converter: Converter, origin: str) -> list[str]:
    """Return the description of a converter, line by line.

    :param origin: the source format of the example.
    """
    return [
        *_head(converter),
        *_parameters(converter),
        "",
        "Example:",
        *_example(converter, origin),
    ]


def _head(converter: Converter) -> Iterator[str]:
    yield converter.name
    if converter.takes_nothing:
        yield "  takes   no file: source=None"
    elif converter.takes_url:
        yield "  takes   the URL of a web page"
    else:
        several = " (several files at once)" if converter.takes_several else ""
        anything = "any file" if converter.takes_anything else ", ".join(converter.extensions)
        yield f"  takes   {anything}{several}"
    yield f"  makes   {', '.join(converter.results)}"
    if converter.note:
        yield f"  note    {converter.note}"


def _parameters(converter: Converter) -> Iterator[str]:
    own = [one for one in converter.parameters.values() if not one.is_input]
    width = max((len(one.name) for one in own), default=0)
    groups = {one.group: None for one in own}
    for group in groups:
        yield ""
        yield group or "Other"
        for parameter in own:
            if parameter.group == group:
                yield f"  {parameter.name:{width}}  {_facts(parameter)}"
    yield ""
    yield "Every converter takes FileName, and Timeout from 10 to 1200 seconds, too."


def _facts(parameter: Parameter) -> str:
    facts = [_type(parameter)]
    if parameter.required and parameter.default is None:
        facts.append("required")
    if parameter.default is not None:
        facts.append(f"default {parameter.default!r}")
    return ", ".join(facts)


def _type(parameter: Parameter) -> str:
    if parameter.choices:
        return " | ".join(parameter.choices)
    if parameter.is_file:
        return f"file ({', '.join(parameter.extensions) or 'any'})"
    if parameter.span:
        return f"text, a range within {parameter.span[0]}-{parameter.span[1]}"
    if parameter.least is not None or parameter.most is not None:
        return f"{parameter.type} {_bound(parameter.least)}..{_bound(parameter.most)}"
    return {"string": "text", "boolean": "True | False", "json": "list or mapping, or JSON"}.get(
        parameter.type, parameter.type
    )


def _bound(value: float | None) -> str:
    return "" if value is None else f"{value:.15g}"


def _example(converter: Converter, origin: str) -> Iterator[str]:
    yield "  ConvertApiOperator("
    yield '      task_id="convert",'
    yield f"      source={_example_source(converter, origin)},"
    yield f'      to_format="{converter.target}",'
    if catalogue().find(_extension(converter, origin), converter.target) is not converter:
        yield f'      from_format="{converter.source}",'
    yield '      destination="/data/out/",'
    values = {
        one.name: _example_value(one)
        for one in converter.parameters.values()
        if one.required and one.default is None and not one.is_input
    }
    if values:
        yield f"      parameters={values!r},"
    yield "  )"


def _example_source(converter: Converter, origin: str) -> str:
    if converter.takes_nothing:
        return "None"
    if converter.takes_url:
        return '"https://example.com/"'
    extension = _extension(converter, origin)
    if converter.takes_several:
        return f'["/data/in/a.{extension}", "/data/in/b.{extension}"]'
    return f'"/data/in/a.{extension}"'


def _extension(converter: Converter, origin: str) -> str:
    """Return the extension of the example's source."""
    if converter.takes_url or converter.takes_nothing:
        return converter.source
    return origin if origin in converter.extensions else converter.extensions[0]


def _example_value(parameter: Parameter) -> Any:
    if parameter.is_file:
        return f"/data/in/b.{parameter.extensions[0]}" if parameter.extensions else "/data/in/b"
    return [] if parameter.type == "json" else "…"


# --- many --------------------------------------------------------------------------------------


def search(word: str) -> list[str]:
    """Return the pairs whose formats, tools or parameters contain a word, by target."""
    wanted = _FORMATS.get(word.lower(), current_name(word.lower()))
    pairs = [pair for pair in catalogue().pairs() if any(wanted in name for name in pair)]
    lines = []
    for target, found in groupby(sorted(pairs, key=lambda pair: pair[::-1]), lambda pair: pair[1]):
        lines.append(f"to {target}: {', '.join(source for source, _ in found)}")
    if lines:
        return lines
    having = [
        f"{converter.name}: {', '.join(names)}"
        for converter in (catalogue().converter(*pair) for pair in catalogue().pairs())
        if (names := [one.name for key, one in converter.parameters.items() if wanted in key])
    ]
    more = len(having) - _SHOWN
    return having[:_SHOWN] + ([f"… and {more} more"] if more > 0 else [])


# --- a newer one -------------------------------------------------------------------------------


def refresh(conn_id: str) -> list[str]:
    """Read the converters of a connection's ConvertAPI; return the differences from ours.

    They are written to the file of `[convertapi] catalogue`, if that is set.
    """
    from airflow_provider_convertapi.api import endpoints  # noqa: PLC0415 - as below
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook  # noqa: PLC0415 - only this needs a connection

    client = ConvertApiHook(conn_id).open_session().client
    found = client.call(endpoints.get_converters())
    text = catalogue_text(found, f"/info/openapi of connection {conn_id}")
    lines = differences(catalogue(), Catalogue(text)) or ["Nothing is different."]
    path = catalogue_path()
    if not path:
        return [*lines, "Not written: set [convertapi] catalogue to the file that shall hold it."]
    _write(Path(path), text)
    return [*lines, f"Written to {path}."]


def differences(old: Catalogue, new: Catalogue) -> list[str]:
    """Return a line for each pair and each parameter that differs."""
    before, after = set(old.pairs()), set(new.pairs())
    lines = [f"+ {source} to {target}" for source, target in sorted(after - before)]
    lines += [f"- {source} to {target}" for source, target in sorted(before - after)]
    for pair in sorted(before & after):
        lines += _differing(old.converter(*pair), new.converter(*pair))
    return lines


def _differing(old: Converter, new: Converter) -> Iterator[str]:
    for key in dict.fromkeys([*old.parameters, *new.parameters]):
        before, after = old.parameters.get(key), new.parameters.get(key)
        if before is None and after is not None:
            yield f"+ {new.name}: {after.name}, {_facts(after)}"
        elif after is None and before is not None:
            yield f"- {new.name}: {before.name}"
        elif before and after and _facts(before) != _facts(after):
            yield f"~ {new.name}: {after.name}, {_facts(after)}; was {_facts(before)}"


def _write(path: Path, text: bytes) -> None:
    """Write a file whole, because DAG files may be parsed meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same directory, because a file is replaced in one step only within a file system.
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as part:
        part.write(text)
    os.chmod(part.name, 0o644)  # noqa: PTH101 - every worker reads it, and nothing in it is secret
    os.replace(part.name, path)  # noqa: PTH105 - `part` is not a path


if __name__ == "__main__":
    from airflow_provider_convertapi.command_line import run

    run(main)
