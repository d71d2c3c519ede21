"""One list of scenarios, run in every mode: the same result, or the same class of error.

A mode is `durable` and `deferrable`; direct mode (`durable=False`) has nothing to defer, runs
directly whatever `deferrable` says, and gives up what its name says: an answer that is lost may
have been paid.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pikepdf
import pypdfium2
import pytest

from airflow_provider_convertapi import errors, failures
from tests.tries import TaskInstance, run_try

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from convertapi_sandbox import Sandbox

SETTLE = 0.2
LARGE = 1024 * 1024 + 1
"""Bytes; one more than what travels in the submit itself."""

SUBMIT = {True: "POST /async/convert/*", False: "POST /convert/*"}
"""The paid request, by `durable`."""


@dataclass
class World:
    """What a scenario may touch: the service, the files, and what happens meanwhile."""

    sandbox: Sandbox
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    durable: bool
    threads: list[threading.Thread] = field(default_factory=list)

    def fail_submit(self, **fault: Any) -> None:
        """Let the paid request meet a fault."""
        self.sandbox.fail(SUBMIT[self.durable], **fault)

    def meanwhile(self, ready: Callable[[], object], act: Callable[[], object]) -> None:
        """Do something as soon as something is so."""

        def wait() -> None:
            limit = time.monotonic() + 15
            while not ready() and time.monotonic() < limit:
                time.sleep(0.02)
            act()

        self.threads.append(threading.Thread(target=wait))
        self.threads[-1].start()

    def job_state(self) -> str | None:
        """Return the state of the one job."""
        return next((job["state"] for job in self.sandbox.jobs.values()), None)

    def was_asked(self, path: str) -> bool:
        """Tell whether the service has seen a POST below this path."""
        return bool(self.sandbox.requests.filter(method="POST", path=path))


@dataclass(frozen=True)
class Scenario:
    """What happens, and how it ends.

    :param ends: the number of outputs, or the class of the error.
    :param billed: conversions taken from the balance.
    :param direct: `ends` in direct mode where it differs; None where the scenario cannot happen.
    """

    name: str
    ends: Any
    billed: int
    prepare: Callable[[World], Mapping[str, Any] | None]
    direct: Any = "the same"
    direct_billed: int | None = None

    def end(self, *, durable: bool) -> Any:
        """Return how it ends in a mode."""
        return self.ends if durable or self.direct == "the same" else self.direct

    def cost(self, *, durable: bool) -> int:
        """Return what it costs in a mode."""
        return self.billed if durable or self.direct_billed is None else self.direct_billed


def nothing_happens(_: World) -> None:
    """Let everything go well."""


def several_outputs(world: World) -> Mapping[str, Any]:
    """Convert three pages into three images."""
    document = pypdfium2.PdfDocument.new()
    for _ in range(3):
        document.new_page(200, 100)
    document.save(world.folder / "pages.pdf")
    return {"source": str(world.folder / "pages.pdf"), "to_format": "png"}


def damaged_file(world: World) -> Mapping[str, Any]:
    """Convert what only looks like a PDF."""
    (world.folder / "damaged.pdf").write_bytes(b"%PDF-1.7 and no more")
    return {"source": str(world.folder / "damaged.pdf"), "to_format": "png"}


def locked_file(world: World, **parameters: str) -> Mapping[str, Any]:
    """Convert a PDF that opens with a password only."""
    with pikepdf.new() as document:
        document.add_blank_page(page_size=(200, 100))
        lock = pikepdf.Encryption(user="right-password", owner="right-password")
        document.save(world.folder / "locked.pdf", encryption=lock)
    source = str(world.folder / "locked.pdf")
    return {"source": source, "to_format": "png", "parameters": parameters}


def wrong_password(world: World) -> Mapping[str, Any]:
    """Provide a password that does not open the PDF."""
    return locked_file(world, Password="wrong-password")


def bad_parameter(_: World) -> Mapping[str, Any]:
    """Ask for what the converter refuses."""
    return {"parameters": {"PageSize": "enormous"}}


def no_quota(world: World) -> None:
    """Have nothing left on the account."""
    world.sandbox.balance = 0


def throttled_once(world: World) -> None:
    """Be too busy twice, then not any more."""
    world.fail_submit(status=503, headers={"Retry-After": "0"}, times=2)


def throttled_for_ever(world: World) -> Mapping[str, Any]:
    """Be too busy for longer than the task waits."""
    world.fail_submit(status=503, headers={"Retry-After": "1"}, times=None)
    return {"timeout": 1.2}


def poll_outage(world: World) -> Mapping[str, Any]:
    """Answer no poll for a while; the first look, before the submit, is answered."""
    world.sandbox.fail("GET /async/job/*", drop="before", times=15, skip=1)
    return {"poll_interval": 0.05}


def throttled_polls(world: World) -> None:
    """Be too busy for polls, as a service is where they come too often."""
    world.sandbox.fail(
        "GET /async/job/*", status=503, headers={"Retry-After": "0"}, times=3, skip=1
    )


def late_visibility(world: World) -> None:
    """Let the job be unknown for a moment after it was accepted."""
    world.monkeypatch.setenv("AIRFLOW__CONVERTAPI__SETTLE", "5")
    world.sandbox.job_visible_after(0.6)


def job_vanished(world: World) -> None:
    """Forget the job while it is waited for."""
    world.sandbox.jobs_take(polls=1000)
    world.meanwhile(lambda: world.sandbox.jobs, world.sandbox.vanish_job)


def result_expired(world: World) -> None:
    """Delete the result between its making and its fetching."""
    world.sandbox.jobs_take(polls=5)
    world.meanwhile(lambda: world.job_state() == "done", world.sandbox.expire_files)


def lost_answer_at_submit(world: World) -> None:
    """Take the request, do the work, bill it, and break the connection."""
    world.fail_submit(drop="after_work")


def lost_answer_at_upload(world: World) -> Mapping[str, Any]:
    """Store the upload and break the connection."""
    large = world.folder / "large.txt"
    large.write_text("a line of text\n" * (LARGE // 15 + 1))
    world.sandbox.fail("POST /upload", drop="after_work")
    return {"source": str(large), "to_format": "zip"}


def truncated_download(world: World) -> None:
    """Break off in the middle of the result."""
    world.sandbox.fail("GET /d", truncate=1000)
    world.sandbox.fail("POST /convert/*", truncate=1000)


def unreadable_answer(world: World) -> None:
    """Answer success with an invalid body."""
    world.sandbox.fail("GET /async/job/*", status=200, body=b"nonsense", times=None, skip=1)
    world.sandbox.fail("POST /convert/*", status=200, body=b"nonsense", after_work=True)


def odd_polls(world: World) -> None:
    """Answer two polls with a sign-in page; the first look, before the submit, is answered."""
    world.sandbox.fail("GET /async/job/*", status=200, html=True, times=2, skip=1)


def unreadable_submit(world: World) -> None:
    """Answer the paid request with a sign-in page, after the work is done."""
    world.fail_submit(status=200, html=True, after_work=True)


def token_rotated(world: World) -> None:
    """Revoke the token while the job is waited for; the connection gets the new one."""

    def rotate() -> None:
        world.sandbox.fail("GET /async/job/*", status=401, code=4012, times=None)
        world.sandbox.rotate_token()
        connection = world.sandbox.airflow_connection_json
        world.monkeypatch.setenv("AIRFLOW_CONN_CONVERTAPI_DEFAULT", connection)

    if world.durable:
        world.sandbox.jobs_take(polls=1000)
        world.meanwhile(lambda: world.sandbox.jobs, rotate)
    else:
        world.sandbox.rotate_token()


def input_changed(world: World) -> None:
    """Write the source between the look at it and the request that is paid."""
    world.fail_submit(status=503, headers={"Retry-After": "1"})
    path = "/async/convert/*" if world.durable else "/convert/*"
    letter = world.folder / "letter.txt"
    world.meanwhile(lambda: world.was_asked(path), lambda: letter.write_text("Another letter.\n"))


def deadline(world: World) -> Mapping[str, Any]:
    """Let the job run for longer than the task waits."""
    world.sandbox.jobs_take(polls=1000)
    return {"timeout": 1.2}


def slow_document(world: World) -> None:
    """End with the verdict that more time might change."""
    world.fail_submit(verdict=5000)


SCENARIOS = [
    Scenario("success", 1, 1, nothing_happens),
    Scenario("several outputs", 3, 1, several_outputs),
    Scenario("damaged file", failures.ConversionFailure, 1, damaged_file),
    Scenario("locked file", failures.ConversionFailure, 1, locked_file),
    Scenario("wrong password", failures.ConversionFailure, 1, wrong_password),
    Scenario("slow document", errors.TransientConversionError, 1, slow_document),
    Scenario("bad parameter", failures.ParameterFailure, 0, bad_parameter),
    Scenario("no quota", failures.QuotaExhaustedFailure, 0, no_quota),
    Scenario("throttled, then not", 1, 1, throttled_once),
    Scenario("throttled for ever", errors.ThrottledError, 0, throttled_for_ever),
    Scenario("poll outage", 1, 1, poll_outage, direct=None),
    Scenario("throttled polls", 1, 1, throttled_polls, direct=None),
    Scenario("odd polls", 1, 1, odd_polls, direct=None),
    Scenario("late visibility", 1, 1, late_visibility, direct=None),
    Scenario("job vanished", failures.ResultExpiredFailure, 1, job_vanished, direct=None),
    Scenario("result expired", failures.ResultExpiredFailure, 1, result_expired, direct=None),
    Scenario("answer lost at submit", 1, 1, lost_answer_at_submit, failures.ResultLostFailure),
    Scenario("answer lost at upload", 1, 1, lost_answer_at_upload, direct=None),
    Scenario("truncated download", 1, 1, truncated_download, failures.ResultLostFailure),
    Scenario(
        "unreadable answer",
        failures.UnexpectedAnswerFailure,
        1,
        unreadable_answer,
        failures.ResultLostFailure,
    ),
    Scenario("unreadable submit", 1, 1, unreadable_submit, failures.ResultLostFailure),
    Scenario("token rotated", failures.AuthenticationFailure, 1, token_rotated, direct_billed=0),
    Scenario("input changed", errors.InputChangedError, 0, input_changed),
    Scenario("deadline", errors.ConversionTimeoutError, 1, deadline, direct=None),
]
MODES = {
    "durable": {"durable": True, "deferrable": False},
    "durable, deferrable": {"durable": True, "deferrable": True},
    "direct": {"durable": False, "deferrable": False},
    "direct, deferrable": {"durable": False, "deferrable": True},
}
CELLS = [
    pytest.param(scenario, mode, id=f"{scenario.name}-{name}")
    for scenario in SCENARIOS
    for name, mode in MODES.items()
    if scenario.end(durable=mode["durable"]) is not None
]


@pytest.fixture
def make_world(
    convertapi_sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[bool], World]]:
    """Make a fresh service and a letter to convert."""
    monkeypatch.setenv("AIRFLOW__CONVERTAPI__SETTLE", str(SETTLE))
    (tmp_path / "letter.txt").write_text("Dear reader, this is a letter.\n")
    made: list[World] = []

    def make(durable: bool) -> World:
        made.append(World(convertapi_sandbox, tmp_path, monkeypatch, durable))
        return made[-1]

    yield make
    for world in made:
        for thread in world.threads:
            thread.join()


@pytest.mark.parametrize(("scenario", "mode"), CELLS)
def test_every_mode_ends_alike(
    make_world: Callable[[bool], World], scenario: Scenario, mode: Mapping[str, bool]
) -> None:
    """The scenario ends and costs as in the table, and leaves no partial file."""
    from airflow_provider_convertapi.operators.convert import ConvertApiOperator

    durable = mode["durable"]
    world = make_world(durable)
    out = world.folder / "out"
    arguments = {
        "source": str(world.folder / "letter.txt"),
        "to_format": "pdf",
        "destination": f"{out}/",
        "timeout": 20,
        "poll_interval": 0.2,
        **mode,
        **(scenario.prepare(world) or {}),
    }
    ti = TaskInstance(max_tries=3)
    expected = scenario.end(durable=durable)

    if isinstance(expected, int):
        outputs = run_try(lambda: ConvertApiOperator(task_id="convert", **arguments), ti)
        assert expected == len(outputs)
        assert sorted(outputs) == sorted(map(str, out.iterdir()))
        assert {"conversion_cost": 1} == ti.xcom
        assert {} == world.sandbox.files
    else:
        with pytest.raises(errors.ConvertApiError) as caught:
            run_try(lambda: ConvertApiOperator(task_id="convert", **arguments), ti)
        assert expected is type(caught.value)
        assert not out.exists() or [] == list(out.iterdir())
    assert scenario.cost(durable=durable) == settled_bill(world.sandbox)


def settled_bill(sandbox: Sandbox) -> int:
    """Wait until no conversion is running, and return what was billed."""
    limit = time.monotonic() + 20
    while sandbox.at_work and time.monotonic() < limit:
        time.sleep(0.02)
    return sandbox.billed
