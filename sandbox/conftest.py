"""An environment without proxies, accounts and connections for every test process.

Other variables of Airflow stay: in one process with the provider's tests, they are theirs.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

LONG = Path(__file__).parent / "tests" / "engines"
"""Tests that take minutes in total: `make test-long` runs them, `make test` does not."""

for name in list(os.environ):
    if name.startswith(("AIRFLOW_CONN_", "CONVERTAPI")) or name.lower().endswith("_proxy"):
        del os.environ[name]

# A background command of a shell ignores SIGINT, and so would the programs that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of a whole folder as long."""
    for item in items:
        if item.path.is_relative_to(LONG):
            item.add_marker("long")
