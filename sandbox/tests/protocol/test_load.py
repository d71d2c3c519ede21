"""A service that is slow or busy, has no conversions left, or has a wrong clock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    from convertapi_sandbox import Sandbox

    Call = Callable[..., requests.Response]


def test_clock_that_is_off(sandbox: Sandbox, zipped: Call, signed: Callable[..., str]) -> None:
    """The service's clock decides whether a JWT is valid, and its Date header shows that clock."""
    token = {"Authorization": f"Bearer {signed()}"}
    sandbox.settings.clock_offset = 3600.0

    answer = zipped(headers=token)

    assert (401, 4012) == (answer.status_code, answer.json()["Code"])
    told = (
        time.mktime(time.strptime(answer.headers["date"], "%a, %d %b %Y %H:%M:%S GMT"))
        - time.timezone
    )
    assert abs(told - time.time() - 3600) < 5


def test_quota_that_ends_at_n(sandbox: Sandbox, zipped: Call, poll: Call) -> None:
    """However many requests arrive together, only as many are granted as are left."""
    sandbox.balance = 3
    sandbox.settings.latency = 0.2

    jobs = [f"{n:032d}" for n in range(6)]
    statuses = [zipped(f"/async/convert/file/to/zip?JobId={job}").status_code for job in jobs]
    for job in jobs[:3]:
        poll(job)

    assert [200] * 3 + [403] * 3 == statuses
    assert (3, 0) == (sandbox.billed, sandbox.balance)


def test_latency_is_the_least_a_conversion_takes(sandbox: Sandbox, zipped: Call) -> None:
    """`latency` is not added to a conversion: it is its minimum duration."""
    zipped()  # the worker has started
    sandbox.settings.latency = 0.3
    started = time.monotonic()

    zipped()

    assert 0.3 <= time.monotonic() - started < 5  # a busy machine must not fail the test


@pytest.mark.parametrize(("retry_after", "header"), [(None, None), (4, "4")])
def test_throttle_answers(
    sandbox: Sandbox, zipped: Call, retry_after: int | None, header: str | None
) -> None:
    """The throttle's answer has a Retry-After only if switched on; the status can be 429."""
    sandbox.throttle_above(0)
    sandbox.settings.throttle_status = 429
    sandbox.settings.retry_after = retry_after

    answer = zipped()

    assert (429, header) == (answer.status_code, answer.headers.get("retry-after"))
    assert (0, False) == (sandbox.billed, sandbox.requests[-1].paid)
