"""What the provider promises on every supported Airflow, tried with the installed wheel."""

from __future__ import annotations

import asyncio
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest
import requests

import airflow_provider_convertapi
from airflow_provider_convertapi.errors import ThrottledError
from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook
from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
from airflow_provider_convertapi.operators.convert import ConvertApiOperator
from airflow_provider_convertapi.policies import ConvertApiRetryPolicy
from airflow_provider_convertapi.sensors.job import ConvertApiJobSensor
from tests.contract.conftest import CONNECTION, HOME
from tests.tries import TaskInstance, reborn, run_try

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "airflow-provider-convertapi"
AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])
MODES = [
    pytest.param({}, id="durable"),
    pytest.param({"deferrable": True}, id="deferrable"),
    pytest.param({"durable": False}, id="direct"),
]
DAG = """
try:
    from airflow.sdk import DAG
except ImportError:
    from airflow.models import DAG

from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook
from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
from airflow_provider_convertapi.operators.convert import ConvertApiOperator

one = {{"source": "{source}/letter.md", "to_format": "pdf", "poll_interval": 1}}
many = one | {{"source": "{source}/"}}
with DAG("contract", schedule=None):
    ConvertApiOperator(task_id="durable", destination="{out}/durable.pdf", **one)
    ConvertApiOperator(
        task_id="deferred", destination="{out}/deferred.pdf", deferrable=True, **one
    )
    ConvertApiOperator(task_id="direct", destination="{out}/direct.pdf", durable=False, **one)
    ConvertApiBatchOperator(task_id="batch", destination="{out}/batch/", **many)
    ConvertApiBatchOperator(
        task_id="deferred_batch", destination="{out}/deferred_batch/", deferrable=True, **many
    )
"""


def test_package_is_the_installed_wheel() -> None:
    """The source tree is out of reach."""
    assert Path(airflow_provider_convertapi.__file__).is_relative_to(sys.prefix)
    assert airflow_provider_convertapi.__version__ == version(NAME)


# --- discovery and form ------------------------------------------------------------------------


def test_airflow_discovers_provider_and_hook() -> None:
    """The providers manager knows the package and imports the hook."""
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()

    assert version(NAME) == manager.providers[NAME].version
    hook: Any = manager.hooks["convertapi"]
    assert ("ConvertAPI", NAME) == (hook.hook_name, hook.package_name)


def test_command_line_shows_the_provider(airflow: Callable[..., str]) -> None:
    """`airflow providers get` prints what provider info says."""
    assert NAME in airflow("providers", "get", NAME, "--full", "-o", "json")


def test_connection_form_has_our_names_and_fields() -> None:
    """The form of Airflow 2 and the web server's answer of Airflow 3 have our fields."""
    if AIRFLOW < (3, 0):
        from airflow.providers_manager import ProvidersManager

        manager = ProvidersManager()
        behaviour: Any = manager.field_behaviours["convertapi"]
        fields = {
            name.removeprefix("extra__convertapi__")
            for name in manager.connection_form_widgets
            if name.startswith("extra__convertapi__")
        }
        labels = behaviour["relabeling"]["password"]
    else:
        from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

        known = {meta.connection_type: meta for meta in HookMetaService.hook_meta_data()}
        if AIRFLOW < (3, 2) and not any(meta.extra_fields for meta in known.values()):
            pytest.skip("without Flask-AppBuilder this Airflow shows the form of no provider")
        meta = known["convertapi"]
        fields = set(meta.extra_fields or {})
        standard: Any = meta.standard_fields
        labels = standard.password.title
    assert "API token" == labels
    assert {"auth", "master_token", "job_secret"} <= fields


# --- connection and hook -----------------------------------------------------------------------


def as_uri() -> str:
    """Write the connection as a URI, as people do in the environment."""
    host = urlsplit(CONNECTION["host"])
    login, password = (quote(CONNECTION[part], safe="") for part in ("login", "password"))
    return f"convertapi://{login}:{password}@{host.hostname}:{host.port}/http?allow_http=true"


@pytest.mark.parametrize("form", ["json", "uri", "backend"])
def test_hook_reads_the_connection(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON and URI in the environment, and a secrets backend, are the same account."""
    monkeypatch.setenv("AIRFLOW_CONN_FROM_JSON", json.dumps(CONNECTION))
    monkeypatch.setenv("AIRFLOW_CONN_FROM_URI", as_uri())

    assert ConvertApiHook(f"from_{form}").test_connection()[0]


@pytest.mark.parametrize("durable", [True, False])
def test_hook_converts(letter: Path, tmp_path: Path, durable: bool) -> None:
    """The hook converts as the operators do."""
    made = ConvertApiHook().convert(
        str(letter), to_format="pdf", destination=f"{tmp_path}/letter.pdf", durable=durable
    )

    assert [f"{tmp_path}/letter.pdf"] == list(made)
    assert (tmp_path / "letter.pdf").read_bytes().startswith(b"%PDF")


# --- operators, trigger, sensor, policy --------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_operator_converts(letter: Path, tmp_path: Path, mode: dict[str, Any]) -> None:
    """A single conversion, in each mode, through Airflow's own serialisation of the trigger."""
    out = tmp_path / "letter.pdf"

    def make() -> Any:
        return ConvertApiOperator(
            task_id="convert",
            source=str(letter),
            to_format="pdf",
            destination=str(out),
            poll_interval=1,
            **mode,
        )

    run_try(make)

    assert out.read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("mode", MODES)
def test_batch_converts(letter: Path, tmp_path: Path, mode: dict[str, Any]) -> None:
    """A batch, in each mode; the second run pays nothing."""

    def make() -> Any:
        return ConvertApiBatchOperator(
            task_id="convert",
            source=f"{letter.parent}/",
            to_format="pdf",
            destination=f"{tmp_path}/out/",
            poll_interval=1,
            **mode,
        )

    first, second = run_try(make), run_try(make, TaskInstance(run_id="next"))

    assert (tmp_path / "out" / "letter.pdf").read_bytes().startswith(b"%PDF")
    assert (1, 0) == (first["converted"], second["converted"])


@pytest.mark.parametrize("deferrable", [True, False])
def test_sensor_waits_for_a_job(letter: Path, deferrable: bool) -> None:
    """A job that something else started."""
    answer = requests.post(
        f"{CONNECTION['host']}/async/convert/md/to/pdf?StoreFile=true",
        headers={"Authorization": f"Bearer {CONNECTION['password']}"},
        files={"File": letter.open("rb")},
        timeout=30,
    )
    job_id = answer.json()["JobId"]

    def make() -> Any:
        sensor = ConvertApiJobSensor(task_id="wait", job_id=job_id, deferrable=deferrable)
        sensor.poke_interval = 1
        return sensor

    run_try(make)


@pytest.mark.skipif(AIRFLOW < (3, 0), reason="Airflow 2 has no asset watchers")
def test_watcher_fires(letter: Path) -> None:
    """A watcher reports the document that is there, and then the one that arrives."""
    from airflow.sdk import Asset, AssetWatcher

    from airflow_provider_convertapi.triggers.documents import NewDocumentsTrigger

    made = NewDocumentsTrigger(source=letter.parent, poll_interval=0.1)
    Asset("letters", watchers=[AssetWatcher(name="arrivals", trigger=made)])
    trigger = reborn(made)

    async def watch() -> list[tuple[int, int]]:
        seen = []
        async with asyncio.timeout(60):
            async for event in trigger.run():
                seen.append((event.payload["files"], event.payload["new"]))
                if len(seen) == 2:
                    break
                (letter.parent / "second.md").write_text("Another letter.\n", "utf-8")
        return seen

    assert [(1, 1), (2, 1)] == asyncio.run(watch())


def test_policy_where_airflow_has_them() -> None:
    """Before 3.3 the policy says that it needs 3.3; from 3.4 on waiting uses up no retry."""
    if AIRFLOW < (3, 3):
        with pytest.raises(Exception, match=r"needs Airflow 3\.3 or later"):
            ConvertApiRetryPolicy()
    else:
        assert ConvertApiRetryPolicy().evaluate(ValueError("other"), 1, 2) is not None
        decision = ConvertApiRetryPolicy().evaluate(ThrottledError("busy", 7.0), 1, 2)
        assert ("retry" if AIRFLOW < (3, 4) else "reschedule") == decision.action.value


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("database")
def test_dag_runs(letter: Path, tmp_path: Path, airflow: Callable[..., str]) -> None:
    """Five tasks in one DAG, run by Airflow's own runner from a file, as users try a DAG."""
    file = HOME / "dags" / "contract.py"
    file.write_text(DAG.format(source=letter.parent, out=tmp_path / "out"), "utf-8")
    airflow("dags", "reserialize")

    airflow("dags", "test", "contract", "2026-01-01")

    made = {path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.pdf")}
    single = {Path(f"{name}.pdf") for name in ("durable", "deferred", "direct")}
    batches = {Path(name) / "letter.pdf" for name in ("batch", "deferred_batch")}
    assert single | batches == made
