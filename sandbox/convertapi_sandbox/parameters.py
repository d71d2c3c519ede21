"""Parameters, checked against the catalogue: types, allowed values, ranges, required ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from convertapi_sandbox.catalogue import Parameter
from convertapi_sandbox.errors import parameter_error
from convertapi_sandbox.request import Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from convertapi_sandbox.catalogue import Converter
    from convertapi_sandbox.request import Form, Value
    from convertapi_sandbox.settings import Settings

Typed = str | int | float | bool

COMMON = {
    item.name.lower(): item
    for item in (
        Parameter("Timeout", "integer", min=10, max=1200),
        Parameter("StoreFile", "boolean", default=False),
        Parameter("FileName", "string", min=1, max=200),
    )
}
# Not parameters of a converter, but allowed in every request; inputs are checked on their own.
_CONTROL = frozenset(
    {"async", "auth", "apikey", "download", "jobid", "secret", "token", "webhook", "file", "files"}
)
_REQUIRED = "The {} field is required."
_EMPTY_FILE = "File size must be greater than 0 bytes."


@dataclass(slots=True)
class Checked:
    """The parameters of one conversion, typed.

    Attributes:
        inputs: What is converted, in order: documents, or the text of a Url or file id.
        extra_files: Other file parameters by canonical name.
        values: The converter's own parameters, only those that were given.
        timeout: Seconds.
        store: StoreFile.
        file_name: FileName; None if it was not given.
        ignored: Names that were sent although the converter has no such parameter.
    """

    timeout: float
    inputs: list[Value] = field(default_factory=list)
    extra_files: dict[str, Value] = field(default_factory=dict)
    values: dict[str, Typed] = field(default_factory=dict)
    store: bool = False
    file_name: str | None = None
    ignored: list[str] = field(default_factory=list)


def check(form: Form, converter: Converter, settings: Settings) -> Checked:
    """Return the parameters of a request, typed and under their canonical names.

    Raises:
        ServiceError: 400/4000 with all invalid parameters in InvalidParameters.
    """
    invalid: dict[str, list[str]] = {}
    checked = Checked(timeout=converter.timeout)
    for name, value in form.items():
        parameter = converter.parameter(name) or COMMON.get(name.lower())
        if parameter is None:
            if name.lower() not in _CONTROL:
                checked.ignored.append(name)
        elif parameter.is_file:
            if parameter.name not in ("File", "Files"):
                checked.extra_files[parameter.name] = value
        elif value != "":
            _take(checked, parameter, value, invalid)
    _take_inputs(checked, form, converter, settings, invalid)
    _require(checked, converter, invalid)
    if settings.unknown_parameters == "refused":
        for name in checked.ignored:
            invalid[name] = [f"The converter {converter.route} has no parameter {name}."]
    if invalid:
        raise parameter_error(invalid)
    return checked


def _take(
    checked: Checked, parameter: Parameter, value: Value, invalid: dict[str, list[str]]
) -> None:
    try:
        typed = typed_value(parameter, value)
    except ValueError as error:
        invalid[parameter.name] = [str(error)]
        return
    match parameter.name:
        case "Timeout":
            checked.timeout = float(typed)
        case "StoreFile":
            checked.store = bool(typed)
        case "FileName":
            checked.file_name = str(typed)
        case _:
            checked.values[parameter.name] = typed


def _take_inputs(
    checked: Checked,
    form: Form,
    converter: Converter,
    settings: Settings,
    invalid: dict[str, list[str]],
) -> None:
    wanted = converter.input
    if wanted is None:  # it takes a text: Url or Data
        return
    if wanted.type == "file[]":
        checked.inputs = form.array("Files")
        lone = form.last("File")
        if not checked.inputs and lone is not None and settings.lone_file == "accepted":
            checked.inputs = [lone]
        if not checked.inputs:
            invalid["Files"] = [_REQUIRED.format("Files")]
    else:
        value = form.last("File")
        if value is None:
            invalid["File"] = [_EMPTY_FILE, _REQUIRED.format("File")]
        else:
            checked.inputs = [value]
    for item in [*checked.inputs, *checked.extra_files.values()]:
        if item == "" or (isinstance(item, Upload) and not item.size):
            invalid.setdefault(wanted.name, []).append(_EMPTY_FILE)


def _require(checked: Checked, converter: Converter, invalid: dict[str, list[str]]) -> None:
    for name, parameter in converter.parameters.items():
        given = name in checked.values or name in checked.extra_files or name in invalid
        if parameter.required and parameter.default is None and not given and not parameter.is_file:
            invalid[name] = [_REQUIRED.format(name)]


def typed_value(parameter: Parameter, value: Value) -> Typed:
    """Convert a value to its type; ValueError says what is wrong with it."""
    if isinstance(value, Upload):
        raise ValueError(f"The field {parameter.name} takes a value, not a file.")  # noqa: TRY004 - one class for all refusals
    return _READERS.get(parameter.type, _text)(parameter, value)


def _text(parameter: Parameter, value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if parameter.max is not None and not (parameter.min or 0) <= len(text) <= parameter.max:
        raise ValueError(
            f"The field {parameter.name} must be a string with a length between "
            f"{_figure(parameter.min or 0)} and {_figure(parameter.max)}."
        )
    return text


def _boolean(parameter: Parameter, value: Any) -> bool:
    text = str(value).strip().lower()
    if text not in ("true", "false"):
        raise ValueError(f"The value {str(value)[:80]!r} is not valid for {parameter.name}.")
    return text == "true"


def _enum(parameter: Parameter, value: Any) -> str:
    text = str(value).strip().lower()
    for allowed in parameter.values:
        if str(allowed).lower() == text:
            return allowed
    raise ValueError(
        f"The value {str(value)[:80]!r} is not valid for {parameter.name}. "
        f"Allowed: {', '.join(map(str, parameter.values))}."
    )


def _integer(parameter: Parameter, value: Any) -> int:
    number = _number(parameter, value)
    if number != int(number):
        raise ValueError(f"The value {str(value)[:80]!r} is not valid for {parameter.name}.")
    return int(number)


def _number(parameter: Parameter, value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) or "_" in str(value) else float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"The value {str(value)[:80]!r} is not valid for {parameter.name}.")
    low, high = parameter.min, parameter.max
    if (low is not None and number < low) or (high is not None and number > high):
        raise ValueError(
            f"The field {parameter.name} must be between {_figure(low)} and {_figure(high)}."
        )
    return number


def _figure(value: float | None) -> str:
    return "any" if value is None else f"{value:g}" if value != int(value) else str(int(value))


_READERS: Mapping[str, Callable[[Parameter, Any], Typed]] = {
    "boolean": _boolean,
    "enum": _enum,
    "integer": _integer,
    "number": _number,
}
