"""Start, restart with saved state, and control from another process."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import requests

from convertapi_sandbox import Fault, Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Call = Callable[..., requests.Response]

JOB, OTHER_JOB = "a" * 32, "b" * 32


def convert(sandbox: Sandbox, path: str, **data: str) -> requests.Response:
    """Put one small file into an archive."""
    return requests.post(
        sandbox.url + path,
        files={"Files[0]": ("notes.txt", b"some notes")},
        data=data,
        headers={"Authorization": f"Bearer {sandbox.token}", "Accept": "application/json"},
        timeout=20,
    )


def polled(sandbox: Sandbox, job_id: str) -> requests.Response:
    """Poll until the job has an answer."""
    while (
        answer := requests.get(f"{sandbox.url}/async/job/{job_id}", timeout=20)
    ).status_code == 202:
        time.sleep(0.01)
    return answer


def test_state_survives_a_restart(tmp_path: Path) -> None:
    """Documents, finished jobs and the balance are restored; a job that was running is unknown."""
    with Sandbox(balance=5, workers=1, state=tmp_path) as first:
        convert(first, f"/async/convert/file/to/zip?JobId={JOB}", StoreFile="true")
        convert(first, f"/async/convert/file/to/zip?JobId={OTHER_JOB}")
        answers = [polled(first, JOB).json(), polled(first, OTHER_JOB).json()]
        broken = requests.post(
            first.url + "/async/convert/pdf/to/txt?JobId=" + "c" * 32,
            files={"File": ("a.pdf", b"%PDF broken")},
            headers={"Authorization": f"Bearer {first.token}"},
            timeout=20,
        )
        verdict = polled(first, broken.json()["JobId"])
        first.settings.latency = 60.0
        convert(first, "/async/convert/file/to/zip?JobId=" + "d" * 32)
        files = first.files

    with Sandbox(balance=99, workers=1, state=tmp_path) as second:
        again = [polled(second, JOB).json(), polled(second, OTHER_JOB).json()]
        for answer in answers[0]["Files"] + again[0]["Files"]:
            del answer["Url"]  # the port has changed
        assert answers == again
        assert verdict.json() == polled(second, "c" * 32).json()
        assert 404 == polled(second, "d" * 32).status_code
        assert files == second.files
        assert (3, 2) == (second.billed, second.balance)
        [file_id] = files
        assert requests.get(f"{second.url}/d/{file_id}", timeout=20).content.startswith(b"PK")
        second.reset()
        assert ({}, {}, 99) == (second.files, second.jobs, second.balance)

    assert [] == [
        path for path in tmp_path.rglob("*") if path.is_file() and path.name != "account.json"
    ]


def test_state_in_a_relative_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the folder below the directory of the start, and its documents are converted."""
    monkeypatch.chdir(tmp_path)
    with Sandbox(workers=1, state="kept") as server:
        answer = convert(server, "/convert/file/to/zip", StoreFile="true")

        assert (200, 1) == (answer.status_code, server.billed)
        assert server.folder == tmp_path / "kept"
    assert (tmp_path / "kept" / "account.json").exists()


def test_temporary_state_is_deleted() -> None:
    """Without `state` nothing is left on disk."""
    with Sandbox(workers=1) as server:
        convert(server, "/convert/file/to/zip", StoreFile="true")
        folder = server.folder
        assert folder.exists()

    assert not folder.exists()


def test_stopped_sandbox_says_so() -> None:
    """Using a sandbox that does not run is an error that says what to do."""
    server = Sandbox()

    with pytest.raises(RuntimeError, match="context manager"):
        _ = server.billed
    server.stop()
    with server, pytest.raises(RuntimeError, match="already"):
        server.start()
    with server:  # and again
        assert 0 == server.billed


def test_stop_in_the_middle() -> None:
    """A sandbox can stop while it converts; the caller's connection is closed."""
    with Sandbox(workers=1, latency=60.0) as server, ThreadPoolExecutor() as callers:
        waiting = callers.submit(convert, server, "/convert/file/to/zip")
        convert(server, "/async/convert/file/to/zip")
        while server.at_work < 2:
            time.sleep(0.01)
        started = time.monotonic()
        server.stop()
        assert isinstance(waiting.exception(timeout=10), requests.ConnectionError)
    assert time.monotonic() - started < 10


def test_port_that_is_taken(sandbox: Sandbox) -> None:
    """A taken port is an OSError at the start, and leaves nothing behind."""
    port = int(sandbox.url.rpartition(":")[2])

    with pytest.raises(OSError, match="in use"):
        Sandbox(port=port).start()


def test_connection_for_airflow(sandbox: Sandbox) -> None:
    """The connection contains type, Kid, token and host."""
    assert (
        {
            "conn_type": "convertapi",
            "login": sandbox.kid,
            "password": sandbox.token,
            "host": sandbox.url,
            "extra": {},
        }
        == json.loads(sandbox.airflow_connection_json)
        == sandbox.airflow_connection
    )


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("known_job_id", "joins", ValueError),
        ("latency", "slow", ValueError),
        ("latency", float("nan"), ValueError),
        ("latency", -1, ValueError),
        ("job_polls", -1, ValueError),
        ("allow_hosts", "a b", ValueError),
        ("allow_hosts", "a/b", ValueError),
        ("allow_hosts", "a:b", ValueError),
        ("legacy_credentials", 1, ValueError),
        ("no_such_switch", 1, AttributeError),
    ],
)
def test_switches_are_checked(
    sandbox: Sandbox, name: str, value: object, error: type[Exception]
) -> None:
    """A misspelled switch, or a value that it does not have, is an error immediately."""
    with pytest.raises(error, match=name):
        setattr(sandbox.settings, name, value)


def test_seconds_may_be_whole(sandbox: Sandbox) -> None:
    """A switch in seconds also takes a whole number."""
    sandbox.settings.latency = 1

    assert 1 == sandbox.settings.latency


def test_settings_of_the_start_come_back() -> None:
    """`reset` restores the switches with which the sandbox was created."""
    with Sandbox(workers=1, latency=0.5, settings=Settings(token_answer="text")) as server:
        server.settings.token_answer = "Token"
        server.jobs_take(polls=2)
        server.reset()
        assert ("text", 0.5, 0) == (
            server.settings.token_answer,
            server.settings.latency,
            server.settings.job_polls,
        )


# --- from another process -------------------------------------------------------------------------


def test_attached_controls_do_the_same(sandbox: Sandbox) -> None:
    """`Sandbox.attach` controls and inspects a running sandbox over its socket."""
    other = Sandbox.attach(sandbox.url + "/")
    convert(sandbox, f"/async/convert/file/to/zip?JobId={JOB}", StoreFile="true")
    polled(sandbox, JOB)

    assert (1, 999, sandbox.files, sandbox.jobs) == (
        other.billed,
        other.balance,
        other.files,
        other.jobs,
    )
    assert sandbox.requests == other.requests
    assert 1 == len(other.requests.filter(path="/async/convert", paid=True))
    assert sandbox.airflow_connection == other.airflow_connection

    other.balance = 3
    other.settings.known_job_id = "bill"
    other.fail("GET /d", body=b"\xff", times=2)
    assert (3, "bill", b"\xff") == (
        sandbox.balance,
        sandbox.settings.known_job_id,
        sandbox.faults[0].body,
    )
    assert [Fault(match="GET /d", body=b"\xff", times=2)] == other.faults
    other.clear_faults()
    other.vanish_job(JOB)
    other.expire_files()
    assert ([], {}, {}) == (sandbox.faults, sandbox.jobs, sandbox.files)
    assert other.rotate_token() == sandbox.token
    other.reset()
    assert ([], 1000, "join") == (sandbox.requests, sandbox.balance, other.settings.known_job_id)


def test_attached_controls_refuse_what_the_sandbox_refuses(sandbox: Sandbox) -> None:
    """A wrong switch, rule or URL is a ValueError; no sandbox there is an OSError."""
    other = Sandbox.attach(sandbox.url)

    with pytest.raises(ValueError, match="known_job_id"):
        other.settings.known_job_id = "joins"
    with pytest.raises(ValueError, match="no_such_switch"):
        other.settings.no_such_switch = 1
    with pytest.raises(AttributeError):
        _ = other.settings.no_such_switch
    with pytest.raises(ValueError, match="http://"):
        Sandbox.attach("file:///etc/passwd")
    with pytest.raises(OSError, match="refused"):
        _ = Sandbox.attach("http://127.0.0.1:9").billed


@pytest.mark.parametrize(
    ("method", "operation", "headers", "status"),
    [
        ("GET", "status", {}, 200),
        ("GET", "reset", {}, 405),
        ("POST", "reset", {"Content-Type": "text/plain"}, 415),
        ("POST", "nothing", {"Content-Type": "application/json"}, 404),
        ("POST", "balance", {"Content-Type": "application/json"}, 400),
    ],
)
def test_control_endpoint(
    caller: requests.Session,
    sandbox: Sandbox,
    method: str,
    operation: str,
    headers: dict[str, str],
    status: int,
) -> None:
    """A request that a web page can send changes nothing; the journal has no controls."""
    assert status == caller.request(method, f"/_sandbox/{operation}", headers=headers).status_code
    assert [] == sandbox.requests
