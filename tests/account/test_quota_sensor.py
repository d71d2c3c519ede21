"""The sensor that waits for conversions, in both modes."""

from __future__ import annotations

import asyncio
import threading
import time
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.clock import Clock
from airflow_provider_convertapi.errors import (
    AuthenticationError,
    ConnectionConfigError,
    ParameterError,
    QuotaExhaustedError,
    UnexpectedAnswerError,
)
from airflow_provider_convertapi.surroundings import Surroundings, simulated
from tests.account.conftest import connect
from tests.account.test_account import serving
from tests.tries import TaskInstance, execute, reborn, run_try

if TYPE_CHECKING:
    from collections.abc import Callable

    from convertapi_sandbox import Sandbox

MODES = pytest.mark.parametrize("deferrable", [False, True], ids=["poke", "deferrable"])


def sensor_of(**arguments: Any) -> Callable[[], Any]:
    """Provide a function that makes a new sensor, as each process does."""
    from airflow_provider_convertapi.sensors.quota import ConvertApiQuotaSensor

    defaults = {"task_id": "wait", "poke_interval": 0.1, "timeout": 20}
    return lambda: ConvertApiQuotaSensor(**{**defaults, **arguments})


@MODES
def test_enough_at_once(sandbox: Sandbox, deferrable: bool) -> None:
    """One look is enough, also where it is deferrable; nothing is spent."""
    sandbox.balance = 5
    assert run_try(sensor_of(min_conversions=5, deferrable=deferrable)) is None
    assert ["GET /user"] == [f"{entry.method} {entry.path}" for entry in sandbox.requests]
    assert ["master"] == [entry.authorization_kind for entry in sandbox.requests]
    assert sandbox.billed == 0


@MODES
def test_waits_until_conversions_are_bought(sandbox: Sandbox, deferrable: bool) -> None:
    """It goes on once the balance is high enough, not before."""
    sandbox.balance = 4
    looked = threading.Event()

    def buy() -> None:
        while len(sandbox.requests.filter(status=200)) < 2:
            time.sleep(0.02)
        looked.set()
        sandbox.balance = 5

    buyer = threading.Thread(target=buy, daemon=True)
    buyer.start()
    run_try(sensor_of(min_conversions="5", deferrable=deferrable))
    assert looked.is_set()
    assert len(sandbox.requests) >= 3
    assert {"master"} == {entry.authorization_kind for entry in sandbox.requests}


@MODES
def test_gives_up_at_its_timeout(sandbox: Sandbox, deferrable: bool) -> None:
    """As Airflow's sensors do."""
    from airflow_provider_convertapi.airflow_names import AirflowSensorTimeout

    sandbox.balance = 0
    with pytest.raises(AirflowSensorTimeout):
        run_try(sensor_of(timeout=0.5, deferrable=deferrable))


@MODES
def test_outage_is_waited_out(sandbox: Sandbox, deferrable: bool) -> None:
    """A balance that cannot be read now is read later."""
    sandbox.fail("GET /user", status=503, headers={"Retry-After": "0"}, times=2)
    run_try(sensor_of(deferrable=deferrable))
    assert len(sandbox.requests) >= 3


@MODES
def test_account_that_is_not_active(sandbox: Sandbox, deferrable: bool) -> None:
    """Waiting would not help, so it fails at once, without a retry."""
    from airflow_provider_convertapi.failures import QuotaExhaustedFailure

    sandbox.settings.account_active = False
    with pytest.raises(QuotaExhaustedError, match="not active") as caught:
        run_try(sensor_of(deferrable=deferrable))
    assert isinstance(caught.value, QuotaExhaustedFailure)
    assert 1 == len(sandbox.requests)


@MODES
def test_account_that_ends_while_it_waits(sandbox: Sandbox, deferrable: bool) -> None:
    """The worker says why."""
    sandbox.balance = 0

    def end() -> None:
        sandbox.settings.account_active = False

    if deferrable:
        with pytest.raises(QuotaExhaustedError, match="not active"):
            run_try(sensor_of(deferrable=True), deferred=end)
    else:
        threading.Timer(0.3, end).start()
        with pytest.raises(QuotaExhaustedError, match="not active"):
            run_try(sensor_of())


@MODES
def test_master_token_is_needed(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    """Without one, or with a wrong one, it fails at once."""
    connect(sandbox, monkeypatch)
    with pytest.raises(ConnectionConfigError, match="master_token is empty"):
        run_try(sensor_of(deferrable=deferrable))
    connect(sandbox, monkeypatch, master_token="w" * 32)
    with pytest.raises(AuthenticationError, match="master_token is not accepted"):
        run_try(sensor_of(deferrable=deferrable))


@pytest.mark.parametrize("wanted", [0, -1, "many", "", 1.5, True, None])
def test_wrong_minimum(sandbox: Sandbox, wanted: Any) -> None:
    """The message names the argument, and nothing is sent."""
    with pytest.raises(ParameterError, match=r"^min_conversions is "):
        run_try(sensor_of(min_conversions=wanted))
    assert [] == list(sandbox.requests)


def test_balance_that_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not wait for ever for a number that never comes."""
    with (
        serving(monkeypatch, b'{"Active": true}'),
        pytest.raises(UnexpectedAnswerError, match="does not tell the balance"),
    ):
        run_try(sensor_of())


def test_trigger_survives_the_database(sandbox: Sandbox) -> None:
    """Its arguments hold no secret."""
    from airflow_provider_convertapi.triggers.quota import ConvertApiQuotaTrigger

    trigger = ConvertApiQuotaTrigger(
        convertapi_conn_id="convertapi_default", min_conversions=3, deadline=1.5, poll_interval=2.0
    )
    again = reborn(trigger)
    assert trigger.serialize() == again.serialize()
    assert sandbox.master_token not in str(trigger.serialize())


def test_clock_that_is_set_back_delays_no_timeout(sandbox: Sandbox) -> None:
    """The trigger waits for the rest of its time, not for the clock to show it again."""
    from airflow_provider_convertapi.triggers.quota import ConvertApiQuotaTrigger

    sandbox.balance, now = 0, time.time()
    readings = chain([now], repeat(now - 3600))
    back = Clock(lambda: next(readings), time.monotonic, time.sleep)
    trigger = ConvertApiQuotaTrigger(
        convertapi_conn_id="convertapi_default",
        min_conversions=1,
        deadline=now + 0.4,
        poll_interval=0.1,
    )

    async def first() -> Any:
        async with asyncio.timeout(20):
            return await anext(aiter(trigger.run()))

    with simulated(Surroundings(clock=back)):
        assert {"status": "timeout"} == asyncio.run(first()).payload


@pytest.mark.parametrize("deferrable", [False, True])
def test_minimum_of_too_many_digits(sandbox: Sandbox, deferrable: bool) -> None:
    """Python reads numbers of at most 4,300 digits; the message names the argument all the same."""
    with pytest.raises(ParameterError, match="min_conversions is '99"):
        run_try(sensor_of(min_conversions="9" * 5000, deferrable=deferrable))
    assert [] == list(sandbox.requests)


def test_asks_slowly_and_not_in_step(sandbox: Sandbox) -> None:
    """Every five minutes, up to a quarter later, unless it is told otherwise."""
    from airflow_provider_convertapi.sensors.quota import ConvertApiQuotaSensor

    sensor = ConvertApiQuotaSensor(task_id="wait")
    now = time.monotonic()
    waits = {sensor._get_next_poke_interval(now, lambda: 0.0, 1) for _ in range(20)}  # noqa: SLF001 - Airflow calls it
    assert 300 == sensor.poke_interval
    assert len(waits) > 1
    assert all(300 <= wait <= 375 for wait in waits)
    assert execute(sensor, TaskInstance()) is None
    assert sandbox.billed == 0
