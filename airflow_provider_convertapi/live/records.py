"""Question 2, and the first part of question 6: one job is read, and then deleted in parts.

This module may change from release to release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_convertapi.live import hosts, quota
from airflow_provider_convertapi.live.documents import pdf
from airflow_provider_convertapi.live.facts import roundest
from airflow_provider_convertapi.live.money import told_debit
from airflow_provider_convertapi.live.wire import fields_of, is_ok, status_of, told

if TYPE_CHECKING:
    from airflow_provider_convertapi.live.check import Check
    from airflow_provider_convertapi.live.jobs import Job

PAIR = ("pdf", "png")
_Q = 2
CONSUMED = "reading a finished job"
DIES = "deleting a job's document"
TAKES = "deleting a job's record"
_HIDDEN = "a finished job can be read only once, which hides it"
_RESULTS = 2


def ask(check: Check) -> Job | None:
    """Convert a PDF of two pages as a job, and observe its record.

    :returns: the job; None if it did not succeed, and then nothing more can be converted.
    """
    check.say("Converting a PDF of two pages as a job …")
    job = check.submit(PAIR, [("File", pdf(2))], worst=1, stores=True)
    if not job.is_accepted:
        quota.note_failure(check, job, "the first job")
        return None
    _say_id(check, job)
    check.follow(job)
    if not job.is_done:
        if check.money.measure() is None:
            check.money.took(1)
        quota.note_failure(check, job, "the first job")
        return None
    _say_visibility(check, job)
    _say_cost(check, job)
    _say_names(check, job)
    _read_again(check, job)
    return job


def _say_id(check: Check, job: Job) -> None:
    name = "a JobId of ours"
    if job.is_renamed:
        meaning = (
            "After a lost answer a job cannot be found, and what it cost is paid again: take "
            "`durable=False`, and tell the authors."
        )
        evidence = f"POST: {told(job.submitted)}, with a JobId of the service's own"
        check.know(_Q, name, "is not kept", evidence, meaning, caller_job_ids=False)
        return
    if fields_of(job.submitted).get("JobId") == job.id or job.known_at is not None:
        meaning = "A lost answer is found again under an id that is known beforehand."
        evidence = f"POST: {told(job.submitted)}, the same JobId"
        check.know(_Q, name, "it is kept", evidence, meaning, caller_job_ids=True)
        return
    check.unclear(_Q, name, "the answer names none", told(job.submitted))


def _say_visibility(check: Check, job: Job) -> None:
    name = "when a job is visible"
    if not job.unknown_until:
        seconds = 0.0
        evidence = (
            f"the first GET, {job.known_at or 0:.1f} s after the POST's answer, was not a 404"
        )
    else:
        seconds = roundest(job.unknown_until, job.known_at or job.unknown_until)
        evidence = (
            f"404 until {job.unknown_until:.1f} s after its POST was answered, known from "
            f"{job.known_at or 0:.1f} s"
        )
    meaning = "After a lost answer the provider looks for `settle`, 30 s by default" + (
        ", which is long enough." if seconds < 30 else ": raise it."
    )
    reading = f"after about {seconds:g} s" if seconds else "at once"
    check.know(_Q, name, reading, evidence, meaning, job_visible_after=seconds)


def _say_cost(check: Check, job: Job) -> None:
    """Compare the reported cost with the count of the account."""
    cost = job.cost
    assumed = 1 if cost is None else cost
    check.money.took(assumed)
    debited = check.money.measure(assumed)
    check.money.learn(max(cost or 0, debited or 0))
    name = "the cost that a result tells"
    if cost is not None:
        check.first_price = (cost, "2 pages, 2 results")
    evidence = f"ConversionCost {cost}; {told_debit(debited)}; 2 pages, 2 results"
    if cost is None:
        check.unclear(6, name, "the result of a job tells no ConversionCost", evidence)
    elif debited is None:
        check.unclear(6, name, "what was billed could not be measured", evidence)
    elif debited != cost:
        why = "it differs from the debit, unless somebody else uses the account now"
        check.unclear(6, name, why, evidence)
    else:
        meaning = "`conversion_cost` and `max_conversions` count what is billed."
        # A higher cost may be that of each page or result: `prices` finds out.
        price = {"conversion_cost": cost} if cost == 1 else {}
        check.know(6, name, "it is the debit", evidence, meaning, **price)
    left = check.money.left_at_first
    if left is not None and left <= 0:
        meaning = "The plan bills beyond its size: only `max_conversions` bounds a task."
        reading = "an account without conversions left is billed further"
        check.know(7, "overage", reading, evidence, meaning, overage=True)


def _say_names(check: Check, job: Job) -> None:
    name, names = "names of several results", job.names
    timed = "ConversionTime" in fields_of(job.final)
    reading = "is told" if timed else "is not told"
    check.know(0, "ConversionTime beside the cost", reading, "", conversion_time=timed)
    if len(names) != _RESULTS:
        check.unclear(0, name, f"two pages gave {len(names)} result(s)")
        return
    style = {("check.png", "check-2.png"): "dash", ("check_0.png", "check_1.png"): "underscore"}
    found = style.get((names[0], names[1]))
    if found is None:
        check.unclear(0, name, "they follow neither of the two styles that are known")
        return
    evidence = ", ".join(names)
    check.know(0, name, evidence, evidence, "Names are never computed.", name_index=found)


# --- reading, and deleting ------------------------------------------------------------------------


def _read_again(check: Check, job: Job) -> None:
    again = check.jobs.look(job)
    if status_of(again) == 404:
        check.vanished_at = check.jobs.age(job)
        return  # readable only once, or soon forgotten: another job shows which
    if not is_ok(again):
        check.unclear(_Q, CONSUMED, "the second answer shows neither", told(again))
        return
    meaning = "What a task has read, the next try can read again: it pays nothing."
    evidence = "GET of the finished job: 200, 200"
    check.know(_Q, CONSUMED, "leaves it", evidence, meaning, job_consumed_by_read=False)
    hosts.ask_for_job(check, job)
    _delete_a_document(check, job)


def _delete_a_document(check: Check, job: Job) -> None:
    if len(job.files) != _RESULTS:
        check.unclear(_Q, DIES, "the results are not two stored documents")
        return
    gone = check.jobs.remove(job.files[0])
    deleted = check.jobs.has(job.files[0]) is False
    after = check.jobs.look(job)
    evidence = f"DELETE of one of two documents: {told(gone)}; GET of the job: {told(after)}"
    if not deleted or status_of(after) not in {200, 404}:
        check.unclear(_Q, DIES, "the answers show neither", evidence)
    elif not is_ok(after):
        check.vanished_at = check.jobs.age(job)
        check.unclear(_Q, DIES, evidence)
        check.skip(_Q, TAKES, "the job died with its document")
    else:
        meaning = "A cleared task finds what it paid for, although the documents are deleted."
        reading = "leaves the job"
        check.know(_Q, DIES, reading, evidence, meaning, job_dies_with_documents=False)
        delete_record(check, job, job.files[1])


def delete_record(check: Check, job: Job, file_id: str) -> None:
    """Check whether a document survives the deletion of its job."""
    check.settle(TAKES)
    before = check.jobs.has(file_id)
    gone = check.jobs.delete(job.id)
    after, record = check.jobs.has(file_id), check.jobs.look(job)
    evidence = (
        f"DELETE of the job: {told(gone)}; its document: {_STORED[before]} before, "
        f"{_STORED[after]} after; GET of the job: {told(record)}"
    )
    if not before or after is None or not is_ok(gone):
        check.unclear(_Q, TAKES, "the answers show neither", evidence)
        return
    reading = "leaves its documents" if after else "deletes its documents, too"
    meaning = "`cancel_on_kill` deletes both, one by one."
    check.know(_Q, TAKES, reading, evidence, meaning, job_delete_takes_documents=not after)
    if not after:
        check.jobs.files.discard(file_id)


_STORED = {True: "stored", False: "gone", None: "unknown"}


def conclude(check: Check) -> None:
    """Add why a record vanished, now that it is known how long others stayed."""
    if not check.vanished_at:
        return
    read_once = not check.is_settled(CONSUMED)
    name = CONSUMED if read_once else DIES
    evidence = (
        f"a job that was {'read' if read_once else 'read, and lost a document,'} answered 404 "
        f"{check.vanished_at:.1f} s after its POST; one that was left alone was still there "
        f"after {check.kept_at:.1f} s"
    )
    check.settle(name)
    if check.kept_at < check.vanished_at:
        why = "a job was gone soon after it had ended, and so it may just have been forgotten"
        check.unclear(_Q, name, why, evidence)
    elif read_once:
        meaning = "With `deferrable=True` the trigger would consume the answer: do not use it."
        check.know(_Q, name, "consumes it", evidence, meaning, job_consumed_by_read=True)
        for hidden in (DIES, TAKES):
            check.settle(hidden)
            if not check.is_settled(hidden):
                check.unclear(_Q, hidden, _HIDDEN, evidence)
    else:
        meaning = "Clearing a finished task pays once more."
        check.know(_Q, name, "forgets the job", evidence, meaning, job_dies_with_documents=True)
