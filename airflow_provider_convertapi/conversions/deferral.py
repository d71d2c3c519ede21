"""Jobs and events that worker and triggerer exchange; they hold nothing that opens a document.

This module may change from release to release.  Jobs and events may only gain fields, since those
that an earlier version has stored must still be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from airflow_provider_convertapi.api.ids import MAX_ATTEMPTS
from airflow_provider_convertapi.api.wire import whole_number
from airflow_provider_convertapi.errors import ConversionInterrupted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Status = Literal["answered", "timeout", "error"]


class JobRef(NamedTuple):
    """A job that the service has.

    It is serialized as a plain list: with field names, 500 of them would exceed the 64 KiB that
    MySQL has for the arguments of a trigger (`encrypted_kwargs` in airflow/models/trigger.py).

    :param derivation: the conversion's ids are derived from this and the key; it opens nothing
        without the key.
    :param attempt: counted from 0.
    :param submitted: seconds since the epoch; None if an earlier try has submitted it.
    :param uploads: the keys of the inputs that were uploaded, to be deleted at the end.
    :param step: number of its step in the conversion, counted from 1.
    """

    derivation: str
    attempt: int
    submitted: float | None = None
    uploads: tuple[str, ...] = ()
    step: int = 1

    def to_list(self) -> list[Any]:
        """Return a list of JSON values, which `from_list` reads."""
        entry = [self.derivation, self.attempt, self.submitted, list(self.uploads)]
        return entry if self.step == 1 else [*entry, self.step]

    @classmethod
    def from_list(cls, entry: Iterable[Any]) -> JobRef:
        """Read a list of `to_list`; `TypeError` or `ValueError` if it is not one."""
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
    """The report of a trigger: which jobs have an answer, but not the answers.

    :param status: ``answered``: there is an answer to read; ``timeout``: the deadline passed first;
        ``error``: the triggerer could not watch the jobs, and the worker has to.
    :param key_check: digest that tells whether the key of the ids is still the same.
    :param answered: for each job, whether it has an answer.
    :param asked: keyed digest of the task's arguments when it deferred; empty in an event of a
        version that had no such field.
    :param sealed_source: what a decorated function returned, sealed; empty for any other task.
    """

    status: Status
    key_check: str
    jobs: tuple[JobRef, ...]
    answered: tuple[bool, ...]
    asked: str = ""
    sealed_source: str = ""

    def payload(self) -> dict[str, Any]:
        """Return the payload of an Airflow event, which `parse` reads."""
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
        """Read an event; `ConversionInterrupted` if it is not ours, so that the next try collects.

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
        if status not in get_args(Status) or not len(jobs) == len(answered):
            raise ValueError
        if len(jobs) != expected if expected is not None else not jobs:
            raise ValueError
        texts = (str(event.get(name) or "") for name in ("asked", "sealed_source"))
        return cls(status, str(event["key_check"]), jobs, answered, *texts)

    def check_asked(self, asked: str, what: str) -> None:
        """Raise `ConversionInterrupted` if the task's arguments have changed since it deferred.

        :param asked: keyed digest of its arguments now.
        :param what: what is being converted, as it may be logged.
        """
        if self.asked and self.asked != asked:
            raise ConversionInterrupted(
                f"The task's arguments changed while {what} ran at ConvertAPI: source, formats, "
                "parameters, steps, conversion_key or destination are not those that it deferred "
                "with. What was submitted goes on, and nothing is published under the new name. "
                "The next try converts what is asked for now."
            )
