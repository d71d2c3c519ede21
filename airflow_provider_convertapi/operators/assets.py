"""Fill in the events of a task's outlets, which Airflow creates when the task succeeds.

This module may change from release to release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.airflow_names import Asset, AssetAlias, BaseAsset
from airflow_provider_convertapi.storage.uris import asset_uri

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterable, Mapping

    from airflow.sdk import Context

    from airflow_provider_convertapi.operators.lineage import Lineage


def note_outlets(
    context: Context,
    outlets: Iterable[Any],
    lineage: Callable[[], Lineage | None],
    place: str | None,
    log: logging.Logger,
) -> None:
    """Record in the event of each asset among the outlets what the task did; never raises.

    Values that the user has set there are kept.  An error is only logged as a warning, because the
    task has paid; outlets that are not assets are ignored.

    :param lineage: returns what the task did.
    :param place: URI of what was written, which becomes an alias's asset; None if nothing was.
    """
    for outlet in outlets:
        try:
            if isinstance(outlet, BaseAsset) and (did := lineage()) is not None:
                _note(context["outlet_events"], outlet, did.extra(), place)
        except Exception as error:  # noqa: BLE001 - whatever Airflow objects to: the conversion is paid
            log.warning("The event of outlet %r does not say what was done: %s", outlet, error)


def _note(events: Any, outlet: Any, extra: Mapping[str, Any], place: str | None) -> None:
    event = events[outlet]
    if not isinstance(outlet, AssetAlias):
        event.extra = {**extra, **event.extra}
    # Airflow 2, whose events have no such attribute, fails the task, which has paid, if it does not
    # know the alias (`_register_dataset_changes` in `airflow/models/taskinstance.py`).
    elif place is not None and getattr(event, "asset_alias_events", None) == []:
        event.add(Asset(uri=asset_uri(place)), extra=dict(extra))
