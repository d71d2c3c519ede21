"""Tell trouble with a whole place from trouble with one file.

This module may change from release to release.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_provider_convertapi.api import redaction
from airflow_provider_convertapi.errors import OutputNotWritableError
from airflow_provider_convertapi.storage.uris import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

_OF_THE_PLACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


@contextmanager
def explaining(uri: str, *, paid: bool | None) -> Iterator[None]:
    """Raise `OutputNotWritableError` where a place is full, read-only, or not to be written to.

    :param uri: an output.
    :param paid: False where nothing was paid for it yet.
    """
    try:
        yield
    except OSError as error:
        is_of_the_place = isinstance(error, PermissionError | NotADirectoryError)
        if not is_of_the_place and error.errno not in _OF_THE_PLACE:
            raise
        why = error.strerror or redaction.shown(str(error)) or "not permitted"
        unpaid = " Nothing was paid for it." if paid is False else ""
        what = f"{shown(uri)} cannot be written: {why}. Make room, or let the task write there."
        raise OutputNotWritableError(f"{what}{unpaid}", paid) from error
