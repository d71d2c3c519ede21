"""The ready-made retry policy: which error it retries, when, and which it fails."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest
from packaging.version import Version

from airflow_provider_convertapi import errors
from airflow_provider_convertapi.policies import ConvertApiRetryPolicy

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.conftest import RunDag

AIRFLOW = Version(version("apache-airflow"))
HAS_POLICIES = AIRFLOW >= Version("3.3")
RESCHEDULES = AIRFLOW >= Version("3.4.0b1")

needs_policies = pytest.mark.skipif(not HAS_POLICIES, reason="Airflow has them from 3.3 on")
needs_rescheduling = pytest.mark.skipif(not RESCHEDULES, reason="Airflow has it from 3.4 on")

DAY, NO_TIME = timedelta(days=1), timedelta(microseconds=1)
SUBMIT = "POST /async/convert/*"


@needs_policies
@pytest.mark.parametrize(
    ("error", "action", "delay"),
    [
        (errors.ThrottledError("busy", 7.0), "reschedule" if RESCHEDULES else "retry", 7.0),
        (errors.ThrottledError("busy"), "reschedule" if RESCHEDULES else "default", None),
        (errors.TransientConversionError("slow", 5000), "retry", None),
        (errors.ConversionError("damaged", 5002), "fail", None),
        (errors.QuotaExhaustedError("none left"), "fail", None),
        (errors.AuthenticationError("refused", 4012), "fail", None),
        (errors.ResultLostError("lost"), "fail", None),
        (errors.TransportError("reset"), "default", None),
        (errors.ConversionTimeoutError("late"), "default", None),
        (errors.ConversionInterrupted("stopped"), "default", None),
        (ZeroDivisionError(), "default", None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_decision(error: Exception, action: str, delay: float | None) -> None:
    """Each error is decided by its class and fields."""
    decision = ConvertApiRetryPolicy().evaluate(error, 1, 3)

    assert action == decision.action.value
    assert (delay and timedelta(seconds=delay)) == decision.retry_delay


@needs_policies
def test_quota_as_the_user_chooses() -> None:
    """With `quota_delay` an exhausted quota is waited out."""
    policy = ConvertApiRetryPolicy(quota_delay=timedelta(hours=6))

    decision = policy.evaluate(errors.QuotaExhaustedError("none left"), 1, 3)

    action = "reschedule" if RESCHEDULES else "retry"
    assert (action, timedelta(hours=6)) == (decision.action.value, decision.retry_delay)


@needs_rescheduling
@pytest.mark.parametrize(
    "error", [errors.QuotaExhaustedError("none left"), errors.ThrottledError("busy")]
)
@pytest.mark.parametrize(
    ("given", "bound"), [({}, DAY), ({"reschedule_timeout": 9 * DAY}, 9 * DAY)]
)
def test_waiting_is_bounded(error: Exception, given: dict[str, Any], bound: timedelta) -> None:
    """A task is not rescheduled for ever: Airflow itself refuses a decision without a bound."""
    decision: Any = ConvertApiRetryPolicy(quota_delay=DAY, **given).evaluate(error, 1, 3)

    assert bound == decision.reschedule_timeout


@needs_policies
@pytest.mark.parametrize("bound", [timedelta(0), -DAY])
def test_bound_that_bounds_nothing(bound: timedelta) -> None:
    """It is refused where the DAG is parsed, and not when a task has failed."""
    with pytest.raises(ValueError, match=r"reschedule_timeout is .*; it must be a .* above 0"):
        ConvertApiRetryPolicy(reschedule_timeout=bound)


@needs_policies
@pytest.mark.parametrize("name", ["quota_delay", "reschedule_timeout"])
@pytest.mark.parametrize("value", [300, "300", timedelta(seconds=-1)], ids=repr)
def test_time_that_is_none(name: str, value: Any) -> None:
    """It is refused when the DAG file is parsed, not when a failed task asks the policy."""
    given: dict[str, Any] = {name: value}

    with pytest.raises(ValueError, match=rf"{name} is .*; it must be a timedelta of"):
        ConvertApiRetryPolicy(**given)


@needs_rescheduling
def test_waiting_uses_up_no_try(run_dag: RunDag, sandbox: Sandbox, letter: Path) -> None:
    """A task without retries waits twice in its first try, then converts, and pays once."""
    sandbox.fail(SUBMIT, status=403, code=403, times=2)
    policy = ConvertApiRetryPolicy(quota_delay=timedelta(0))

    ti = run_with(run_dag, "waits", letter, policy, retries=0)

    assert ("success", 1, 1) == (ti.state, ti.try_number, sandbox.billed)


@needs_rescheduling
def test_wait_that_is_over(run_dag: RunDag, sandbox: Sandbox, letter: Path) -> None:
    """Past the bound an exhausted quota is a failure like others: it uses up the retries."""
    policy = ConvertApiRetryPolicy(quota_delay=timedelta(0), reschedule_timeout=NO_TIME)
    sandbox.balance = 0

    ti = run_with(run_dag, "wait_is_over", letter, policy, retries=1)

    submits = sandbox.requests.filter(path="/async/convert/*")
    assert ("failed", 2, 4) == (ti.state, ti.try_number, len(submits))


@needs_policies
@pytest.mark.parametrize(
    ("delay", "balance", "tries", "state"),
    [
        pytest.param(None, 0, 1, "failed", id="fails"),
        pytest.param(timedelta(0), 0, 3, "failed", id="retries"),
    ],
)
def test_airflow_asks_it(
    run_dag: RunDag,
    sandbox: Sandbox,
    letter: Path,
    delay: timedelta | None,
    balance: int,
    tries: int,
    state: str,
) -> None:
    """In a real task run the policy decides what `on_quota_exhausted="raise"` lets through."""
    sandbox.balance = balance
    policy = ConvertApiRetryPolicy(quota_delay=delay, reschedule_timeout=NO_TIME)

    ti = run_with(run_dag, f"policy_{tries}", letter, policy)

    assert (state, tries) == (ti.state, ti.try_number)


def run_with(run_dag: RunDag, dag_id: str, letter: Path, policy: Any, *, retries: int = 2) -> Any:
    """Run a conversion under a retry policy; return its task instance."""
    from airflow_provider_convertapi.operators.convert import ConvertApiOperator
    from tests.airflow_api import DAG

    with DAG(dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        ConvertApiOperator(
            task_id="convert",
            source=str(letter),
            to_format="pdf",
            destination=f"{letter}.pdf",
            on_quota_exhausted="raise",
            retries=retries,
            retry_delay=timedelta(hours=1) if policy.quota_delay is None else timedelta(0),
            retry_policy=policy,
        )
    [ti] = run_dag(dag).get_task_instances()
    return ti


@pytest.mark.skipif(HAS_POLICIES, reason="this Airflow has retry policies")
def test_older_airflow_says_so() -> None:
    """Before Airflow 3.3 the module imports, and its use says what is missing."""
    from airflow_provider_convertapi.airflow_names import AirflowOptionalProviderFeatureException

    with pytest.raises(AirflowOptionalProviderFeatureException, match=r"needs Airflow 3\.3"):
        ConvertApiRetryPolicy()
