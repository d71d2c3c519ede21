"""What a user asked for, checked and resolved before anything is paid for or written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.errors import InputChangedError, OutputExistsError
from airflow_provider_convertapi.storage import Source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_convertapi.api.wire import Openable
    from airflow_provider_convertapi.storage import Destination

LEAST_TIMEOUT, MOST_TIMEOUT = 10, 1200
"""Seconds that the service's `Timeout` may be (ConvertAPI's OpenAPI document)."""

INLINE_LIMIT = 1024 * 1024
"""Inputs of up to this many bytes in all travel as the body of the submit: one request less."""

_NAMES_SHOWN = 3

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

    def check_output(self) -> None:
        """Raise `OutputExistsError` where a file is in the way that is known before paying."""
        place = self.destination
        if self.overwrite or place.is_directory or place.is_ours(place.uri):
            return
        if place.sizes([place.uri]) != [None]:
            raise OutputExistsError(
                f"{place.uri} exists and is not ours. {place.remedy} Nothing was paid."
            )

    def describe(self) -> str:
        """Say what is converted, in a form that may be logged."""
        names = [
            part.input.name if isinstance(part.input, Source) else without_query(part.input)
            for part in self.parts
        ]
        more = len(names) - _NAMES_SHOWN
        shown = ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
        return f"{shown} ({self.source_format} to {self.target_format})"


def _identity(item: Input) -> list[str]:
    # A URL has no fingerprint but itself: what lies behind it, only the service sees.
    return [item.uri, item.fingerprint] if isinstance(item, Source) else [item]


def without_query(url: str) -> str:
    """Return a URL in a form that may be shown: a signed one opens its file to everybody."""
    return url.partition("?")[0]
