"""Where the results of a conversion go, and what must not be overwritten.

This module may change from release to release.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.retry import RETENTION
from airflow_provider_convertapi.conversions.acceptance import Acceptance
from airflow_provider_convertapi.errors import OutputExistsError
from airflow_provider_convertapi.storage import Publication, shown, unstamped
from airflow_provider_convertapi.surroundings import surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_convertapi.api.endpoints import ConvertedFile
    from airflow_provider_convertapi.api.ids import JobIds
    from airflow_provider_convertapi.conversions.acceptance import Paid
    from airflow_provider_convertapi.storage import Destination, State

_SKEW = 600.0
"""Seconds by which the clocks of store and worker may differ."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where results are published.

    :param overwrite: whether another file is replaced; None: only a file that the user named.
    :param inputs: URIs of all inputs, which no output may replace.
    :param trusts_size: whether a file of the announced size counts as this conversion's output if
        the store keeps no stamps.
    :param stamp: returns the stamp of this conversion's output at a URI.
    :param acceptance: the checks that results must pass.
    """

    destination: Destination
    overwrite: bool | None
    inputs: tuple[str, ...]
    trusts_size: bool = True
    stamp: Callable[[str], str] = unstamped
    acceptance: Acceptance = field(default_factory=Acceptance)

    def stamped(self, ids: JobIds) -> Target:
        """Return the target of the conversion that has these ids."""
        return replace(self, stamp=ids.stamp)

    @property
    def _replaces(self) -> bool:
        # The service chooses the names in a directory, and two sources may get the same name.
        return not self.destination.is_directory if self.overwrite is None else self.overwrite

    def check(self, names: Sequence[str] = ()) -> None:
        """Check, before anything is paid, that the results can be published.

        `OutputExistsError` if a file is in the way, `OutputNotWritableError` if nothing can be
        written.

        :param names: the service's file names of the results, if they are known.
        """
        place = self.destination
        place.check_writable()
        uris = place.outputs(names) if place.is_directory else [place.uri]
        for uri in uris:
            place.check_no_directory(uri)
            if self._replaces or place.is_ours(uri):
                continue
            found = place.state(uri)
            # Its own output, which an earlier try has published, is not in the way.
            is_taken = found is not None and not found.bears(self.stamp(uri))
            if is_taken or place.is_lost_link(uri):
                remedy = place.remedy(paid=False)
                raise OutputExistsError(
                    f"{shown(uri)} exists and is not ours. {remedy} Nothing was paid."
                )

    def publication(self, marks: Sequence[str] = ()) -> Publication:
        """Return a publication of results to this target.

        :param marks: those of the task's tries.
        """
        return Publication(
            self.destination,
            inputs=self.inputs,
            overwrite=self._replaces,
            marks=marks,
            stamp=self.stamp,
        )

    def accept(self, publication: Publication, names: Sequence[str], paid: Paid) -> None:
        """Raise if the staged results must not be published, for example `ResultCheckError`.

        :param names: the service's names of the results, in the order of staging.
        """
        self.acceptance.apply(publication, self.destination, names, paid)

    def published(self, files: Sequence[ConvertedFile]) -> list[str] | None:
        """Return the outputs if each exists as this conversion wrote it, else None."""
        uris = self.destination.outputs([file.name for file in files])
        stand = (self._stands(uri, file.size) for uri, file in zip(uris, files, strict=True))
        return uris if all(stand) else None

    def _stands(self, uri: str, size: int) -> bool:
        found = self.destination.state(uri)
        if found is None or found.size != size:
            return False
        # The size alone proves nothing: another conversion's result may have the same size.
        is_own = found.bears(self.stamp(uri))
        return self.trusts_size and _is_recent(found) if is_own is None else is_own


def _is_recent(found: State) -> bool:
    """Tell whether a file may come from a job that the service still knows.

    An older file comes from an earlier conversion, for example of another version of the source.
    """
    oldest = surroundings().clock.time() - RETENTION.total_seconds() - _SKEW
    return found.modified is None or found.modified > oldest
