"""Questions 4, 6, 9 and 10: a damaged document, costs, the plan's slots, a job that is deleted.

This module may change from release to release.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.wire import whole_number
from airflow_provider_convertapi.live import prices, quota, records
from airflow_provider_convertapi.live.documents import damaged, long_document, pdf, texts
from airflow_provider_convertapi.live.jobs import direct
from airflow_provider_convertapi.live.money import told_debit
from airflow_provider_convertapi.live.wire import code_of, is_ok, is_throttled, status_of, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_convertapi.api.wire import Response
    from airflow_provider_convertapi.live.check import Check
    from airflow_provider_convertapi.live.jobs import Job

FAILED, VERDICT = "a failed conversion", "the verdict in a job"
PARTS = "the cost of each part of an answer"
SLOTS, RUNNING = "the plan's slots", "a running job that is deleted"
_PART_COST = re.compile(rb"^ConversionCost:[ \t]*(\d{1,9})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_DEBIT_WAIT, _DEBIT_LOOKS = 5.0, 10


# --- a damaged document ---------------------------------------------------------------------------


def ask_for_failure(check: Check) -> None:
    """Convert a damaged document."""
    if not check.money.may(check.money.unit):
        return
    check.say("Converting 3,000 bytes that are not a document …")
    job = check.submit(
        ("docx", "pdf"),
        [("File", damaged())],
        worst=check.money.unit,
        job_id=check.left_id("failed"),
    )
    check.follow(job)
    _say_failure(check, job)


def _say_throttled(check: Check) -> None:
    """Add the plan's number of slots, from the throttled requests."""
    if not check.wire.refused or check.is_settled(SLOTS):
        return
    check.settle(SLOTS)
    beside = [refused for refused in check.wire.refused if refused.beside]
    last = min(beside, key=lambda refused: refused.beside) if beside else check.wire.refused[-1]
    evidence = f"{last.status} while {last.beside} conversion(s) of this check were open"
    status = last.status
    after = whole_number(last.retry_after)
    if not last.beside:
        why = "it was refused while nothing of this check was open: overloaded, or others use it"
        check.unclear(10, SLOTS, why, evidence)
        return
    meaning = f"Set a pool, or `max_in_flight`, to {last.beside}: what is above waits, free."
    reading = f"refused beside {last.beside}, accepted later"
    switches = {"throttle_above": last.beside, "throttle_status": status, "retry_after": after}
    check.know(10, SLOTS, reading, evidence, meaning, **switches)


def _say_failure(check: Check, job: Job) -> None:
    debited = check.money.measure(1)
    if debited is None:
        check.money.took(1)
    check.money.learn(debited)
    answer = job.final if job.final is not None else job.submitted
    evidence = f"POST: {told(job.submitted)}; GET: {told(job.final)}; {told_debit(debited)}"
    if status_of(answer) in {400, 415}:
        _say_refused_instead(check, evidence, debited)
    elif status_of(job.final) < 500:
        if quota.is_quota(answer):
            quota.note_failure(check, job, "the damaged document")
        for name in (FAILED, VERDICT):
            check.unclear(4, name, "it did not fail as a conversion", evidence)
    else:
        _say_billed(check, debited, evidence)
        _say_verdict(check, job)


def _say_refused_instead(check: Check, evidence: str, debited: int | None) -> None:
    if debited:
        check.refusal_was_billed(evidence)
    for name in (FAILED, VERDICT):
        check.unclear(4, name, "a damaged document is refused before it is converted", evidence)


def _say_billed(check: Check, debited: int | None, evidence: str) -> None:
    if debited is None:
        check.unclear(4, FAILED, "what is billed could not be measured", evidence)
    elif debited in {0, 1}:
        reading = "is billed" if debited else "is free"
        meaning = (
            "A retry that converts again pays again; the provider repeats the verdict instead."
            if debited
            else "Failures cost nothing: what this provider does about them costs nothing more."
        )
        check.know(4, FAILED, reading, evidence, meaning, bill_failed=bool(debited))
    else:
        check.unclear(4, FAILED, "its cost is neither 0 nor 1, or others use the account", evidence)


def _say_verdict(check: Check, job: Job) -> None:
    again = check.jobs.look(job)
    evidence = f"GET of the failed job, twice: {told(job.final)}, {told(again)}"
    status = status_of(again)
    if status not in {404, *range(500, 600)}:
        check.unclear(4, VERDICT, "the second answer shows neither", evidence)
    elif status == 404:
        # Kept until another job shows that the verdict was not simply forgotten.
        check.verdict_gone_at = check.jobs.age(job)
        check.unclear(4, VERDICT, evidence)
    elif code_of(again) == code_of(job.final):
        meaning = "A damaged document is billed once, however many retries a task has."
        check.know(4, VERDICT, "can be read again", evidence, meaning, job_keeps_verdict=True)


def conclude(check: Check) -> None:
    """Add whether a verdict was returned only once, and the number of slots."""
    if check.verdict_gone_at:
        check.settle(VERDICT)
        evidence = (
            f"404 after it was read once, {check.verdict_gone_at:.1f} s after its POST; a job that "
            f"was left alone was still there after {check.kept_at:.1f} s"
        )
        if check.kept_at >= check.verdict_gone_at:
            meaning = "Each retry of a damaged document pays again: set `retries=0` for such tasks."
            check.know(4, VERDICT, "is told once", evidence, meaning, job_keeps_verdict=False)
        else:
            why = "a job may just have been forgotten soon"
            check.unclear(4, VERDICT, why, evidence)
    _say_throttled(check)


# --- multipart/mixed ------------------------------------------------------------------------------


def ask_for_parts(check: Check) -> None:
    """Convert directly, and compare the cost in each part with the debit."""
    unit = check.money.unit
    if not check.money.may(unit):
        return
    check.say("Converting directly …")
    answer = check.pay(direct("pdf/to/png", pdf(2), accept="multipart/mixed"), unit)
    costs = _costs(answer)
    check.money.took(max(costs, default=unit) if answer is None or is_ok(answer) else 0)
    debited = check.money.measure(unit)
    check.money.learn(debited)
    evidence = f"{told(answer)}; ConversionCost of each part: {costs}; {told_debit(debited)}"
    if quota.is_quota(answer):
        quota.note_refusal(check, answer, "POST /convert")
        check.money.stopped = "no conversions are left"
    if not costs or debited is None:
        check.unclear(6, PARTS, "there is no such cost, or nothing to compare it with", evidence)
    elif not debited:
        check.unclear(6, PARTS, "a conversion costs nothing here", evidence)
    elif set(costs) == {debited}:
        meaning = "A direct conversion's cost is that of any of its parts."
        reading = "each tells the whole debit"
        check.know(6, PARTS, reading, evidence, meaning, part_cost="whole")
    elif sum(costs) == debited:
        meaning = "The cost of a direct conversion is the sum: more than this provider tells."
        reading = "they add up to the debit"
        check.know(6, PARTS, reading, evidence, meaning, part_cost="share")
    else:
        check.unclear(6, PARTS, "it is not the debit, or others use the account", evidence)


def _costs(answer: Response | None) -> list[int]:
    if not is_ok(answer):
        return []
    return [int(cost) for cost in _PART_COST.findall(answer.body)]


# --- a running job --------------------------------------------------------------------------------


def ask_for_running(check: Check) -> None:
    """Submit a long document, an archive beside it, and delete the long one while it runs."""
    unit = check.money.unit
    if not check.money.is_metered:
        check.skip(9, RUNNING, "what is billed could not be measured")
        return
    if not check.money.may(unit):
        return
    check.say(f"Converting {check.pages} pages, and deleting the job; up to two minutes …")
    job = check.submit(("docx", "pdf"), [("File", long_document(check.pages))], worst=unit)
    if not job.is_accepted:
        check.unclear(9, RUNNING, "the job was not accepted", told(job.submitted))
        return
    _wait_until_known(check, job)
    archive = _submit_beside(check, job)
    running = job.was_running and job.final is None
    gone = check.jobs.delete(job.id)
    cost = _follow_archive(check, archive)
    debited = _debit(check, cost, patient=running)
    check.money.learn(debited)
    check.wire.open_jobs -= job.final is None
    _say_deleted(check, running=running, gone=gone, debited=debited)


def _debit(check: Check, cost: int, *, patient: bool) -> int | None:
    """Return what was billed beside a known cost; None if it could not be measured."""
    debited = check.money.measure(cost)
    for _ in range(_DEBIT_LOOKS if patient else 0):
        if debited is None or debited > cost:
            break
        check.clock.sleep(_DEBIT_WAIT)
        more = check.money.measure()
        debited = None if more is None else debited + more
    return None if debited is None else debited - cost


def _submit_beside(check: Check, job: Job) -> Job | None:
    """Submit an archive of three files while a job runs, if it is allowed."""
    if not _may_archive(check):
        check.jobs.look(job)
        return None
    seen = len(check.wire.refused)
    archive = _submit_archive(check, may_repeat=lambda: False)
    check.jobs.look(job)
    evidence = "the second POST was accepted, and then the first job still answered 202"
    if len(check.wire.refused) > seen:
        return archive
    if archive.is_accepted and job.was_running and job.final is None:
        meaning = "`max_in_flight` may be larger than 1; above the plan's slots tasks wait."
        reading = "two conversions at a time are accepted; more were not tried"
        check.know(10, SLOTS, reading, evidence, meaning, throttle_above=None)
    else:
        why = "the first conversion may have ended before the second was submitted"
        check.unclear(10, SLOTS, why, f"POSTs: {told(job.submitted)}, {told(archive.submitted)}")
    return archive


def _may_archive(check: Check) -> bool:
    # At worst the long job, which is not measured yet, and each input of the archive are billed.
    return check.money.may((1 + prices.INPUT_COUNT) * check.money.unit)


def _submit_archive(check: Check, may_repeat: Callable[[], bool]) -> Job:
    fields = [(f"Files[{index}]", document) for index, document in enumerate(texts())]
    return check.jobs.submit(("file", "zip"), fields, stores=True, may_repeat=may_repeat)


def _follow_archive(check: Check, archive: Job | None) -> int:
    """Use the archive for questions that other jobs could not answer; return its cost."""
    if archive is not None and is_throttled(archive.submitted):
        archive = _submit_archive(check, may_repeat=lambda: _may_archive(check))
    if archive is None or not archive.is_accepted:
        return 0
    check.follow(archive)
    if not archive.is_done:
        check.unclear(6, prices.INPUTS, "the archive was not made", told(archive.final))
        return 0
    cost = check.money.unit if archive.cost is None else archive.cost
    prices.compare_inputs(check, archive)
    hidden = not check.is_settled(records.TAKES) and archive.files
    if hidden and is_ok(check.jobs.look(archive)):
        records.delete_record(check, archive, archive.files[0])
    return cost


def _wait_until_known(check: Check, job: Job) -> None:
    """Poll until the job is known, because a DELETE before that finds nothing."""
    while job.known_at is None and check.jobs.age(job) < 60:
        check.jobs.look(job)
        if job.known_at is None:
            check.clock.sleep(0.25)


def _say_deleted(
    check: Check, *, running: bool, gone: Response | None, debited: int | None
) -> None:
    evidence = (
        f"GET: {'202' if running else 'not 202'}; DELETE: {told(gone)}; {told_debit(debited)}"
    )
    if not running:
        check.unclear(9, RUNNING, "it had ended before it could be deleted", evidence)
    elif not is_ok(gone):
        check.unclear(9, RUNNING, "it was not deleted", evidence)
    elif check.first_price is not None and not check.first_price[0]:
        check.unclear(9, RUNNING, "a conversion costs nothing here", evidence)
    elif debited is None or debited < 0:
        check.pending = "a deleted job may be billed this late"
        check.unclear(9, RUNNING, "what was billed could not be measured", evidence)
    elif debited:
        meaning = "`cancel_on_kill=True` saves no conversion; it only removes documents sooner."
        reading = "is billed all the same"
        check.know(9, RUNNING, reading, evidence, meaning, bill_deleted=True)
    else:
        check.pending = "the job that was deleted while it ran may be billed this late"
        meaning = "`cancel_on_kill=True` saves the conversion."
        reading = "is not billed within a minute"
        check.know(9, RUNNING, reading, evidence, meaning, bill_deleted=False)
