"""`make live` as a user runs it, with the sandbox as the account."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from convertapi_sandbox import Sandbox

ROOT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.once
@pytest.mark.timeout(300)
def test_the_check_and_the_tests_run(convertapi_sandbox: Sandbox) -> None:
    """Both succeed; the check takes what it is allowed, and nothing stays."""
    account = {
        "CONVERTAPI_TOKEN": convertapi_sandbox.token,
        "CONVERTAPI_KID": convertapi_sandbox.kid,
        "CONVERTAPI_MASTER_TOKEN": convertapi_sandbox.master_token,
        "CONVERTAPI_BASE_URL": convertapi_sandbox.url,
        "CONVERTAPI_SPEND": "1",
    }
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "PYTEST"))}

    done = subprocess.run(
        [sys.executable, str(ROOT / "dev" / "live.py")],
        cwd=ROOT,
        env=clean | account,
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "1 taken, 1 allowed" in done.stdout
    assert "5 passed" in done.stdout
    assert 1 + 4 == convertapi_sandbox.billed
    assert {} == convertapi_sandbox.files
