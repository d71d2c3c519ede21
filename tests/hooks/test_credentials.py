"""One JWT for all threads: whoever is refused says with which, and it is replaced once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.api.endpoints import get_job

if TYPE_CHECKING:
    from pytest_mock import MockerFixture

    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook
    from convertapi_sandbox import Sandbox
    from tests.hooks.conftest import MakeHook

THREADS = 16
JOB = get_job("j" * 32)


def poll_from_threads(hook: ConvertApiHook) -> list[Any]:
    """Poll from as many threads at once, each with a client of its own."""
    start = Barrier(THREADS)

    def poll() -> Any:
        with closing(hook.open_session().new_client()) as client:
            start.wait()
            return client.send(JOB)

    with ThreadPoolExecutor(THREADS) as pool:
        polls = [pool.submit(poll) for _ in range(THREADS)]
        return [each.result() for each in polls]


def bearers(sandbox: Sandbox, status: int) -> list[str]:
    """Return the tokens of the polls that were answered so."""
    polls = sandbox.requests.filter(method="GET", path="/async/job/*", status=status)
    return [poll.headers["authorization"].removeprefix("Bearer ") for poll in polls]


@pytest.mark.parametrize("auth", ["jwt", "jwt_remote"])
def test_threads_that_are_refused_at_once(
    sandbox: Sandbox,
    make_hook: MakeHook,
    monkeypatch: pytest.MonkeyPatch,
    mocker: MockerFixture,
    auth: str,
) -> None:
    """All of them send the same new token, which is asked for once, and masked once."""
    from airflow_provider_convertapi import airflow_names

    connection = sandbox.airflow_connection | {"extra": {"auth": auth}}
    monkeypatch.setenv("AIRFLOW_CONN_CONVERTAPI_DEFAULT", json.dumps(connection))
    masked = mocker.spy(airflow_names, "mask_secret")
    hook = make_hook()
    hook.open_session().client.send(JOB)
    # Long enough for a token that is made then to be another one; its times are whole seconds.
    sandbox.fail("GET /async/job/*", status=401, code=4012, times=THREADS, delay=1.1)

    answers = poll_from_threads(hook)

    assert {True} == {answer.unknown for answer in answers}
    [first] = set(bearers(sandbox, 401))
    [second] = set(bearers(sandbox, 404)) - {first}
    assert (THREADS, 1 + THREADS) == (len(bearers(sandbox, 401)), len(bearers(sandbox, 404)))
    asked = sandbox.requests.filter(method="POST", path="/token/jwt")
    assert (2 if auth == "jwt_remote" else 1) == len(asked)
    jwts = [call.args[0] for call in masked.call_args_list if call.args[0].count(".") == 2]
    assert [first, second] == jwts


def test_refusal_that_lasts(
    sandbox: Sandbox, make_hook: MakeHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each thread sends a second token, and no third."""
    from airflow_provider_convertapi.errors import AuthenticationError

    sandbox.fail("GET /async/job/*", status=401, code=4012, times=None)

    with pytest.raises(AuthenticationError):
        poll_from_threads(make_hook())

    assert 2 * THREADS == len(bearers(sandbox, 401))
