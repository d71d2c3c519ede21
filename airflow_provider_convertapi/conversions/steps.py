"""The requests of the further steps of a conversion.

This module may change from release to release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.converters import catalogue, current_name
from airflow_provider_convertapi.conversions.request import ConversionRequest, InputFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_provider_convertapi.conversions.durable import StepOutput
    from airflow_provider_convertapi.conversions.request import CheckedConversion, Step


def later_requests(
    conversion: CheckedConversion,
    number: int,
    outputs: Sequence[StepOutput],
    stored: Mapping[str, str],
) -> list[tuple[ConversionRequest, dict[str, Any]]]:
    """Return the requests of a step after the first, each with its own part of the seed.

    A converter that takes several files gets all outputs of the step before; any other gets one.

    :param number: the step, counted from 1.
    :param outputs: the results of the step before.
    :param stored: ids of file parameters that are at the service, by `Step.key_of`.
    """
    step = conversion.steps[number - 2]
    origin = step.from_format or result_format(
        conversion.requests[0], conversion.steps[: number - 2]
    )
    converter = catalogue().find(origin, step.to_format)
    if converter and converter.takes_several:
        names = [f"Files[{index}]" for index in range(len(outputs))]
        groups = [list(zip(names, outputs, strict=True))]
    else:
        groups = [[("File", output)] for output in outputs]
    return [
        (_request(conversion, step, origin, group, stored), _seed(step, group)) for group in groups
    ]


def converters_of(
    origin: str, target: str, parameters: Mapping[str, str], steps: Sequence[Step]
) -> list[str]:
    """Return the converter of each step, as ConvertAPI names it: ``docx/to/pdf``.

    :param origin: the first step's source format; ``*`` if each file has its own.
    :param target: its target; `parameters` its converter's parameters.
    """
    return [name for name, _ in _converters(origin, target, parameters, steps)]


def result_format(request: ConversionRequest, steps: Sequence[Step]) -> str:
    """Return the format of the results after these steps, as far as it is known.

    :param request: the first step's.
    :param steps: the further ones.
    """
    first = request.source_format, request.target_format, request.parameters
    *_, (_, made) = _converters(*first, steps)
    return made


def _converters(
    origin: str, target: str, parameters: Mapping[str, str], steps: Sequence[Step]
) -> Iterator[tuple[str, str]]:
    """Yield the converter of each step, as ConvertAPI names it, and the format that it makes."""
    made = origin
    each: list[tuple[str | None, str, Mapping[str, str]]] = [(None, target, parameters)]
    each += [(step.from_format, step.to_format, step.parameters) for step in steps]
    for given, to_format, own in each:
        before = given or made
        found = catalogue().find(before, to_format)
        pair = (found.source, found.target) if found else (before, to_format)
        made = (found and found.result_format(current_name(before), own)) or to_format
        yield "/to/".join(pair), made


def _request(
    conversion: CheckedConversion,
    step: Step,
    origin: str,
    group: Sequence[tuple[str, StepOutput]],
    stored: Mapping[str, str],
) -> ConversionRequest:
    first, length = conversion.requests[0], 1 + len(conversion.steps)
    # The inputs are never read here: they are at the service, and `stored` has their ids.
    inputs = [InputFile(name, str(index), "") for index, (name, _) in enumerate(group)]
    kept = {str(index): out.file.file_id for index, (_, out) in enumerate(group) if out.file}
    for name, file in step.files.items():
        key = step.key_of(name)
        inputs.append(InputFile(name, key, file))
        if key in stored:
            kept[key] = stored[key]
    return ConversionRequest(
        inputs=tuple(inputs),
        source_format=origin,
        target_format=step.to_format,
        parameters=step.parameters,
        service_timeout=step.service_timeout,
        settings=first.settings,
        stored=kept,
        title=f"{conversion.describe()}, step {step.number} of {length} "
        f"({origin} to {step.to_format})",
    )


def _seed(step: Step, group: Sequence[tuple[str, StepOutput]]) -> dict[str, Any]:
    inputs = [[name, output.derivation, output.index] for name, output in group]
    return {"inputs": inputs, **step.identity()}
