"""Register secrets with Airflow's masker.

This module may change from release to release.
"""

from __future__ import annotations


def mask(secret: str) -> None:
    """Register a secret with Airflow's masker: from now on logs and rendered fields hide it."""
    from airflow_provider_convertapi.airflow_names import mask_secret

    mask_secret(secret)
