"""What must not be shown, and telling Airflow so.

This module may change from release to release.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit


def mask(secret: str) -> None:
    """Register a secret with Airflow's masker: from now on logs and rendered fields hide it."""
    from airflow.providers.common.compat.sdk import mask_secret

    mask_secret(secret)


_SECRET_PARAMETERS = ("password", "cookies", "headers")


def secrets_in(source: object, parameters: object) -> list[str]:
    """Return what must not be shown of a conversion's arguments.

    Passwords, cookies and headers among the parameters, and the queries of URLs: a signed URL
    opens its file to everybody.
    """
    from airflow_provider_convertapi.conversions.values import flatten

    named = parameters.items() if isinstance(parameters, Mapping) else ()
    hidden = [
        str(value)
        for name, value in named
        if any(word in str(name).lower() for word in _SECRET_PARAMETERS)
    ]
    texts = [*flatten(source), *(value for _, value in named)]
    queries = [
        urlsplit(text).query
        for text in texts
        if isinstance(text, str) and text.startswith(("http://", "https://"))
    ]
    return [secret for secret in [*hidden, *queries] if secret]


def secrets_in_steps(steps: object) -> list[str]:
    """Return the same of steps; what is none is masked too, and refused when the task runs."""
    from airflow_provider_convertapi.conversions.values import flatten

    parameters = [step.get("parameters") for step in flatten(steps) if isinstance(step, Mapping)]
    return [secret for given in parameters for secret in secrets_in(None, given)]
