"""What travels between worker and triggerer: jobs, without anything that opens a document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from airflow_provider_convertapi.conversions.durable import Underway
from airflow_provider_convertapi.errors import ConversionInterrupted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Status = Literal["answered", "timeout", "error"]
STATUSES: tuple[Status, ...] = ("answered", "timeout", "error")


class WatchedJob(NamedTuple):
    """A job that a trigger watches.

    It travels as a plain list: with names, 500 of them outgrow the 64 KiB that MySQL has for the
    arguments of a trigger.

    :param derivation: what the ids of the conversion come from; without the key it opens nothing.
    :param submitted: seconds since the epoch; None where an earlier try had submitted it.
    :param uploads: the places of the inputs that were uploaded.
    """

    derivation: str
    attempt: int
    submitted: float | None
    uploads: list[str]

    @classmethod
    def of(cls, derivation: str, job: Underway) -> WatchedJob:
        """Describe a job that was begun here."""
        submitted = None if job.submitted is None else round(job.submitted, 1)
        return cls(derivation, job.attempt, submitted, list(job.uploads))

    @property
    def underway(self) -> Underway:
        """Return the job as the conversion that finishes it wants it."""
        return Underway(self.attempt, self.submitted, tuple(self.uploads))


@dataclass(frozen=True, slots=True)
class JobEvent:
    """What a trigger has to say: when, never what.

    :param status: ``answered``: there is something to read; ``timeout``: the deadline passed first;
        ``error``: the triggerer could not watch, and the worker sees for itself.
    :param key_check: tells whether the key that the ids come from is still the same.
    :param answered: for each job, whether it has an answer.
    """

    status: Status
    key_check: str
    jobs: tuple[WatchedJob, ...]
    answered: tuple[bool, ...]

    def payload(self) -> dict[str, Any]:
        """Return what an Airflow event carries; `parse` reads it."""
        return {
            "status": self.status,
            "key_check": self.key_check,
            "jobs": [list(job) for job in self.jobs],
            "answered": list(self.answered),
        }

    @classmethod
    def parse(cls, event: object, *, expected: int | None) -> JobEvent:
        """Read an event; one that is none of ours leaves the job for the next try.

        :param expected: how many jobs the trigger was given; None where only it knows.
        """
        try:
            return cls._read(event, expected)  # type: ignore[arg-type] # no mapping: refused below
        except (TypeError, ValueError, KeyError, AttributeError):
            raise ConversionInterrupted(
                "The triggerer sent no event that this version understands "
                f"({type(event).__name__}). The job goes on at ConvertAPI, and the next try "
                "collects it without paying."
            ) from None

    @classmethod
    def _read(cls, event: Mapping[str, Any], expected: int | None) -> JobEvent:
        status, jobs = event["status"], _jobs(event["jobs"])
        answered = tuple(bool(flag) for flag in event["answered"])
        if status not in STATUSES or not len(jobs) == len(answered):
            raise ValueError
        if expected not in {None, len(jobs)}:
            raise ValueError
        return cls(status, str(event["key_check"]), jobs, answered)


def _jobs(entries: Iterable[Any]) -> tuple[WatchedJob, ...]:
    return tuple(
        WatchedJob(
            str(derivation),
            int(attempt),
            None if submitted is None else float(submitted),
            [str(place) for place in uploads],
        )
        for derivation, attempt, submitted, uploads in entries
    )
