"""The colours of our tasks on Airflow's pages, and the links to their outputs and the account.

This module may change from release to release, except the names of the links.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_provider_convertapi.airflow_names import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey

UI_COLOR = "#e8f1fb"
UI_FGCOLOR = "#0b2e59"

_DASHBOARD = "https://www.convertapi.com/a"
"""ConvertAPI's page of the account and its usage, which needs a sign-in."""

_S3 = ("s3", "s3a", "s3n")
_GOOGLE = ("gs", "gcs")


class ConvertApiOutputLink(BaseOperatorLink):
    """A link to the output in the web console of its store, if the URI shows its address."""

    name = "Output location"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """Return the address; empty if there is none.

        Airflow 3 calls this in the worker when the task has ended, Airflow 2 in the webserver,
        where the operator is not rendered.
        """
        return console_address(_destination(operator, ti_key))


class ConvertApiUsageLink(BaseOperatorLink):
    """A link to the account's page at ConvertAPI."""

    name = "ConvertAPI usage"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, which is the same for every account."""
        del operator, ti_key
        return _DASHBOARD


def console_address(uri: str) -> str:
    """Return the address of a URI in its store's web console; empty if there is none.

    Azure's portal needs a subscription and a resource group, which a URI does not contain.
    """
    scheme, separator, rest = uri.strip().partition("://")
    authority, _, key = rest.partition("/")
    bucket = quote(authority.rpartition("@")[2], safe="")
    if not separator or not bucket or "{{" in uri:
        return ""
    is_folder = not key or key.endswith("/")
    if scheme.lower() in _S3:
        kind = "buckets" if is_folder else "object"
        return f"https://s3.console.aws.amazon.com/s3/{kind}/{bucket}?prefix={quote(key, safe='/')}"
    if scheme.lower() in _GOOGLE:
        browser = "https://console.cloud.google.com/storage/browser"
        place = f"{bucket}/{quote(key, safe='/')}"
        return f"{browser}/{place}" if is_folder else f"{browser}/_details/{place}"
    return ""


def _destination(operator: Any, ti_key: TaskInstanceKey) -> str:
    """Return the rendered destination; a batch's is always a directory."""
    given = getattr(operator, "destination", None)
    if given is None or "{{" in str(given):  # mapped, or a template, in Airflow 2's webserver
        given = _rendered(ti_key).get("destination")
    place = str(given) if given is not None else ""
    is_batch = getattr(operator, "task_type", "") == "ConvertApiBatchOperator"
    return f"{place.rstrip('/')}/" if place and is_batch else place


def _rendered(ti_key: TaskInstanceKey) -> dict[str, Any]:
    """Return the task's fields as Airflow 2 has stored them; nothing on Airflow 3."""
    from airflow import __version__

    if not __version__.startswith("2."):
        return {}
    from airflow.models.renderedtifields import RenderedTaskInstanceFields as Stored
    from airflow.utils.session import create_session

    with create_session() as session:
        stored = session.get(
            Stored, (ti_key.dag_id, ti_key.task_id, ti_key.run_id, ti_key.map_index)
        )
        return dict(stored.rendered_fields) if stored is not None else {}
