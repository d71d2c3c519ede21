"""Every pair of settings of the sandbox: two do not mislead, nor do those that are set beside them.

A story takes a second of waits for the sandbox and little work, so several are told at a time.
"""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import combinations
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.clock import Clock
from airflow_provider_convertapi.live.check import Check
from airflow_provider_convertapi.live.report import render
from airflow_provider_convertapi.live.run import run
from convertapi_sandbox import Sandbox
from tests.canary import crossed, leaks, secrets_of
from tests.core.live.conftest import connection, known
from tests.core.live.stories import FREE, PAID, all_pairs, stories

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.core.live.stories import Story

pytestmark = [
    pytest.mark.long,
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:The HMAC key is"),  # of PyJWT, in the sandbox
]

THROTTLED = 5.0
"""Seconds that the check waits at least where it is throttled."""
AT_ONCE = 6
LATENCY, HELD = 0.12, 60.0
"""Seconds for a conversion, and for one that is to be deleted while it runs."""
ALLOWED = 60
"""Conversions: so many that no price hides anything."""
GROUPS = 12
TOLD = stories()
ASKED = {name for setting in (*PAID, *FREE) for name, _ in setting} | {"account_active"}
_CONTROLLED = {"job_consumed_by_read", "job_dies_with_documents", "job_keeps_verdict"}
_LAST = {"unknown_pair_status", "unsupported_code"}
HIDES: list[tuple[set[tuple[str, Any]], set[str]]] = [
    ({("jwt_key", "unknown")}, {"jwt_leeway", "jwt_max_lifetime", "client_ip_networks"}),
    ({("caller_job_ids", False)}, {"known_job_id"}),
    (
        {("job_consumed_by_read", True)},
        {"job_dies_with_documents", "job_delete_takes_documents"},
    ),
    # A record that vanishes may be one that is forgotten soon: another job tells, if it tells when
    # it has ended.
    ({("job_polls", 2)}, _CONTROLLED),
    # The first refusal that is billed is the last request.
    ({("bill_refused", True)}, _LAST),
    (
        {("bill_refused", True), ("known_job_id", "refuse")},
        {"job_refusals_at", "bill_deleted", "throttle_above", "throttle_status", "retry_after"},
    ),
    # What a long document costs is not risked.
    ({("cost_per", "result")}, {"bill_deleted"}),
]
"""What settings leave unknown, as the report says."""
MEASURED = {"job_visible_after": 0.5, "jwt_leeway": 1.5, "clock_offset": 1.5}
"""What is measured in seconds, and how far off it may be here."""


def hidden(settings: dict[str, Any]) -> set[str]:
    """Return what cannot be known under these settings."""
    given, found = settings.items(), set()
    if {("account_active", False), ("balance", 0), ("throttle_above", 0)} & given:
        # Nothing is converted; and where everything is throttled, no token is told good or bad.
        found |= {name for setting in PAID for name, _ in setting} | {"invalid_token_code"}
    for causes, names in HIDES:
        if causes <= given:
            found |= names
    if ("throttle_above", 1) not in given:
        found |= {"throttle_status", "retry_after"}
    return found


class Held:
    """Lets the job that shall be deleted run until it is, however slow the machine."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._deleted = math.inf

    def say(self, text: str) -> None:
        """Hold conversions from the announcement on."""
        if "deleting the job" in text:
            self._deleted = self._count() + 1
            self._sandbox.settings.latency = HELD

    def sleep(self, seconds: float) -> None:
        """Wait shorter than a service would need, and let go once the job is deleted."""
        if self._count() >= self._deleted:
            self._sandbox.settings.latency, self._deleted = LATENCY, math.inf
        time.sleep(0.1 if seconds >= THROTTLED else min(seconds, 0.02))

    def _count(self) -> int:
        return len(self._sandbox.requests.filter(method="DELETE", path="/async/job"))


def problems_of(sandbox: Sandbox, story: Story) -> list[str]:
    """Check a sandbox with these settings, and return what is wrong with what the check says."""
    settings = dict(switch for setting in story for switch in setting)
    sandbox.reset()
    sandbox.settings.latency = LATENCY
    for name, value in settings.items():
        setattr(sandbox if name == "balance" else sandbox.settings, name, value)
    held = Held(sandbox)
    clock = Clock(time.time, time.monotonic, held.sleep)
    check = Check(connection(sandbox), clock, held.say, ALLOWED, pages=3)
    try:
        run(check)
    finally:
        remains = check.close()
    report = render(check, None, remains)
    found, are = known(check), sandbox.settings.as_dict()
    wrong = [
        f"{name} is {are[name]!r} and not {value!r}"
        for name, value in found.items()
        if not _is_true(name, value, are[name])
    ]
    wanted = (settings.keys() & ASKED) - hidden(settings)
    wrong += [f"{name} is not told" for name in wanted - found.keys()]
    if sandbox.billed > check.allowed or sandbox.billed != check.money.spent:
        wrong.append(f"{sandbox.billed} are billed, {check.money.spent} are told")
    if sandbox.files or sandbox.jobs or remains:
        wrong.append(f"{sandbox.files} and {sandbox.jobs} are left; told are {remains}")
    wrong += leaks(secrets_of(sandbox), {"the report": report})
    wrong += crossed(sandbox.requests, sandbox.master_token, sandbox.token)
    return [f"{sorted(settings.items())}: {line}" for line in wrong]


def _is_true(name: str, found: Any, value: Any) -> bool:
    if name in MEASURED:
        return bool(abs(found - value) <= MEASURED[name])
    return bool(found == value)


@pytest.fixture(scope="module")
def sandboxes() -> Iterator[SimpleQueue[Sandbox]]:
    """Provide a few sandboxes, which are reset for each story."""
    idle: SimpleQueue[Sandbox] = SimpleQueue()
    with ExitStack() as stack:
        for _ in range(AT_ONCE):
            idle.put(stack.enter_context(Sandbox(workers=1)))
        yield idle


def test_every_pair_is_in_a_story() -> None:
    """None is skipped."""
    covered = {frozenset(pair) for story in TOLD for pair in combinations(story, 2)}

    assert all_pairs() == covered


@pytest.mark.parametrize("group", range(GROUPS))
def test_pairs(sandboxes: SimpleQueue[Sandbox], group: int) -> None:
    """What is said is true, and what is set is told unless another setting hides it."""

    def tell(story: Story) -> list[str]:
        sandbox = sandboxes.get()
        try:
            return problems_of(sandbox, story)
        finally:
            sandboxes.put(sandbox)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = [line for lines in pool.map(tell, TOLD[group::GROUPS]) for line in lines]

    assert [] == found
