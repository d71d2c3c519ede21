"""A real Airflow, and a browser in which a person looks at it.

These tests take minutes and need Chromium, so they run when they are asked for:
``make test-browser``.  With ``SCREENSHOTS`` in the environment they also write what the docs show.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect, sync_playwright

from convertapi_sandbox import Sandbox
from dev import s3
from dev.stage import DOCUMENTS, EXAMPLES, ROOT
from tests.airflow_parts import START_LIMIT, Airflow, Run, settings, wait_for
from tests.browser.pages import LIMIT, SIZE, Watch
from tests.canary import leaks, secrets_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Locator, Page

HERE = Path(__file__).parent
IMAGES = ROOT / "docs" / "images"
LARGEST_IMAGE = 150_000
SHOWN = ("document_to_pdf", "nightly_folder", "quota_exhausted")
"""Examples that are looked at."""

HELD = 3600
"""Seconds for which the running batch waits for its documents: longer than all tests."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the first test wait for Airflow's start on a busy machine."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def service() -> Iterator[Sandbox]:
    """Provide the account that converts."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def exhausted() -> Iterator[Sandbox]:
    """Provide an account that has nothing left."""
    with Sandbox(balance=0) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def airflow(service: Sandbox, exhausted: Sandbox) -> Iterator[Airflow]:
    """Provide an Airflow with examples, whose night batch has run once."""
    with (
        tempfile.TemporaryDirectory(prefix="airflow-") as folder,
        s3.s3_server() as store,
    ):
        home = Path(folder)
        s3.filled(store, [])
        shutil.copytree(DOCUMENTS, home / "documents")
        shutil.copytree(HERE / "dags", home / "dags")
        for name in SHOWN:
            shutil.copy(EXAMPLES / f"{name}.py", home / "dags")
        url, environment = settings(home, service, home / "dags")
        environment |= {
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            # A worker that is slow to start is not dead, as it would be after `settings`' seconds.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "300",
            "AIRFLOW_CONN_AWS_DEFAULT": s3.airflow_connection(store),
            "AIRFLOW_CONN_CONVERTAPI_EXHAUSTED": exhausted.airflow_connection_json,
            "EXAMPLE_DOCUMENTS": str(home / "documents"),
            "EXAMPLE_RESULTS": str(home / "results"),
        }
        running = Airflow(home, url, environment)
        del running.parts["triggerer"]  # nothing here is deferred
        with running.running([*SHOWN, "letters"]):
            yield running


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Provide Debian's Chromium, which reaches this machine only."""
    path = shutil.which("chromium")
    assert path, "there is no Chromium: run tests/browser/install-browser"
    expect.set_options(timeout=LIMIT)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=["--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def secrets(service: Sandbox) -> set[str]:
    """Provide what no page may show, beside what `secrets_of` finds at the end of a test."""
    return {service.token, service.master_token}


@pytest.fixture
def page(
    chromium: Browser, airflow: Airflow, service: Sandbox, secrets: set[str]
) -> Iterator[Page]:
    """Provide a page of Airflow; afterwards nothing that it received or showed holds a secret."""
    context = chromium.new_context(
        base_url=airflow.url, viewport=SIZE, locale="en-US", timezone_id="UTC"
    )
    context.set_default_timeout(LIMIT)
    page = context.new_page()
    watch = Watch(page)
    yield page
    texts = watch.end()
    context.close()
    assert texts
    assert [] == leaks(secrets | secrets_of(service), texts)


@pytest.fixture
def screenshot(page: Page) -> Callable[[str, Locator | float], None]:
    """Provide a function that takes a picture for the docs, and keeps it where that is asked for.

    It shows one element, or the page down to so many pixels.
    """

    def take(name: str, shown: Locator | float) -> None:
        if isinstance(shown, int | float):
            picture = page.screenshot(
                clip={"x": 0, "y": 0, "width": SIZE["width"], "height": shown},
                animations="disabled",
            )
        else:
            picture = shown.screenshot(animations="disabled", caret="hide")
        assert len(picture) <= LARGEST_IMAGE, f"{name}: {len(picture)} bytes"
        if os.environ.get("SCREENSHOTS"):
            IMAGES.mkdir(exist_ok=True)
            (IMAGES / f"{name}.png").write_bytes(picture)

    return take


@pytest.fixture(scope="session")
def night(airflow: Airflow) -> None:
    """Wait for the first run of the nightly example, which its schedule has started."""
    path = "dags/nightly_folder/dagRuns"

    def started() -> str | None:
        return next((run["dag_run_id"] for run in airflow.call("GET", path)["dag_runs"]), None)

    run_id = wait_for("the night's batch", started)
    Run(airflow, "nightly_folder", run_id).wait("success", START_LIMIT)


@pytest.fixture(scope="session")
def failed(airflow: Airflow) -> Run:
    """Provide a run that failed because no conversions are left."""
    run = airflow.trigger("quota_exhausted")
    run.wait("failed", START_LIMIT)
    return run


@pytest.fixture(scope="session")
def done(airflow: Airflow) -> Run:
    """Provide a run of a batch that writes to a bucket and has an asset as its outlet."""
    run = airflow.trigger("letters")
    run.wait("success", START_LIMIT)
    return run


@pytest.fixture(scope="session")
def running(airflow: Airflow, service: Sandbox, night: None, done: Run) -> Run:
    """Provide a batch that is running: all but two of its documents are reused.

    No test after it may convert anything: the service is slow from here on.
    """
    for number in (1, 2):
        (airflow.home / "documents" / f"new-{number}.txt").write_text(f"New document {number}.\n")
    service.settings.latency = HELD
    run = airflow.trigger("nightly_folder")
    wait_for("a running batch", lambda: run.states() == ["running"], START_LIMIT)
    return run
