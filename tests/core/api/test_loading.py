"""What importing the client's modules loads."""

from __future__ import annotations

import subprocess
import sys


def test_values_load_no_http_library_and_no_airflow() -> None:
    """Values cost nothing: only a client loads the library that it carries."""
    script = (
        "import sys\n"
        "from airflow_provider_convertapi.api import auth, converters, endpoints\n"
        "from airflow_provider_convertapi.api import ids, retry, wire\n"
        "heavy = {'airflow', 'requests', 'urllib3', 'aiohttp', 'jwt'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert "[]\n" == done.stdout
