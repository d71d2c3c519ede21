"""Remember verdicts that leave no job behind, so that a second such verdict is final.

This module may change from release to release.
"""

from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from airflow_provider_convertapi.api.endpoints import delete_file, find_file, upload
from airflow_provider_convertapi.api.wire import TIMEOUT_CODE
from airflow_provider_convertapi.errors import ConvertApiError

if TYPE_CHECKING:
    from airflow_provider_convertapi.api.client import Client
    from airflow_provider_convertapi.api.ids import JobIds

_PART = "transient verdict"
"""The key of the note in its file id; no input has this key."""

_REFUSED = "refused.txt"
"""The name of the note that says that a result was refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictNote:
    """A note of an earlier transient verdict, or of a refused result.

    A verdict that answers the paid request itself leaves no job that a later try could find, and
    the number of a try does not tell how the earlier tries ended.  A batch has its manifest; any
    other task notes the verdict at the service, as a file of one byte under a derived id.  The file
    is free, holds nothing of the document, and the service deletes it within three hours.

    :param ids: the ids of the conversion; None if the caller remembers its verdicts.
    :param may_exist: whether an earlier try or run may have left a note.
    :param is_remembered: whether the caller remembers such a verdict.
    :param is_timeout: whether the remembered verdict was a timeout.
    """

    ids: JobIds | None
    may_exist: bool
    is_remembered: bool
    is_timeout: bool

    def exists(self, client: Client) -> bool:
        """Tell whether a verdict was noted at the service."""
        return self.may_exist and self._code(client) is not None

    def has_timed_out(self, client: Client) -> bool:
        """Tell whether an earlier attempt took longer than the service's `Timeout`."""
        with suppress(ConvertApiError):  # it only makes the next `Timeout` longer
            return self.is_timeout or (self.may_exist and self._code(client) == TIMEOUT_CODE)
        return False

    def is_second(self, verdict: ConvertApiError, client: Client) -> bool:
        """Tell whether there was such a verdict before; note this one if there was none."""
        if self.ids is None or not verdict.transient:
            return self.is_remembered
        try:
            if self._code(client) is not None:
                return True
            client.call(upload(_OneByte(f"code-{verdict.code}.txt"), _file_id(self.ids)))
        except ConvertApiError:
            # There may be a note that cannot be read: better to end than to pay a third time.
            return self.may_exist
        return False

    def note_refusal(self, client: Client) -> None:
        """Note that the result was refused, so that another try does not pay for it again."""
        if self.ids is not None:
            with suppress(ConvertApiError):  # without the note, a cleared task pays again
                client.call(upload(_OneByte(_REFUSED), _file_id(self.ids)))

    def is_of_refusal(self, client: Client) -> bool:
        """Tell whether an earlier try noted that the result was refused."""
        # Errors are not suppressed here: without an answer the conversion could be paid once more.
        return self.may_exist and self._name(client) == _REFUSED

    def forget(self, client: Client) -> None:
        """Delete the note, because the conversion has succeeded."""
        if self.ids is not None and self.may_exist:
            with suppress(ConvertApiError):  # the service deletes it within three hours
                client.call(delete_file(_file_id(self.ids)))

    def _code(self, client: Client) -> int | None:
        """Return the Code of the noted verdict, 0 if it cannot be read; None without a note."""
        name = self._name(client)
        return None if name is None else int("".join(filter(str.isdecimal, name)) or 0)

    def _name(self, client: Client) -> str | None:
        """Return the name of the note; None if there is none."""
        found = None if self.ids is None else client.call(find_file(_file_id(self.ids)))
        return None if found is None else found.name


def _file_id(ids: JobIds) -> str:
    return ids.file_id(0, _PART)


@dataclass(frozen=True, slots=True)
class _OneByte:
    name: str
    size: int = 1

    def open(self) -> BinaryIO:
        return io.BytesIO(b"-")
