"""What a person sees of a good, a failed and a running task."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.airflow_parts import START_LIMIT, Run, wait_for
from tests.browser.pages import cut_off, lines_above, log_of, open_task, top_and_end

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator, Page

    from convertapi_sandbox import Sandbox
    from tests.airflow_parts import Airflow


def test_trigger_form_starts_a_conversion(page: Page, airflow: Airflow, night: None) -> None:
    """A person triggers an example, changes where its result goes, and reads what it cost."""
    destination = airflow.home / "results" / "by-hand.pdf"
    page.goto("/dags/document_to_pdf")
    page.get_by_role("button", name="Trigger").click()
    form = page.get_by_role("dialog")
    form.locator("[name=element_destination]").fill(str(destination))
    form.get_by_role("button", name="Trigger").click()
    form.wait_for(state="hidden")

    def triggered() -> Run | None:
        found = airflow.call("GET", "dags/document_to_pdf/dagRuns")["dag_runs"]
        return Run(airflow, "document_to_pdf", found[0]["dag_run_id"]) if found else None

    run: Run = wait_for("the run", triggered)
    run.wait("success", START_LIMIT)

    open_task(page, run, "to_pdf")
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    expect(log_of(page)).to_contain_text("report.docx")
    expect(log_of(page)).to_contain_text(re.compile(r"Cost: 1 conversion", re.IGNORECASE))
    _check_not_cut_off(page, "Converted: ", "Into: ", "Cost: ")
    open_task(page, run, "to_pdf", "rendered_templates")
    expect(page.get_by_role("row").filter(has_text="destination")).to_contain_text(str(destination))
    open_task(page, run, "to_pdf", "xcom")
    expect(page.get_by_role("row").filter(has_text="conversion_cost")).to_contain_text("1")
    page.get_by_role("button", name="Expand all extra JSON").click()
    expect(page.get_by_role("row").filter(has_text="return_value")).to_contain_text("by-hand.pdf")
    assert destination.read_bytes().startswith(b"%PDF")


def test_batch_tells_its_summary_and_its_asset(page: Page, done: Run) -> None:
    """The log, XCom, asset event and link to the output of a batch that has ended."""
    open_task(page, done, "to_pdf")
    expect(log_of(page)).to_contain_text("1 converted")
    _check_not_cut_off(page, "1 converted; ", "Charged now: ", "Manifest: ")

    open_task(page, done, "to_pdf", "xcom")
    page.get_by_role("button", name="Expand all extra JSON").click()
    summary = page.get_by_role("row").filter(has_text="return_value")
    for key in ("converted", "reused", "failed", "cost", "manifest"):
        expect(summary).to_contain_text(f'"{key}"')

    open_task(page, done, "to_pdf", "asset_events")
    expect(page.get_by_text("1 Asset Event", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="letters").last).to_be_visible()

    open_task(page, done, "to_pdf", "details")
    console = "https://s3.console.aws.amazon.com/s3/buckets/converted?prefix=letters/"
    expect(page.get_by_role("link", name="Output location")).to_have_attribute("href", console)


def test_failed_task_says_what_happened_its_cost_and_the_remedy(
    page: Page, failed: Run, screenshot: Callable[[str, Locator | float], None]
) -> None:
    """A person reads it without scrolling; the page of the account is a click away."""
    open_task(page, failed, "to_pdf")

    expect(page.get_by_text("Failed", exact=True).first).to_be_visible()
    exception = log_of(page).get_by_text("Task failed with exception")
    exception.wait_for()
    lines = lines_above(page, exception)
    assert [0] * len(lines) == [cut_off(line) for line in lines]
    for line in lines:
        expect(line).to_be_in_viewport()
    told = " ".join(" ".join(line.inner_text() for line in lines).split())
    assert re.search(r"What happened: .* has no conversions left.* Cost: nothing was paid", told)
    assert re.search(r"What to do: .*Buy conversions .* clear .*this task", told)
    screenshot("failed-task", top_and_end(exception)[0])

    open_task(page, failed, "to_pdf", "details")
    expect(page.get_by_role("link", name="ConvertAPI usage")).to_be_visible()


def test_running_batch_shows_what_it_does(
    page: Page, running: Run, service: Sandbox, screenshot: Callable[[str, Locator | float], None]
) -> None:
    """The page of a batch that runs tells how many files it converts and how many it reuses."""
    open_task(page, running, "to_pdf")

    expect(page.get_by_text("Running", exact=True).first).to_be_visible()
    expect(log_of(page)).to_contain_text("2 to convert")
    expect(log_of(page)).to_contain_text("6 reused")
    screenshot("running-batch", top_and_end(log_of(page))[1])

    state = f"{running.path}/taskInstances/to_pdf/state-store"
    wait_for("its progress", lambda: running.airflow.call("GET", state)["task_state_store"])
    open_task(page, running, "to_pdf", "task-state-store")
    progress = page.get_by_role("row").filter(has_text="progress")
    for number in (r'"reused":\s6', r'"left":\s2', r'"cost":\s0'):
        expect(progress).to_contain_text(re.compile(number))
    screenshot("progress", top_and_end(progress)[1])

    open_task(page, running, "to_pdf", "rendered_templates")
    expect(page.get_by_role("row").filter(has_text="to_format")).to_contain_text("pdf")


def _check_not_cut_off(page: Page, *beginnings: str) -> None:
    """Check that a person reads these lines of the log without scrolling sideways."""
    for text in beginnings:
        assert 0 == cut_off(log_of(page).get_by_text(text).last), text
