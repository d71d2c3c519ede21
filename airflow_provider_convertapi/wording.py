"""Break messages into short lines, so that a log page shows them whole.

This module may change from release to release.
"""

from __future__ import annotations

import re
import textwrap
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

WIDTH = 84
"""Characters of a line: as many as Airflow's page shows beside time and level without scrolling, in
a window of 1,280 pixels."""

_OF_FILE = re.compile(r"^.*? \(\S+ to \S+\)(?:: |, (?=step ))")
"""The beginning of a message that names the conversion; a step of a chain is named after it."""

_NO_REASON = re.compile(r"\b(billed|paid|pays?|try|tries|Check|Set|Change|Clear)\b")
"""Words of sentences that do not say why something failed."""

_ITEM = " \N{BULLET} "
"""The beginning of each item of a list, in a text on one line."""

_NO_BREAK = "\N{NO-BREAK SPACE}"

_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
"""Characters that begin a line, control a terminal, change the direction of writing, or that no
file can hold.  Joiners and selectors, which are parts of emoji, are not among them."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[^\W_a-z]|[\"'`({])|\n+")


def sentences(text: str) -> list[str]:
    """Return the sentences of a text; a text in parentheses is not divided."""
    # With a single unpaired parenthesis, in a name, the rest would not be divided.
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


def reason(message: str, *, is_first: bool) -> str:
    """Return why one of several files failed, from its error's message.

    The reason is the message without the conversion's name, up to the cost and the remedy, which
    are the same for many files.  The first file gets the whole message, as an example.
    """
    if is_first:
        return message
    first, *others = sentences(_OF_FILE.sub("", message)) or [""]
    return " ".join([first, *takewhile(lambda one: not _NO_REASON.search(one), others)])


def wrapped(text: str, *, indent: str = "", width: int = WIDTH) -> list[str]:
    """Return a text in lines of `width`; a longer word, such as a URI, is not broken.

    :param indent: the beginning of the lines after the first.
    """
    return textwrap.wrap(
        text,
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def labelled(label: str, text: str, items: Iterable[str] = ()) -> list[str]:
    """Return the lines of a text after its label, then the items, each on separate lines."""
    # A long path must not leave its label alone on a line.
    first, *others = wrapped(f"{label}:{_NO_BREAK}{on_one_line(text)}", indent="    ")
    lines = [first.replace(_NO_BREAK, " ", 1), *others]
    for item in map(on_one_line, items):
        lines += (f"    {line}" for line in wrapped(item, indent="    ", width=WIDTH - 4))
    return lines


def on_one_line(text: str) -> str:
    """Return a text with escapes for characters that could forge or hide lines of a log.

    The name of a file may contain any character, and may come from another person.
    """
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def listed(text: str, items: Iterable[str]) -> str:
    """Return a text that ends with a list of items, still on one line."""
    return _ITEM.join([text, *items]).strip()


def unlisted(text: str) -> tuple[str, list[str]]:
    """Return a text without its list, and the items of the list."""
    first, *items = text.split(_ITEM)
    return first, items


def ended(text: str) -> str:
    """Return a text with a full stop, which the service's messages may not have."""
    return text if text.endswith((".", "!", "?", ")")) else f"{text}."


def set_out(title: str, text: str) -> str:
    """Return a text with a short first line: the text itself, or the title with the text below."""
    return text if len(text) <= WIDTH and "\n" not in text else f"{title}\n{text}"
