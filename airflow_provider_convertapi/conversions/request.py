"""The user's request, checked and resolved before anything is paid or written.

This module may change from release to release.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.converters import catalogue
from airflow_provider_convertapi.api.wire import TIMEOUT_CODE
from airflow_provider_convertapi.conversions.arguments import ConversionOptions, values_of
from airflow_provider_convertapi.conversions.fields import (
    LEAST_TIMEOUT,
    MOST_TIMEOUT,
    split_parameters,
)
from airflow_provider_convertapi.conversions.secrets import secrets_in
from airflow_provider_convertapi.conversions.values import (
    OPTIONS,
    wrong,
)
from airflow_provider_convertapi.storage import Source, is_url, shown, unsigned
from airflow_provider_convertapi.storage.trouble import changed_while_read
from airflow_provider_convertapi.wording import on_one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_convertapi.api.wire import Openable
    from airflow_provider_convertapi.conversions.arguments import ConversionArguments
    from airflow_provider_convertapi.conversions.target import Target
    from airflow_provider_convertapi.errors import ConvertApiError

INLINE_LIMIT = 1024 * 1024
"""Inputs of up to this many bytes in total are sent with the submit, which saves a request."""

_NAMES_SHOWN = 3

_DOCUMENTS = frozenset({"File", "Files", "Url"})
"""The form fields of the documents that are converted."""

Input = Source | str
"""A file that we read, or the URL of one that the service fetches itself."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """One input of a conversion.

    :param parameter: the form field that holds it.
    :param key: its stable name within the request; part of the id under which it is uploaded.
    """

    parameter: str
    key: str
    input: Input


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One conversion of the previous step's results.

    :param number: counted from 1; step 1 is the conversion that the operator's arguments name.
    :param from_format: None for the format that the step before makes.
    :param parameters: the converter's parameters as text, without files and `Timeout`.
    :param files: its file parameters, found; URLs are left to the service to fetch.
    """

    number: int
    from_format: str | None
    to_format: str
    parameters: Mapping[str, str] = field(repr=False)
    files: Mapping[str, Input] = field(repr=False)
    service_timeout: int | None

    def key_of(self, name: str) -> str:
        """Return the key of a file parameter, distinct from those of other steps."""
        return f"{self.number}.{name}"

    def identity(self) -> dict[str, Any]:
        """Return what identifies the step, as JSON values."""
        return {
            "from": self.from_format,
            "to": self.to_format,
            "plain": dict(self.parameters),
            "files": {name: identity(file) for name, file in self.files.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedSettings(ConversionOptions):
    """The checked arguments that apply to every file.

    :param files: URIs of the file parameters, by name.
    :param plain: the other parameters as text, without `Timeout`.
    :param service_timeout: the user's `Timeout` parameter in seconds, None if not given.
    """

    files: Mapping[str, str] = field(repr=False)
    plain: Mapping[str, str] = field(repr=False)
    service_timeout: int | None
    steps: tuple[Step, ...]
    timeout: float
    poll_interval: float

    @property
    def to_formats(self) -> list[str]:
        """Return the target of every step."""
        return [self.to_format, *(step.to_format for step in self.steps)]

    @property
    def secrets(self) -> list[str]:
        """Return the secrets among the parameters, which must not be shown."""
        steps = [{"parameters": {**step.parameters, **step.files}} for step in self.steps]
        return secrets_in(None, {**self.plain, **self.files}, steps, None)

    @property
    def step_files(self) -> list[str]:
        """Return the URIs of the files among the steps' parameters."""
        return [uri_of(file) for step in self.steps for file in step.files.values()]

    @property
    def from_formats(self) -> list[str | None]:
        """Return the source format of every step, None if it was not given."""
        return [self.from_format, *(step.from_format for step in self.steps)]


def check_settings(arguments: ConversionArguments, steps: tuple[Step, ...]) -> CheckedSettings:
    """Check the arguments that are the same for every file.

    :param steps: those of the arguments, checked.
    """
    files, plain, service_timeout = split_parameters(arguments.parameters)
    given = values_of(arguments, ConversionOptions)
    checked = {name: OPTIONS.check(name, value) for name, value in given.items()}
    if steps and not arguments.durable:
        raise wrong("steps", "needs durable=True: its results are kept at ConvertAPI")
    return CheckedSettings(
        **checked,
        files=files,
        plain=plain,
        service_timeout=service_timeout,
        steps=steps,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionRequest:
    """The checked request of one call of a converter.

    :param parameters: the converter's own parameters as text, without files and `Timeout`.
    :param service_timeout: the user's `Timeout` parameter in seconds, None if not given.
    :param settings: the arguments that are the same for every file and step.
    :param stored: file ids of inputs that are at the service already, by their key.
    :param title: its name in logs and errors; empty means the names of its inputs.
    """

    inputs: tuple[InputFile, ...]
    source_format: str
    target_format: str
    parameters: Mapping[str, str] = field(repr=False)
    service_timeout: int | None
    settings: CheckedSettings = field(repr=False)
    stored: Mapping[str, str] = field(default_factory=dict, repr=False)
    title: str = ""

    @property
    def pair(self) -> tuple[str, str]:
        """Return the service's names of the formats: `a.pdf` to `validate` is pdfa to validate."""
        found = catalogue().find(self.source_format, self.target_format)
        return (found.source, found.target) if found else (self.source_format, self.target_format)

    @property
    def formats(self) -> tuple[str, str]:
        """Return the formats as the user calls them."""
        return self.source_format, self.target_format

    @property
    def timeout(self) -> float:
        """Return the seconds that the task waits for the conversion."""
        return self.settings.timeout

    @property
    def sources(self) -> list[Source]:
        """Return the inputs that we read ourselves."""
        return [file.input for file in self.inputs if isinstance(file.input, Source)]

    @property
    def input_uris(self) -> list[str]:
        """Return every input's URI, file parameters included."""
        return [uri_of(file.input) for file in self.inputs]

    @property
    def documents(self) -> list[Input]:
        """Return the documents that are converted, without the files among the parameters."""
        names = (file.parameter.partition("[")[0] for file in self.inputs)
        return [
            file.input for file, name in zip(self.inputs, names, strict=True) if name in _DOCUMENTS
        ]

    @property
    def is_merge_of_one(self) -> bool:
        """Tell whether it merges a single file, which is billed and changes nothing."""
        return self.target_format == "merge" and len(self.documents) == 1

    @property
    def uploads(self) -> dict[str, Source]:
        """Return the inputs, by key, that are too large for the submit and are uploaded first."""
        own = {
            file.key: file.input
            for file in self.inputs
            if isinstance(file.input, Source) and file.key not in self.stored
        }
        fits = sum(source.size for source in own.values()) <= INLINE_LIMIT
        return {} if fits else own

    def seed(self) -> dict[str, Any]:
        """Return what identifies this conversion; the caller adds the scope."""
        # Job ids are derived from this.  A change here makes a new release lose the conversions
        # that are in flight, and pay for them again.
        return {
            "inputs": [[file.parameter, *identity(file.input)] for file in self.inputs],
            "from": self.source_format,
            "to": self.target_format,
            # `Timeout` as the user gave it, not as it is sent: a later attempt's is longer.
            "parameters": dict(self.parameters)
            | ({"Timeout": self.service_timeout} if self.service_timeout else {}),
        }

    def timeout_for(self, enlarged: int) -> int:
        """Return the service's `Timeout` in seconds.

        :param enlarged: earlier attempts that ran out of time; each doubles it.
        """
        asked = self.service_timeout or int(min(max(self.timeout, LEAST_TIMEOUT), MOST_TIMEOUT))
        return int(min(asked * 2**enlarged, MOST_TIMEOUT))

    def cannot_be_longer(self, verdict: ConvertApiError, timeout: int) -> bool:
        """Tell whether it timed out although `timeout` is the longest that the service allows."""
        return verdict.code == TIMEOUT_CODE and timeout >= MOST_TIMEOUT

    def fields(
        self, timeout: int, uploaded: Mapping[str, str] | None = None
    ) -> list[tuple[str, str | Openable]]:
        """Return the form's fields.

        :param timeout: the service's `Timeout` in seconds.
        :param uploaded: file ids of uploaded inputs, by their key.
        """
        kept = {**self.stored, **(uploaded or {})}
        values = [(file.parameter, kept.get(file.key) or file.input) for file in self.inputs]
        return [*values, *self.parameters.items(), ("Timeout", str(timeout))]

    def check_unchanged(self) -> None:
        """Raise `InputChangedError` if a source was written since it was found."""
        for source in self.sources:
            check_unchanged(source)

    def describe(self) -> str:
        """Return a description of the conversion that may be logged."""
        if self.title:
            return self.title
        names = [_title(file.input) for file in self.inputs]
        more = len(names) - _NAMES_SHOWN
        listed = ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
        return f"{listed or 'nothing'} ({self.source_format} to {self.target_format})"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedConversion:
    """A checked conversion: the calls of its first step, its further steps, and one target.

    :param requests: the requests of the first step, one for each of its calls.
    """

    requests: Sequence[ConversionRequest]
    steps: Sequence[Step]
    target: Target
    durable: bool
    conversion_key: str | None

    @property
    def timeout(self) -> float:
        """Return the seconds that the task waits for each job."""
        return self.requests[0].timeout

    @property
    def formats(self) -> tuple[str, str]:
        """Return the source format and the final target format, as the user calls them."""
        source, target = self.requests[0].formats
        return source, self.steps[-1].to_format if self.steps else target

    @property
    def least_cost(self) -> int:
        """Return the least number of conversions that it is billed as."""
        return len(self.requests) + len(self.steps)

    def describe(self) -> str:
        """Return a description of the conversion that may be logged."""
        more = f" and {len(self.requests) - 1} more" if len(self.requests) > 1 else ""
        return f"{self.requests[0].describe()}{more}"


def uri_of(item: Input) -> str:
    """Return an input's URI."""
    return item.uri if isinstance(item, Source) else item


def check_unchanged(source: Source) -> None:
    """Raise `InputChangedError` if the source was written since it was found."""
    if source.changed():
        raise changed_while_read(source.uri)


def identity(item: Input) -> list[str]:
    """Return what distinguishes an input from others, as JSON values."""
    # Only the service fetches a URL, so the URL alone identifies its content here.
    if isinstance(item, Source):
        return [item.uri, item.fingerprint]
    return [unsigned(item) if is_url(item) else item]


def _title(item: Input) -> str:
    """Return a file's name, even if only its path is known, or a URL without its secrets."""
    if isinstance(item, Source):
        return on_one_line(item.name)
    return shown(item) if is_url(item) else on_one_line(item.rstrip("/").rpartition("/")[2])
