"""A service that refuses what is signed here: tasks ask it for a JWT, and end as on any other."""

from __future__ import annotations

import io
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import AuthenticationError
from tests.tries import TaskInstance, run_try

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.hooks.conftest import MakeHook

pytestmark = pytest.mark.long

OTHER_KID = "99999999-2222-4333-8444-555555555555"
FILES = 12
STEPS: list[Any] = [{"to_format": "protect", "parameters": {"UserPassword": "sesame"}}]
MODES = [
    pytest.param({"durable": True, "deferrable": False}, id="worker"),
    pytest.param({"durable": True, "deferrable": True}, id="deferrable"),
    pytest.param({"durable": False, "deferrable": False}, id="direct"),
    pytest.param({"durable": False, "deferrable": True}, id="direct, deferrable"),
]


@pytest.fixture(autouse=True)
def _answers(sandbox: Sandbox) -> None:
    """Let a conversion take no time, and the service have a key of its own."""
    for target in ("pdf", "protect"):
        sandbox.answer(target=target, files=[("*.pdf", b"%PDF-1.7\n%%EOF\n")])
    sandbox.settings.jwt_key = "base64"


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Return what was logged: Airflow 2 logs to a stream that may not be this test's."""
    return lambda: "".join(capfd.readouterr()) + caplog.text


class Memory:
    """A small document."""

    name, size = "a.txt", 1

    def open(self) -> Any:
        """Open it."""
        return io.BytesIO(b"a")


def connect(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, **change: Any) -> None:
    """Set the default connection to the sandbox's with some fields changed."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_CONVERTAPI_DEFAULT", json.dumps({**sandbox.airflow_connection, **change})
    )


def asked(sandbox: Sandbox) -> int:
    """Return how often the service was asked for a JWT."""
    return len(sandbox.requests.filter(method="POST", path="/token/jwt"))


def refused(sandbox: Sandbox) -> int:
    """Return how many requests were refused."""
    return len(sandbox.requests.filter(status=401))


def operator(kind: str, letter: Path, mode: dict[str, Any], **arguments: Any) -> Any:
    """Make the operator of one process."""
    from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
    from airflow_provider_convertapi.operators.convert import ConvertApiOperator

    given = {"task_id": "convert", "to_format": "pdf", "poll_interval": 0.2, **arguments}
    if kind == "batch":
        place = f"{letter.parent.parent}/out"
        return ConvertApiBatchOperator(
            source=f"{letter.parent}/", destination=place, **given, **mode
        )
    steps = STEPS if kind == "chain" else None
    destination = f"{letter}.pdf"
    return ConvertApiOperator(
        source=str(letter), destination=destination, steps=steps, **given, **mode
    )


def many(letter: Path) -> None:
    """Write more documents beside the letter."""
    for index in range(FILES - 1):
        letter.with_name(f"{index}.txt").write_text(f"Letter {index}.\n")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("kind", "cost"), [("single", 1), ("chain", 2), ("batch", FILES)])
def test_tasks_run(
    sandbox: Sandbox,
    letter: Path,
    said: Callable[[], str],
    kind: str,
    cost: int,
    mode: dict[str, Any],
) -> None:
    """The first refusal makes a process ask, once; it says so, and pays for nothing twice."""
    if kind == "batch":
        many(letter)
    if kind == "chain" and not mode["durable"]:
        pytest.skip("steps are jobs")

    run_try(lambda: operator(kind, letter, mode))

    # A token never leaves its process, and a deferred chain submits its second step in another.
    processes = 2 if kind == "chain" and mode["deferrable"] else 1
    assert (cost, processes) == (sandbox.billed, asked(sandbox))
    submits = sandbox.requests.filter(path="/async/convert/*") + sandbox.requests.filter(
        path="/convert/*"
    )
    accepted = {entry.headers["authorization"] for entry in submits if entry.status == 200}
    assert 1 <= len(accepted) <= processes
    text = said()
    assert "'convertapi_default': ConvertAPI refused a JWT that was signed here" in text
    assert not any(secret.removeprefix("Bearer ") in text for secret in accepted)


def test_sixteen_threads_ask_once(sandbox: Sandbox, letter: Path) -> None:
    """All the files of a batch are refused at once, and share the one JWT that is asked for."""
    many(letter)
    # Long enough for the last to be sent; one that a busy machine sends later carries the new JWT.
    sandbox.fail("POST /convert/*", times=FILES, delay=0.5)

    run_try(lambda: operator("batch", letter, {"durable": False}, max_in_flight=FILES))

    assert (FILES, 1) == (sandbox.billed, asked(sandbox))


def test_token_is_asked_for_again_before_it_expires(
    sandbox: Sandbox, make_hook: MakeHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the rest of the task there is no further refusal, however short a lifetime is."""
    from airflow_provider_convertapi.api.endpoints import convert_directly

    connect(monkeypatch, sandbox, extra={"jwt_lifetime": 2})
    sandbox.balance = 1_000_000  # a fast machine converts thousands of times in this time
    client = make_hook().open_session().client
    end = time.monotonic() + 2.5

    while time.monotonic() < end:
        with client.stream(convert_directly("txt", "pdf", 10, [("File", Memory())])):
            time.sleep(0.02)  # a fast machine would use up the account

    assert 1 == refused(sandbox)
    assert 3 <= asked(sandbox) <= 8


REFUSED_TOO: list[Any] = [
    pytest.param({"login": OTHER_KID}, {}, {}, id="wrong Kid"),
    pytest.param({"login": OTHER_KID}, {"wrong_kid_status": 400}, {}, id="wrong Kid, 400"),
    pytest.param({"extra": {"client_ip": "10.1.2.3"}}, {}, {}, id="bound to others"),
    pytest.param({}, {"account_active": False}, {}, id="inactive"),
    pytest.param({}, {}, {"status": 404}, id="no such call"),
    pytest.param({}, {}, {"body": b'{"Other": 1}'}, id="no token in the answer"),
    pytest.param({}, {}, {"status": 403, "html": True}, id="a proxy"),
]


@pytest.mark.parametrize("mode", MODES[1:3])
@pytest.mark.parametrize(("change", "switches", "fault"), REFUSED_TOO)
def test_both_ways_are_refused(
    sandbox: Sandbox,
    letter: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    switches: dict[str, Any],
    fault: dict[str, Any],
    mode: dict[str, Any],
) -> None:
    """The error names the connection and both ways; the service was asked once, nothing is paid."""
    connect(monkeypatch, sandbox, **change)
    for name, value in switches.items():
        setattr(sandbox.settings, name, value)
    if fault:
        sandbox.fail("POST /token/jwt", times=None, **fault)

    with pytest.raises(AuthenticationError) as caught:
        run_try(lambda: operator("single", letter, mode))

    for text in ("Connection 'convertapi_default'", "signed here", "POST /token/jwt", "HTTP 401"):
        assert text in str(caught.value)
    assert (0, 1) == (sandbox.billed, asked(sandbox))
    assert {} == sandbox.files


@pytest.mark.parametrize("fault", [{}, {"status": 404}], ids=["refused", "no such call"])
def test_batch_of_which_both_ways_are_refused(
    sandbox: Sandbox, letter: Path, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any]
) -> None:
    """Many threads are refused at once: nobody asks a second time for what was not given."""
    connect(monkeypatch, sandbox, login=OTHER_KID)
    many(letter)
    if fault:
        sandbox.fail("POST /token/jwt", times=None, **fault)

    with pytest.raises(AuthenticationError, match=r"signed here.*issued no other"):
        run_try(lambda: operator("batch", letter, {}, max_in_flight=FILES), TaskInstance(1, 0))

    assert (0, 1) == (sandbox.billed, asked(sandbox))


@pytest.mark.parametrize(
    "fault", [{"status": 503, "headers": {"Retry-After": "0"}}, {"drop": "before"}]
)
def test_trouble_while_it_is_asked(sandbox: Sandbox, letter: Path, fault: dict[str, Any]) -> None:
    """To ask costs nothing, so that it is repeated; the conversion is paid once."""
    sandbox.fail("POST /token/jwt", **fault)

    run_try(lambda: operator("single", letter, {"durable": False}))

    assert (1, 2) == (sandbox.billed, asked(sandbox))


def test_service_that_signs_as_we_do_is_never_asked(sandbox: Sandbox, letter: Path) -> None:
    """Where the key is the token's text, nothing is asked and nothing refused."""
    sandbox.settings.jwt_key = "text"

    run_try(lambda: operator("single", letter, {}))

    assert (0, 0, 1) == (asked(sandbox), refused(sandbox), sandbox.billed)
