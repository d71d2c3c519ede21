"""The catalogue of ConvertAPI's converters: their formats and parameters.

The facts are in `catalogue.jsonl`, one converter a line, made by ``dev/catalogue.py`` from
ConvertAPI's OpenAPI document.  Only the lines that are needed are parsed.

This module may change from release to release.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pkgutil import get_data
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LONGEST_EXTENSION = 8

_FORMER_NAMES = {
    "any": "file",
    "url": "web",
    "jpeg": "jpg",
    "tif": "tiff",
    "encrypt": "protect",
    "decrypt": "unprotect",
    "watermark": "text-watermark",
    "watermark-textbox": "text-watermark",
    "watermark-overlay": "pdf-watermark",
}
"""Other names of formats and tools that the service accepts, or has accepted earlier."""

_FAMILIES = ("template", "email", "document", "images", "image", "office", "file")
"""Sources that stand for several formats; the converter of a format itself has precedence."""

ANYTHING = "any"
"""A result in a format that only the service knows."""

FORM = b'{"catalogue":1,'
"""The beginning of a catalogue that this version can read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a converter.

    :param type: file, files (several), integer, number, boolean, string, enum, color, or json (text
        that holds JSON).
    :param choices: the values of an enum.
    :param least: the least value of a number; None for no limit.
    :param most: the greatest value of a number; None for no limit.
    :param span: the least and the greatest number in a range such as ``1-10``.
    :param extensions: the allowed extensions of a file; empty for any.
    :param group: the section of ConvertAPI's own form that shows it.
    """

    name: str
    type: str
    required: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    span: tuple[int, ...] = ()
    extensions: tuple[str, ...] = ()
    group: str = ""

    @property
    def is_file(self) -> bool:
        """Tell whether it takes a file, or several."""
        return self.type in {"file", "files"}

    @property
    def is_input(self) -> bool:
        """Tell whether it is the document, which the user calls `source`."""
        return self.name in {"File", "Files", "Url"}

    @property
    def names_result(self) -> bool:
        """Tell whether it chooses the format of the result."""
        return self.name in {"OutputFormat", "ImageOutputFormat", "OutputType"}

    @property
    def ages(self) -> bool:
        """Tell whether its choices change more often than this provider is released."""
        return self.name == "Version"  # of the browser that renders


COMMON = {
    parameter.name.lower(): parameter
    for parameter in (
        Parameter(name="Timeout", type="integer", least=10, most=1200, default=900),
        Parameter(name="FileName", type="string"),
    )
}
"""The parameters of every converter, by name in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Converter:
    """One converter of the service.

    :param source: the source in its path; `target` is the format, or the tool.
    :param extensions: the formats that it takes.
    :param results: the formats that it makes.
    :param parameters: by their names in lower case, in the order of ConvertAPI's form.
    :param note: a hint for users, such as the unit of margins.
    """

    source: str
    target: str
    extensions: tuple[str, ...]
    results: tuple[str, ...]
    parameters: Mapping[str, Parameter] = field(repr=False)
    note: str = ""

    @property
    def name(self) -> str:
        """Return its name for errors."""
        return f"{self.source} to {self.target}"

    @property
    def takes_several(self) -> bool:
        """Tell whether it takes several files at once, in `Files`."""
        return "files" in self.parameters

    @property
    def takes_url(self) -> bool:
        """Tell whether it takes the address of a web page instead of a file."""
        return "url" in self.parameters

    @property
    def takes_nothing(self) -> bool:
        """Tell whether it needs no source, such as the one that makes a QR code from a text."""
        return not any(parameter.is_input for parameter in self.parameters.values())

    @property
    def takes_anything(self) -> bool:
        """Tell whether it takes files of any format, as the converter to ZIP does."""
        return self.source == "file" and self.takes_several

    def result_formats(self, parameters: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the formats that results may have, given these parameters."""
        for parameter in self.parameters.values():
            if parameter.names_result:
                given = {str(name).lower(): value for name, value in parameters.items()}
                chosen = str(given.get(parameter.name.lower(), parameter.default)).lower()
                if chosen in parameter.choices and chosen not in {"auto", "default"}:
                    return (chosen,)
        return self.results

    def result_format(self, origin: str, parameters: Mapping[str, Any]) -> str | None:
        """Return the format of the results; None if only the service knows it.

        :param origin: the source format.
        """
        results = self.result_formats(parameters)
        for known in (self.target, origin):
            if known in results:
                return known
        return results[0] if len(results) == 1 and results != (ANYTHING,) else None


class Catalogue:
    """All converters, read from the lines of a catalogue when they are needed.

    :param text: the catalogue's lines; the first lists the pairs.
    """

    def __init__(self, text: bytes) -> None:
        if not text.startswith(FORM):
            raise ValueError("it is not a catalogue of converters that this version can read")
        head = json.loads(text[: text.index(b"\n")])
        self._text = text
        self._index: dict[str, dict[str, list[str]]] = head["index"]
        self._of_several: dict[str, list[str]] = head["several"]
        self.file_parameters = frozenset(head["files"])
        """The names, in lower case, of all parameters that take a file."""

        self._read: dict[tuple[str, str], Converter | None] = {}
        self._found: dict[tuple[str, str], Converter | None] = {}

    def find(self, origin: str, target: str) -> Converter | None:
        """Return the converter of a pair; None if there is none.

        :param origin: a format, an extension, or ConvertAPI's name of a source.
        :param target: a format or a tool.
        """
        pair = (origin, target)
        if pair not in self._found:
            self._found[pair] = self._find(current_name(origin), current_name(target))
        return self._found[pair]

    def _find(self, origin: str, target: str) -> Converter | None:
        by_source = self._index.get(target, {})
        if origin in by_source:
            return self.converter(origin, target)
        taking = [source for source, taken in by_source.items() if origin in taken]
        if taking:
            return self.converter(min(taking, key=_rank), target)
        archive = self._converter("file", target)
        return archive if archive and archive.takes_anything else None

    def find_for_all(self, formats: Iterable[str], target: str) -> Converter | None:
        """Return the converter that takes files of all these formats together; None if none does.

        :param formats: at least one.
        """
        each, name = {current_name(one) for one in formats}, current_name(target)
        for source in self._of_several.get(name, ()):
            converter = self.converter(source, name)
            if converter.takes_anything or each <= set(converter.extensions):
                return converter
        return None

    def converters_to(self, target: str) -> list[Converter]:
        """Return every converter to a format, or every converter of a tool."""
        name = current_name(target)
        return [self.converter(source, name) for source in self._index.get(name, ())]

    def pairs(self) -> list[tuple[str, str]]:
        """Return source and target of every converter."""
        return [(source, target) for target, by in self._index.items() for source in by]

    def targets_of(self, origin: str) -> list[str]:
        """Return the formats and tools to which a format can be converted."""
        name = current_name(origin)
        return sorted(
            target
            for target, sources in self._index.items()
            if name in sources or any(name in extensions for extensions in sources.values())
        )

    def converter(self, source: str, target: str) -> Converter:
        """Return the converter of a pair of `pairs`; `KeyError` for any other."""
        found = self._converter(source, target)
        if found is None:
            raise KeyError((source, target))
        return found

    def _converter(self, source: str, target: str) -> Converter | None:
        pair = (source, target)
        if pair not in self._read:
            begin = self._text.find(f'\n{{"route":"{source}/to/{target}",'.encode())
            end = self._text.find(b"\n", begin + 1)
            line = self._text[begin + 1 : end if end > 0 else None]
            self._read[pair] = None if begin < 0 else _read(json.loads(line))
        return self._read[pair]


def _read(line: Mapping[str, Any]) -> Converter:
    source, _, target = line["route"].partition("/to/")
    parameters = [
        Parameter(**{key: _frozen(value) for key, value in item.items() if key in _KEYS})
        for item in line["parameters"]
    ]
    return Converter(
        source=source,
        target=target,
        extensions=tuple(line["from"]),
        results=tuple(line["to"]),
        parameters={parameter.name.lower(): parameter for parameter in parameters},
        note=line.get("note", ""),
    )


# Unknown keys, of a later catalogue, are ignored.
_KEYS = frozenset(Parameter.__dataclass_fields__)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _rank(source: str) -> int:
    return _FAMILIES.index(source) + 1 if source in _FAMILIES else 0


# --- the catalogue of this process -------------------------------------------------------------


@dataclass(slots=True)
class _Current:
    """The catalogue of this process, with path and time of its file unless it is our own."""

    catalogue: Catalogue | None = None
    version: tuple[str, int] | None = None


_CURRENT = _Current()


def catalogue() -> Catalogue:
    """Return the catalogue of this process: the provider's own, unless `use_catalogue` was called.

    It is read when it is first needed.
    """
    if _CURRENT.catalogue is None:
        _CURRENT.catalogue = Catalogue(shipped_catalogue())
    return _CURRENT.catalogue


def shipped_catalogue() -> bytes:
    """Return the lines of the catalogue that this provider was released with."""
    return get_data(__package__, "catalogue.jsonl") or b""


def use_catalogue(path: str) -> None:
    """Make a file the catalogue of this process, or the provider's own if it does not exist.

    `ValueError` or `OSError` if it cannot be read.

    :param path: a local file; empty for none.
    """
    version = None
    if path and os.path.exists(path):  # noqa: PTH110 - `pathlib` costs more than a whole check of a DAG
        version = (path, os.stat(path).st_mtime_ns)  # noqa: PTH116 - as above
    if version == _CURRENT.version:
        return
    if version is None:
        _CURRENT.catalogue, _CURRENT.version = None, None
        return
    with open(path, "rb") as file:  # noqa: PTH123 - as above
        _CURRENT.catalogue, _CURRENT.version = Catalogue(file.read()), version


# --- names -------------------------------------------------------------------------------------


def current_name(name: str) -> str:
    """Return the catalogue's name of a format or tool, which may have had other names."""
    return _FORMER_NAMES.get(name, name)


def extension_of(path: str) -> str:
    """Return the lower-case extension of a path; empty if it has none."""
    name = path.rpartition("/")[2].lstrip(".")
    stem, dot, extension = name.rpartition(".")
    known = stem and dot and extension.isalnum() and len(extension) <= _LONGEST_EXTENSION
    return extension.lower() if known else ""


def without_extension(path: str) -> str:
    """Return a path without the extension that `extension_of` finds."""
    extension = extension_of(path)
    return path[: -len(extension) - 1] if extension else path


def result_extension(path: str, to_format: str) -> str:
    """Return the extension of the conversion's result.

    If only the service knows it, or the format of `path` is unknown, it is the target's name.
    """
    extension = extension_of(path)
    converter = catalogue().find(extension, to_format)
    made = converter and converter.result_format(extension, {})
    return made or to_format


def has_open_extension(to_format: str) -> bool:
    """Tell whether the extension of a result is known only after the conversion."""
    return any(_has_open_result(converter) for converter in catalogue().converters_to(to_format))


def _has_open_result(converter: Converter) -> bool:
    if any(parameter.names_result for parameter in converter.parameters.values()):
        return True
    is_one = len(converter.results) == 1 and converter.results != (ANYTHING,)
    return not is_one and converter.target not in converter.results


def is_file_parameter(name: str) -> bool:
    """Tell whether a parameter takes a file; case is ignored."""
    return name.lower() in catalogue().file_parameters
