"""File parameters that every file of a batch takes: uploaded once, deleted last."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.endpoints import find_file, upload
from airflow_provider_convertapi.api.ids import JobIds, seed_text
from airflow_provider_convertapi.errors import (
    ConvertApiError,
    InputChangedError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_convertapi.api.client import Client
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook
    from airflow_provider_convertapi.storage import Source

_GOOD_FOR = 90 * 60.0
"""Seconds after which a shared file is uploaded anew: the service keeps one for three hours, and a
conversion that was submitted at the end of them still has to read it."""


@dataclass(slots=True)
class SharedFiles:
    """The file parameters of a batch at the service.

    Their ids hold the time, so that the next try, and a task that resumes, find what is there.

    :param files: the parameters that we read ourselves, by name.
    :param names: what the ids are made of beside the files: the task instance.
    :param since: seconds since the epoch from which on they may have been uploaded.
    """

    hook: ConvertApiHook
    files: Mapping[str, Source]
    names: Mapping[str, object]
    since: float
    _uploaded: int | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def ids(self, client: Client) -> dict[str, str]:
        """Return the file id of each parameter, uploading what is not there; the others wait."""
        if not self.files:
            return {}
        with self._lock:
            generation = _generation(client.clock())
            if generation != self._uploaded:
                self._upload(client, generation)
                self._uploaded = generation
            return self._ids(generation)

    def uploaded(self, client: Client) -> list[str]:
        """Return the ids of everything that may have been uploaded."""
        generations = range(_generation(self.since), _generation(client.clock()) + 1)
        return [file_id for number in generations for file_id in self._ids(number).values()]

    def _ids(self, generation: int) -> dict[str, str]:
        seed = {
            "shared": {name: [file.uri, file.fingerprint] for name, file in self.files.items()},
            "namespace": self.hook.settings.namespace,
            "scope": dict(self.names),
        }
        ids = JobIds.from_seed(self.hook.settings.id_key, seed_text(seed))
        return {name: ids.file_id(generation, name) for name in self.files}

    def _upload(self, client: Client, generation: int) -> None:
        for name, file_id in self._ids(generation).items():
            file = self.files[name]
            if not _is_stored(client, file_id, file.size):
                _store(client, file, file_id)
            if file.changed():
                raise InputChangedError(
                    f"{file.uri} changed while it was being read; nothing was paid. Another try "
                    "reads it anew."
                )


def _generation(moment: float) -> int:
    return int(moment / _GOOD_FOR)


def _store(client: Client, file: Source, file_id: str) -> None:
    try:
        client.call(upload(file, file_id))
    except ConvertApiError:
        # A lost answer, or an id that a broken upload left behind: look, that is free.
        if not _is_stored(client, file_id, file.size):
            raise


def _is_stored(client: Client, file_id: str, size: int) -> bool:
    found = client.call(find_file(file_id))
    return found is not None and found.size == size
