"""Which conversions exist: the catalogue of converters in `catalogue.json`.

A route's canonical name is "source/to/destination"; it has aliases, because clients put the
extension of their file, or an older name, into the path.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Sources that stand for a family of formats; a converter of the format itself takes precedence.
FAMILIES = (
    *("template", "peppol", "email", "images", "image", "pdfa", "document"),
    *("barcode", "qrcode", "office", "file"),
)
_SOURCE_NAMES = {"any": "file", "url": "web"}
_TARGET_NAMES = {
    # Old names that the vendor's newer READMEs and tools still use.
    "encrypt": "protect",
    "decrypt": "unprotect",
    "watermark": "text-watermark",
    "watermark-textbox": "text-watermark",
    "watermark-overlay": "pdf-watermark",
    "jpeg": "jpg",
    "tif": "tiff",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a converter: its type, and the values that it allows."""

    name: str
    type: str
    values: tuple[str, ...] = ()
    min: float | None = None
    max: float | None = None
    default: Any = None
    required: bool = False
    extensions: tuple[str, ...] = ()

    @property
    def is_file(self) -> bool:
        """Tell whether it holds one document or several."""
        return self.type.startswith("file")


@dataclass(frozen=True, slots=True)
class Converter:
    """One route of the service.

    Attributes:
        source, target: Canonical names, as in its path.
        extensions: Extensions of its inputs; empty for any.
        results: Extensions of the results.
        timeout: Default of `Timeout` in seconds.
        parameters: By canonical name, without the common ones.
    """

    source: str
    target: str
    extensions: frozenset[str]
    results: tuple[str, ...]
    timeout: int
    parameters: Mapping[str, Parameter] = field(repr=False)

    @property
    def route(self) -> str:
        """Return "source/to/destination"."""
        return f"{self.source}/to/{self.target}"

    @property
    def input(self) -> Parameter | None:
        """Return the parameter that holds the documents, `File` or `Files`; None if none does."""
        return self.parameters.get("File") or self.parameters.get("Files")

    def parameter(self, name: str) -> Parameter | None:
        """Return the parameter of a name in any case, None if it has none of that name."""
        wanted = name.lower()
        return next((item for own, item in self.parameters.items() if own.lower() == wanted), None)


@cache
def converters() -> Mapping[str, Converter]:
    """Return every converter by its route."""
    data = json.loads(files(__package__).joinpath("catalogue.json").read_text("utf-8"))
    return {route: _converter(route, item) for route, item in data["converters"].items()}


def _converter(route: str, item: Mapping[str, Any]) -> Converter:
    source, target = route.split("/to/")
    return Converter(
        source=source,
        target=target,
        extensions=frozenset(item["inputs"]),
        results=tuple(item["results"]),
        timeout=item.get("timeout", 900),
        parameters={name: _parameter(name, spec) for name, spec in item["parameters"].items()},
    )


def _parameter(name: str, spec: Mapping[str, Any]) -> Parameter:
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in spec.items()
    }
    return Parameter(name, **fields)


def resolve(source: str, target: str) -> Converter | None:
    """Return the converter for two names in a path, None if there is none.

    Case does not matter; old names and the extensions listed for a converter are aliases.
    """
    source, target = source.lower(), target.lower()
    source, target = _SOURCE_NAMES.get(source, source), _TARGET_NAMES.get(target, target)
    exact = converters().get(f"{source}/to/{target}")
    return exact or min(_takers(source, target), key=_generality, default=None)


def _takers(extension: str, target: str) -> Iterator[Converter]:
    return (c for c in converters().values() if c.target == target and extension in c.extensions)


def _generality(converter: Converter) -> int:
    """Rank a converter of one format above those of a family."""
    return FAMILIES.index(converter.source) + 1 if converter.source in FAMILIES else 0
