"""The names of the client package are listed, sorted and complete."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

from airflow_provider_convertapi import api


def test_all_lists_what_is_public() -> None:
    """`__all__` is sorted and names everything that can be imported, except modules."""
    loaded = {name: getattr(api, name) for name in api.__all__}
    public = {
        name
        for name, value in vars(api).items()
        if not name.startswith("_") and not isinstance(value, ModuleType) and name != "annotations"
    }

    assert sorted(public) == api.__all__
    assert sorted(loaded) == api.__all__


def test_each_export_documents_itself() -> None:
    """What is exported says what it is."""
    assert [] == [name for name in api.__all__ if not getattr(api, name).__doc__]


def test_import_loads_no_http_library_and_no_airflow() -> None:
    """Values cost nothing: only a client loads the library that it carries."""
    script = (
        "import sys, airflow_provider_convertapi.api\n"
        "heavy = {'airflow', 'requests', 'urllib3', 'aiohttp', 'jwt', 'python_multipart'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert "[]\n" == done.stdout
