"""Check the arguments of a conversion or batch; `ParameterError` names the wrong ones.

This module may change from release to release.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.converters import catalogue, extension_of
from airflow_provider_convertapi.api.parameters import is_a
from airflow_provider_convertapi.configuration import load_catalogue
from airflow_provider_convertapi.conversions.acceptance import Acceptance
from airflow_provider_convertapi.conversions.catalogued import check_catalogue
from airflow_provider_convertapi.conversions.fields import check_step_keys, split_parameters
from airflow_provider_convertapi.conversions.origins import (
    NOTHING,
    converter_of_all,
    format_of,
    source_format,
)
from airflow_provider_convertapi.conversions.request import (
    INLINE_LIMIT,
    CheckedConversion,
    ConversionRequest,
    InputFile,
    Step,
    check_settings,
    identity,
    uri_of,
)
from airflow_provider_convertapi.conversions.signatures import are_different
from airflow_provider_convertapi.conversions.steps import result_format
from airflow_provider_convertapi.conversions.target import Target
from airflow_provider_convertapi.conversions.values import (
    OPTIONS,
    flatten,
    format_name,
    is_several,
    plain_text,
    source_text,
    wrong,
)
from airflow_provider_convertapi.errors import InputNotFoundError
from airflow_provider_convertapi.storage import (
    Destination,
    Source,
    check_url,
    find_source,
    is_glob,
    is_url,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_convertapi.conversions.arguments import ConversionArguments
    from airflow_provider_convertapi.conversions.request import CheckedSettings, Input


def check_conversion(
    arguments: ConversionArguments, *, find_inputs: bool = True
) -> CheckedConversion:
    """Check every argument and find every input of one conversion; nothing is sent.

    If the first converter takes one file and steps follow, each source is converted alone, so that
    a later step can merge the results.

    :param find_inputs: False does not look for the inputs: the job runs, and they may be gone.
    """
    load_catalogue()
    OPTIONS.check("on_quota_exhausted", arguments.on_quota_exhausted)
    steps = check_steps(arguments.steps, find_files=False)
    found = tuple(with_found_files(step, hash_limit=INLINE_LIMIT) for step in steps)
    settings = check_settings(arguments, found)
    uris = _uris(arguments.source, settings)
    destination = Destination.parse(plain_text("destination", arguments.destination))
    sources: Sequence[Input] = uris
    files: Mapping[str, Input] = settings.files
    if find_inputs:
        # Inputs of up to `INLINE_LIMIT` bytes are read anyway, to be sent.  Known by their content,
        # they keep their job ids, and are not paid again, if only their time has changed.
        sources = [_find_source_file(uri) for uri in uris]
        files = find_files(settings.files, hash_limit=INLINE_LIMIT)
    groups = _groups(settings, uris, sources)
    requests = [request_for(settings, group, files) for group in groups]
    if find_inputs:  # else the job is running and paid, and must be collected
        origins = [request.source_format for request in requests]
        check_catalogue(
            origins, settings.to_format, arguments.parameters or {}, steps_given(settings.steps)
        )
    inputs = [uri for request in requests for uri in request.input_uris] + settings.step_files
    # The names in a directory come from the service: publication checks them.
    if not destination.is_directory:
        destination.check_not_input([destination.uri], inputs)
        _check_extension(destination, requests[0], settings)
    return CheckedConversion(
        requests=requests,
        steps=settings.steps,
        target=Target(
            destination,
            settings.overwrite,
            tuple(inputs),
            acceptance=acceptance_of(settings, requests),
        ),
        durable=settings.durable,
        conversion_key=settings.conversion_key,
    )


def what_is_asked(arguments: ConversionArguments) -> dict[str, Any]:
    """Return the arguments that decide which outputs a task makes, as JSON values; read no file."""
    settings = check_settings(arguments, check_steps(arguments.steps, find_files=False))
    source: Any = arguments.source
    shard = None
    if isinstance(source, Mapping) and "source" in source:
        shard, source = [str(part) for part in source.get("shard") or ()], source.get("source")
    return {
        "source": [_source_identity(item) for item in flatten(source) if item is not None],
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


def check_file(settings: CheckedSettings, request: ConversionRequest) -> None:
    """Check one file of a batch against the catalogue; `ParameterError` if it does not fit."""
    given = {**settings.plain, **settings.files}
    check_catalogue([request.source_format], settings.to_format, given, steps_given(settings.steps))


def steps_given(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Return checked steps in the form that `check_catalogue` takes."""
    return [
        {
            "from_format": step.from_format,
            "to_format": step.to_format,
            "parameters": {
                **step.parameters,
                **{name: uri_of(file) for name, file in step.files.items()},
            },
        }
        for step in steps
    ]


def _check_extension(
    destination: Destination, request: ConversionRequest, settings: CheckedSettings
) -> None:
    """Raise `ParameterError` if the result cannot have the format that its file name claims."""
    claimed, made = extension_of(destination.uri), result_format(request, settings.steps)
    if are_different(claimed, made):
        raise wrong(
            "destination",
            f"is {shown(destination.uri)}, but the result is {made.upper()}: name it *.{made}, or "
            "end destination with '/' for a directory",
        )


def _source_identity(item: object) -> list[str]:
    """Return what identifies one source: a file, a listing, or the summary of a batch."""
    if isinstance(item, Mapping):
        return [json.dumps({str(key): item[key] for key in item}, sort_keys=True, default=str)]
    return identity(plain_text("source", item))


def _groups(
    settings: CheckedSettings, uris: Sequence[str], sources: Sequence[Input]
) -> list[Sequence[Input]]:
    """Return the inputs of each call of the first converter."""
    if len(sources) == 1 or not settings.steps:
        return [sources]
    formats = _formats(settings, uris)
    if converter_of_all(settings.from_format, formats, settings.to_format):
        return [sources]
    return [[source] for source in sources]


def request_for(
    settings: CheckedSettings, sources: Sequence[Input], files: Mapping[str, Input]
) -> ConversionRequest:
    """Return the first converter's request for these sources.

    :param files: the file parameters, by name.
    """
    uris = [uri_of(source) for source in sources]
    origin = source_format(settings.from_format, _formats(settings, uris), settings.to_format)
    inputs = _source_files(sources, origin, settings.to_format)
    inputs += [InputFile(name, name, file) for name, file in files.items()]
    return ConversionRequest(
        inputs=tuple(inputs),
        source_format=origin,
        target_format=settings.to_format,
        parameters=settings.plain,
        service_timeout=settings.service_timeout,
        settings=settings,
    )


def acceptance_of(settings: CheckedSettings, requests: Sequence[ConversionRequest]) -> Acceptance:
    """Return the checks of the results; `ParameterError` if `result_check` cannot judge them.

    The checks of this provider report what they cannot judge before anything is paid.
    """
    check = settings.result_check
    documents = [item for request in requests for item in request.documents]
    uris = [uri_of(item) for item in documents]
    origin, made = requests[0].source_format, result_format(requests[0], settings.steps)
    unfit = getattr(check, "unfit_for", None)
    if unfit and (complaint := unfit(uris, origin, made)):
        raise wrong("result_check", complaint)
    return Acceptance(check, tuple(uris))


# --- steps -----------------------------------------------------------------------------------


def check_steps(steps: object, *, find_files: bool = True) -> tuple[Step, ...]:
    """Check the steps after the first.

    :param find_files: False leaves file parameters as the URIs they were given as.
    """
    if steps is None:
        return ()
    if not is_several(steps):
        raise wrong("steps", f"{is_a(steps)}; it must be a list of mappings")
    checked = [_step(number, step) for number, step in enumerate(steps, 2)]
    return tuple(with_found_files(step) if find_files else step for step in checked)


def _step(number: int, step: object) -> Step:
    name = f"steps[{number - 2}]"
    check_step_keys(name, step)
    given: Any = step
    files, plain, service_timeout = split_parameters(
        given.get("parameters"), f"{name}['parameters']"
    )
    origin = given.get("from_format")
    return Step(
        number=number,
        from_format=None if origin is None else format_name(f"{name}['from_format']", origin),
        to_format=format_name(f"{name}['to_format']", given["to_format"]),
        parameters=plain,
        files=files,
        service_timeout=service_timeout,
    )


def with_found_files(step: Step, hash_limit: float | None = None) -> Step:
    """Return the step with its file parameters found; `InputNotFoundError` names a missing one.

    :param step: its files are URIs.
    :param hash_limit: as for `find_source`.
    """
    named = {name: str(file) for name, file in step.files.items()}
    argument = f"steps[{step.number - 2}]['parameters']"
    return replace(step, files=find_files(named, argument, hash_limit=hash_limit))


def find_files(
    uris: Mapping[str, str], argument: str = "parameters", *, hash_limit: float | None = None
) -> dict[str, Input]:
    """Find file parameters; URLs are left to the service to fetch.

    :param argument: the user's name of the mapping that they are in.
    :param hash_limit: as for `find_source`.
    """
    return {
        name: _found(uri, f"{argument}[{name!r}]", hash_limit=hash_limit)
        for name, uri in uris.items()
    }


def _uris(source: object, settings: CheckedSettings) -> list[str]:
    items = flatten(source)
    if source is None and _takes_nothing(settings):
        return []
    if not items:
        raise wrong("source", "is an empty list; give at least one file")
    if not is_several(source):
        return [source_text("source", source)]
    return [source_text(f"source[{index}]", item) for index, item in enumerate(items)]


def _takes_nothing(settings: CheckedSettings) -> bool:
    found = catalogue().find(settings.from_format or NOTHING, settings.to_format)
    return found is not None and found.takes_nothing


def _formats(settings: CheckedSettings, uris: Sequence[str]) -> list[str]:
    """Return the formats that the sources' names show; none if `from_format` is given."""
    if settings.from_format is not None:
        return []
    formats = [format_of(uri) for uri in uris]
    archive = converter_of_all(None, ["file"], settings.to_format)
    if "" in formats and not (archive and archive.takes_anything):
        raise wrong(
            "from_format",
            f"is not given and {shown(uris[formats.index('')])} has no extension to infer it "
            "from; set from_format",
        )
    return formats


def _source_files(inputs: Sequence[Input], origin: str, target: str) -> list[InputFile]:
    converter = catalogue().find(origin, target)
    takes_several = converter is not None and converter.takes_several
    if not inputs:
        return []
    if converter is not None and origin in converter.extensions:
        inputs = [_with_extension(item, origin, converter.extensions) for item in inputs]
    if len(inputs) > 1 and not takes_several:
        raise wrong(
            "source",
            f"lists {len(inputs)} files, but {origin} to {target} converts one at a time; use "
            "ConvertApiBatchOperator, or map the task over them",
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


def _with_extension(item: Input, origin: str, extensions: Sequence[str]) -> Input:
    """Return a file with an extension of its format: the service reads the format from the name."""
    if not isinstance(item, Source) or extension_of(item.name) in extensions:
        return item
    return replace(item, name=f"{item.name.rstrip('.')}.{origin}")


def _find_source_file(uri: str) -> Input:
    """Find a source; the error for a glob names the operator that takes globs."""
    try:
        return _found(uri, "source", hash_limit=INLINE_LIMIT)
    except InputNotFoundError as error:
        if not is_glob(uri):  # a file may have brackets in its name
            raise
        said = f"{error} ConvertApiBatchOperator converts all files that a glob names."
        raise InputNotFoundError(said) from error.__cause__


def _found(uri: str, name: str, *, hash_limit: float | None) -> Input:
    found = uri if is_url(uri) else find_source(uri, field=name, hash_limit=hash_limit)
    check_input(found, name)
    return found


def check_input(found: Input, name: str) -> None:
    """Raise `ParameterError` for an empty file or an unusable URL: sent, it may be billed."""
    if isinstance(found, str):
        check_url(found, name)
    elif not found.size:
        raise wrong(name, f"{shown(found.uri)} is empty, and ConvertAPI takes no file of 0 bytes")
