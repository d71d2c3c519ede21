"""The source formats of inputs: `from_format`, else their extensions.

This module may change from release to release.  It is loaded when a DAG file is parsed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from airflow_provider_convertapi.api.converters import catalogue
from airflow_provider_convertapi.conversions.values import wrong

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow_provider_convertapi.api.converters import Converter

_EXTENSION = re.compile(r"[a-z0-9]{1,8}")
# As in `storage.uris`.  That package is not imported here: it would slow the parsing of DAG files.
_URL = re.compile(r"\s*https?://", re.IGNORECASE)
_END_OF_TEMPLATE = re.compile(r".*(?:\}\}|%\}|#\})", re.DOTALL)

ARCHIVED = "any"
"""The source format of a converter that takes any files; job ids are derived from it."""

NOTHING = "data"
"""The service's name for the source of a converter that needs no file."""


def format_of(uri: str) -> str:
    """Return the lower-case extension of a source; `web` for a URL without one, "" for a path."""
    is_url = _URL.match(uri) is not None
    path = urlsplit(uri).path if is_url else uri
    name = unquote(path.strip().rpartition("/")[2])
    extension = name.rpartition(".")[2].lower() if "." in name.lstrip(".") else ""
    if _EXTENSION.fullmatch(extension):
        return extension
    return "web" if is_url else ""


def format_of_template(text: str) -> str | None:
    """Return the extension that a template certainly ends in; None if it is not known."""
    ending = _END_OF_TEMPLATE.sub("x", text)
    return format_of(ending) or None


def is_url(uri: str) -> bool:
    """Tell whether a source is a URL, which the service fetches itself."""
    return _URL.match(uri) is not None


def converter_of_all(
    from_format: str | None, formats: Collection[str], target: str
) -> Converter | None:
    """Return the converter that takes all sources together; None if each is converted alone.

    :param formats: the formats of the sources; ignored if `from_format` is given.
    """
    if from_format is not None:
        found = catalogue().find(from_format, target)
        return found if found and found.takes_several else None
    return catalogue().find_for_all(formats, target) if formats else None


def source_format(from_format: str | None, formats: Sequence[str], target: str) -> str:
    """Return the source format of one call of the service; job ids are derived from it.

    `ParameterError` if the sources have several formats that no converter takes together.

    :param formats: the formats of the sources; empty if they are not known.
    """
    if from_format is not None:
        return from_format
    each = sorted(set(formats))
    several = converter_of_all(None, each, target)
    if several is not None and several.takes_anything:
        return ARCHIVED
    if several is not None and len(formats) > 1:
        return several.source
    if len(each) > 1:
        raise wrong(
            "source",
            f"mixes {', '.join(each)}; convert them to one format first, or set from_format",
        )
    return each[0] if each else NOTHING
