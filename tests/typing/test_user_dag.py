"""A type checker finds wrong arguments in a user's DAG file."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not among what the tests need"),
]

HEAD = """\
from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook
from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
from airflow_provider_convertapi.operators.convert import ConvertApiOperator

"""
RIGHT = """\
ConvertApiOperator(task_id="a", source=Path("a.docx"), to_format="pdf", destination=Path("b.pdf"))
ConvertApiOperator(
    task_id="b",
    source=["a.docx", "b.docx"],
    to_format="pdf",
    destination="out/",
    timeout=timedelta(minutes=5),
    steps=[{"to_format": "merge"}, {"to_format": "protect", "parameters": {"UserPassword": "x"}}],
)
ConvertApiOperator(
    task_id="c", source=None, to_format="qrcode", destination="out/", parameters={"Data": "x"}
)
ConvertApiBatchOperator(
    task_id="d",
    source={"source": "in/", "shard": [0, 2]},
    to_format="pdf",
    destination="out/",
    failure_policy=0.1,
)
"""
SINGLE = 'ConvertApiOperator(task_id="a", **)'
BATCH = 'ConvertApiBatchOperator(task_id="a", **)'
GIVEN = {"source": '"a.docx"', "to_format": '"pdf"', "destination": '"out/"'}
# What is called, which argument is wrong, its value, and what the type checker calls it.
WRONG = [
    (SINGLE, "on_quota_exhausted", '"partial"', "arg-type"),
    (SINGLE, "source", "5", "arg-type"),
    (SINGLE, "source", "[5]", "list-item"),
    (SINGLE, "destination", "5", "arg-type"),
    (SINGLE, "destination", '["out/"]', "arg-type"),
    (SINGLE, "timeout", '"10m"', "arg-type"),
    (SINGLE, "durable", '"yes"', "arg-type"),
    (SINGLE, "parameters", '["PageRange"]', "arg-type"),
    (SINGLE, "steps", '[{"to_fromat": "zip"}]', "typeddict"),
    (SINGLE, "steps", '[{"to_format": "zip", "params": {}}]', "typeddict"),
    (SINGLE, "steps", '[{"to_format": 5}]', "typeddict"),
    (SINGLE, "steps", '{"to_format": "zip"}', "arg-type"),
    (BATCH, "failure_policy", '"most"', "arg-type"),
    (BATCH, "on_collision", '"suffixes"', "arg-type"),
    (BATCH, "on_empty", '"error"', "arg-type"),
    (BATCH, "source", "5", "arg-type"),
    (BATCH, "destination", "None", "arg-type"),
    (BATCH, "max_in_flight", '"4"', "arg-type"),
    ("ConvertApiHook().convert(**)", "destination", "5", "arg-type"),
    ("ConvertApiHook().convert(**)", "steps", '[{"to_fromat": "zip"}]', "typeddict"),
]


def test_mypy_finds_what_is_wrong(tmp_path: Path) -> None:
    """Each wrong line, and no other, has an error of the expected kind."""
    lines = []
    for call, name, value, _ in WRONG:
        arguments = ", ".join(f"{key}={text}" for key, text in (GIVEN | {name: value}).items())
        lines.append(call.replace("**", arguments))
    file = tmp_path / "user_dag.py"
    file.write_text(HEAD + RIGHT + "\n".join(lines) + "\n")

    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", file],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=300,
    )

    found = re.findall(r"user_dag\.py:(\d+): error: .*\[([a-z-]+)\]", done.stdout)
    first = (HEAD + RIGHT).count("\n") + 1
    kinds = {int(line): kind for line, kind in found}
    assert {first + number for number in range(len(WRONG))} == set(kinds), done.stdout
    for number, (*_, kind) in enumerate(WRONG):
        assert kinds[first + number].startswith(kind), lines[number]
