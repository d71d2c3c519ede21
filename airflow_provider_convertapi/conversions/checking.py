"""Check what a user gave, for one file and for many; `ParameterError` names what is wrong.

This module may change from release to release.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from airflow_provider_convertapi.api.converters import (
    ANY_TO,
    IMAGES,
    is_array,
    is_file_parameter,
)
from airflow_provider_convertapi.conversions.request import (
    LEAST_TIMEOUT,
    MOST_TIMEOUT,
    CheckedConversion,
    ConversionRequest,
    InputFile,
    Step,
    identity,
)
from airflow_provider_convertapi.conversions.secrets import secrets_in
from airflow_provider_convertapi.conversions.target import Target
from airflow_provider_convertapi.errors import ParameterError
from airflow_provider_convertapi.storage import Destination, Source, find_source, is_url, shown

if TYPE_CHECKING:
    from airflow_provider_convertapi.conversions.arguments import ConversionArguments
    from airflow_provider_convertapi.conversions.request import Input

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
_OF_IMAGES = frozenset({"pdf", "join"})
"""What several images of any kinds become together."""

_ON_QUOTA = ("fail", "raise")
_STEP_KEYS = frozenset({"to_format", "from_format", "parameters"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedSettings:
    """What applies to every file; the fields are the operators' arguments of the same names.

    :param files: URIs of the file parameters, by name.
    :param plain: the other parameters as text, without `Timeout`.
    :param service_timeout: the user's `Timeout` parameter in seconds, None where not given.
    """

    to_format: str
    from_format: str | None
    files: Mapping[str, str] = field(repr=False)
    plain: Mapping[str, str] = field(repr=False)
    service_timeout: int | None
    steps: tuple[Step, ...]
    timeout: float
    poll_interval: float
    durable: bool
    overwrite: bool
    conversion_key: str | None

    @property
    def to_formats(self) -> list[str]:
        """Return the target of every step."""
        return [self.to_format, *(step.to_format for step in self.steps)]

    @property
    def secrets(self) -> list[str]:
        """Return what must not be shown of the parameters."""
        steps = [{"parameters": {**step.parameters, **step.files}} for step in self.steps]
        return secrets_in(None, {**self.plain, **self.files}, steps, None)

    @property
    def from_formats(self) -> list[str | None]:
        """Return the source format of every step, None where it was not given."""
        return [self.from_format, *(step.from_format for step in self.steps)]

    def fields(self) -> dict[str, Any]:
        """Return the fields by name, for a class that has them, too."""
        return {item.name: getattr(self, item.name) for item in fields(CheckedSettings)}


def check_conversion(
    arguments: ConversionArguments, *, find_inputs: bool = True
) -> CheckedConversion:
    """Check every argument and find every input of one conversion; nothing is sent.

    Where the first converter takes one file and steps follow, each source is converted by
    itself, so that a later step can merge the results.

    :param find_inputs: False takes the inputs by name: the job is under way, and they may be gone.
    """
    choice("on_quota_exhausted", arguments.on_quota_exhausted, _ON_QUOTA)
    settings = check_settings(arguments)
    uris = _uris(arguments.source)
    destination = Destination.parse(plain_text("destination", arguments.destination))
    sources = [_input(uri, "source", find_inputs=find_inputs) for uri in uris]
    files = find_files(settings.files) if find_inputs else dict(settings.files)
    groups = _groups(settings, uris, sources)
    requests = [request_for(settings, group, files) for group in groups]
    inputs = [uri for request in requests for uri in request.input_uris]
    if not destination.is_directory:
        destination.check_not_input([destination.uri], inputs)
    return CheckedConversion(
        requests=requests,
        steps=settings.steps,
        target=Target(destination, settings.overwrite, tuple(inputs)),
        durable=settings.durable,
        conversion_key=settings.conversion_key,
    )


def what_is_asked(arguments: ConversionArguments) -> dict[str, Any]:
    """Return what decides which outputs a task makes, for one file and for many; reads no file."""
    settings = check_settings(arguments, find_step_files=False)
    source: Any = arguments.source
    shard = None
    if isinstance(source, Mapping):
        shard, source = [str(part) for part in source.get("shard") or ()], source.get("source")
    return {
        "source": [identity(plain_text("source", item)) for item in flatten(source)],
        "shard": shard,
        "destination": plain_text("destination", arguments.destination),
        "from": settings.from_format,
        "to": settings.to_format,
        "files": {name: identity(uri) for name, uri in settings.files.items()},
        "plain": dict(settings.plain),
        "timeout": settings.service_timeout,
        "steps": [{**step.identity(), "timeout": step.service_timeout} for step in settings.steps],
        "key": settings.conversion_key,
    }


def _groups(
    settings: CheckedSettings, uris: Sequence[str], sources: Sequence[Input]
) -> list[Sequence[Input]]:
    """Return what each call of the first converter gets."""
    if len(sources) == 1 or not settings.steps:
        return [sources]
    target = settings.to_format
    origins = {_source_format(settings.from_format, [uri], target) for uri in uris}
    are_images = settings.from_format is None and target in _OF_IMAGES and origins <= IMAGES
    if are_images or (len(origins) == 1 and is_array(origins.pop(), target)):
        return [sources]
    return [[source] for source in sources]


def check_settings(
    arguments: ConversionArguments, *, find_step_files: bool = True
) -> CheckedSettings:
    """Check the arguments that are the same for every file.

    :param find_step_files: False leaves the files of steps as the URIs they were given as.
    """
    files, plain, service_timeout = split_parameters(arguments.parameters)
    from_format, key = arguments.from_format, arguments.conversion_key
    settings = CheckedSettings(
        to_format=format_name("to_format", arguments.to_format),
        from_format=None if from_format is None else format_name("from_format", from_format),
        files=files,
        plain=plain,
        service_timeout=service_timeout,
        steps=check_steps(arguments.steps, find_files=find_step_files),
        timeout=seconds("timeout", arguments.timeout),
        poll_interval=seconds("poll_interval", arguments.poll_interval),
        durable=bool(arguments.durable),
        overwrite=bool(arguments.overwrite),
        conversion_key=None if key is None else str(key),
    )
    if settings.steps and not settings.durable:
        raise wrong("steps", "needs durable=True: its results are kept at ConvertAPI")
    return settings


def request_for(
    settings: CheckedSettings, sources: Sequence[Input], files: Mapping[str, Input]
) -> ConversionRequest:
    """Return what the first converter gets for these sources.

    :param files: the file parameters, by name.
    """
    uris = [source.uri if isinstance(source, Source) else source for source in sources]
    origin = _source_format(settings.from_format, uris, settings.to_format)
    inputs = _source_files(sources, origin, settings.to_format)
    inputs += [InputFile(name, name, file) for name, file in files.items()]
    return ConversionRequest(
        inputs=tuple(inputs),
        source_format=origin,
        target_format=settings.to_format,
        parameters=settings.plain,
        service_timeout=settings.service_timeout,
        timeout=settings.timeout,
        poll_interval=settings.poll_interval,
    )


# --- steps -----------------------------------------------------------------------------------


def check_steps(steps: object, *, find_files: bool = True) -> tuple[Step, ...]:
    """Check the steps after the first.

    :param find_files: False leaves file parameters as the URIs they were given as.
    """
    if steps is None:
        return ()
    if not isinstance(steps, Sequence) or isinstance(steps, str | bytes):
        raise wrong("steps", f"is a {type(steps).__name__}; it must be a list of mappings")
    checked = [_step(number, step) for number, step in enumerate(steps, 2)]
    return tuple(with_found_files(step) if find_files else step for step in checked)


def _step(number: int, step: object) -> Step:
    name = f"steps[{number - 2}]"
    if not isinstance(step, Mapping) or not set(step) <= _STEP_KEYS or "to_format" not in step:
        raise wrong(
            name, "must be a mapping with to_format and, if need be, from_format and parameters"
        )
    files, plain, service_timeout = split_parameters(step.get("parameters"))
    origin = step.get("from_format")
    return Step(
        number=number,
        from_format=None if origin is None else format_name(f"{name}['from_format']", origin),
        to_format=format_name(f"{name}['to_format']", step["to_format"]),
        parameters=plain,
        files=files,
        service_timeout=service_timeout,
    )


def with_found_files(step: Step) -> Step:
    """Return the step with its file parameters found; `InputNotFoundError` names one that is gone.

    :param step: its files are URIs.
    """
    named = {name: str(file) for name, file in step.files.items()}
    return replace(step, files=find_files(named, f"steps[{step.number - 2}]['parameters']"))


def find_files(uris: Mapping[str, str], argument: str = "parameters") -> dict[str, Input]:
    """Find file parameters; URLs are left to the service to fetch.

    :param argument: what the user calls the mapping that they are in.
    """
    return {
        name: _input(uri, f"{argument}[{name!r}]", find_inputs=True) for name, uri in uris.items()
    }


# --- plain values ----------------------------------------------------------------------------


def wrong(name: str, complaint: str) -> ParameterError:
    """Return the error that an argument is wrong."""
    return ParameterError(f"{name} {complaint}.", {name: [complaint]})


def plain_text(name: str, value: object) -> str:
    """Return an argument's text, also of a path object; an empty one is an error."""
    text = fspath(value) if isinstance(value, PathLike) else value
    if not isinstance(text, str):
        text = (
            str(text) if hasattr(text, "protocol") else text
        )  # in some versions of Airflow an ObjectStoragePath is not a PathLike
    if not isinstance(text, str):
        raise wrong(name, f"is a {type(value).__name__}; it must be text")
    if not text.strip() or text.strip() == "None":
        raise wrong(name, "is empty; if it is templated, see what the template rendered to")
    return text.strip()


def choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Check that an argument is one of its choices."""
    if value not in choices:
        *others, last = [repr(one) for one in choices]
        raise wrong(name, f"is {value!r}; it must be {', '.join(others)} or {last}")


def seconds(name: str, value: object, least: float | None = None) -> float:
    """Return an argument's seconds, also of a `timedelta` or of the text of a number.

    :param least: the least that it may be; None: anything above 0.
    """
    bound = "above 0" if least is None else f"of at least {least:g}"
    number = value.total_seconds() if isinstance(value, timedelta) else to_number(value)
    if number is None or (number <= 0 if least is None else number < least):
        raise wrong(name, f"is {value!r}; it must be a number of seconds {bound}")
    return number


def to_number(value: object) -> float | None:
    """Return a number, also one that a template rendered to text; None where it is not one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def flatten(source: object) -> list[object]:
    """Return the sources one by one: mapped tasks pass a sequence of lists."""
    if isinstance(source, Sequence) and not isinstance(source, str | bytes):
        return [item for part in source for item in flatten(part)]
    return [source]


def _uris(source: object) -> list[str]:
    items = flatten(source)
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
    if len(uris) > 1 and formats <= IMAGES and target in _OF_IMAGES:
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
        f"is not given and {shown(uri)} has no extension to infer it from; set from_format",
    )


def _source_files(inputs: Sequence[Input], origin: str, target: str) -> list[InputFile]:
    takes_several = is_array(origin, target)
    if len(inputs) > 1 and not takes_several:
        raise wrong(
            "source",
            f"lists {len(inputs)} files, but {origin} to {target} converts one at a time; map "
            "the task over them",
        )
    if takes_several:
        return [InputFile(f"Files[{index}]", str(index), item) for index, item in enumerate(inputs)]
    name = "Url" if origin in {"web", "url"} else "File"
    if name == "Url" and isinstance(inputs[0], Source):
        raise wrong(
            "from_format",
            f"is {origin!r}, which takes a URL, but source is a file; use 'html' for a file",
        )
    return [InputFile(name, "0", inputs[0])]


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
    given = _parameters(parameters)
    files = {
        name: plain_text(f"parameters[{name!r}]", value)
        for name, value in given.items()
        if is_file_parameter(name)
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


def _input(uri: str, name: str, *, find_inputs: bool) -> Input:
    return find_source(uri, field=name) if find_inputs and not is_url(uri) else uri
