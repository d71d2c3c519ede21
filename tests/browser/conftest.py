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
from playwright.sync_api import sync_playwright

from convertapi_sandbox import Sandbox
from dev.stage import DOCUMENTS, EXAMPLES, ROOT
from tests.airflow_parts import Airflow, settings, wait_for
from tests.browser.pages import LIMIT, SIZE, Watch
from tests.canary import leaks, secrets_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Locator, Page

    from tests.airflow_parts import Run

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
def airflow(service: Sandbox) -> Iterator[Airflow]:
    """Provide an Airflow with examples, whose night batch has run once."""
    with (
        tempfile.TemporaryDirectory(prefix="airflow-") as folder,
        Sandbox(balance=0) as exhausted,
    ):
        home = Path(folder)
        shutil.copytree(DOCUMENTS, home / "documents")
        shutil.copytree(HERE / "dags", home / "dags")
        for name in SHOWN:
            shutil.copy(EXAMPLES / f"{name}.py", home / "dags")
        url, environment = settings(home, service, home / "dags")
        environment |= {
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            # A worker that is slow to start is not dead, as it would be after `settings`' seconds.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "300",
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
def screenshot() -> Callable[[str, Page | Locator], None]:
    """Provide a function that takes a picture for the docs, and keeps it where that is asked for.

    Each is small enough for a page, whoever makes it.
    """

    def take(name: str, shown: Page | Locator) -> None:
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

    def done() -> bool:
        runs = airflow.call("GET", path)["dag_runs"]
        return [run["state"] for run in runs] == ["success"]

    wait_for("the night's batch", done)


@pytest.fixture(scope="session")
def failed(airflow: Airflow) -> Run:
    """Provide a run that failed because no conversions are left."""
    run = airflow.trigger("quota_exhausted")
    run.wait("failed")
    return run


@pytest.fixture(scope="session")
def done(airflow: Airflow) -> Run:
    """Provide a run of a batch that has an asset as its outlet."""
    run = airflow.trigger("letters")
    run.wait("success")
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
    wait_for("a running batch", lambda: run.states() == ["running"])
    return run
