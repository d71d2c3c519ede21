"""What the docs promise, and what they do not: each row of the tables names what holds it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "retries-and-money.md"
STORIES = "tests/simulation/test_simulation.py::test_stories_keep_every_promise"
CHAIN = "tests/chain/test_chain.py"
LOOK = "tests/hooks/test_look_before_paying.py"
WHOSE = "tests/core/conversions/test_whose_output.py"

PROMISED = {
    "A conversion is billed once": (
        STORIES,
        "tests/parity/test_parity.py::test_every_mode_ends_alike",
        "tests/hooks/test_many_faults.py::test_no_double_charge_and_no_wrong_byte",
        "tests/core/conversions/test_modes.py::test_lost_answer",
        "tests/batch/test_proxies.py::test_lost_answer",
    ),
    "A document that cannot be converted is billed once": (
        f"{LOOK}::test_permanent_verdict_is_raised_again",
        f"{LOOK}::test_second_transient_verdict_is_final",
        "tests/batch/test_batch.py::test_hopeless_file_is_paid_once",
        STORIES,
    ),
    "If a later step has failed permanently": (
        f"{CHAIN}::test_verdict_of_a_later_step_is_raised_before_anything_is_paid",
        f"{CHAIN}::test_verdict_on_one_source_is_raised_before_the_others_are_paid",
        STORIES,
    ),
    "The first refusal because of an exhausted quota": (
        f"{LOOK}::test_quota_sends_one_paid_request",
        "tests/hooks/test_refusals.py::test_stored_refusals_are_no_attempts",
        "tests/batch/test_worst_night.py::test_quota_ends_in_the_middle",
        STORIES,
    ),
    "A batch takes no more than `max_conversions`": (
        "tests/batch/test_budget.py::test_paid_jobs_that_are_forgotten_are_not_free",
        "tests/batch/test_batch.py::test_budget_bounds_all_tries",
    ),
    "An unchanged file is not paid for": (
        "tests/batch/test_batch.py::test_second_night_pays_for_nothing",
        STORIES,
    ),
    "The cost in logs and errors": (
        STORIES,
        "tests/batch/test_paid_failures.py::test_lost_answer_counts",
    ),
    "An output appears whole or not at all": (
        "tests/storage/test_crash.py::test_killed_process_leaves_nothing_visible",
        "tests/hooks/test_worst_service.py::test_hostile_answer",
        STORIES,
    ),
    "Two results of one name": (
        f"{WHOSE}::test_two_mapped_tasks_at_one_moment_lose_nothing",
        "tests/storage/test_create_or_fail.py::test_one_of_many_tasks_at_once_publishes",
    ),
    "Nothing is written outside the destination": (
        "tests/storage/test_create_or_fail.py::test_no_result_leaves_its_destination",
        "tests/core/conversions/test_modes.py::test_input_is_not_written_over",
        STORIES,
    ),
    "A result that is not of the format": (
        "tests/core/conversions/test_result_check.py::test_wrong_first_bytes",
        "tests/core/conversions/test_signatures.py::test_error_page_is_no_document",
    ),
    "A refused result is billed once": (
        "tests/core/conversions/test_result_check.py::test_refused",
        "tests/batch/test_result_check.py::test_refused_file",
    ),
    "A file that is written while it is read": (
        "tests/batch/test_torn.py::test_torn_file_is_not_converted",
        "tests/batch/test_torn.py::test_torn_file_of_a_batch_is_not_converted",
    ),
    "Pages of an older version": (
        "tests/batch/test_older_pages.py::test_killed_between_publishing_recording_and_removing",
    ),
    "Where outputs cannot be written": (
        "tests/batch/test_unwritable.py::test_full_disk_before_paying",
        "tests/batch/test_unwritable.py::test_disk_that_is_full_while_publishing",
        STORIES,
    ),
    "A task that resumes with other arguments": (
        "tests/deferral/test_operator.py::test_resume_with_other_arguments_publishes_nothing",
        "tests/batch/test_waves.py::test_resume_with_other_arguments_publishes_nothing",
        STORIES,
    ),
    "A successful task leaves no document": (
        f"{LOOK}::test_documents_are_deleted_and_the_record_stays",
        "tests/batch/test_batch.py::test_nothing_is_left_at_the_service",
        STORIES,
    ),
    "No token, id, result URL or password": (
        "tests/hooks/test_canary.py::test_planted_secrets_are_found",
        "tests/batch/test_waves.py::test_trigger_arguments_open_nothing",
        STORIES,
    ),
}

NOT_SAFE = {
    "Two tasks submit the same conversion": (STORIES,),  # the simulation's second runner
    "The response to a submit is lost": (
        f"{LOOK}::test_request_lost_before_the_work_is_submitted_again",
    ),
    "A task is cleared or retried after ConvertAPI has forgotten": (
        f"{LOOK}::test_vanished_job_is_expired",
    ),
    "A task dies between submit and collection": (
        "tests/batch/test_budget.py::test_paid_jobs_that_are_forgotten_are_not_free",
    ),
    "The API token is rotated": (
        "tests/deferral/test_operator.py::test_changed_token_never_submits",
        "tests/deferral/test_operator.py::test_job_secret_outlives_a_changed_token",
    ),
    "The output is on a disk": (f"{LOOK}::test_consumed_job_is_paid_once_more",),
    "Two tasks convert the same source": (f"{WHOSE}::test_clear_of_what_was_overwritten",),
    "Two results share a name": (f"{WHOSE}::test_second_of_two_mapped_tasks_loses_nothing",),
    "An output is touched": (
        f"{WHOSE}::test_damaged_output_that_the_user_named",
        f"{WHOSE}::test_damaged_output_that_must_not_be_overwritten",
    ),
    "An output is replaced by another one of the same size": (
        "tests/storage/test_whose_output.py::test_disk_with_coarse_times_cannot_tell",
    ),
    'A job answers "running" forever': (
        "tests/deferral/test_operator.py::test_timeout_leaves_the_job_to_the_next_try",
    ),
    "A user clears a deferred task": (
        "tests/crash/test_deferred.py::test_deferred_task_is_ended_by_a_user",
    ),
    "ConvertAPI answers from another region": (
        "tests/core/test_connection.py::test_worldwide_host_is_known",
    ),
    "The response of a conversion in direct mode": (
        "tests/hooks/test_direct.py::test_lost_answer_is_not_sent_again",
    ),
    "A batch is killed hard": (STORIES,),  # it is killed at every write
    "A verdict that comes as the response": (
        "tests/hooks/test_second_verdicts.py::test_second_verdict_is_final",
    ),
}


def rows(heading: str) -> list[str]:
    """Return the first cell of each row of the first table below a heading."""
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [line.split("|")[1].strip() for line in lines[2:]]


@pytest.mark.parametrize(
    ("heading", "held"),
    [("What is promised", PROMISED), ("What cannot be made safe", NOT_SAFE)],
)
def test_each_row_is_held(heading: str, held: dict[str, tuple[str, ...]]) -> None:
    """Each row has its tests, in the page's order, and no test is named for a row that is gone."""
    found = rows(heading)

    assert len(held) == len(found)
    for row, beginning in zip(found, held, strict=True):
        assert row.startswith(beginning)


@pytest.mark.parametrize(
    "test", sorted({t for h in (PROMISED, NOT_SAFE) for ts in h.values() for t in ts})
)
def test_what_holds_a_row_exists(test: str) -> None:
    """The tests that are named are there."""
    path, _, name = test.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))

    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
