"""What sources are converted from: told by `from_format`, else by their extensions.

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
_URL = re.compile(r"\s*https?://", re.IGNORECASE)
_END_OF_TEMPLATE = re.compile(r".*(?:\}\}|%\}|#\})", re.DOTALL)

ARCHIVED = "any"
"""The format of what a converter of any files gets: job ids are derived from it."""

NOTHING = "data"
"""What the service calls the source of a converter that needs none."""


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
    """Return the extension that a template certainly ends in, None where it is not known."""
    ending = _END_OF_TEMPLATE.sub("x", text)
    return format_of(ending) or None


def is_url(uri: str) -> bool:
    """Tell whether the service fetches a source itself."""
    return _URL.match(uri) is not None


def converter_of_all(
    from_format: str | None, formats: Collection[str], target: str
) -> Converter | None:
    """Return the converter that takes all the sources together, None where each is converted alone.

    :param formats: those of the sources; not looked at where `from_format` is given.
    """
    if from_format is not None:
        found = catalogue().find(from_format, target)
        return found if found and found.takes_several else None
    return catalogue().find_for_all(formats, target) if formats else None


def source_format(from_format: str | None, formats: Sequence[str], target: str) -> str:
    """Return the format that one call of the service converts, as job ids name it.

    `ParameterError` where the sources have several that no converter takes together.

    :param formats: those of the sources, empty where nobody can tell.
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
