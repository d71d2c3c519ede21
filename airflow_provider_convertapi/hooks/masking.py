"""Register secrets with Airflow's masker.

This module may change from release to release.
"""

from __future__ import annotations

from contextlib import suppress

from airflow_provider_convertapi.conversions.secrets import secrets_in


def mask(secret: str) -> None:
    """Register a secret with Airflow's masker: from now on logs and rendered fields hide it."""
    from airflow_provider_convertapi.airflow_names import mask_secret

    # Airflow 2.11 raises an error for a text with half a character, which no request can hold.
    with suppress(UnicodeEncodeError):
        mask_secret(secret)


def mask_arguments(source: object, parameters: object, steps: object, destination: object) -> None:
    """Register the secrets in the arguments of a conversion."""
    for secret in secrets_in(source, parameters, steps, destination):
        mask(secret)
