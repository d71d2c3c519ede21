"""What the events of a task's outlets say."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, cast

import pytest

from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
from airflow_provider_convertapi.operators.convert import ConvertApiOperator
from tests.canary import secrets_of
from tests.e2e.dags import new_dag

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.conftest import RunDag

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]

AIRFLOW_2 = version("apache-airflow").startswith("2.")

ONE: dict[str, Any] = {
    "converter": "html/to/pdf",
    "converted": 1,
    "failed": 0,
    "cost": 1,
    "charged": 1,
}
MANY: dict[str, Any] = {
    "converted": 2,
    "reused": 0,
    "failed": 0,
    "not_attempted": 0,
    "cost": 2,
    "charged": 2,
}


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """Provide a directory with two documents."""
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        (tmp_path / "in" / f"{name}.html").write_text(f"<p>Dear {name}.</p>")
    return tmp_path / "in"


@pytest.mark.parametrize("deferrable", [False, True])
def test_event_says_what_was_done(
    run_dag: RunDag, sandbox: Sandbox, letters: Path, deferrable: bool
) -> None:
    """Operator, decorator and batch say converter, counts, cost and manifest, in both modes."""
    from airflow_provider_convertapi.airflow_names import Asset, AssetAlias
    from airflow_provider_convertapi.decorators.convertapi import convertapi_task

    out = letters.parent / f"out-{deferrable}"
    how: dict[str, Any] = {"to_format": "pdf", "deferrable": deferrable}
    prefix = f"s3://assets-{deferrable}"
    with new_dag(f"assets_{deferrable}") as dag:
        ConvertApiOperator(
            task_id="one",
            source=f"{letters}/a.html",
            destination=f"{out}/a.pdf",
            outlets=[Asset(f"{prefix}/one"), AssetAlias(f"alias-{deferrable}"), "no asset"],
            **how,
        )
        ConvertApiBatchOperator(
            task_id="many",
            source=str(letters),
            destination=f"{out}/all",
            outlets=[Asset(f"{prefix}/many")],
            pre_execute=_mark(Asset(f"{prefix}/many")),
            **how,
        )

        @convertapi_task(destination=f"{out}/b.pdf", outlets=[Asset(f"{prefix}/decorated")], **how)
        def pick() -> str:
            return f"{letters}/b.html"

        pick()
    if AIRFLOW_2:  # or it knows none of the datasets, and makes no event of them
        cast("Any", dag).sync_to_db()

    run = run_dag(dag)

    assert "success" == run.state
    found = _events(dag.dag_id)
    manifest = f"{out}/all/_convertapi/manifest/"
    of_alias = {} if AIRFLOW_2 else {f"file://{out}/a.pdf": [ONE | {"outputs": 1}]}
    assert {
        f"{prefix}/one": [ONE | {"outputs": 1}],
        **of_alias,
        f"{prefix}/many": [
            MANY | {"converter": "*/to/pdf", "outputs": 2, "manifest": manifest, "mine": True}
        ],
        f"{prefix}/decorated": [ONE | {"outputs": 1}],
    } == found
    assert [] == [secret for secret in secrets_of(sandbox) if secret in str(found)]


@pytest.mark.skipif(AIRFLOW_2, reason="Airflow 2 itself fails tasks with such outlets")
def test_event_that_cannot_be_made_is_a_warning(
    run_dag: RunDag, sandbox: Sandbox, letters: Path, said: Callable[[], str]
) -> None:
    """The task has paid: it succeeds, and its other outlets have their events."""
    from airflow.sdk import AssetAll

    from airflow_provider_convertapi.airflow_names import Asset, AssetAlias

    with new_dag("assets_refused") as dag:
        dag.default_args["retries"] = 0
        ConvertApiOperator(
            task_id="one",
            source=f"{letters}/a.html",
            to_format="pdf",
            # Airflow refuses the URI of an asset that is longer than 1,500 characters.
            destination=f"{letters.parent}/{'/'.join(['d' * 200] * 8)}/a.pdf",
            outlets=[
                AssetAlias("too-long"),
                AssetAll(Asset("s3://a/b")),
                Asset("s3://refused/one"),
            ],
        )

    assert "success" == run_dag(dag).state
    assert [ONE | {"outputs": 1}] == _events("assets_refused")["s3://refused/one"]
    assert "does not say what was done" in said()
    assert 1 == sandbox.billed


@pytest.mark.skipif(version("apache-airflow") < "3.3", reason="Airflow 3.3 brought partitions")
@pytest.mark.parametrize("deferrable", [False, True])
def test_partitions_that_the_user_tells(
    run_dag: RunDag, sandbox: Sandbox, letters: Path, deferrable: bool
) -> None:
    """Each has an event, with what the task did; the result may tell them, in both modes."""
    from airflow_provider_convertapi.airflow_names import Asset

    name = f"assets_partitions_{deferrable}"
    asset = Asset(f"s3://partitioned/{deferrable}")

    def tell(context: Any, outputs: Any = None) -> None:
        [place] = {uri.rpartition("/")[2] for uri in outputs}
        context["outlet_events"][asset].add_partitions([f"north|{place}", f"south|{place}"])

    with new_dag(name) as dag:
        ConvertApiOperator(
            task_id="one",
            source=f"{letters}/a.html",
            to_format="pdf",
            destination=f"{letters.parent}/{deferrable}/",
            outlets=[asset],
            post_execute=tell,
            deferrable=deferrable,
        )

    assert "success" == run_dag(dag).state
    assert {asset.uri: [ONE | {"outputs": 1}] * 2} == _events(name)
    assert ["north|a.pdf", "south|a.pdf"] == _partitions(name)


def _partitions(dag_id: str) -> list[str]:
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    query = select(AssetEvent.partition_key).where(AssetEvent.source_dag_id == dag_id)
    with create_session() as session:
        return sorted(session.scalars(query))


def _mark(asset: Any) -> Callable[[Any], None]:
    def mark(context: Any) -> None:
        context["outlet_events"][asset].extra = {"mine": True}

    return mark


def _events(dag_id: str) -> dict[str, list[dict[str, Any]]]:
    """Return what the events of a DAG say, by the URI of the asset."""
    from airflow.utils.session import create_session
    from sqlalchemy import select

    kind = "dataset" if AIRFLOW_2 else "asset"
    models = import_module(f"airflow.models.{kind}")
    event, asset = (getattr(models, f"{kind.title()}{name}") for name in ("Event", "Model"))
    found: dict[str, list[dict[str, Any]]] = {}
    with create_session() as session:
        joined = getattr(event, f"{kind}_id") == asset.id
        query = select(asset.uri, event.extra).where(joined, event.source_dag_id == dag_id)
        for uri, extra in session.execute(query):
            found.setdefault(uri, []).append(extra)
    return found
