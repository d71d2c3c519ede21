"""The files among the parameters of a batch and its steps: found, or restored from the plan.

This module may change from release to release.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider_convertapi.batch.inputs import url_fingerprint
from airflow_provider_convertapi.errors import InputChangedError
from airflow_provider_convertapi.storage import Source
from airflow_provider_convertapi.storage.location import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_convertapi.batch.request import BatchRequest
    from airflow_provider_convertapi.errors import ConvertApiError

Files = dict[str, Source | str]
"""Files by name; names of a step's files begin with its number: ``2.OverlayFile``."""


@dataclass(frozen=True, slots=True)
class _Gone:
    """The location of a file that cannot be read any more."""

    error: ConvertApiError
    state: State

    def open(self, seen: object = None) -> BinaryIO:  # noqa: ARG002 - as every location's
        raise self.error

    def file(self) -> State:
        return self.state


def all_files(request: BatchRequest, parameters: Mapping[str, Source | str]) -> Files:
    """Return the files of the first conversion, which are `parameters`, and of all steps."""
    named = dict(parameters)
    for step in request.steps:
        named |= {f"{step.number}.{name}": file for name, file in step.files.items()}
    return named


def of_first_step(request: BatchRequest, files: Files) -> Files:
    """Return the files of the first conversion."""
    return {name: files[name] for name in request.files}


def with_step_files(request: BatchRequest, files: Files) -> BatchRequest:
    """Return the request with the files of its steps."""
    steps = (
        replace(step, files={name: files[f"{step.number}.{name}"] for name in step.files})
        for step in request.steps
    )
    return replace(request, steps=tuple(steps))


def identities(files: Mapping[str, Source | str]) -> dict[str, list[str | int]]:
    """Return the identities of files for a checkpoint, without URLs, which may be secret."""
    return {
        name: [file.uri, file.fingerprint, file.size]
        if isinstance(file, Source)
        else [url_fingerprint(file)]
        for name, file in files.items()
    }


def restore_files(kept: Mapping[str, list[Any]], given: Files, error: ConvertApiError) -> Files:
    """Return the files as the plan knew them, which is enough to collect submitted jobs.

    :param kept: the result of `identities`.
    :param given: the files that the task names now; URLs are taken from it.
    :param error: why the files cannot be read now; raised if one is opened.
    """
    files: Files = {}
    for name, identity in kept.items():
        url = given.get(name)
        if len(identity) > 1:
            uri, fingerprint, size = identity
            state = State(size, fingerprint)
            gone: Any = _Gone(error, state)
            files[name] = Source(uri, uri.rpartition("/")[2], size, fingerprint, gone, state)
        elif isinstance(url, str) and [url_fingerprint(url)] == identity:
            files[name] = url
    if files.keys() != given.keys():
        raise InputChangedError(
            "The parameters name other files than when the batch began. The jobs go on at "
            "ConvertAPI, and the next try plans again."
        )
    return files
