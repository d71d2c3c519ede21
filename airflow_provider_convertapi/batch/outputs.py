"""The outputs of one file of a batch, whose names the plan chooses, not the service.

This module may change from release to release.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.converters import (
    extension_of,
    has_open_extension,
    without_extension,
)
from airflow_provider_convertapi.errors import OutputExistsError
from airflow_provider_convertapi.storage import Destination, safe_name, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class BatchOutput(Destination):
    """The planned output of one file.

    :param directory: URI of the batch's destination.
    :param to_format: target format or tool.
    :param ours: URIs that a batch wrote for this file before and may overwrite.
    :param former: URIs that only earlier conversions wrote, with digests of their content; they are
        ours while their content is unchanged.
    :param others: outputs of other files that numbered results must not overwrite.
    :param kept_apart: the stem of a numbered result that would collide; empty refuses it.
    :param is_of_another: whether a batch made the planned output from another source.
    :param is_input: whether the planned output has the name of an input.
    """

    directory: str = ""
    to_format: str = ""
    ours: tuple[str, ...] = ()
    former: Mapping[str, str] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    kept_apart: str = ""
    is_of_another: bool = False
    is_input: bool = False

    @property
    def is_directory(self) -> bool:
        """Return False: the plan names the file."""
        return False

    @property
    def root(self) -> str:
        """Return the batch's destination, which no output may leave."""
        return self.directory

    def is_ours(self, uri: str) -> bool:
        """Tell whether a batch wrote it for this file before."""
        digest = self.former.get(uri)
        return bool(self.holds(uri, digest)) if digest else uri in self.ours

    def keeps_digests(self, uris: Sequence[str]) -> bool:
        """Tell whether there are further outputs, which a later version may not have."""
        return list(uris) != [self.uri]

    def remedy(self, *, paid: bool) -> str:
        """Return the remedy; `overwrite=True` would convert, and pay for, all other files again."""
        if self.is_input:
            return (
                "It is a file of the source, and no record says that a batch wrote it. An input is "
                "never overwritten, so choose a destination outside of the source."
            )
        if self.is_of_another:
            return (
                "A batch made it from another source: the files were moved, or are reached by "
                "another path or connection now. Choose another destination, or set source back; "
                "overwrite=True would convert, and pay for, every file again."
            )
        # What was paid is not converted again by the next run, only collected by a cleared task.
        moved = "Move it away" if paid else "Move it away, and the next run converts the file"
        return (
            "The batch has no record of it: something else wrote it, perhaps another task at the "
            f"same time, or a batch that was killed just before it wrote the record. {moved}; "
            "overwrite=True would convert, and pay for, every other file again, too."
        )

    def outputs(self, names: Sequence[str]) -> list[str]:
        """Return a URI for each result: the planned one, then numbered ones, `a-2.jpg`, `a-3.jpg`.

        `OutputExistsError` if such a name is an input or the output of another file.
        """
        stem, own = without_extension(self.uri), extension_of(self.uri)
        uris = []
        for number, name in enumerate(names, 1):
            # The service's name may lead anywhere, so only its extension is used, and cleaned.
            ending = extension_of(safe_name(name)) or own
            if number == 1:
                uris.append(f"{stem}.{ending}" if has_open_extension(self.to_format) else self.uri)
                continue
            uris.append(self._numbered(stem, number, ending))
        return uris

    def _numbered(self, stem: str, number: int, ending: str) -> str:
        uri = f"{stem}-{number}.{ending}"
        if uri not in self.others:
            return uri
        if self.kept_apart:
            return f"{stem.rpartition('/')[0]}/{self.kept_apart}-{number}.{ending}"
        raise OutputExistsError(
            f"One of several results belongs at {shown(uri)}, which is an input or the output of "
            "another file. Rename one of the two files, or set on_collision='suffix' and "
            "retry_failed=True."
        )
