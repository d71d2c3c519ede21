"""Question 7: the refusal of an exhausted quota, and other reasons not to convert.

This module may change from release to release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from airflow_provider_convertapi.api.wire import QUOTA_CODE, error_code
from airflow_provider_convertapi.live.documents import pdf
from airflow_provider_convertapi.live.jobs import direct
from airflow_provider_convertapi.live.wire import code_of, is_ok, is_throttled, status_of, told

if TYPE_CHECKING:
    from airflow_provider_convertapi.api.wire import Response
    from airflow_provider_convertapi.live.check import Check
    from airflow_provider_convertapi.live.jobs import Job

_Q = 7
REFUSAL = "the exhausted quota"
PLACE = "where an exhausted quota shows"
_NO_QUOTA = (
    "the account has conversions left, and they are not used up for this; to ask, name a second "
    "connection whose token has a usage limit of 1: --limited-conn-id"
)
_INACTIVE = 4015  # https://docs.convertapi.com/docs/response-codes


def is_quota(answer: Response | None) -> TypeGuard[Response]:
    """Tell whether an answer is the refusal of an exhausted quota."""
    return status_of(answer) == 403 or code_of(answer) == QUOTA_CODE


def note_failure(check: Check, job: Job, what: str) -> None:
    """Note why one of the check's documents was not converted, and stop."""
    answer = job.submitted if job.final is None and not is_ok(job.submitted) else job.final
    at_start = answer is job.submitted
    if is_quota(answer):
        note_refusal(check, answer, "its POST" if at_start else "the job")
        _say_place(check, "start" if at_start else "job", f"{told(answer)} by {what}")
        check.money.stopped = "no conversions are left"
    elif code_of(answer) == _INACTIVE:
        check.settle("the account")
        meaning = "Nothing can be converted until it is activated."
        if not check.is_settled("the account"):
            evidence = f"{what}: {told(answer)}"
            check.know(0, "the account", "not active", evidence, meaning, account_active=False)
        check.money.stopped = "the account is not active"
    elif is_throttled(answer):
        check.money.stopped = f"{what} was refused again and again as throttled ({told(answer)})"
    else:
        forgotten = "it was known, and forgotten before its result could be read"
        why = forgotten if job.vanished else told(answer)
        check.money.stopped = f"{what} was not converted ({why})"


def note_refusal(check: Check, answer: Response, where: str) -> None:
    """Add how an exhausted quota is refused."""
    if check.is_settled(REFUSAL):
        return
    check.settle(REFUSAL)
    code, evidence = error_code(answer), f"{told(answer)} from {where}"
    meaning = "The task fails at once with QuotaExhaustedError, without a retry."
    reading = f"{answer.status}, Code {code}"
    if answer.status == 401 and code == QUOTA_CODE:
        check.know(_Q, REFUSAL, reading, evidence, meaning, quota_status=401)
    elif answer.status == 403 and code in {403, QUOTA_CODE}:
        check.know(_Q, REFUSAL, reading, evidence, meaning, quota_status=403, quota_code=code)
    else:
        check.know(_Q, REFUSAL, f"{reading}, which no switch has", evidence, meaning)


def _say_place(check: Check, place: str, evidence: str) -> None:
    if check.is_settled(PLACE):
        return
    reading = "in the answer to the POST" if place == "start" else "in the job's answer"
    meaning = "Either is found; a refusal uses no attempt up."
    check.know(_Q, PLACE, reading, evidence, meaning, job_refusals_at=place)


def ask(check: Check, limited: Check | None) -> None:
    """Use up a token with a usage limit of 1, and see how the next conversions are refused.

    :param limited: the check of its connection; None if there is none.
    """
    if check.is_settled(REFUSAL):
        return
    if limited is None:
        check.skip(_Q, REFUSAL, _NO_QUOTA)
        return
    check.say("Using up the token of the second connection …")
    for _ in range(2):
        if not check.money.may(check.money.unit):
            check.skip(_Q, REFUSAL)
            return
        answer = limited.pay(direct("pdf/to/png", pdf(2)), check.money.unit)
        if is_quota(answer):
            note_refusal(check, answer, "POST /convert")
            _ask_for_place(check, limited)
            return
        check.money.took(check.money.unit)
        if not is_ok(answer):
            check.unclear(_Q, REFUSAL, "the second connection does not convert", told(answer))
            return
    check.unclear(_Q, REFUSAL, "the token of the second connection has more than 2 conversions")


def _ask_for_place(check: Check, limited: Check) -> None:
    """Submit a job with the exhausted token."""
    job = limited.jobs.submit(("pdf", "png"), [("File", pdf(2))])
    if is_quota(job.submitted):
        _say_place(check, "start", f"a job's POST: {told(job.submitted)}")
        return
    limited.follow(job)
    if is_quota(job.final):
        evidence = f"a job's POST: {told(job.submitted)}; its GET: {told(job.final)}"
        _say_place(check, "job", evidence)
        return
    check.money.took(check.money.unit)
    check.unclear(_Q, PLACE, "the job was not refused", told(job.final))
