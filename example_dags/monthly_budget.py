"""A month's budget: nothing is spent unseen, or beyond what there is.

Waits until the account has conversions, plans the night without paying, and asks a person if it
would take more than `ask_above` conversions. Then it converts, at most 1,000 conversions and what
the balance covers. In the first night of a month it writes the month that has ended to a report.

The connection needs a `master_token`. A person is asked from Airflow 3.1 on: under "Required
Actions", or through the REST API. Rejected, or not answered within twelve hours, the night converts
nothing, and the next one plans again.

Airflow before 3.1 has no `ApprovalOperator`. There, leave `ApprovalOperator`, `needs_approval` and
the trigger rule out, and set `max_conversions` to what may be spent unseen: a batch refuses a plan
above it before anything is paid, and a person clears the task with a larger one.
"""

from __future__ import annotations

import os
from datetime import date, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator

# Airflow 2: from airflow.decorators import task
# Airflow 2: from airflow.models import DAG, Param
from airflow.sdk import DAG, Param, task

from airflow_provider_convertapi.operators.account import ConvertApiStatisticsOperator
from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
from airflow_provider_convertapi.sensors.quota import ConvertApiQuotaSensor

DOCUMENTS = os.environ.get("EXAMPLE_DOCUMENTS", "/data/documents")
RESULTS = os.environ.get("EXAMPLE_RESULTS", "/data/results")

with DAG(
    dag_id="monthly_budget",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1),  # noqa: DTZ001 - Airflow reads it in the DAG's own time zone
    catchup=False,
    max_active_runs=1,
    params={
        "documents": Param(DOCUMENTS, type="string"),
        "results": Param(f"{RESULTS}/budget", type="string"),
        "connection": Param("convertapi_default", type="string"),
        "ask_above": Param(100, type="integer", minimum=0),
        "day": Param(None, type=["null", "string"], description="instead of the run's, for a try"),
    },
    doc_md=__doc__,
    tags=["convertapi"],
):
    account: dict[str, Any] = {"convertapi_conn_id": "{{ params.connection }}"}
    documents: dict[str, Any] = {
        **account,
        "source": ["{{ params.documents }}/**/*.docx", "{{ params.documents }}/**/*.txt"],
        "to_format": "pdf",
        "destination": "{{ params.results }}/pdf",
    }

    enough = ConvertApiQuotaSensor(
        task_id="enough", min_conversions=1, deferrable=True, timeout=6 * 3600, **account
    )

    plan = ConvertApiBatchOperator(task_id="plan", plan_only=True, **documents)

    @task.branch
    def needs_approval(planned: Any, params: Any = None) -> str:
        """Go to a person, or straight to the conversion."""
        return "approve" if planned["least_cost"] > params["ask_above"] else "to_pdf"

    approve = ApprovalOperator(
        task_id="approve",
        subject="Convert {{ ti.xcom_pull(task_ids='plan')['to_convert'] }} documents?",
        body="It takes at least {{ ti.xcom_pull(task_ids='plan')['least_cost'] }} conversions.",
        defaults="Reject",
        response_timeout=timedelta(hours=12),
    )

    to_pdf = ConvertApiBatchOperator(
        task_id="to_pdf",
        max_conversions=1000,
        on_insufficient="partial",
        retries=2,
        trigger_rule="none_failed_min_one_success",  # one of the two ways to it is skipped
        **documents,
    )

    @task.short_circuit(trigger_rule="none_failed")  # also where nothing was to be converted
    def month_that_ended(params: Any = None, dag_run: Any = None) -> dict[str, str] | None:
        """Return the first and the last day of the month that ended yesterday, if one did."""
        day = date.fromisoformat(params["day"]) if params["day"] else dag_run.start_date.date()
        last = day - timedelta(days=1)
        if last.month == day.month:
            return None
        return {"first": last.replace(day=1).isoformat(), "last": last.isoformat()}

    report = ConvertApiStatisticsOperator(
        task_id="report",
        first_day="{{ ti.xcom_pull(task_ids='month_that_ended')['first'] }}",
        last_day="{{ ti.xcom_pull(task_ids='month_that_ended')['last'] }}",
        destination="{{ params.results }}/reports/",
        **account,
    )

    choice = needs_approval(plan.output)
    enough >> plan
    choice >> [approve, to_pdf]
    approve >> to_pdf >> month_that_ended() >> report
