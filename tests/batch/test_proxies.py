"""A batch behind a proxy that loses an answer after the work: paid once, whatever the mode."""

from __future__ import annotations

import json
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.errors import BatchFailedError
from convertapi_sandbox.plugin import CONNECTION_VARIABLE
from tests.proxies import ENDINGS, PROXIES, put_before
from tests.tries import run_try

if TYPE_CHECKING:
    from pathlib import Path

    from tests.batch.nights import Night
    from tests.proxies import Ending

MODES = {
    "durable": {"durable": True, "deferrable": False},
    "deferred": {"durable": True, "deferrable": True},
    "direct": {"durable": False, "deferrable": False},
}


@pytest.mark.parametrize(("proxy", "ending", "mode"), [*product(PROXIES, ENDINGS, MODES)])
def test_lost_answer(
    night: Night,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    proxy: str,
    ending: Ending,
    mode: str,
) -> None:
    """Each file is billed once; only a direct conversion is lost, and its file is named."""
    night.write("a.txt", "b.txt", "c.txt")
    sandbox = night.sandbox
    sandbox.fail("POST *convert/*", drop="after_work", times=1)

    with put_before(sandbox.url, proxy, tmp_path, ending=ending) as (url, environment):
        connection = json.dumps(sandbox.airflow_connection | {"host": url})
        for name, value in (environment | {CONNECTION_VARIABLE: connection}).items():
            monkeypatch.setenv(name, value)
        make = partial(night.operator, MODES[mode])
        if mode == "direct":
            with pytest.raises(BatchFailedError, match="ResultLostError"):
                run_try(make)
        else:
            summary = run_try(make)
            assert (3, 3) == (summary["converted"], summary["cost"])

    assert (2 if mode == "direct" else 3) == len(night.outputs())
    assert (3, 3) == (sandbox.billed, night.paid)
