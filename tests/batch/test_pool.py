"""A pool that includes deferred tasks limits all batches of an account together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import RunDag

SLOTS = 2


@pytest.mark.parametrize(("include_deferred", "may_start"), [(True, 1), (False, 2)])
def test_deferred_batches_count(
    airflow_db: Path, run_dag: RunDag, include_deferred: bool, may_start: int
) -> None:
    """Of two slots one is a sleeping batch's: the scheduler starts one more, not two."""
    from airflow.jobs.job import Job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
    from airflow.models.dag import DagModel
    from airflow.models.pool import Pool
    from airflow.sdk import DAG, TaskInstanceState
    from airflow.utils.session import create_session

    name = f"convertapi_{include_deferred}"
    with create_session() as session:
        pool = Pool.create_or_update_pool(
            name, SLOTS, "ConvertAPI", include_deferred=include_deferred, session=session
        )
        assert pool
    with DAG(f"pooled_{include_deferred}", schedule=None) as dag:
        for number in range(4):
            ConvertApiBatchOperator(
                task_id=f"batch_{number}",
                source="/nowhere/*.txt",
                to_format="pdf",
                destination="/nowhere/out",
                pool=name,
            )
    dag_run = run_dag(dag)  # each fails immediately: the directory is missing

    with create_session() as session:
        dag_run = session.merge(dag_run)
        dag_run.state = "running"
        model = session.get(DagModel, dag.dag_id)
        assert model
        model.is_paused = False
        first, *others = dag_run.get_task_instances(session=session)
        first.state = TaskInstanceState.DEFERRED
        for task in others:
            task.state = TaskInstanceState.SCHEDULED
        session.flush()
        runner = SchedulerJobRunner(Job(dag_id=dag.dag_id))
        queued = runner._executable_task_instances_to_queued(  # noqa: SLF001 - what the loop asks
            max_tis=32, session=session
        )

    assert may_start == len(queued)
