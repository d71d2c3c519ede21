"""Page ranges as users write them: "1-10", "1,2,5", "even", "odd", "last", "3-last"."""

from __future__ import annotations

import re

from convertapi_sandbox.engines import verdicts

_PART = re.compile(r"(\d{1,9}|last)?\s*(-)?\s*(\d{1,9}|last)?")


def pages(text: str, count: int, *, name: str = "PageRange") -> list[int]:
    """Return the numbers of the pages, from 0, without duplicates, in the order of the document.

    Args:
        text: A range; pages beyond the end of the document are ignored.
        count: How many pages there are.
        name: The parameter, for the error.

    Raises:
        EngineError: 400/4000 if the text is not a range, or none of its pages exists.
    """
    found: set[int] = set()
    for part in filter(None, (piece.strip().lower() for piece in re.split(r"[,;]", text))):
        found.update(_part(part, count, name))
    if not found:
        raise verdicts.bad_parameter(name, f"{text[:80]!r} names no page of the {count}.")
    return sorted(found)


def _part(part: str, count: int, name: str) -> range:
    if part in ("even", "odd"):
        return range(1 if part == "even" else 0, count, 2)
    match = _PART.fullmatch(part)
    if not match or not (match[1] or match[3]):
        raise verdicts.bad_parameter(name, f"{part[:80]!r} is not a page range.")
    first = _number(match[1] or "1", count)
    last = _number(match[3] or "last", count) if match[2] else first
    if first < 1 or (last < first and match[1] and match[3]):
        raise verdicts.bad_parameter(name, f"{part[:80]!r} is not a page range.")
    return range(first - 1, min(last, count))


def _number(text: str, count: int) -> int:
    return count if text == "last" else int(text)
