"""What storage costs: nothing at import, a few blocks of memory at work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.storage.conftest import Store

pytestmark = pytest.mark.long

_BENCH = Path(__file__).parents[2] / "bench" / "storage_memory.py"


def test_import_loads_no_airflow() -> None:
    """A DAG file that imports an operator does not pay for stores that its tasks may use."""
    code = (
        "import sys; import airflow_provider_convertapi.storage;"
        "print([m for m in ('airflow', 'fsspec', 'upath', 'requests') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


@pytest.mark.parametrize(("kind", "mebibytes"), [("local", 512), ("s3", 72)])
def test_memory_does_not_grow_with_the_file(
    request: pytest.FixtureRequest, kind: str, mebibytes: int
) -> None:
    """Publishing and reading a file of any size take at most 64 MiB above idle."""
    store: Store = request.getfixturevalue(f"{kind}_store")
    done = subprocess.run(
        [sys.executable, _BENCH, "measure", store.uri + "large.bin", str(mebibytes)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))

    assert found["publish_mib"] <= 64
    assert found["read_mib"] <= 64
