"""A worker without Airflow: sessions that are made by hand, and a process that can be killed.

As a script it makes one conversion: URL TOKEN TRY ARGUMENTS, the last as JSON.  It prints the
outputs, and what is loaded of Airflow.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[3]))

from airflow_provider_convertapi.api.aclient import AsyncClient
from airflow_provider_convertapi.api.client import Client
from airflow_provider_convertapi.api.ids import JobIds
from airflow_provider_convertapi.clock import SYSTEM_CLOCK
from airflow_provider_convertapi.connection import ConnectionSettings
from airflow_provider_convertapi.conversions.deferral import JobEvent
from airflow_provider_convertapi.conversions.polling import JobPoller
from airflow_provider_convertapi.conversions.running import prepare, proceed, run
from airflow_provider_convertapi.conversions.session import Session
from airflow_provider_convertapi.conversions.task import TaskTry
from airflow_provider_convertapi.errors import ConversionInterrupted
from tests.tries import checked_conversion

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_convertapi.api.wire import Credential
    from airflow_provider_convertapi.conversions.deferral import JobRef
    from airflow_provider_convertapi.conversions.result import ConversionResult

SETTLE = 0.2
"""Seconds; short, so that a later try does not wait long before it submits."""

LOG = logging.getLogger("tests.core.worker")


def nothing() -> None:
    """Do nothing."""


def wait_until(ready: Callable[[], bool]) -> None:
    """Wait for something of a process that runs beside this one."""
    limit = time.monotonic() + 30
    while not ready():
        assert time.monotonic() < limit
        time.sleep(0.02)


@dataclass
class Worker:
    """What a task is run by: each session is one try, in a process of its own as far as ids go."""

    url: str
    token: str
    clients: list[Client] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def session(self, number: int = 1, map_index: int = -1) -> Session:
        """Open the session of a try of the one task, or of an instance that it is mapped to."""
        return Session(
            conn_id="converter",
            read_settings=self._settings,
            task=TaskTry(
                dag_id="d",
                run_id="r",
                task_id="t",
                map_index=map_index,
                number=number,
                started=time.time(),
            ),
            settle=SETTLE,
            clock=SYSTEM_CLOCK,
            log=LOG,
            new_client=self._new_client,
            stop=self.stopped.set,
        )

    def _settings(self) -> ConnectionSettings:
        return ConnectionSettings(
            conn_id="converter",
            base_url=self.url,
            kid=None,
            auth="api_token",
            jwt_lifetime=3600,
            client_ip=None,
            http_timeout=60,
            namespace="",
            api_token=self.token,
            master_token=None,
            job_secret=None,
        )

    def _new_client(self) -> Client:
        client = Client(
            self.url,
            lambda _: self.token,
            pause=self._pause,
            clock=time.time,
            monotonic=time.monotonic,
        )
        self.clients.append(client)
        return client

    def _pause(self, seconds: float) -> None:
        if self.stopped.wait(seconds):
            raise ConversionInterrupted("told to stop")

    def close(self) -> None:
        """Close the connections of every session."""
        for client in self.clients:
            client.close()

    def convert(
        self,
        mode: str,
        *,
        number: int = 1,
        map_index: int = -1,
        checked: Callable[[], object] = nothing,
        **given: Any,
    ) -> ConversionResult:
        """Convert from beginning to end.

        :param mode: ``durable``, ``direct`` or ``deferred``.
        :param checked: done once the conversion is checked, before anything is sent.
        :param given: what differs from the hook's defaults.
        """
        given = {"poll_interval": 0.2, "durable": mode != "direct", **given}
        conversion = checked_conversion(**given)
        checked()
        session = self.session(number, map_index)
        if mode != "deferred":
            return run(session, conversion)
        made = proceed(session, conversion, prepare(session, conversion), defers=True)
        while isinstance(made, list):
            event = self.wait_for(session.key_check, made)
            made = self.resume(event, number=number, map_index=map_index, **given)
        return made

    def wait_for(self, key_check: str, jobs: list[JobRef]) -> str:
        """Wait as the triggerer does; return its event as text."""
        answered = asyncio.run(self._wait_for(jobs))
        return json.dumps(JobEvent("answered", key_check, tuple(jobs), tuple(answered)).payload())

    async def _wait_for(self, jobs: list[JobRef]) -> list[bool]:
        async def token(_: Credential) -> str:
            return self.token

        client = AsyncClient(self.url, token, clock=time.time, monotonic=time.monotonic)
        ids = [JobIds(self.token, job.derivation).job_id(job.attempt) for job in jobs]
        watched = [(job_id, job.submitted) for job_id, job in zip(ids, jobs, strict=True)]
        try:
            poller = JobPoller(client, 0.2, SETTLE, LOG)
            return await poller.wait_for(watched, enough=len(jobs), seconds=20)
        finally:
            await client.close()

    def resume(self, event: str, *, number: int = 1, map_index: int = -1, **given: Any) -> Any:
        """Go on in another session with what the triggerer has said; inputs may be gone."""
        found = JobEvent.parse(json.loads(event), expected=None)
        session = self.session(number, map_index)
        conversion = checked_conversion(find_inputs=False, **given)
        session.check_key(found.key_check, f"{conversion.describe()} was")
        return proceed(session, conversion, prepare(session, conversion), found.jobs, defers=True)


def main(url: str, token: str, number: str, arguments: str) -> None:
    """Convert once, and say what came of it."""
    result = Worker(url, token).convert(number=int(number), **json.loads(arguments))
    loaded = sorted(name for name in sys.modules if name.partition(".")[0] == "airflow")
    print(json.dumps({"outputs": result.outputs, "airflow": loaded}))  # noqa: T201 - it is read


if __name__ == "__main__":
    main(*sys.argv[1:])
