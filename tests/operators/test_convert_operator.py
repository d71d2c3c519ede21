"""The operator in real task runs: XCom, retries, clears, rendered fields, kills."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.conftest import RunDag

WHEN = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _short_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CONVERTAPI__SETTLE", "0.2")


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    """Provide a small text document."""
    path = tmp_path / "letter.txt"
    path.write_text("Dear reader.\n")
    return path


def dag_of(dag_id: str, **arguments: Any) -> Any:
    """Make a DAG with one operator."""
    from airflow_provider_convertapi.operators.convert import ConvertApiOperator
    from tests.airflow_api import DAG

    arguments.setdefault("retry_delay", timedelta(0))
    with DAG(dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        ConvertApiOperator(task_id="convert", **arguments)
    return dag


def task_of(run: Any) -> Any:
    """Return the run's one task instance."""
    [ti] = run.get_task_instances()
    return ti


def xcom(ti: Any, key: str = "return_value") -> Any:
    """Return what the task pushed."""
    return ti.xcom_pull(task_ids="convert", key=key)


@pytest.mark.parametrize("durable", [True, False])
def test_pushes_uris_and_cost(
    run_dag: RunDag, convertapi_sandbox: Sandbox, letter: Path, durable: bool
) -> None:
    """A run returns the list of output URIs and pushes the cost."""
    out = letter.with_suffix(".pdf")
    dag = dag_of(
        f"push_{durable}",
        source=str(letter),
        to_format="pdf",
        destination=str(out),
        durable=durable,
    )

    ti = task_of(run_dag(dag))

    assert ("success", [str(out)], 1) == (ti.state, xcom(ti), xcom(ti, "conversion_cost"))
    assert out.read_bytes().startswith(b"%PDF")


def test_quota_fails_at_once(run_dag: RunDag, convertapi_sandbox: Sandbox, letter: Path) -> None:
    """With `retries=3` an exhausted quota makes one paid request and one failed try."""
    convertapi_sandbox.balance = 0
    dag = dag_of(
        "quota", source=str(letter), to_format="pdf", destination=f"{letter}.pdf", retries=3
    )

    ti = task_of(run_dag(dag))

    assert ("failed", 1) == (ti.state, ti.try_number)
    assert 1 == len(convertapi_sandbox.requests.filter(method="POST"))


def test_transient_failure_is_retried_without_paying_again(
    run_dag: RunDag, convertapi_sandbox: Sandbox, letter: Path
) -> None:
    """A try that dies between paying and publishing is collected by the next."""
    convertapi_sandbox.fail("GET /d", drop="before", times=5)
    out = letter.with_suffix(".pdf")
    dag = dag_of("retry", source=str(letter), to_format="pdf", destination=str(out), retries=2)

    ti = task_of(run_dag(dag))

    assert ("success", 2) == (ti.state, ti.try_number)
    assert 1 == convertapi_sandbox.billed


def test_clear_of_a_finished_task_is_free(
    run_dag: RunDag, convertapi_sandbox: Sandbox, letter: Path
) -> None:
    """The same run once more costs nothing, and keeps the XCom."""
    out = letter.with_suffix(".pdf")
    dag = dag_of("clear", source=str(letter), to_format="pdf", destination=str(out))
    run_dag(dag, logical_date=WHEN)

    ti = task_of(run_dag(dag, logical_date=WHEN))

    assert ("success", [str(out)], 1) == (ti.state, xcom(ti), xcom(ti, "conversion_cost"))
    assert 1 == convertapi_sandbox.billed


def test_template_that_renders_empty(
    run_dag: RunDag, convertapi_sandbox: Sandbox, tmp_path: Path
) -> None:
    """A templated source that renders to nothing fails before anything is sent."""
    dag = dag_of(
        "empty",
        source="{{ params.missing or '' }}",
        to_format="pdf",
        destination=f"{tmp_path}/o.pdf",
        retries=3,
        params={"missing": None},
    )

    ti = task_of(run_dag(dag))

    assert ("failed", 1) == (ti.state, ti.try_number)
    assert [] == list(convertapi_sandbox.requests)


def test_plan_only_sends_nothing(
    run_dag: RunDag, convertapi_sandbox: Sandbox, letter: Path
) -> None:
    """A plan says what would be done and sends nothing."""
    dag = dag_of(
        "plan", source=str(letter), to_format="pdf", destination=f"{letter}.pdf", plan_only=True
    )

    ti = task_of(run_dag(dag))

    assert "success" == ti.state
    assert [] == list(convertapi_sandbox.requests)
    assert [letter] == list(letter.parent.iterdir())


# A converter of documents has no such parameters, which are secret all the same.
@pytest.mark.filterwarnings("ignore:.*ConvertAPI ignores it")
def test_secrets_of_arguments_are_masked(
    run_dag: RunDag,
    convertapi_sandbox: Sandbox,
    letter: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Passwords and signed URLs appear in neither rendered fields nor logs."""
    from airflow.models.renderedtifields import RenderedTaskInstanceFields

    dag = dag_of(
        "masked",
        source="https://example.com/a.html?signature=s3cr3t-signature",
        to_format="pdf",
        destination=f"{letter}.pdf",
        parameters={"AuthPassword": "pass-w0rd-of-document", "Cookies": "sid=c00kie-value"},
    )

    ti = task_of(run_dag(dag))

    fields = RenderedTaskInstanceFields.get_templated_fields(ti)
    # Airflow 2 logs to the stream that stood when it was imported, which may not be this test's.
    log = "".join(capfd.readouterr()) + caplog.text
    shown = json.dumps(fields) + log
    assert "https://example.com/a.html" in log
    assert "failed" == ti.state  # the sandbox fetches from no host
    for secret in ("s3cr3t-signature", "pass-w0rd-of-document", "c00kie-value"):
        assert secret not in shown


# A converter of documents has no such parameters, which are secret all the same.
@pytest.mark.filterwarnings("ignore:.*ConvertAPI ignores it")
def test_what_is_secret_in_nested_arguments_is_masked(
    run_dag: RunDag,
    convertapi_sandbox: Sandbox,
    letter: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Users, passwords and fragments of URLs, and every leaf, in steps and at any depth."""
    from airflow.models.renderedtifields import RenderedTaskInstanceFields

    cookies = [{"name": "sid", "value": {"deep": [{"er": "c00kie-value"}]}, "number": 735511}]
    dag = dag_of(
        "masked_deeply",
        source=" HTTPS://us3r:pass%2Fw0rd@example.com/a.html?signature=s3cr3t-query#s3cr3t-part",
        to_format="pdf",
        destination=f"{letter}.pdf",
        parameters={"HEADERS": {"X-Mine": ["h3ader-value"]}, "AuthPassword": 624511},
        steps=[{"to_format": "protect", "parameters": {"UserPassword": cookies}}],
    )

    ti = task_of(run_dag(dag))

    fields = json.dumps(RenderedTaskInstanceFields.get_templated_fields(ti))
    log = "".join(capfd.readouterr()) + caplog.text
    assert "failed" == ti.state  # the sandbox fetches from no host
    assert "HTTPS://***@example.com/a.html" in log
    secrets = ("us3r", "pass%2Fw0rd", "pass/w0rd", "s3cr3t-query", "s3cr3t-part")
    for secret in (*secrets, "c00kie-value", "735511", "h3ader-value", "624511"):
        assert secret not in fields
        assert secret not in log


def test_fields_are_assigned_as_they_are() -> None:
    """Nothing templated is validated when the operator is made; no file is a template."""
    from airflow_provider_convertapi.operators.convert import ConvertApiOperator

    operator = ConvertApiOperator(
        task_id="t",
        source="{{ x }}.sql",
        to_format="{{ y }}",
        destination="{{ z }}",
        parameters={"A": 1},
    )

    assert ("{{ x }}.sql", "{{ y }}", "{{ z }}", {"A": 1}) == (
        operator.source,
        operator.to_format,
        operator.destination,
        operator.parameters,
    )
    assert [] == list(operator.template_ext)
    assert isinstance(operator.template_fields, list)
    assert all(hasattr(operator, name) for name in operator.template_fields)
