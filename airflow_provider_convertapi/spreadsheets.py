"""Tables of comma-separated values that a person opens in a spreadsheet.

This module may change from release to release.
"""

from __future__ import annotations

import json

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def cell(value: object) -> object:
    """Return what stands for a value in a cell; a text that a spreadsheet would run is quoted.

    Names of documents and messages come from other people, and ``=HYPERLINK(…)`` is a file name.
    """
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
