"""File parameters that all files of a batch share: uploaded once, deleted last.

This module may change from release to release.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.ids import JobIds, seed_text
from airflow_provider_convertapi.conversions.request import check_unchanged
from airflow_provider_convertapi.conversions.upload import store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_convertapi.api.client import Client
    from airflow_provider_convertapi.conversions.session import Session
    from airflow_provider_convertapi.storage import Source

# https://help.convertapi.com/en/article/how-long-are-my-files-stored-a5ihko/
_KEPT_FOR = 3 * 3600.0
"""Seconds after which the service deletes a file."""

_GOOD_FOR = _KEPT_FOR / 2
"""Seconds after which a shared file is uploaded again: a conversion that is submitted late must
still find it."""


@dataclass(slots=True)
class SharedFiles:
    """The file parameters of a batch at the service.

    Their ids are derived from the time, so the next try, or a resumed task, finds the files.

    :param files: the parameters that we read ourselves, by name.
    :param since: seconds since the epoch at which the batch began, before any upload.
    """

    session: Session
    files: Mapping[str, Source]
    since: float
    _uploaded: int | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def ids(self, client: Client) -> dict[str, str]:
        """Return each parameter's file id; upload missing files while other threads wait."""
        if not self.files:
            return {}
        with self._lock:
            generation = _generation(client.clock())
            if generation != self._uploaded:
                self._upload(client, generation)
                self._uploaded = generation
            return self._ids(generation)

    def uploaded(self, client: Client) -> list[str]:
        """Return the ids of everything that was uploaded and may still be there."""
        # All generations since the batch began: an earlier try may have uploaded some. A resumed
        # batch has that time from its checkpoint, which others may have written.
        now = client.clock()
        since = max(self.since, now - _KEPT_FOR)
        generations = range(_generation(since), _generation(now) + 1)
        return [file_id for number in generations for file_id in self._ids(number).values()]

    def _ids(self, generation: int) -> dict[str, str]:
        seed = {
            "shared": {name: [file.uri, file.fingerprint] for name, file in self.files.items()},
            "namespace": self.session.settings.namespace,
            "scope": self.session.task.names,
        }
        ids = JobIds.from_seed(self.session.key, seed_text(seed))
        return {name: ids.file_id(generation, name) for name in self.files}

    def _upload(self, client: Client, generation: int) -> None:
        for name, file_id in self._ids(generation).items():
            store(client, self.files[name], file_id, may_be_there=True)
            # A file that was written meanwhile is half old and half new. Every result would have
            # it, and each would be paid.
            check_unchanged(self.files[name])


def _generation(moment: float) -> int:
    return int(moment / _GOOD_FOR)
