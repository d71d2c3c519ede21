"""Remember verdicts that leave no job behind, so that a second one of its kind is final.

This module may change from release to release.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from airflow_provider_convertapi.api.endpoints import delete_file, find_file, upload
from airflow_provider_convertapi.errors import ConvertApiError

if TYPE_CHECKING:
    from airflow_provider_convertapi.api.client import Client
    from airflow_provider_convertapi.api.ids import JobIds

_PART = "transient verdict"
"""The key in its file id, which no input has."""


@dataclass(frozen=True, slots=True)
class VerdictNote:
    """A note at the service that an attempt ended with a verdict that one more may change.

    A verdict in answer to the paid request itself leaves no job that a later try could find, and
    the number of a try does not tell what became of the tries before.  The note is a file of one
    byte under a derived id.  It costs nothing, holds nothing of the document, and is deleted by the
    service within three hours.

    :param ids: the ids of the conversion.
    """

    ids: JobIds

    def code(self, client: Client) -> int | None:
        """Return the Code of the noted verdict, 0 where it cannot be read; None without a note."""
        found = client.call(find_file(self._file_id))
        if found is None:
            return None
        digits = "".join(filter(str.isdigit, found.name))
        return int(digits or 0)

    def is_second(self, verdict: ConvertApiError, client: Client, *, otherwise: bool) -> bool:
        """Tell whether another verdict was noted before; note this one where none was.

        :param otherwise: the answer where the service cannot be asked.
        """
        try:
            if self.code(client) is not None:
                return True
            client.call(upload(_OneByte(f"code-{verdict.code}.txt"), self._file_id))
        except ConvertApiError:
            return otherwise
        return False

    def delete(self, client: Client) -> None:
        """Delete it: the conversion has ended well."""
        client.call(delete_file(self._file_id))

    @property
    def _file_id(self) -> str:
        return self.ids.file_id(0, _PART)


@dataclass(frozen=True, slots=True)
class _OneByte:
    name: str
    size: int = 1

    def open(self) -> BinaryIO:
        return io.BytesIO(b"-")
