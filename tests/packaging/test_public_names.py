"""What users may rely on, and what may change: said in each module, and held here."""

from __future__ import annotations

from importlib import import_module
from pkgutil import walk_packages

import pytest

import airflow_provider_convertapi
from airflow_provider_convertapi import errors, failures
from airflow_provider_convertapi.airflow_names import BaseHook
from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

PUBLIC = {
    "airflow_provider_convertapi": ["__version__"],
    "airflow_provider_convertapi.catalogue": ["main"],
    "airflow_provider_convertapi.checks": ["min_characters", "not_empty", "same_page_count"],
    "airflow_provider_convertapi.decorators.convertapi": ["convertapi_task"],
    "airflow_provider_convertapi.errors": [
        "AuthenticationError",
        "BatchFailedError",
        "BudgetExceededError",
        "ConnectionConfigError",
        "ConversionError",
        "ConversionInterrupted",
        "ConversionTimeoutError",
        "ConvertApiError",
        "InputChangedError",
        "InputNotFoundError",
        "OutputExistsError",
        "OutputNotWritableError",
        "ParameterError",
        "QuotaExhaustedError",
        "ResultCheckError",
        "ResultExpiredError",
        "ResultLostError",
        "ThrottledError",
        "TransientBatchFailedError",
        "TransientConversionError",
        "TransportError",
        "UnexpectedAnswerError",
        "UnsupportedFormatError",
    ],
    "airflow_provider_convertapi.failures": [
        "AuthenticationFailure",
        "BatchFailedFailure",
        "BudgetExceededFailure",
        "ConnectionConfigFailure",
        "ConversionFailure",
        "InputNotFoundFailure",
        "OutputExistsFailure",
        "OutputNotWritableFailure",
        "ParameterFailure",
        "QuotaExhaustedFailure",
        "ResultCheckFailure",
        "ResultExpiredFailure",
        "ResultLostFailure",
        "UnexpectedAnswerFailure",
        "UnsupportedFormatFailure",
    ],
    "airflow_provider_convertapi.hooks.convertapi": ["ConvertApiHook"],
    "airflow_provider_convertapi.manifest": ["Record", "main", "read"],
    "airflow_provider_convertapi.operators.account": [
        "ConvertApiAccountOperator",
        "ConvertApiStatisticsOperator",
    ],
    "airflow_provider_convertapi.operators.batch": ["ConvertApiBatchOperator"],
    "airflow_provider_convertapi.operators.convert": ["ConvertApiOperator"],
    "airflow_provider_convertapi.policies": ["ConvertApiRetryPolicy"],
    "airflow_provider_convertapi.probe": ["main"],
    "airflow_provider_convertapi.sensors.job": ["ConvertApiJobSensor"],
    "airflow_provider_convertapi.sensors.quota": ["ConvertApiQuotaSensor"],
    "airflow_provider_convertapi.shards": ["find_shards"],
    "airflow_provider_convertapi.triggers.documents": ["NewDocumentsTrigger"],
    "airflow_provider_convertapi.triggers.job": ["ConvertApiJobTrigger"],
}
"""Every module whose names stay, and the names; a change here is one that users are told of."""

OF_THE_HOOK = [
    "conn_name_attr",
    "conn_type",
    "convert",
    "convert_batch",
    "convertapi_conn_id",
    "default_conn_name",
    "delete",
    "download",
    "get_connection_form_widgets",
    "get_statistics",
    "get_ui_field_behaviour",
    "get_user",
    "hook_name",
    "issue_token",
    "open_session",
    "plan",
    "run",
    "test_connection",
    "upload",
    "write_statistics",
]
"""What the hook has beside Airflow's own; `open_session` says that it is for this provider."""

MAY_CHANGE = "This module may change from release to release"


def modules() -> list[str]:
    """Return the names of the package and all modules in it."""
    package = airflow_provider_convertapi
    found = walk_packages(package.__path__, f"{package.__name__}.")
    return [package.__name__, *(module.name for module in found)]


def test_list_names_modules_that_exist() -> None:
    """A module that moved is noticed."""
    assert set() == PUBLIC.keys() - set(modules())


@pytest.mark.parametrize("name", modules())
def test_module_says_what_may_change(name: str) -> None:
    """A public module lists its names, sorted; any other one says that it may change."""
    module = import_module(name)
    may_change = MAY_CHANGE in " ".join((module.__doc__ or "").split())

    assert (name not in PUBLIC) == may_change
    if name in PUBLIC:
        assert PUBLIC[name] == module.__all__
        assert PUBLIC[name] == sorted(PUBLIC[name])
        assert [] == [name for name in PUBLIC[name] if not hasattr(module, name)]


@pytest.mark.parametrize("module", [errors, failures])
def test_every_error_is_public(module: object) -> None:
    """An error class that is made here is one that users may catch, unless it is private."""
    made = {
        name
        for name, value in vars(module).items()
        if isinstance(value, type)
        and value.__module__ == module.__name__  # type: ignore[attr-defined]
        and not name.startswith("_")
    }

    assert sorted(made) == module.__all__  # type: ignore[attr-defined]


def test_hook_shows_what_is_for_users() -> None:
    """Whatever else the hook has begins with an underscore."""
    own = {*dir(ConvertApiHook()), *vars(ConvertApiHook)} - set(dir(BaseHook()))
    overridden = set(vars(ConvertApiHook)) & set(OF_THE_HOOK)

    assert OF_THE_HOOK == sorted({n for n in own if not n.startswith("_")} | overridden)
    assert "for this provider's own" in str(ConvertApiHook.open_session.__doc__)
