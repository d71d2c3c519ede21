"""What examples and pages look like on Airflow 2: a comment above an import says its other form.

What Airflow 2 cannot do says ``# Airflow 3 only: why`` there, and is left out.
"""

from __future__ import annotations

import re

_COMMENT = re.compile(r"^( *)# Airflow 2: (from .+)$")
_NEEDS_3 = re.compile(r"^ *# Airflow 3 only: .+$")
_AIRFLOW_3 = re.compile(r"^ *from airflow\.(sdk|dag_processing)\b.* import ")


def airflow_2_form(code: str) -> str:
    """Return `code` with each import of Airflow 3 replaced by what the comments above it say.

    The number of lines stays the same.  ValueError where an import has no such comment.
    """
    lines, above = [], ""
    for line in code.splitlines():
        comment = _COMMENT.match(line)
        if _AIRFLOW_3.match(line):
            if not _COMMENT.match(above) and not _NEEDS_3.match(above):
                raise ValueError(f"no comment says what this is on Airflow 2: {line.strip()}")
            lines.append("")
        else:
            lines.append(comment[1] + comment[2] if comment else line)
        above = line
    return "\n".join(lines) + "\n"
