"""Five hundred files: faults of every kind, a worker killed twice, a quota that runs out."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import QuotaExhaustedError
from tests.batch.test_waves import run_deferred
from tests.tries import TaskInstance

if TYPE_CHECKING:
    from convertapi_sandbox import Sandbox
    from tests.batch.nights import Night

pytestmark = [pytest.mark.long, pytest.mark.once, pytest.mark.timeout(300)]

FILES = 500
NAMES = [f"{number % 7}/file-{number:03d}.txt" for number in range(FILES)]
LARGE = NAMES[::50]
"""Above 1 MiB: these are uploaded before they are submitted."""

ONE_TRY = Path(__file__).with_name("one_try.py")

# --- faults --------------------------------------------------------------------------------------

BUSY = {"Retry-After": "1"}
UNDONE: list[dict[str, Any]] = [
    {"drop": "before"},
    {"status": 502, "html": True},
    {"status": 500, "empty": True},
]
DONE: list[dict[str, Any]] = [
    {"drop": "after_work"},
    {"status": 504, "html": True, "after_work": True},
]
SLOW: list[dict[str, Any]] = [
    {"status": 503, "code": 503, "headers": BUSY},
    {"status": 429, "code": 429, "headers": BUSY},
    {"delay": 0.5},
    {"stall": 0.5},
]
UNREADABLE: list[dict[str, Any]] = [
    {"status": 200, "empty": True, "after_work": True},
    {"status": 200, "body": b"nonsense", "after_work": True},
]
SUBMITS: list[dict[str, Any]] = [
    *DONE,
    *SLOW,
    *UNREADABLE,
    {"truncate": 5},
    {"status": 503, "code": 503},  # without Retry-After, the batch waits for five seconds
    {"names": ["../../evil.zip"]},
    {"url_host": "127.0.0.1:9"},
]
OTHERS: dict[str, tuple[int, list[dict[str, Any]]]] = {
    "POST /upload": (1, [*UNDONE, *DONE, *SLOW, {"truncate": 5}]),
    "GET /async/job": (45, [*UNDONE, *DONE, *SLOW, {"truncate": 20}]),
    "GET /d": (
        30,
        [
            *UNDONE,
            *DONE,
            *SLOW,
            *UNREADABLE,
            {"truncate": 50},
            {"truncate": 50, "stall": 0.5},
            {"wrong_size": 3},
        ],
    ),
    "HEAD /d": (2, [*UNDONE[:2], SLOW[0]]),
    "DELETE /d": (40, [*UNDONE, *DONE, *SLOW]),
}
"""Every how many of these requests meet a fault, and what each may meet.

Left out, here and for submits, is what rightly ends otherwise.  A second bill: a transient verdict,
and a job or a result that the service has lost.  A file that fails, and is paid: a permanent
verdict, a wrong size announced by the job itself, a redirect of a download or a poll, and a poll's
200 that nobody can read.  A batch that stops: 401 and 403.
"""


def inject(sandbox: Sandbox) -> None:
    """Inject a fault into every fifth submit, and faults of every kind into other requests."""
    for number in range(FILES // 5):
        kind = SUBMITS[number % len(SUBMITS)]
        # Three lost submits of one file are too many for one try, so these are rare.
        if number % 20 == 10:
            kind = [*UNDONE, {"redirect": "http://127.0.0.1:9/"}][number // 20 % 4]
        add(sandbox, "POST /async/convert", 5, number, kind)
    for match, (every, kinds) in OTHERS.items():
        for number, kind in enumerate(kinds):
            add(sandbox, match, every, number, kind)


def add(sandbox: Sandbox, match: str, every: int, number: int, kind: dict[str, Any]) -> None:
    """Add the rule of this number: one does not see the requests on which those before it act."""
    sandbox.fail(match, skip=every * (number + 1) - 1 - number, **kind)


# --- a worker that is killed ---------------------------------------------------------------------


SUBMIT = ("POST", "/async/convert")
CLEANING = ("DELETE", "/d", 20)
"""Some two hundred files are recorded by then, and the documents of most still at the service."""


def one_try(night: Night, number: int, deferrable: bool) -> subprocess.Popen[bytes]:
    """Start one try of the batch in its own process."""
    command = [sys.executable, str(ONE_TRY), str(night.source), str(night.out), str(number)]
    command.append(json.dumps({"to_format": "zip", "deferrable": deferrable, "defer_batch": 200}))
    with log_of(night, number).open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def log_of(night: Night, number: int) -> Path:
    """Return the log file of a try."""
    return night.source.with_name(f"try-{number}.log")


def kill_when(process: subprocess.Popen[bytes], night: Night, moment: tuple[str, str, int]) -> None:
    """Kill a try with SIGKILL as soon as the journal holds so many requests of a kind."""
    method, path, count = moment
    kind = {"method": method, "path": path}
    assert count > len(night.sandbox.requests.filter(**kind))
    while len(night.sandbox.requests.filter(**kind)) < count:
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    assert -signal.SIGKILL == process.wait()


def is_right(night: Night, name: str) -> bool:
    """Tell whether an output is a whole ZIP archive that holds its input, byte for byte."""
    with zipfile.ZipFile(night.out / output_of(name)) as archive:
        held = {member: archive.read(member) for member in archive.namelist()}
    return {Path(name).name: (night.source / name).read_bytes()} == held


def output_of(name: str) -> str:
    """Return the name of a file's output."""
    return name.replace(".txt", ".zip")


@pytest.mark.parametrize(
    ("deferrable", "moments"),
    [
        pytest.param(False, [CLEANING, (*SUBMIT, 350)], id="durable"),
        pytest.param(True, [(*SUBMIT, 150), CLEANING], id="deferrable"),
    ],
)
def test_every_fault_and_two_kills(
    night: Night, deferrable: bool, moments: list[tuple[str, str, int]]
) -> None:
    """Every output holds its input, each file is billed once and recorded, and nothing is left."""
    night.write(*NAMES, text="This is {name}.\n")
    night.write(*LARGE, text="This is {name}." + 1024 * 1024 * " ")
    night.sandbox.settings.known_job_id = "bill"  # so that a superfluous submit is detected
    inject(night.sandbox)

    for number, moment in enumerate(moments, start=1):
        kill_when(one_try(night, number, deferrable), night, moment)
    ended = one_try(night, 3, deferrable).wait()

    assert 0 == ended, log_of(night, 3).read_text()[-2000:]
    assert [] == [name for name in NAMES if not is_right(night, name)]
    assert (FILES, {}) == (night.sandbox.billed, night.sandbox.files)
    assert {output_of(name): "converted" for name in NAMES} == night.outcomes()
    assert [] == [fault for fault in night.sandbox.faults if not fault.hits]


# --- a quota that ends ---------------------------------------------------------------------------

BALANCE = 137
IN_FLIGHT = 4


def run(night: Night, mode: str, ti: TaskInstance) -> dict[str, Any]:
    """Run one try in a mode, and return what the task returns."""
    if mode != "deferrable":
        return night.run(ti, durable=mode == "durable", max_in_flight=IN_FLIGHT)
    summary: dict[str, Any] = run_deferred(night, ti, max_in_flight=IN_FLIGHT)[0]
    return summary


@pytest.mark.parametrize("mode", ["direct", "durable", "deferrable"])
def test_quota_ends_early(night: Night, mode: str) -> None:
    """The finished files are saved and the rest is reported; the cleared task converts the rest."""
    night.write(*NAMES)
    night.sandbox.balance = BALANCE

    with pytest.raises(QuotaExhaustedError, match=r"137 of 500 .* 363 are left") as failed:
        run(night, mode, TaskInstance(1, 1))

    refused = night.sandbox.requests.filter(method="POST", status=403)
    outcomes = list(night.outcomes().values())
    assert "AirflowFailException" in {cls.__name__ for cls in type(failed.value).__mro__}
    assert 1 <= len(refused) <= IN_FLIGHT
    assert BALANCE + len(refused) == night.paid
    assert BALANCE == len(night.outputs()) == night.sandbox.billed == outcomes.count("converted")
    assert FILES - BALANCE == outcomes.count("not_attempted")
    assert {} == night.sandbox.files
    night.sandbox.balance = 1000

    summary = run(night, mode, TaskInstance(2, 1))

    left = FILES - BALANCE
    assert {"converted": left, "reused": BALANCE, "cost": left}.items() <= summary.items()
    assert FILES == len(night.outputs()) == night.sandbox.billed
    assert FILES + len(refused) == night.paid
    assert ["converted"] * FILES == list(night.outcomes().values())
    assert {} == night.sandbox.files
