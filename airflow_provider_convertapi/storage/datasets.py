"""Name files as OpenLineage's naming conventions demand: by namespace and name.

This module may change from release to release.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_convertapi.storage.schemes import locate
from airflow_provider_convertapi.storage.uris import dataset_in_text, is_url, without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable


class Dataset(NamedTuple):
    """Namespace and name of a dataset."""

    namespace: str
    name: str


def dataset_of(uri: str) -> Dataset:
    """Return the dataset of a file, a directory or a URL, without secrets."""
    if not is_url(uri):
        with suppress(Exception):  # lineage must not fail a task that has paid
            return Dataset(*locate(uri, "source").dataset)
    return Dataset(*dataset_in_text(uri))


def datasets_of(uris: Iterable[str], most: int) -> list[Dataset]:
    """Return the datasets of files, each once; of their directories if there are more than `most`.

    If there are still too many, it takes the directories' parents, and so on.
    """
    places = list(dict.fromkeys(without_secrets(uri) if is_url(uri) else uri for uri in uris))
    while len(places) > most and (parents := list(dict.fromkeys(map(_parent, places)))) != places:
        places = parents
    return list(dict.fromkeys(map(dataset_of, places)))[:most]


def _parent(uri: str) -> str:
    """Return the directory of a URI; a root is returned unchanged."""
    scheme, mark, path = uri.rpartition("://")
    parent = path.rstrip("/").rpartition("/")[0]
    return f"{scheme}{mark}{parent}" if parent else uri
