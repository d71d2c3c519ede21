"""Where the results of a conversion go, and what must not be overwritten.

This module may change from release to release.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_convertapi.errors import OutputExistsError
from airflow_provider_convertapi.storage import Publication

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_convertapi.api.endpoints import ConvertedFile
    from airflow_provider_convertapi.storage import Destination


@dataclass(frozen=True, slots=True)
class Target:
    """Where results are published.

    :param inputs: URIs of all inputs, which no output may replace.
    """

    destination: Destination
    overwrite: bool
    inputs: tuple[str, ...]

    def check(self) -> None:
        """Raise where a file is known to be in the way, or nothing can be written, before paying.

        `OutputExistsError` or `OutputNotWritableError`; nothing was paid.
        """
        place = self.destination
        place.check_writable()
        if self.overwrite or place.is_directory or place.is_ours(place.uri):
            return
        if place.sizes([place.uri]) != [None]:
            raise OutputExistsError(
                f"{place.uri} exists and is not ours. {place.remedy} Nothing was paid."
            )

    def publication(self, marks: Sequence[str]) -> Publication:
        """Return a publication of results to this target.

        :param marks: those of the task's tries.
        """
        return Publication(
            self.destination, inputs=self.inputs, overwrite=self.overwrite, marks=marks
        )

    def published(self, files: Sequence[ConvertedFile]) -> list[str] | None:
        """Return the outputs if each exists with its announced size, else None."""
        uris = self.destination.outputs([file.name for file in files])
        sizes = self.destination.sizes(uris)
        return uris if sizes == [file.size for file in files] else None
