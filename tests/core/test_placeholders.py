"""SQL is bound in the two ways that every Python accepts."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import airflow_provider_convertapi

PACKAGE = Path(str(airflow_provider_convertapi.__file__)).parent
NUMBERED = re.compile(r"\?\d|\?\{")
SQL = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE)\b")


def numbered_placeholders(code: str) -> list[int]:
    """Return the lines of SQL that has `?1`, or builds it."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Constant | ast.JoinedStr)
        and NUMBERED.search(text := ast.unparse(node))
        and (SQL.search(text) or isinstance(node, ast.JoinedStr))
    ]


def test_no_placeholder_is_numbered() -> None:
    """Python 3.12.0 to 3.12.3 takes `?1` for a name, warns, and says that 3.14 refuses it."""
    found = {
        str(file.relative_to(PACKAGE)): lines
        for file in PACKAGE.rglob("*.py")
        if (lines := numbered_placeholders(file.read_text("utf-8")))
    }

    assert {} == found


def test_numbered_placeholders_are_seen() -> None:
    """The check above finds one in a text, and one that is put together."""
    assert [1] == numbered_placeholders("query = 'SELECT 1 FROM inputs WHERE target = ?1'")
    assert [1] == numbered_placeholders("values = [f'?{number}' for number in row]")
