"""A fresh ConvertAPI, a worker for it, and documents."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.core.conversions import worker as worker_module
from tests.core.conversions.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from convertapi_sandbox import Sandbox

StartWorker = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def sandbox(convertapi_sandbox: Sandbox) -> Sandbox:
    """Give a fresh ConvertAPI."""
    return convertapi_sandbox


@pytest.fixture
def worker(sandbox: Sandbox) -> Iterator[Worker]:
    """Give a worker that reaches it."""
    with closing(Worker(sandbox.url, sandbox.token)) as made:
        yield made


@pytest.fixture
def start_worker(sandbox: Sandbox) -> Iterator[StartWorker]:
    """Start processes that make one conversion each."""
    started: list[subprocess.Popen[str]] = []

    def start(number: int = 1, **given: Any) -> subprocess.Popen[str]:
        arguments = json.dumps(given, default=str)
        command = [str(worker_module.__file__), sandbox.url, sandbox.token, str(number), arguments]
        started.append(
            subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    """Give a small text document."""
    path = tmp_path / "letter.txt"
    path.write_text("Dear reader, this is a letter.\n")
    return path


@pytest.fixture
def texts(tmp_path: Path) -> list[Path]:
    """Give three documents of two kinds."""
    paths = [tmp_path / name for name in ("a.txt", "b.md", "c.txt")]
    for path in paths:
        path.write_text(f"This is {path.name}.\n")
    return paths
