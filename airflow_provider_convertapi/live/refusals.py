"""Questions 1 and 5, whose refused requests may be billed, so that they come last.

This module may change from release to release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.wire import Request
from airflow_provider_convertapi.live import conversions, prices, quota, records
from airflow_provider_convertapi.live.documents import Document, pdf
from airflow_provider_convertapi.live.jobs import direct
from airflow_provider_convertapi.live.money import told_debit
from airflow_provider_convertapi.live.wire import code_of, is_ok, status_of, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_convertapi.api.wire import Response
    from airflow_provider_convertapi.live.check import Check
    from airflow_provider_convertapi.live.jobs import Job

    _Question = Callable[[Check], Response | None]

TWICE, REFUSALS, PLACE = "a second POST", "refusals", "where a refused parameter shows"
PAIR_STATUS, FORMAT_CODE = "a pair that does not exist", "a document of another format"
_REFUSED = frozenset({400, 409, 415, 422})
_NO_METER = "what was billed could not be measured"


# --- question 1 -----------------------------------------------------------------------------------


def ask_twice(check: Check) -> None:
    """Submit a job twice under one id, and measure what is billed."""
    unit = check.money.unit
    if not check.money.may(2 * unit):
        return
    check.say("Submitting one job twice under one JobId …")
    fields: list[tuple[str, str | Document]] = [("File", pdf(1))]
    # Not stored: a second conversion would hide the ids of the first one's documents.
    first = check.submit(("pdf", "png"), fields, worst=2 * unit, job_id=check.left_id("done"))
    if not first.is_accepted:
        check.unclear(1, TWICE, "the first POST was not accepted", told(first.submitted))
        quota.note_failure(check, first, "a job")
        return
    second = None if first.is_renamed else _submit_again(check, first, fields)
    debited = check.money.measure(unit)
    _leave_alone(check, first)
    check.follow(first)
    if first.is_done and first.final_at == first.known_at:
        check.kept_at = max(check.kept_at, first.final_at)
    _look_again(check, first)
    more = check.money.measure()
    debited = None if debited is None or more is None else debited + more
    cost = unit if first.cost is None else first.cost
    check.money.took(2 * cost if debited is None and second is not None else cost)
    if second is None:
        why = "the service gives jobs ids of its own, so that none can be used twice"
        check.unclear(1, TWICE, why, f"a job's POST: {told(first.submitted)}")
    else:
        _say_twice(check, first, second.submitted, debited, cost)
    prices.compare(check, first, "1 page, 1 result")


def _submit_again(check: Check, first: Job, fields: list[tuple[str, str | Document]]) -> Job:
    """Submit a second conversion under the id of a job that is known."""
    second = check.jobs.submit(
        ("pdf", "png"),
        fields,
        job_id=first.id,
        looks=False,  # a poll may consume the answer
        may_repeat=lambda: check.money.may(2 * check.money.unit),
    )
    check.wire.open_jobs -= second.is_accepted  # it is the same job
    return second


def _leave_alone(check: Check, job: Job) -> None:
    """Wait until a job is older than those that vanished, as a control for them."""
    oldest = max(check.vanished_at, check.verdict_gone_at)
    while oldest and (left := oldest + 0.5 - check.jobs.age(job)) > 0:
        check.clock.sleep(left)


def _look_again(check: Check, job: Job) -> None:
    """Read the job once more if reading is known not to remove it."""
    if check.is_settled(records.CONSUMED) and job.is_done and is_ok(check.jobs.look(job)):
        check.kept_at = max(check.kept_at, check.jobs.age(job))


def _say_twice(
    check: Check, first: Job, second: Response | None, debited: int | None, cost: int
) -> None:
    evidence = (
        f"two POSTs with one JobId: {told(first.submitted)}, {told(second)}; ConversionCost "
        f"{cost}; {told_debit(debited)}"
    )
    if status_of(second) in _REFUSED:
        _say_refused(check, evidence, None if debited is None else debited - cost)
    elif debited is None:
        check.unclear(1, TWICE, _NO_METER, evidence)
    elif not first.is_done:
        check.unclear(1, TWICE, f"the job did not end well ({told(first.final)})", evidence)
    elif not cost:
        check.unclear(1, TWICE, "a conversion costs nothing here", evidence)
    elif debited == 2 * cost and is_ok(second):
        meaning = (
            "A lost answer can cost twice if the job becomes visible later than `settle`: raise it."
        )
        check.know(1, TWICE, "is billed again", evidence, meaning, known_job_id="bill")
    elif debited == cost and is_ok(second):
        meaning = "A submit that is repeated after a lost answer costs nothing."
        check.know(1, TWICE, "joins the job", evidence, meaning, known_job_id="join")
    else:
        why = "an answer was lost or throttled, or others use the account"
        check.unclear(1, TWICE, why, evidence)


def _say_refused(check: Check, evidence: str, more: int | None) -> None:
    meaning = "A submit that is repeated after a lost answer is refused, and the job is found."
    check.know(1, TWICE, "is refused", evidence, meaning, known_job_id="refuse")
    if more is None:
        check.money.took(1)
    elif more > 0:
        check.refusal_was_billed(evidence)


# --- question 5 -----------------------------------------------------------------------------------


def ask(check: Check) -> None:
    """Send requests that are refused, one by one, and stop at the first that is billed."""
    if not check.money.may(check.money.unit):
        return
    check.say("Sending requests that are refused …")
    seen: list[str] = []
    for ask_one in (_ask_for_place, _ask_for_missing, _ask_for_pair, _ask_for_format):
        if not check.money.may(check.money.unit):
            break
        answer = ask_one(check)
        if not 400 <= status_of(answer) < 500 or quota.is_quota(answer):
            continue
        seen.append(told(answer))
        if _was_billed(check, seen, ask_one):
            break
    _say_free(check, seen)


def _was_billed(check: Check, seen: list[str], ask_one: _Question) -> bool:
    debited = check.money.measure()
    if debited is None:
        check.measured_all = False
        check.money.took(1)
        return False
    if debited > 0 and check.pending:
        debited = _ask_again(check, seen, ask_one)
    if debited is None:
        check.money.stopped = check.pending
        check.unclear(5, REFUSALS, check.pending, seen[-1])
        return True
    if debited > 0:
        evidence = f"{seen[-1]}: {told_debit(debited)}; not billed before: {seen[:-1]}"
        check.refusal_was_billed(evidence)
    return debited > 0


def _ask_again(check: Check, seen: list[str], ask_one: _Question) -> int | None:
    """Send the same again: a deleted job is billed late only once, but a refusal each time.

    :returns: the conversions billed for the refusal; None if that is not known.
    """
    if not check.money.may(check.money.unit):
        return None
    facts = list(check.facts)
    ask_one(check)
    check.facts = facts
    debited = check.money.measure()
    if debited == 0:
        why = "something was billed more than a minute later, which may be this job"
        check.facts = [fact for fact in facts if fact.name != conversions.RUNNING]
        check.unclear(9, conversions.RUNNING, why, f"{seen[-1]}: +1, and +0 when it was repeated")
        check.pending = ""
    return debited


def _say_free(check: Check, seen: list[str]) -> None:
    if check.has(REFUSALS):
        return
    if not check.money.is_metered or not check.measured_all:
        check.unclear(5, REFUSALS, _NO_METER, ", ".join(seen))
    elif not any(answer.startswith(("400", "415")) for answer in seen):
        check.unclear(5, REFUSALS, "nothing was refused with 400 or 415", ", ".join(seen))
    else:
        evidence = f"{', '.join(seen)}: {told_debit(0)}"
        meaning = "A wrong parameter or format costs nothing, however often it is tried."
        check.know(5, REFUSALS, "are free", evidence, meaning, bill_refused=False)


def _ask_for_place(check: Check) -> Response | None:
    fields: list[tuple[str, str | Document]] = [("File", pdf(1)), ("Timeout", "5")]
    job = check.jobs.submit(("pdf", "png"), fields)
    if job.is_accepted:
        check.follow(job)
    answer = job.final if job.is_accepted else job.submitted
    evidence = f"Timeout=5: POST {told(job.submitted)}" + (
        f", GET {told(job.final)}" if job.is_accepted else ""
    )
    if status_of(answer) != 400:
        if is_ok(answer):
            check.money.took(job.cost or check.money.unit)
            check.money.measure()
        check.unclear(5, PLACE, "it is not refused with 400", evidence)
        return answer
    place = "job" if job.is_accepted else "start"
    reading = "in the job's answer" if job.is_accepted else "in the answer to the POST"
    meaning = "Either is a ParameterError of the task."
    check.know(5, PLACE, reading, evidence, meaning, job_refusals_at=place)
    return answer


def _ask_for_missing(check: Check) -> Response | None:
    """Send the request of the connection's Test button: a conversion without a file."""
    request = Request("GET", "/convert/docx/to/pdf", accept="application/json")
    return check.wire.once(request, check.keys.secret())


def _ask_for_pair(check: Check) -> Response | None:
    answer = check.pay(direct("docx/to/nonsense", Document("check.docx", b"-")), check.money.unit)
    status = status_of(answer)
    if status not in {400, 404, 415}:
        check.unclear(5, PAIR_STATUS, "the status is none that was expected", told(answer))
        return answer
    meaning = "Pairs are checked against the catalogue before anything is sent."
    reading = f"is refused with {status}"
    check.know(5, PAIR_STATUS, reading, told(answer), meaning, unknown_pair_status=status)
    return answer


def _ask_for_format(check: Check) -> Response | None:
    answer = check.pay(direct("docx/to/pdf", Document("check.png", b"-")), check.money.unit)
    code = code_of(answer)
    if status_of(answer) != 415 or code is None:
        check.unclear(5, FORMAT_CODE, "it is not refused with 415 and a Code", told(answer))
        return answer
    meaning = "A file of the wrong format is an UnsupportedFormatError."
    reading = f"is refused with {told(answer)}"
    check.know(5, FORMAT_CODE, reading, told(answer), meaning, unsupported_code=code)
    return answer
