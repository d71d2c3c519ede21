"""What travels between worker and triggerer: jobs, without anything that opens a document.

This module may change from release to release; jobs and events may only gain fields, since those
that an earlier version stored are still read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from airflow_provider_convertapi.api.ids import MAX_ATTEMPTS
from airflow_provider_convertapi.api.wire import whole_number
from airflow_provider_convertapi.errors import ConversionInterrupted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Status = Literal["answered", "timeout", "error"]
STATUSES: tuple[Status, ...] = ("answered", "timeout", "error")


class JobRef(NamedTuple):
    """A job that the service has.

    It travels as a plain list: with names, 500 of them would exceed the 64 KiB that MySQL has for
    the arguments of a trigger.

    :param derivation: what the ids of the conversion come from; without the key it opens nothing.
    :param submitted: seconds since the epoch; None where an earlier try had submitted it.
    :param uploads: the keys of the inputs that were uploaded, to be deleted in the end.
    :param step: which step of its conversion it is, counted from 1.
    """

    derivation: str
    attempt: int
    submitted: float | None = None
    uploads: tuple[str, ...] = ()
    step: int = 1

    def to_list(self) -> list[Any]:
        """Return what JSON can hold; `from_list` reads it."""
        entry = [self.derivation, self.attempt, self.submitted, list(self.uploads)]
        return entry if self.step == 1 else [*entry, self.step]

    @classmethod
    def from_list(cls, entry: Iterable[Any]) -> JobRef:
        """Read what `to_list` returned; `TypeError` or `ValueError` where it is something else."""
        derivation, given, submitted, uploads, *step = entry
        attempt = whole_number(given)
        if attempt is None or attempt >= MAX_ATTEMPTS:
            raise ValueError
        return cls(
            str(derivation),
            attempt,
            None if submitted is None else float(submitted),
            tuple(str(key) for key in uploads),
            *(int(number) for number in step),
        )


@dataclass(frozen=True, slots=True)
class JobEvent:
    """What a trigger reports: which jobs have an answer, never the answer.

    :param status: ``answered``: there is something to read; ``timeout``: the deadline passed first;
        ``error``: the triggerer could not watch, and the worker has to look.
    :param key_check: tells whether the key that the ids come from is still the same.
    :param answered: for each job, whether it has an answer.
    :param asked: keyed digest of what the task was asked for when it deferred; empty in an event of
        a version that did not tell.
    :param sealed_source: what a decorated function returned, sealed; empty for any other task.
    """

    status: Status
    key_check: str
    jobs: tuple[JobRef, ...]
    answered: tuple[bool, ...]
    asked: str = ""
    sealed_source: str = ""

    def payload(self) -> dict[str, Any]:
        """Return what an Airflow event carries; `parse` reads it."""
        return {
            "status": self.status,
            "key_check": self.key_check,
            "jobs": [job.to_list() for job in self.jobs],
            "answered": list(self.answered),
            "asked": self.asked,
            "sealed_source": self.sealed_source,
        }

    @classmethod
    def parse(cls, event: object, *, expected: int | None) -> JobEvent:
        """Read an event; `ConversionInterrupted` where it is not ours: the next try collects.

        :param expected: how many jobs it must have; None for any number above 0.
        """
        try:
            return cls._read(event, expected)  # type: ignore[arg-type] # not a mapping: refused below
        except (TypeError, ValueError, KeyError, AttributeError):
            raise ConversionInterrupted(
                "The triggerer sent no event that this version understands "
                f"({type(event).__name__}). The job goes on at ConvertAPI, and the next try "
                "collects it without paying."
            ) from None

    @classmethod
    def _read(cls, event: Mapping[str, Any], expected: int | None) -> JobEvent:
        status = event["status"]
        jobs = tuple(JobRef.from_list(entry) for entry in event["jobs"])
        answered = tuple(bool(flag) for flag in event["answered"])
        if status not in STATUSES or not len(jobs) == len(answered):
            raise ValueError
        if len(jobs) != expected if expected is not None else not jobs:
            raise ValueError
        texts = (str(event.get(name) or "") for name in ("asked", "sealed_source"))
        return cls(status, str(event["key_check"]), jobs, answered, *texts)

    def check_asked(self, asked: str, what: str) -> None:
        """Raise `ConversionInterrupted` where the task is asked for something else by now.

        :param asked: what it is asked for, as a keyed digest.
        :param what: what is being converted, as it may be logged.
        """
        if self.asked and self.asked != asked:
            raise ConversionInterrupted(
                f"The task's arguments changed while {what} ran at ConvertAPI: source, formats, "
                "parameters, steps, conversion_key or destination are not those that it deferred "
                "with. What was submitted goes on, and nothing is published under the new name. "
                "The next try converts what is asked for now."
            )
