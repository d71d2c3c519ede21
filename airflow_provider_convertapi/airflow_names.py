"""Import Airflow's names from the modules of the installed Airflow.

Import a name from here as from any module: it is looked up when it is imported, first in Airflow
3's `airflow.sdk`, then in older modules.  A name that the installed Airflow does not have is an
ImportError.  The provider `common.compat` does the same, but its releases with all of these names
are newer than the constraints files of the Airflow releases that we support.

This module may change from release to release.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import (
        Asset,
        AssetAlias,
        BaseHook,
        BaseOperator,
        BaseOperatorLink,
        BaseSensorOperator,
        Connection,
        ObjectStoragePath,
        RetryDecision,
        RetryPolicy,
        get_current_context,
    )
    from airflow.sdk.bases.decorator import (
        DecoratedOperator,
        determine_kwargs,
        task_decorator_factory,
    )
    from airflow.sdk.configuration import conf
    from airflow.sdk.definitions.asset import BaseAsset
    from airflow.sdk.definitions.context import context_merge
    from airflow.sdk.exceptions import (
        AirflowFailException,
        AirflowNotFoundException,
        AirflowOptionalProviderFeatureException,
        AirflowSensorTimeout,
        AirflowSkipException,
        AirflowTaskTerminated,
        AirflowTaskTimeout,
    )
    from airflow.sdk.io import attach
    from airflow.sdk.io.fs import has_fs
    from airflow.sdk.log import amask_secret, mask_secret
    from airflow.sdk.observability.stats import Stats, incr
    from airflow.triggers.base import BaseEventTrigger
    from airflow.triggers.shared_stream import SharedStreamProducer

__all__ = [
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowOptionalProviderFeatureException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "AirflowTaskTerminated",
    "AirflowTaskTimeout",
    "Asset",
    "AssetAlias",
    "BaseAsset",
    "BaseEventTrigger",
    "BaseHook",
    "BaseOperator",
    "BaseOperatorLink",
    "BaseSensorOperator",
    "Connection",
    "DecoratedOperator",
    "ObjectStoragePath",
    "RetryDecision",
    "RetryPolicy",
    "SharedStreamProducer",
    "Stats",
    "amask_secret",
    "attach",
    "conf",
    "context_merge",
    "determine_kwargs",
    "get_current_context",
    "has_fs",
    "incr",
    "mask_secret",
    "task_decorator_factory",
]

_EXCEPTIONS = ("airflow.sdk.exceptions", "airflow.exceptions")  # the first from 3.2 on

# The name after a colon is the one in that older module.  A comment names the first Airflow that
# has the name in its newest module; it is 3.0 where there is none.  The newest comes first, since
# Airflow 3 still has some of the older modules, and warns that they are deprecated.
_HOMES: dict[str, tuple[str, ...]] = {
    "AirflowFailException": _EXCEPTIONS,
    "AirflowNotFoundException": _EXCEPTIONS,
    "AirflowOptionalProviderFeatureException": _EXCEPTIONS,
    "AirflowSensorTimeout": _EXCEPTIONS,
    "AirflowSkipException": _EXCEPTIONS,
    "AirflowTaskTerminated": _EXCEPTIONS,
    "AirflowTaskTimeout": _EXCEPTIONS,
    "Asset": ("airflow.sdk", "airflow.datasets:Dataset"),
    "AssetAlias": ("airflow.sdk", "airflow.datasets:DatasetAlias"),
    "BaseAsset": ("airflow.sdk.definitions.asset", "airflow.datasets:BaseDataset"),
    "BaseEventTrigger": ("airflow.triggers.base",),
    "BaseHook": ("airflow.sdk", "airflow.hooks.base"),  # 3.1
    "BaseOperator": ("airflow.sdk", "airflow.models.baseoperator"),
    "BaseOperatorLink": ("airflow.sdk", "airflow.models.baseoperatorlink"),
    "BaseSensorOperator": ("airflow.sdk", "airflow.sensors.base"),
    "Connection": ("airflow.sdk", "airflow.models.connection"),
    "DecoratedOperator": ("airflow.sdk.bases.decorator", "airflow.decorators.base"),
    "ObjectStoragePath": ("airflow.sdk", "airflow.io.path"),
    "RetryDecision": ("airflow.sdk",),  # 3.3
    "RetryPolicy": ("airflow.sdk",),  # 3.3
    "SharedStreamProducer": ("airflow.triggers.shared_stream",),  # 3.3
    "Stats": ("airflow.sdk.observability.stats", "airflow.stats"),  # 3.2
    "amask_secret": ("airflow.sdk.log",),  # 3.3
    "attach": ("airflow.sdk.io", "airflow.io.store"),
    "conf": ("airflow.sdk.configuration", "airflow.configuration"),  # 3.2
    "context_merge": ("airflow.sdk.definitions.context", "airflow.utils.context"),  # 3.1
    "determine_kwargs": ("airflow.sdk.bases.decorator", "airflow.utils.operator_helpers"),  # 3.2
    "get_current_context": ("airflow.sdk", "airflow.operators.python"),
    "has_fs": ("airflow.sdk.io.fs", "airflow.io"),  # 3.1
    "incr": ("airflow.sdk.observability.stats",),  # 3.3
    "mask_secret": (
        "airflow.sdk.log",  # 3.1: it also tells the supervisor, which writes the task's log
        "airflow.sdk.execution_time.secrets_masker",  # 3.0
        "airflow.utils.log.secrets_masker",
    ),
    "task_decorator_factory": ("airflow.sdk.bases.decorator", "airflow.decorators.base"),
}


def __getattr__(name: str) -> Any:
    """Look a name up once, from its newest module to its oldest."""
    for home in _HOMES.get(name, ()):
        module, _, own_name = home.partition(":")
        try:
            found = getattr(import_module(module), own_name or name)
        except (ImportError, AttributeError):
            continue
        globals()[name] = found
        return found
    raise AttributeError(f"this Airflow has no {name}")
