"""The arguments of a conversion, checked: the order that they make, or the one that is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from airflow_provider_convertapi.api.converters import ANY_TO, IMAGES, is_array
from airflow_provider_convertapi.conversions.request import (
    LEAST_TIMEOUT,
    MOST_TIMEOUT,
    Order,
    Part,
    without_query,
)
from airflow_provider_convertapi.errors import ParameterError
from airflow_provider_convertapi.storage import Destination, Source, find_source, is_url

if TYPE_CHECKING:
    from airflow_provider_convertapi.conversions.request import (
        Input,
    )

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
    if target in ANY_TO:
        return "any"
    formats = {_extension(uri) for uri in uris}
    if len(uris) > 1 and formats <= IMAGES and target in {"pdf", "join"}:
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
        f"is not given and {without_query(uri)} has no extension to tell it; set from_format",
    )


def _source_parts(inputs: Sequence[Input], origin: str, target: str) -> list[Part]:
    takes_several = is_array(origin, target)
    if len(inputs) > 1 and not takes_several:
        raise wrong(
            "source",
            f"lists {len(inputs)} files, but {origin} to {target} converts one at a time; map "
            "the task over them",
        )
    if takes_several:
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
