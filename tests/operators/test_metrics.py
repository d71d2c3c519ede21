"""Metrics as a StatsD server receives them."""

from __future__ import annotations

import socket
from collections import Counter
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import ConversionError
from tests.tries import TaskInstance, execute, run_try

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from convertapi_sandbox import Sandbox

pytestmark = pytest.mark.long

Counts = dict[str, int]
MODES = pytest.mark.parametrize("mode", ["worker", "triggerer", "direct"])
PAIR = "from_format=txt,to_format=pdf"


@contextmanager
def started_stats(monkeypatch: pytest.MonkeyPatch, **settings: object) -> Iterator[None]:
    """Let Airflow read its metrics settings, as it does where a task process starts."""
    from airflow_provider_convertapi.airflow_names import Stats

    stats: Any = Stats
    for name, value in {"statsd_on": True, **settings}.items():
        monkeypatch.setenv(f"AIRFLOW__METRICS__{name.upper()}", str(value))
    if not hasattr(stats, "initialize"):  # Airflow before 3.2 reads them once
        factory = import_module("airflow.metrics.statsd_logger").get_statsd_logger
        before, type(stats).factory, stats.instance = type(stats).factory, factory, None
        try:
            yield
        finally:
            client = getattr(stats.instance, "statsd", None)
            type(stats).factory, stats.instance = before, None
            if client:
                client.close()
        return
    from airflow.sdk.observability.metrics.stats_utils import get_stats_factory

    stats.initialize(factory=get_stats_factory(), export_legacy_names=False)
    try:
        yield
    finally:
        from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger

        stats.initialize(factory=NoStatsLogger, export_legacy_names=False)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Counts]]:
    """Listen on a UDP port, and return what was counted since the last call."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)

        def read() -> Counts:
            counts: Counter[str] = Counter()
            while True:
                try:
                    text = server.recv(65536).decode()
                except BlockingIOError:  # what was sent on loopback is here by now
                    return dict(counts)
                for line in text.splitlines():
                    name, _, value = line.partition(":")
                    _, ours, name = name.partition("convertapi.")
                    if ours:  # and not one of Airflow's own
                        counts[name] += int(value.split("|")[0])

        settings = {"statsd_host": "127.0.0.1", "statsd_port": server.getsockname()[1]}
        with started_stats(monkeypatch, **settings, statsd_influxdb_enabled=True):
            yield read


@pytest.fixture
def sandbox(convertapi_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Provide a fresh sandbox and a short settle time."""
    monkeypatch.setenv("AIRFLOW__CONVERTAPI__SETTLE", "0.3")
    return convertapi_sandbox


def of_mode(mode: str) -> dict[str, Any]:
    """Return the arguments that make a task run so."""
    return {"durable": mode != "direct", "deferrable": mode == "triggerer", "poll_interval": 0.2}


def run(name: str, ti: TaskInstance, **arguments: Any) -> Any:
    """Run one try of an operator, with a triggerer where it defers."""
    from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
    from airflow_provider_convertapi.operators.convert import ConvertApiOperator

    kind = {"single": ConvertApiOperator, "batch": ConvertApiBatchOperator}[name]
    return run_try(lambda: kind(task_id="convert", to_format="pdf", **arguments), ti)


@MODES
def test_single_conversion(
    sandbox: Sandbox, tmp_path: Path, counted: Callable[[], Counts], mode: str
) -> None:
    """What it cost, that it was throttled before, and that a cleared task pays nothing."""
    (tmp_path / "a.txt").write_text("Hello.\n")
    sandbox.settings.conversion_cost = 2
    sandbox.fail("POST /*", status=503, headers={"Retry-After": "0"}, times=2)
    given = {"source": f"{tmp_path}/a.txt", "destination": f"{tmp_path}/a.pdf", **of_mode(mode)}

    run("single", TaskInstance(), **given)
    paid = counted()

    assert {
        f"conversions,{PAIR}": 1,
        f"cost,{PAIR}": 2,
        f"throttled,{PAIR}": 2,
    } == paid
    if mode != "direct":
        run("single", TaskInstance(2, 1), **given)
        assert {f"reused,{PAIR}": 1} == counted()


@MODES
def test_failure_is_counted(
    sandbox: Sandbox, tmp_path: Path, counted: Callable[[], Counts], mode: str
) -> None:
    """A verdict costs as a result does."""
    (tmp_path / "a.txt").write_text("Hello.\n")
    sandbox.fail("POST /*", verdict=5002)
    given = {"source": f"{tmp_path}/a.txt", "destination": f"{tmp_path}/a.pdf", **of_mode(mode)}

    with pytest.raises(ConversionError):
        run("single", TaskInstance(), **given)

    assert {f"conversions,{PAIR}": 1, f"cost,{PAIR}": 1} == counted()


@MODES
def test_batch(sandbox: Sandbox, tmp_path: Path, counted: Callable[[], Counts], mode: str) -> None:
    """Each pair has its own numbers; what stands from another night is reused."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.txt", "b.txt", "c.md"):
        (folder / name).write_text("Hello.\n")
    sandbox.fail("POST /*", status=503, headers={"Retry-After": "0"}, times=1)
    given = {"source": f"{folder}", "destination": f"{tmp_path}/out", **of_mode(mode)}

    run("batch", TaskInstance(run_id="one"), max_in_flight=1, **given)

    found = counted()
    throttled = {name: found.pop(name) for name in list(found) if name.startswith("throttled")}
    other = "from_format=md,to_format=pdf"
    assert 1 == sum(throttled.values())
    assert {
        f"conversions,{PAIR}": 2,
        f"cost,{PAIR}": 2,
        f"conversions,{other}": 1,
        f"cost,{other}": 1,
    } == found
    run("batch", TaskInstance(run_id="two"), **given)
    assert {f"reused,{PAIR}": 2, f"reused,{other}": 1} == counted()


def test_no_server(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of metrics that cannot be found costs no conversion."""
    (tmp_path / "a.txt").write_text("Hello.\n")
    from airflow_provider_convertapi.operators.convert import ConvertApiOperator

    operator = ConvertApiOperator(
        task_id="convert",
        source=f"{tmp_path}/a.txt",
        destination=f"{tmp_path}/a.pdf",
        to_format="pdf",
    )
    with started_stats(monkeypatch, statsd_host="no.such.host.invalid"):
        assert [f"{tmp_path}/a.pdf"] == execute(operator, TaskInstance())
