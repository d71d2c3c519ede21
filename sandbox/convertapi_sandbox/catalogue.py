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
FAMILIES = ("template", "email", "images", "image", "pdfa", "office", "file")
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
# Extensions of a source for which the catalogue lists none (it has lists for some sources only).
_EXTENSIONS: Mapping[str, tuple[str, ...]] = {
    "dotx": ("dotx", "dot"),
    "email": ("eml", "msg"),
    "html": ("html", "htm"),
    "jpg": ("jpg", "jpeg", "jfif"),
    "md": ("md", "markdown"),
    "mhtml": ("mhtml", "mht"),
    "office": ("doc", "docx", "xls", "xlsx", "ppt", "pptx", "odt", "ods", "odp", "rtf", "csv"),
    "potx": ("potx", "pot"),
    "ppsx": ("ppsx", "pps"),
    "tiff": ("tiff", "tif"),
    "vsdx": ("vsdx", "vsd"),
    "xltx": ("xltx", "xlt"),
}


# Destinations that are not a format, with the extension of their results; "" is the source's.
_DEEDS: Mapping[str, str] = {
    **dict.fromkeys(("compare", "compress", "protect", "unprotect"), ""),
    **dict.fromkeys(("crop", "delete-pages", "fdf-import", "flatten", "merge", "pdfa"), "pdf"),
    **dict.fromkeys(("image-watermark", "pdf-watermark", "pdfua", "print", "rasterize"), "pdf"),
    **dict.fromkeys(("redact", "resize", "rotate", "split", "text-watermark"), "pdf"),
    **dict.fromkeys(("extract", "meta", "metadata", "moderate", "validate"), "json"),
    "extract-images": "any",
    "fdf-extract": "fdf",
    "tiff-fax": "tiff",
    "translate": "po",
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
        complete: Whether every parameter is known; otherwise some may be missing.
        extensions: Extensions of its inputs; empty for any.
        results: Extensions of the results.
        timeout: Default of `Timeout` in seconds.
        parameters: By canonical name, without the common ones.
    """

    source: str
    target: str
    complete: bool
    extensions: frozenset[str]
    results: tuple[str, ...]
    timeout: int
    parameters: Mapping[str, Parameter] = field(repr=False)

    @property
    def route(self) -> str:
        """Return "source/to/destination"."""
        return f"{self.source}/to/{self.target}"

    @property
    def input(self) -> Parameter:
        """Return the parameter that holds what is converted: `File`, `Files` or `Url`."""
        return next(
            self.parameters[name] for name in ("File", "Files", "Url") if name in self.parameters
        )


@cache
def converters() -> Mapping[str, Converter]:
    """Return every converter by its route."""
    data = json.loads(files(__package__).joinpath("catalogue.json").read_text("utf-8"))
    return {route: _converter(route, item) for route, item in data["converters"].items()}


def _converter(route: str, item: Mapping[str, Any]) -> Converter:
    source, target = route.split("/to/")
    parameters = {name: _parameter(name, spec) for name, spec in item["parameters"].items()}
    if source == "web":  # the lists omit what every web converter needs
        parameters.setdefault("Url", Parameter("Url", "string", required=True))
    listed = [
        e for name in ("File", "Files") if name in parameters for e in parameters[name].extensions
    ]
    extensions = listed or item.get("extensions") or _EXTENSIONS.get(source, (source,))
    if source in ("file", "web") and not listed and not item.get("extensions"):
        extensions = ()
    return Converter(
        source=source,
        target=target,
        complete=item["complete"],
        extensions=frozenset(extensions),
        results=tuple(item.get("results") or _results(source, target)),
        timeout=item.get("timeout", 900),
        parameters=parameters,
    )


def _results(source: str, target: str) -> tuple[str, ...]:
    if target in _DEEDS:
        return (_DEEDS[target] or source,)
    return (target,)


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


def borrowed(converter: Converter, name: str) -> Parameter | None:
    """Return a parameter that a converter with an incomplete list probably has too.

    It is looked up in converters whose list is complete: first those of the same source, then of
    the same destination, then the others. The case of `name` does not matter.
    """
    if converter.complete:
        return None
    relatives = [
        other
        for other in converters().values()
        if converter.source == other.source or converter.target == other.target
    ]
    relatives.sort(key=lambda other: (not other.complete, other.source != converter.source))
    for other in relatives:
        for parameter in other.parameters.values():
            if parameter.name.lower() == name.lower() and not parameter.is_file:
                return parameter
    return None
