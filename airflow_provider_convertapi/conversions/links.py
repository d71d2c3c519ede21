"""The links of a chain: one job each, whose results stay at the service."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_convertapi.conversions.durable import DurableConversion
from airflow_provider_convertapi.conversions.request import Order
from airflow_provider_convertapi.conversions.result import Outcome

if TYPE_CHECKING:
    from airflow_provider_convertapi.api.endpoints import Conversion, ConvertedFile
    from airflow_provider_convertapi.conversions.durable import Underway


@dataclass(frozen=True, slots=True)
class StepOrder(Order):
    """What is asked of a later step.

    :param title: how it may be called in logs and errors.
    :param originals: URIs of the chain's own inputs, which no output may replace.
    """

    title: str = ""
    originals: tuple[str, ...] = ()

    @property
    def input_uris(self) -> list[str]:
        """Return the chain's own inputs."""
        return list(self.originals)

    def describe(self) -> str:
        """Say what is converted, in a form that may be logged."""
        return self.title


@dataclass(frozen=True, slots=True)
class Result:
    """A file that a step made, and which of which job's results it is."""

    derivation: str
    index: int
    file: ConvertedFile | None
    """None where it can only be guessed: the service has forgotten the job."""


@dataclass(slots=True)
class Link(DurableConversion):
    """One job of a chain; its results stay at the service."""

    conversion: Conversion | None = field(default=None, init=False)
    uploads: tuple[str, ...] = field(default=(), init=False)

    def _collect(self, job: Underway, conversion: Conversion) -> Outcome:
        self.conversion, self.uploads, self.attempt = conversion, job.uploads, job.attempt
        return Outcome([], self.cost, self.charged)

    def _published(self, conversion: Conversion) -> list[str] | None:  # noqa: ARG002 - a step's results are not published
        return None

    @property
    def documents(self) -> list[str]:
        """Return the ids of everything that it left at the service."""
        ids = [self.work.ids.file_id(self.attempt, place) for place in self.uploads]
        return ids + [file.file_id for file in self.conversion.files] if self.conversion else ids

    def find(self) -> None:
        """Look for what an earlier try, or run, has made of it."""
        answers = self._known_answers()
        made = {n: answer.conversion for n, answer in answers.items() if answer.conversion}
        if made:
            self.attempt = max(made)
            self.conversion, self.uploads = made[self.attempt], self._places()
            self.cost = self.conversion.cost

    def results(self) -> list[Result]:
        """Return what it made; one result is assumed where nobody knows."""
        derivation = self.work.ids.derivation
        if self.conversion is None:
            return [Result(derivation, 0, None)]
        return [Result(derivation, n, file) for n, file in enumerate(self.conversion.files)]
