"""Tables of comma-separated values, which people open in a spreadsheet.

This module may change from release to release.
"""

from __future__ import annotations

import json

# A formula may begin with them: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def cell(value: object) -> object:
    """Return the cell of a value; a text that a spreadsheet would run as a formula is quoted.

    Names of documents, and messages, come from other people: a file may be called
    ``=HYPERLINK(…)``.
    """
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
