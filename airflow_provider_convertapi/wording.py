"""Set messages out in short lines, so that a log page shows them whole.

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
"""Characters of a line: what Airflow's page shows beside a time and a level without scrolling, in a
window of 1,280 pixels."""

_OF_FILE = re.compile(r"^.*? \(\S+ to \S+\)(?:: |, (?=step ))")
"""How a message begins that says what was converted; a step of a chain is named behind it."""

_NO_REASON = re.compile(r"\b(billed|paid|pays?|try|tries|Check|Set|Change|Clear)\b")
"""What a sentence holds that says no longer why something failed."""

_ITEM = " \N{BULLET} "
"""What each item of a list begins with, in a text that is on one line."""

_NO_BREAK = "\N{NO-BREAK SPACE}"

_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
"""Characters that begin a line, steer a terminal, turn the direction of writing, or that no file
can hold.  Joiners and selectors, which emoji are made of, are none of them."""

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


def reason(message: str, *, is_first: bool) -> str:
    """Return why one of several files failed, from its error's message.

    It is the message without what was converted, and up to what it cost or what to do, which is the
    same for many; of the first file it is all of it, as an example.
    """
    if is_first:
        return message
    first, *others = sentences(_OF_FILE.sub("", message)) or [""]
    return " ".join([first, *takewhile(lambda one: not _NO_REASON.search(one), others)])


def wrapped(text: str, *, indent: str = "", width: int = WIDTH) -> list[str]:
    """Return a text in lines of `width`; a longer word, such as a URI, keeps whole.

    :param indent: what the lines after the first begin with.
    """
    return textwrap.wrap(
        text,
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def labelled(label: str, text: str, items: Iterable[str] = ()) -> list[str]:
    """Return the lines of a text behind its label, then each item on lines of its own."""
    # A long path must not leave its label alone on a line.
    first, *others = wrapped(f"{label}:{_NO_BREAK}{on_one_line(text)}", indent="    ")
    lines = [first.replace(_NO_BREAK, " ", 1), *others]
    for item in map(on_one_line, items):
        lines += (f"    {line}" for line in wrapped(item, indent="    ", width=WIDTH - 4))
    return lines


def on_one_line(text: str) -> str:
    """Return a text with escapes for what would begin a new line of a log, or hide one.

    The name of a file may hold any character, and whoever drops the file has chosen it.
    """
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def listed(text: str, items: Iterable[str]) -> str:
    """Return a text that ends with a list of items, still on one line."""
    return _ITEM.join([text, *items]).strip()


def unlisted(text: str) -> tuple[str, list[str]]:
    """Return a text without its list, and the items of that."""
    first, *items = text.split(_ITEM)
    return first, items


def ended(text: str) -> str:
    """Return a text that another sentence may follow: what the service says may have no stop."""
    return text if text.endswith((".", "!", "?", ")")) else f"{text}."


def set_out(title: str, text: str) -> str:
    """Return a text with a short first line: itself, or the title with the text below it."""
    return text if len(text) <= WIDTH and "\n" not in text else f"{title}\n{text}"
