"""Set messages out in short lines, so that a log page shows them whole.

This module may change from release to release.
"""

from __future__ import annotations

import re
import textwrap

WIDTH = 84
"""Characters of a line: what Airflow's page shows beside a time and a level without scrolling, in a
window of 1,280 pixels."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[^\W_a-z]|[\"'`({])|\n+")


def sentences(text: str) -> list[str]:
    """Return the sentences of a text; what stands in parentheses is part of one."""
    # A name with one parenthesis alone would keep all that follows together.
    keeps = _depth(text) == 0
    found: list[str] = []
    for part in (part.strip() for part in _SENTENCE.split(text) if part.strip()):
        if keeps and found and _depth(found[-1]) > 0:
            found[-1] += f" {part}"
        else:
            found.append(part)
    return found


def _depth(text: str) -> int:
    return text.count("(") - text.count(")")


def wrapped(text: str, *, indent: str = "") -> list[str]:
    """Return a text in lines of `WIDTH`; a longer word, such as a URI, keeps whole.

    :param indent: what the lines after the first begin with.
    """
    return textwrap.wrap(
        text,
        WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def ended(text: str) -> str:
    """Return a text that another sentence may follow: what the service says may have no stop."""
    return text if text.endswith((".", "!", "?", ")")) else f"{text}."


def set_out(title: str, text: str) -> str:
    """Return a text with a short first line: itself, or the title with the text below it."""
    return text if len(text) <= WIDTH and "\n" not in text else f"{title}\n{text}"
