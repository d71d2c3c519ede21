"""What a user asked for, checked and resolved before anything is paid for or written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from airflow_provider_convertapi.errors import InputChangedError, ParameterError
from airflow_provider_convertapi.storage import Destination, Source, find_source, is_url

if TYPE_CHECKING:
    from airflow_provider_convertapi.api.wire import Openable

LEAST_TIMEOUT, MOST_TIMEOUT = 10, 1200
"""Seconds that the service's `Timeout` may be (ConvertAPI's OpenAPI document)."""

INLINE_LIMIT = 1024 * 1024
"""Inputs of up to this many bytes in all travel as the body of the submit: one request less."""

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
_FORMAT = re.compile(r"^[a-z0-9][a-z0-9_-]*$")
_EXTENSION = re.compile(r"^[a-z0-9]{1,8}$")
_LONGEST_NAME = 200
_NAMES_SHOWN = 3
_ANY_TO = frozenset({"zip"})
_ARRAY_CONVERTERS = frozenset(
    {("pdf", "merge"), ("images", "pdf"), ("images", "join")}
    | {(f, "gif") for f in ("gif", "jpg", "png", "webp")}
)
"""The converters that take `Files[i]`, beside anything to zip (ConvertAPI's OpenAPI document)."""

_IMAGES = frozenset(
    {"jpg", "jpeg", "png", "gif", "tiff", "tif", "webp", "heic", "heif", "svg", "psd", "jfif"}
)

Input = Source | str
"""A file that we read, or the URL of one that the service fetches itself."""


@dataclass(frozen=True, slots=True)
class Part:
    """An input in its place: the parameter that carries it, its stable name within the order."""

    parameter: str
    place: str
    input: Input


@dataclass(frozen=True, slots=True)
class Order:
    """One conversion, checked.

    :param parameters: the converter's own parameters as text, without files and `Timeout`.
    :param service_timeout: the user's `Timeout` parameter in seconds, None where not given.
    :param timeout: seconds that the task waits for the conversion.
    :param shared: file ids of parts that lie at the service already, by their place: a batch
        uploads a file parameter once for all.
    """

    parts: tuple[Part, ...]
    source_format: str
    target_format: str
    parameters: Mapping[str, str] = field(repr=False)
    service_timeout: int | None
    destination: Destination
    overwrite: bool
    timeout: float
    poll_interval: float
    shared: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def sources(self) -> list[Source]:
        """Return the inputs that we read ourselves."""
        return [part.input for part in self.parts if isinstance(part.input, Source)]

    @property
    def input_uris(self) -> list[str]:
        """Return every input's URI, file parameters included."""
        return [
            part.input.uri if isinstance(part.input, Source) else part.input for part in self.parts
        ]

    @property
    def uploads(self) -> list[Part]:
        """Return the parts that are uploaded first, being too large for the body of the submit."""
        own = [
            (part, part.input.size)
            for part in self.parts
            if isinstance(part.input, Source) and part.place not in self.shared
        ]
        fits = sum(size for _, size in own) <= INLINE_LIMIT
        return [] if fits else [part for part, _ in own]

    def seed(self) -> dict[str, Any]:
        """Return what makes this conversion this one; the scope is the caller's to add."""
        return {
            "inputs": [[part.parameter, *_identity(part.input)] for part in self.parts],
            "from": self.source_format,
            "to": self.target_format,
            "parameters": dict(self.parameters)
            | ({"Timeout": self.service_timeout} if self.service_timeout else {}),
        }

    def timeout_for(self, enlarged: int) -> int:
        """Return the service's `Timeout` in seconds, doubled for each earlier attempt it ended."""
        asked = self.service_timeout or int(min(max(self.timeout, LEAST_TIMEOUT), MOST_TIMEOUT))
        return int(min(asked * 2**enlarged, MOST_TIMEOUT))

    def fields(
        self, timeout: int, stored: Mapping[str, str] | None = None
    ) -> list[tuple[str, str | Openable]]:
        """Return the form's fields.

        :param timeout: the service's `Timeout` in seconds.
        :param stored: file ids of uploaded parts, by their place.
        """
        kept = {**self.shared, **(stored or {})}
        values = [(part.parameter, kept.get(part.place) or part.input) for part in self.parts]
        return [*values, *self.parameters.items(), ("Timeout", str(timeout))]

    def check_unchanged(self) -> None:
        """Raise `InputChangedError` when a source was written since it was looked at."""
        for source in self.sources:
            if source.changed():
                raise InputChangedError(
                    f"{source.uri} changed while it was being read; nothing was paid. "
                    "Another try reads it anew."
                )

    def describe(self) -> str:
        """Say what is converted, in a form that may be logged."""
        names = [
            part.input.name if isinstance(part.input, Source) else _without_query(part.input)
            for part in self.parts
        ]
        more = len(names) - _NAMES_SHOWN
        shown = ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
        return f"{shown} ({self.source_format} to {self.target_format})"


def _identity(item: Input) -> list[str]:
    # A URL has no fingerprint but itself: what lies behind it, only the service sees.
    return [item.uri, item.fingerprint] if isinstance(item, Source) else [item]


def _without_query(url: str) -> str:
    return url.partition("?")[0]


def place_order(
    *,
    source: object,
    to_format: object,
    destination: object,
    from_format: object = None,
    parameters: object = None,
    timeout: float,
    poll_interval: float,
    overwrite: bool,
    find_inputs: bool = True,
) -> Order:
    """Check every argument, find every input, and return the order.

    :param find_inputs: False takes the inputs by name: the job is underway, and they may be gone.

    `ParameterError` and `InputNotFoundError` name the argument and the remedy.
    """
    for name, seconds in (("timeout", timeout), ("poll_interval", poll_interval)):
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or seconds <= 0:
            raise wrong(name, f"is {seconds!r}; it must be a number of seconds above 0")
    uris = _uris(source)
    target = format_name("to_format", to_format)
    place = Destination.parse(plain_text("destination", destination))
    files, plain, service_timeout = split_parameters(parameters)
    inputs = [_input(uri, "source", find_inputs=find_inputs) for uri in uris]
    origin = _source_format(from_format, uris, target)
    parts = [*_source_parts(inputs, origin, target), *_file_parts(files, find_inputs=find_inputs)]
    order = Order(
        tuple(parts),
        origin,
        target,
        plain,
        service_timeout,
        place,
        overwrite,
        timeout,
        poll_interval,
    )
    if not place.is_directory:
        place.check_not_input([place.uri], order.input_uris)
    return order


def wrong(name: str, complaint: str) -> ParameterError:
    """Return the error that an argument is wrong."""
    return ParameterError(f"{name} {complaint}.", {name: [complaint]})


def plain_text(name: str, value: object) -> str:
    """Return an argument's text, also of a path object; an empty one is an error."""
    text = fspath(value) if isinstance(value, PathLike) else value
    if not isinstance(text, str):
        text = (
            str(text) if hasattr(text, "protocol") else text
        )  # an ObjectStoragePath is no PathLike everywhere
    if not isinstance(text, str):
        raise wrong(name, f"is a {type(value).__name__}; it must be text")
    if not text.strip() or text.strip() == "None":
        raise wrong(name, "is empty; if it is templated, see what the template rendered to")
    return text.strip()


def listed(source: object) -> list[object]:
    """Return the sources one by one: mapped tasks hand over a sequence of lists."""
    if isinstance(source, Sequence) and not isinstance(source, str | bytes):
        return [item for part in source for item in listed(part)]
    return [source]


def _uris(source: object) -> list[str]:
    items = listed(source)
    if not items:
        raise wrong("source", "is an empty list; give at least one file")
    if items == [source]:
        return [plain_text("source", source)]
    return [plain_text(f"source[{index}]", item) for index, item in enumerate(items)]


def format_name(name: str, value: object) -> str:
    """Return an argument that names a format, as ConvertAPI spells it."""
    text = plain_text(name, value).lower().removeprefix(".")
    if not _FORMAT.match(text):
        raise wrong(name, f"is {text[:40]!r}; it must be a format such as 'pdf'")
    return text


def _source_format(from_format: object, uris: Sequence[str], target: str) -> str:
    if from_format is not None:
        return format_name("from_format", from_format)
    if target in _ANY_TO:
        return "any"
    formats = {_extension(uri) for uri in uris}
    if len(uris) > 1 and formats <= _IMAGES and target in {"pdf", "join"}:
        return "images"
    if len(formats) > 1:
        raise wrong(
            "source",
            f"mixes {', '.join(sorted(formats))}; convert them to one format first, or set "
            "from_format",
        )
    return formats.pop()


def _extension(uri: str) -> str:
    """Return the lower-case extension; `web` for a URL without one."""
    path = urlsplit(uri).path if is_url(uri) else uri
    name = unquote(path.rpartition("/")[2])
    extension = name.rpartition(".")[2].lower() if "." in name.lstrip(".") else ""
    if _EXTENSION.match(extension):
        return extension
    if is_url(uri):
        return "web"
    raise wrong(
        "from_format",
        f"is not given and {_without_query(uri)} has no extension to tell it; set from_format",
    )


def _source_parts(inputs: Sequence[Input], origin: str, target: str) -> list[Part]:
    is_array = (origin, target) in _ARRAY_CONVERTERS or target in _ANY_TO
    if len(inputs) > 1 and not is_array:
        raise wrong(
            "source",
            f"lists {len(inputs)} files, but {origin} to {target} converts one at a time; map "
            "the task over them",
        )
    if is_array:
        return [Part(f"Files[{index}]", str(index), item) for index, item in enumerate(inputs)]
    name = "Url" if origin in {"web", "url"} else "File"
    if name == "Url" and isinstance(inputs[0], Source):
        raise wrong(
            "from_format",
            f"is {origin!r}, which takes a URL, but source is a file; use 'html' for a file",
        )
    return [Part(name, "0", inputs[0])]


def _parameters(parameters: object) -> dict[str, Any]:
    if parameters is None:
        return {}
    if not isinstance(parameters, Mapping):
        raise wrong(
            "parameters",
            f"is a {type(parameters).__name__}; it must be a mapping of names to values",
        )
    for name in parameters:
        reason = _OURS.get(str(name).partition("[")[0].lower())
        if reason:
            raise wrong(f"parameters[{name!r}]", f"is set by this provider: {reason}")
    return {str(name): value for name, value in parameters.items()}


def split_parameters(
    parameters: object,
) -> tuple[dict[str, str], dict[str, str], int | None]:
    """Check a converter's parameters; return URIs of files, the others as text, and `Timeout`."""
    return _split(_parameters(parameters))


def _split(given: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str], int | None]:
    """Return file parameters, the others as text, and `Timeout`."""
    files = {
        name: plain_text(f"parameters[{name!r}]", value)
        for name, value in given.items()
        if name.lower().endswith("file")
    }
    plain = {
        name: _value(name, value)
        for name, value in given.items()
        if name not in files and value is not None
    }
    timeout = next((plain.pop(name) for name in list(plain) if name.lower() == "timeout"), None)
    for name, value in plain.items():
        if name.lower() == "filename" and not 1 <= len(value) <= _LONGEST_NAME:
            raise wrong(
                f"parameters[{name!r}]",
                f"has {len(value)} characters; it must have 1 to {_LONGEST_NAME}",
            )
    return files, plain, None if timeout is None else _timeout(timeout)


def _timeout(text: str) -> int:
    if not text.isdigit() or not LEAST_TIMEOUT <= int(text) <= MOST_TIMEOUT:
        raise wrong(
            "parameters['Timeout']",
            f"is {text}; it must be {LEAST_TIMEOUT} to {MOST_TIMEOUT} seconds",
        )
    return int(text)


def _value(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, dict | list | tuple):
        return json.dumps(value)
    raise wrong(
        f"parameters[{name!r}]",
        f"is a {type(value).__name__}; it must be text, a number or true/false",
    )


def _file_parts(files: Mapping[str, str], *, find_inputs: bool) -> list[Part]:
    return [
        Part(name, name, _input(uri, f"parameters[{name!r}]", find_inputs=find_inputs))
        for name, uri in files.items()
    ]


def _input(uri: str, name: str, *, find_inputs: bool) -> Input:
    return find_source(uri, field=name) if find_inputs and not is_url(uri) else uri
