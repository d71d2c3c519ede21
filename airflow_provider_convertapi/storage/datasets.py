"""What OpenLineage calls the places of files: namespace and name, as its naming conventions say.

This module may change from release to release.
"""

from __future__ import annotations

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
    """Return what OpenLineage calls a file, a directory or a URL; it holds no secret."""
    if is_url(uri):
        return Dataset(*dataset_in_text(uri))
    try:
        return Dataset(*locate(uri, "source").dataset)
    except Exception:  # noqa: BLE001 - lineage is told as far as it is known
        return Dataset(*dataset_in_text(uri))


def datasets_of(uris: Iterable[str], most: int) -> list[Dataset]:
    """Return the datasets of files, each once; their directories where they are more than `most`.

    Directories are those of directories, and so on, until there are few enough.
    """
    places = list(dict.fromkeys(without_secrets(uri) if is_url(uri) else uri for uri in uris))
    while len(places) > most and (parents := list(dict.fromkeys(map(_parent, places)))) != places:
        places = parents
    return list(dict.fromkeys(map(dataset_of, places)))[:most]


def _parent(uri: str) -> str:
    """Return the directory of a URI; a root is its own."""
    scheme, mark, path = uri.rpartition("://")
    parent = path.rstrip("/").rpartition("/")[0]
    return f"{scheme}{mark}{parent}" if parent else uri
