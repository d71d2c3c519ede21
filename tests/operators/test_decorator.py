"""`@task.convertapi`: the function returns the sources, and everything else is the operator's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.checks import min_characters
from airflow_provider_convertapi.decorators.convertapi import convertapi_task
from airflow_provider_convertapi.errors import ParameterError
from tests.tries import TaskInstance, run_try

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.conftest import RunDag

MODES = pytest.mark.parametrize("given", [{}, {"durable": False}, {"deferrable": True}], ids=str)


@pytest.fixture(autouse=True)
def _short_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CONVERTAPI__SETTLE", "0.2")


@pytest.fixture
def texts(tmp_path: Path) -> list[str]:
    """Give two small documents."""
    paths = [tmp_path / name for name in ("a.txt", "b.txt")]
    for path in paths:
        path.write_text(f"This is {path.name}.\n")
    return [str(path) for path in paths]


def new_dag(dag_id: str) -> Any:
    """Make an empty DAG."""
    from airflow.providers.common.compat.sdk import DAG

    start = datetime(2026, 1, 1, tzinfo=UTC)
    return DAG(dag_id, schedule=None, start_date=start, default_args={"retry_delay": timedelta(0)})


def operator_of(function: Callable[..., Any], **given: Any) -> Any:
    """Make the operator of a decorated function, as a process that runs the task does."""
    arguments = {"to_format": "pdf", "poll_interval": 0.5, **given}
    with new_dag("decorated") as dag:
        convertapi_task(function, **arguments)()
    return dag.tasks[0]


@MODES
def test_converts_what_the_function_returns(
    convertapi_sandbox: Sandbox, texts: list[str], tmp_path: Path, given: dict[str, Any]
) -> None:
    """The function is called once, also where the task is deferred in between."""
    calls = []

    def choose() -> str:
        calls.append(1)
        return texts[0]

    out = tmp_path / "a.pdf"
    outputs = run_try(lambda: operator_of(choose, destination=str(out), **given))

    assert ([str(out)], [1]) == (outputs, calls)
    assert (1, {}) == (convertapi_sandbox.billed, convertapi_sandbox.files)


@MODES
def test_converter_that_needs_no_source(
    convertapi_sandbox: Sandbox, tmp_path: Path, given: dict[str, Any]
) -> None:
    """The function returns None, and the task that resumes knows that."""
    convertapi_sandbox.answer("data", "qrcode", files=[("code.svg", b"<svg/>")])
    out = str(tmp_path / "code.svg")
    given = {"to_format": "qrcode", "parameters": {"Data": "x"}, "destination": out, **given}

    def nothing() -> None:
        """Return nothing: the data is a parameter."""

    assert [out] == run_try(lambda: operator_of(nothing, **given))
    assert 1 == convertapi_sandbox.billed


@MODES
def test_several_sources_and_steps(
    convertapi_sandbox: Sandbox, texts: list[str], tmp_path: Path, given: dict[str, Any]
) -> None:
    """A list is one conversion, and a check and steps work as in the operator."""
    steps = None if "durable" in given else [{"to_format": "protect"}]

    def choose() -> list[str]:
        return texts

    given = {"to_format": "zip", "steps": None} | given
    if steps:
        given |= {"to_format": "pdf", "steps": [{"to_format": "merge"}]}
    outputs = run_try(
        lambda: operator_of(choose, destination=str(tmp_path / "all"), result_check=bool, **given)
    )

    assert [str(tmp_path / "all")] == outputs
    assert (3 if steps else 1) == convertapi_sandbox.billed


def test_nothing_to_convert(convertapi_sandbox: Sandbox, tmp_path: Path) -> None:
    """An empty list skips the task."""
    from airflow.providers.common.compat.sdk import AirflowSkipException

    def choose() -> list[str]:
        return []

    with pytest.raises(AirflowSkipException, match="nothing to convert"):
        run_try(lambda: operator_of(choose, destination=str(tmp_path / "a.pdf")))

    assert [] == list(convertapi_sandbox.requests)


def test_signed_url_is_sealed(convertapi_sandbox: Sandbox, texts: list[str]) -> None:
    """What the function returned is not readable in what the triggerer gets."""
    from airflow.providers.common.compat.sdk import TaskDeferred

    def choose() -> str:
        return texts[0]

    operator = operator_of(choose, destination=f"{texts[0]}.pdf", deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute({"ti": TaskInstance(), "task": operator})

    arguments = deferred.value.trigger.serialize()[1]
    assert arguments["sealed_source"]
    assert texts[0] not in str(arguments)
    assert "a.txt" not in str(arguments)


def test_source_is_what_the_function_returns(tmp_path: Path) -> None:
    """Another source is refused when the DAG file is parsed."""
    with pytest.raises(TypeError, match="leave source out"):
        operator_of(lambda: "a.txt", destination=str(tmp_path), source="b.txt")


@pytest.mark.long
@pytest.mark.parametrize("deferrable", [False, True])
def test_in_a_dag(
    run_dag: RunDag,
    convertapi_sandbox: Sandbox,
    texts: list[str],
    tmp_path: Path,
    deferrable: bool,
) -> None:
    """Airflow finds it as `@task.convertapi`; arguments, `.expand` and `.override` work."""
    from airflow.providers.common.compat.sdk import task

    out = f"{tmp_path}/out/"
    with new_dag(f"decorated_{deferrable}") as dag:

        @task.convertapi(to_format="pdf", destination=out, deferrable=deferrable, poll_interval=0.5)
        def choose(name: str, extra: str = "") -> str:
            return f"{tmp_path}/{name}{extra}"

        choose.expand(name=["a.txt", "b.txt"])
        choose.override(task_id="again", destination=f"{tmp_path}/other.pdf")("a", extra=".txt")
        choose.override(overwrite=True).partial(extra=".txt").expand(name=["b"])

    run = run_dag(dag)

    assert "success" == run.state
    found = {ti.task_id for ti in run.get_task_instances()}
    assert {"choose", "again", "choose__1"} == found
    assert ["a.pdf", "b.pdf"] == sorted(path.name for path in (tmp_path / "out").iterdir())
    assert (tmp_path / "other.pdf").exists()
    assert 4 == convertapi_sandbox.billed


def test_mapped_check_is_written_the_same_each_time(tmp_path: Path) -> None:
    """A DAG that is parsed again is not a new version of itself."""
    from airflow.providers.common.compat.sdk import task

    from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
    from airflow_provider_convertapi.operators.convert import ConvertApiOperator

    def parsed() -> Any:
        with new_dag("mapped") as dag:
            ConvertApiOperator.partial(
                task_id="one",
                to_format="txt",
                destination=f"{tmp_path}/",
                result_check=min_characters(5),
            ).expand(source=["a.txt", "b.txt"])
            ConvertApiBatchOperator.partial(
                task_id="two", to_format="txt", destination=f"{tmp_path}/", result_check=refuse
            ).expand(source=["a.txt", "b.txt"])

            @task.convertapi(to_format="pdf", destination=f"{tmp_path}/", result_check=refuse)
            def choose() -> str:
                return "a.txt"

            choose()
        return serialized(dag)

    assert parsed() == parsed()


def refuse(paths: list[Path]) -> bool:
    """Refuse anything."""
    return not paths


def serialized(dag: Any) -> Any:
    """Return a DAG as Airflow stores it."""
    module = import_module("airflow.serialization.serialized_objects")
    # `SerializedDAG` before Airflow 3.2
    serialization = getattr(module, "DagSerialization", None) or module.SerializedDAG
    return serialization.to_dict(dag)


def test_function_that_is_annotated_as_a_dictionary() -> None:
    """The task returns a list all the same: Airflow must not fail it after it has paid."""

    def summary() -> dict[str, Any]:
        return {}

    assert not operator_of(summary, destination="/out/").multiple_outputs
    with pytest.raises(ParameterError, match="multiple_outputs is True, but the task returns a l"):
        operator_of(summary, destination="/out/", multiple_outputs=True)
