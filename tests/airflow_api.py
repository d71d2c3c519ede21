"""Names of Airflow that only tests use, from where the installed Airflow keeps them.

The other names are imported from the provider's own `airflow_names`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import DAG, task
    from airflow.sdk.exceptions import AirflowException, TaskDeferred
    from airflow.sdk.log import redact  # type: ignore[attr-defined] # it is not in its `__all__`
else:
    try:
        from airflow.sdk import DAG, task
        from airflow.sdk.exceptions import AirflowException, TaskDeferred
        from airflow.sdk.log import redact
    except ImportError:  # Airflow 2
        from airflow.decorators import task
        from airflow.exceptions import AirflowException, TaskDeferred
        from airflow.models import DAG
        from airflow.utils.log.secrets_masker import redact

__all__ = ["DAG", "AirflowException", "TaskDeferred", "redact", "task"]
