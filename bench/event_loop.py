"""1,000 jobs in one triggerer process: the longest stall of its event loop, requests and memory.

The jobs run for as long as the measurement lasts.  They are watched twice, through Airflow's own
trigger runner: by 1,000 triggers of one job each, as 1,000 deferred tasks make them, and by two
triggers of 500 jobs each, as two waves of a batch do.  The sandbox runs in its own process.

A full garbage collection of the roughly 250,000 objects that Airflow keeps in a triggerer stalls it
whatever its triggers do, so its time is reported separately.

``python bench/event_loop.py [JOBS] [SECONDS]`` (1,000 jobs, 40 s).
"""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

# A log line for every trigger would hide the figures.
os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"

import psutil

from convertapi_sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

POLL_INTERVAL = 10.0
MOST_STALL = 0.1
TICK = 0.002


@dataclass
class Collections:
    """The time that the interpreter spends on garbage collection."""

    seconds: float = 0.0
    _begin: float = 0.0

    def __call__(self, phase: str, _: dict[str, int]) -> None:
        """Receive the interpreter's callback."""
        if phase == "start":
            self._begin = time.perf_counter()
        else:
            self.seconds += time.perf_counter() - self._begin


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the loop, in seconds.

    :param late: by how much it was late; `collecting`: what of that was garbage collection.
    :param busy: processor time, which other processes do not lengthen; without collections.
    """

    late: float
    collecting: float
    busy: float

    @property
    def ours(self) -> float:
        """Return the delay without garbage collection."""
        return self.late - self.collecting


@contextmanager
def sandbox() -> Iterator[Any]:
    """Run a sandbox in its own process, in which every job keeps running."""
    command = [sys.executable, "-m", "convertapi_sandbox"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            lines = process.stdout or ()
            line = next(text for text in lines if "http://127.0.0.1:" in text)
            url = line[line.index("http://") :].split()[0].strip("'\",")
            remote = Sandbox.attach(url)
            remote.fail("GET /async/job/*", status=202, empty=True, times=None)
            os.environ["AIRFLOW_CONN_CONVERTAPI_DEFAULT"] = remote.airflow_connection_json
            yield remote
        finally:
            process.terminate()


def trigger(jobs: range, seconds: float, token: str) -> Any:
    """Make a trigger from its arguments, as a triggerer does."""
    from airflow_provider_convertapi.api.ids import key_check
    from airflow_provider_convertapi.triggers.job import ConvertApiJobTrigger

    return ConvertApiJobTrigger(
        convertapi_conn_id="convertapi_default",
        key_check=key_check(token),
        deadline=time.time() + seconds,
        poll_interval=POLL_INTERVAL,
        settle=30.0,
        jobs=[[f"{number:064x}", 0, time.time(), []] for number in jobs],
    )


async def watch(triggers: list[Any]) -> list[Turn]:
    """Let Airflow's trigger runner make and run triggers; return the turns of the loop."""
    from airflow.executors.workloads.trigger import RunTrigger
    from airflow.jobs.triggerer_job_runner import TriggerRunner
    from airflow.models.trigger import Trigger

    runner = TriggerRunner()
    turns: list[Turn] = []
    collections = Collections()
    gc.callbacks.append(collections)

    async def probe() -> None:
        while True:
            begin, worked, collected = time.perf_counter(), time.thread_time(), collections.seconds
            await asyncio.sleep(TICK)
            late = time.perf_counter() - begin - TICK
            collecting = collections.seconds - collected
            busy = time.thread_time() - worked
            turns.append(Turn(late, collecting, max(busy - collecting, 0.0)))

    for number, each in enumerate(triggers):
        row = Trigger.from_object(each)
        runner.to_create.append(
            RunTrigger(
                id=number, ti=None, classpath=row.classpath, encrypted_kwargs=row.encrypted_kwargs
            )
        )
    probing = asyncio.create_task(probe())
    await runner.create_triggers()
    await asyncio.gather(*(running["task"] for running in runner.triggers.values()))
    probing.cancel()
    gc.callbacks.remove(collections)
    return turns


def measure(name: str, service: Any, waves: list[range], seconds: float) -> float:
    """Watch the jobs and print the figures; return the longest stall in seconds."""
    process = psutil.Process()
    service.reset()
    service.fail("GET /async/job/*", status=202, empty=True, times=None)
    before, processor = process.memory_info().rss, sum(process.cpu_times()[:2])
    turns = asyncio.run(watch([trigger(jobs, seconds, service.token) for jobs in waves]))
    requests = len(service.requests)
    grown = (process.memory_info().rss - before) / 2**20
    share = (sum(process.cpu_times()[:2]) - processor) / seconds
    longest = max(turn.ours for turn in turns)
    percentile = statistics.quantiles([turn.ours for turn in turns], n=100)[-1]
    print(
        f"{name:<24} longest stall {longest * 1000:.0f} ms, 99 % below {percentile * 1000:.0f} ms "
        f"(longest work {max(turn.busy for turn in turns) * 1000:.0f} ms; "
        f"with garbage collections {max(turn.late for turn in turns) * 1000:.0f} ms); "
        f"{requests / seconds:.0f} requests/s; processor {share:.0%}; memory {grown:+.0f} MB"
    )
    return longest


def main(count: int = 1000, seconds: float = 40.0) -> int:
    """Measure, print, and fail if the loop was blocked for longer than the target."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    with sandbox() as service:
        # Imports happen once, so they are not counted as a stall.
        asyncio.run(watch([trigger(range(1), 1, service.token)]))
        half = count // 2
        stalls = [
            measure(
                f"{count} triggers of one job",
                service,
                [range(number, number + 1) for number in range(count)],
                seconds,
            ),
            measure(
                f"2 triggers of {half} jobs", service, [range(half), range(half, count)], seconds
            ),
        ]
    print(f"target: {MOST_STALL * 1000:.0f} ms at most")
    return int(max(stalls) > MOST_STALL)


if __name__ == "__main__":
    arguments = [int(text) for text in sys.argv[1:]]
    sys.exit(main(*arguments))
