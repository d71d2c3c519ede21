"""JWTs that end while a task goes on, clocks that differ, addresses that a JWT is bound to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.hooks.conftest import MakeHook

pytestmark = pytest.mark.long

FILES = 24
AUTHS = ["jwt", "jwt_remote"]
SKEWS = [-60.0, 60.0]
"""Seconds by which the service's clock is ahead."""


@pytest.fixture(autouse=True)
def _answers(sandbox: Sandbox) -> None:
    """Let a conversion take no work."""
    sandbox.answer(target="pdf", files=[("*.pdf", b"%PDF-1.7\n%%EOF\n")])


def connect(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, **extra: Any) -> None:
    """Set the default connection to the sandbox's with these extras."""
    value = json.dumps({**sandbox.airflow_connection, "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_CONVERTAPI_DEFAULT", value)


def tokens(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Return the claims of the different JWTs that paid requests carried, in their order."""
    found = {e.headers["authorization"]: e.claims for e in sandbox.requests if e.claims}
    return [claims for claims in found.values() if claims]


@pytest.mark.once
@pytest.mark.parametrize("durable", [True, False], ids=["durable", "direct"])
@pytest.mark.parametrize("skew", SKEWS)
@pytest.mark.parametrize("auth", AUTHS)
def test_life_that_ends_in_the_middle_of_a_batch(
    sandbox: Sandbox,
    make_hook: MakeHook,
    letter: Path,
    monkeypatch: pytest.MonkeyPatch,
    auth: str,
    skew: float,
    durable: bool,
) -> None:
    """Each token is replaced before its end by the service's clock: no request is refused."""
    connect(monkeypatch, sandbox, auth=auth, jwt_lifetime=2)
    for index in range(FILES - 1):
        letter.with_name(f"{index}.txt").write_text(f"Letter {index}.\n")
    sandbox.settings.clock_offset = skew
    sandbox.settings.latency = 0.25

    summary = make_hook().convert_batch(
        f"{letter.parent}/",
        "pdf",
        f"{letter.parent.parent}/out",
        durable=durable,
        max_in_flight=2,
        poll_interval=0.2,
    )

    assert (FILES, FILES) == (summary["converted"], sandbox.billed)
    assert 0 == len(sandbox.requests.filter(status=401))
    first, *_, last = tokens(sandbox)
    assert last["exp"] - first["exp"] >= 2


@pytest.mark.parametrize("skew", [-7200.0, 7200.0])
def test_clock_that_is_wrong_by_hours(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, skew: float
) -> None:
    """What is signed here is refused then, and the service's own JWT has the service's times."""
    sandbox.settings.clock_offset = skew

    make_hook().convert(letter, "pdf", f"{letter}.pdf")

    assert (1, 1) == (sandbox.billed, len(sandbox.requests.filter(status=401)))


@pytest.mark.parametrize("auth", AUTHS)
def test_address_that_it_is_bound_to(
    sandbox: Sandbox,
    make_hook: MakeHook,
    letter: Path,
    monkeypatch: pytest.MonkeyPatch,
    auth: str,
) -> None:
    """Whoever makes the JWT, it names the connection's addresses, and is accepted from there."""
    connect(monkeypatch, sandbox, auth=auth, client_ip="localhost, 127.0.0.1")

    make_hook().convert(letter, "pdf", f"{letter}.pdf")

    assert ["localhost,127.0.0.1"] == [claims["clientIp"] for claims in tokens(sandbox)]
    assert 1 == sandbox.billed
