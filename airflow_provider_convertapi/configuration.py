"""The options of `[convertapi]` in Airflow's configuration.

Those that concern the catalogue have their defaults outside of Airflow.

This module may change from release to release.
"""

from __future__ import annotations

import os
import sys
from functools import cache

from airflow_provider_convertapi.api.converters import use_catalogue
from airflow_provider_convertapi.errors import ParameterError

SECTION = "convertapi"
_MODES = ("error", "warn")


def takes_unknown() -> bool:
    """Tell whether an unknown parameter or pair of formats is a warning instead of an error."""
    mode = _option("unknown_parameters", _MODES[0]).strip().lower()
    if mode not in _MODES:
        name = f"[{SECTION}] unknown_parameters"
        raise ParameterError(f"{name} is {mode!r}; it must be 'error' or 'warn'.", {name: [mode]})
    return mode == "warn"


def catalogue_path() -> str:
    """Return the path of a newer catalogue; empty if none is configured."""
    return _option("catalogue", "").strip()


@cache
def _path_of(variable: str | None) -> str:  # noqa: ARG001 - what it was asked for before
    """Return `catalogue_path`, which is read again when the environment variable changes."""
    return catalogue_path()


def configured_catalogue() -> str | None:
    """Return a value that changes when another catalogue is configured by the environment."""
    return os.environ.get("AIRFLOW__CONVERTAPI__CATALOGUE")


def load_catalogue() -> None:
    """Make this process use the configured catalogue; `ParameterError` if it cannot be read."""
    # Airflow needs 20 microseconds to answer, a fifth of the time to parse an operator.
    path = _path_of(configured_catalogue())
    try:
        use_catalogue(path)
    except (OSError, ValueError) as error:
        name = f"[{SECTION}] catalogue"
        raise ParameterError(
            f"{name} is {path!r}, which cannot be read: {error}. Write it anew with "
            "`python -m airflow_provider_convertapi.catalogue --refresh CONN_ID`, or remove it to "
            "use the catalogue that this provider was released with.",
            {name: [str(error)]},
        ) from error


def settle_time() -> float:
    """Return the seconds that an accepted job may stay invisible at the service."""
    from airflow_provider_convertapi.airflow_names import conf  # noqa: PLC0415 - only tasks ask

    return float(conf.getfloat(SECTION, "settle", fallback=30.0))


def _option(name: str, default: str) -> str:
    if "airflow" not in sys.modules:  # a caller without Airflow must not load it
        return os.environ.get(f"AIRFLOW__CONVERTAPI__{name.upper()}") or default
    from airflow_provider_convertapi.airflow_names import conf  # noqa: PLC0415 - as above

    return str(conf.get(SECTION, name, fallback=default) or default)
