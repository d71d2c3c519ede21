"""Every block of the README that can run does so, against an empty sandbox."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import convertapi
import pytest

from convertapi_sandbox.__main__ import greeting

if TYPE_CHECKING:
    from convertapi_sandbox import Sandbox

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
ADDRESS = "http://127.0.0.1:8765"  # the sandbox that the page starts
BLOCK = re.compile(r"^(<!-- not run[^\n]*\n)?```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    """Return the blocks of a language, without those marked as not run."""
    found = [
        code for excuse, name, code in BLOCK.findall(README) if name == language and not excuse
    ]
    assert found, language
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with the note that the page creates."""
    (tmp_path / "note.md").write_text("# A note\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_shell_blocks(sandbox: Sandbox, folder: Path) -> None:
    """A conversion, the account with its bill, a new start, and a fault."""
    script = "\n".join(blocks("bash")).replace(ADDRESS, sandbox.url)

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, check=False
    )

    assert 0 == done.returncode, done.stderr
    assert (folder / "note.pdf").read_bytes().startswith(b"%PDF")
    assert re.search('"billed": ?1,', done.stdout)
    assert [("POST /convert", 503, 2)] == [(f.match, f.status, f.times) for f in sandbox.faults]
    assert (0, 1000) == (sandbox.billed, sandbox.balance)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of ConvertAPI's client
def test_python_blocks(sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ConvertAPI's client saves a PDF; the context manager runs."""
    for name in ("base_uri", "api_credentials"):
        monkeypatch.setattr(convertapi, name, None)  # restored afterwards

    for code in blocks("python"):
        if "def test_" not in code:
            exec(code.replace(ADDRESS, sandbox.url), {})

    assert (folder / "note.pdf").read_bytes().startswith(b"%PDF")
    assert 1 == sandbox.billed


def test_user_tests(folder: Path) -> None:
    """The tests on the page pass in a separate file."""
    [code] = [code for code in blocks("python") if "def test_" in code]
    (folder / "test_note.py").write_text(code, "utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_note.py"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_greeting(sandbox: Sandbox) -> None:
    """The page shows what is printed, up to the line for Airflow."""
    [shown] = blocks("text")

    printed = greeting(sandbox).replace(sandbox.url, ADDRESS)

    assert shown == printed.partition("\n\n")[0] + "\n"
