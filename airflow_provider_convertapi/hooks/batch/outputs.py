"""Where the results of one file of a batch go: the name is ours, not the service's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_convertapi.batch.names import (
    extension_of,
    has_open_extension,
    without_extension,
)
from airflow_provider_convertapi.errors import OutputExistsError
from airflow_provider_convertapi.storage import Destination, safe_name, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True)
class BatchOutput(Destination):
    """The planned output of one file.

    :param to_format: target format or tool.
    :param taken: tells whether a URI is the planned output of another file.
    """

    to_format: str = ""
    taken: Callable[[str], bool] = field(default=lambda _: False, repr=False, compare=False)

    @property
    def is_directory(self) -> bool:
        """Return False: the plan has named the file."""
        return False

    def outputs(self, names: Sequence[str]) -> list[str]:
        """Return a URI for each result: the planned one, then with numbers, `a-2.jpg`, `a-3.jpg`.

        `OutputExistsError` where such a name is the planned output of another file.
        """
        stem, own = without_extension(self.uri), extension_of(self.uri)
        uris = []
        for number, name in enumerate(names, 1):
            ending = extension_of(safe_name(name)) or own
            if number == 1:
                uris.append(f"{stem}.{ending}" if has_open_extension(self.to_format) else self.uri)
                continue
            uris.append(f"{stem}-{number}.{ending}")
            if self.taken(uris[-1]):
                raise OutputExistsError(
                    f"One of several results belongs at {shown(uris[-1])}, which is the output of "
                    "another file of this batch. Rename one of the two files, or set "
                    "on_collision='suffix', and run the task again."
                )
        return uris
