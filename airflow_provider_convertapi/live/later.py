"""Question 3, which takes hours: one call of the command leaves a job, and later calls poll it.

A report holds what a later call needs: a number that names the job together with the connection's
secret, and when the job was made.

This module may change from release to release.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from airflow_provider_convertapi.live.check import left_id
from airflow_provider_convertapi.live.facts import KNOWN, UNCLEAR, Fact, roundest
from airflow_provider_convertapi.live.wire import status_of, told

if TYPE_CHECKING:
    from airflow_provider_convertapi.live.check import Check
    from airflow_provider_convertapi.live.jobs import Job

LIFETIME = "how long a finished job is kept"
_STATE = re.compile(r"^<!-- live check: (\{.*\}) -->$", re.MULTILINE)
_ENOUGH = 3 * 3600 + 300
_AGAIN = "Call the command with --later again after 1, 2 and 3 hours."


@dataclass(slots=True)
class Left:
    """A job that was left at the service.

    :param born: Unix seconds.
    :param known: the last age in seconds at which it was known.
    """

    nonce: str
    kind: str
    born: float
    known: float
    conn_id: str = ""

    def comment(self) -> str:
        """Return the line of a report that a later call reads."""
        values = asdict(self) | {"born": round(self.born), "known": round(self.known, 1)}
        return f"<!-- live check: {json.dumps(values)} -->"


def read(report: str) -> Left | None:
    """Return the job that a report names; None if it names none."""
    found = _STATE.search(report)
    if found is None:
        return None
    try:
        return Left(**json.loads(found[1]))
    except (TypeError, ValueError):
        return None


def leave(check: Check) -> Left | None:
    """Keep one job of a check for a later call; None if no job can be polled again."""
    switches = {name: value for fact in check.facts for name, value in fact.switches.items()}
    readable = switches.get("job_consumed_by_read") is False
    for kind, good in (("done", readable), ("failed", switches.get("job_keeps_verdict"))):
        job = _made(check, kind)
        if good and job is not None and job.final is not None:
            again = check.jobs.look(job)
            if status_of(again) in {0, 202, 404}:
                continue
            check.jobs.kept.add(job.id)
            age = check.jobs.age(job)
            check.settle(LIFETIME)
            why = f"a job was left at the service. {_AGAIN}"
            check.unclear(3, LIFETIME, why, f"{told(again)} after {age:.0f} s")
            born = check.clock.time() - age
            return Left(check.nonce, kind, born, age, check.settings.conn_id)
    check.settle(LIFETIME)
    check.skip(3, LIFETIME, "no job of this check can be read more than once")
    return None


def _made(check: Check, kind: str) -> Job | None:
    wanted = check.left_id(kind)
    return next((job for job in check.jobs.made if job.id == wanted), None)


def ask(check: Check, left: Left) -> tuple[Fact, Left | None]:
    """Poll a job that was left; return the fact, and the job as it is left now."""
    job_id = left_id(check.settings.id_key, left.nonce, left.kind)
    answer = check.jobs.ask(job_id)
    age = check.clock.time() - left.born
    evidence = f"{told(answer)} after {_spelled(age)}; known until {_spelled(left.known)}"
    status = status_of(answer)
    if status in {0, 401, 403, 429, 503}:
        why = f"the service did not say. {_AGAIN}"
        return Fact(3, LIFETIME, UNCLEAR, why, evidence), left
    if status == 404:
        seconds = roundest(left.known, max(age, left.known + 1))
        reading = f"about {_spelled(seconds)}: more than {_spelled(left.known)}, less than "
        fact = Fact(
            3,
            LIFETIME,
            KNOWN,
            reading + _spelled(age),
            evidence,
            "A conversion is billed once while its job is kept; a later try pays once more.",
            {"job_lifetime": seconds},
        )
        return fact, None
    left.known = age
    if age < _ENOUGH:
        why = f"longer than {_spelled(age)}. {_AGAIN}"
        return Fact(3, LIFETIME, UNCLEAR, why, evidence), left
    check.jobs.delete(job_id)
    why = "longer than three hours; the job was deleted now"
    return Fact(3, LIFETIME, UNCLEAR, why, evidence), None


def _spelled(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"
