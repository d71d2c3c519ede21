"""Copy a result that this process has published before, which costs nothing.

A task may ask for the same conversion twice, with two destinations.

This module may change from release to release.
"""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_convertapi.conversions.result import paid_but_blocked
from airflow_provider_convertapi.errors import (
    InputChangedError,
    InputNotFoundError,
    OutputExistsError,
)
from airflow_provider_convertapi.storage import BLOCK, SizeMismatch, find_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_convertapi.api.endpoints import Conversion, ConvertedFile
    from airflow_provider_convertapi.conversions.target import Target
    from airflow_provider_convertapi.storage import Destination

# For the whole process, because a task may convert with several hooks.
_places: dict[str, list[Destination]] = {}
_lock = threading.Lock()


def note_place(derivation: str, place: Destination) -> None:
    """Note where a conversion was published.

    :param derivation: what identifies the conversion.
    """
    with _lock:
        known = _places.setdefault(derivation, [])
        if place not in known:
            known.append(place)


def find_published(derivation: str, target: Target, made: Conversion) -> list[str] | None:
    """Return the outputs if they exist as they were published, else None.

    Outputs that this process published elsewhere are copied.  `OutputExistsError` if a file is in
    the way.

    :param made: the results as the service announced them.
    """
    if (outputs := target.published(made.files)) is not None:
        return outputs
    # A copy of the list, because the lock must not be held while files are copied.
    with _lock:
        known = list(_places.get(derivation, ()))
    for place in known:
        uris = replace(target, destination=place).published(made.files)
        if uris is None:
            continue
        try:
            copied = _copy(uris, target, made.files)
        except OutputExistsError as error:
            raise paid_but_blocked(error, made.cost) from None
        if copied is not None:
            return copied
    return None


def _copy(uris: Sequence[str], target: Target, files: Sequence[ConvertedFile]) -> list[str] | None:
    """Copy outputs; None if one of them vanishes or changes meanwhile."""
    wanted = target.destination.outputs([file.name for file in files])
    with target.publication() as publication:
        try:
            for uri, new, file in zip(uris, wanted, files, strict=True):
                source = find_source(uri, field="destination")
                with publication.stage(new, file.size) as sink, source.open() as data:
                    shutil.copyfileobj(data, sink, BLOCK)
        except (InputNotFoundError, InputChangedError, SizeMismatch):
            return None
        return publication.publish()
