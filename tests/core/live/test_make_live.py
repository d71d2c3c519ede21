"""`make live` without an account: it says what is missing, and sends nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from convertapi_sandbox import Sandbox

LIVE = Path(__file__).parents[3] / "dev" / "live.py"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, "CONVERTAPI_TOKEN"),
        ({"CONVERTAPI_TOKEN": " "}, "CONVERTAPI_TOKEN"),
        ({"CONVERTAPI_TOKEN": "t", "CONVERTAPI_SPEND": "all"}, "CONVERTAPI_SPEND"),
    ],
)
def test_a_missing_variable_is_named(
    convertapi_sandbox: Sandbox, given: dict[str, str], named: str
) -> None:
    """Nothing is asked of the host."""
    environment = {**os.environ, "CONVERTAPI_BASE_URL": convertapi_sandbox.url, **given}

    done = subprocess.run(
        [sys.executable, "-S", str(LIVE)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert 2 == done.returncode
    assert named in done.stderr
    assert [] == convertapi_sandbox.requests
