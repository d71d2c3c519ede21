"""Without one of its engines a sandbox does not start, and says what to install."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from convertapi_sandbox.engines.pairs import PACKAGES
from convertapi_sandbox.requirements import REQUIREMENTS

PROJECT = Path(__file__).parents[2] / "pyproject.toml"

# Refused before anything is imported, as if it had never been installed.
WITHOUT = """
import sys

class Without:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Without())
"""

START = "from convertapi_sandbox import Sandbox; Sandbox(port={port}).start()"
FIXTURE_TEST = "def test_one(convertapi_sandbox):\n    convertapi_sandbox.url\n"


def test_table_is_that_of_the_package() -> None:
    """The checked requirements are those that pip installs."""
    project = tomllib.loads(PROJECT.read_text("utf-8"))["project"]

    # Without the others it starts, and says what to install where it needs them.
    optional = [package for package in PACKAGES.values() if "[" not in package]
    assert project["dependencies"] == [*REQUIREMENTS.values(), *optional]
    assert {"ocr"} == set(project["optional-dependencies"])


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with `folder` first on its path."""
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("module", REQUIREMENTS)
def test_command_without_a_package(module: str, tmp_path: Path) -> None:
    """The command exits with one line that names the package and the pip command."""
    (tmp_path / "sitecustomize.py").write_text(WITHOUT.format(module=module), "utf-8")

    done = run(tmp_path, "-m", "convertapi_sandbox")

    needed = REQUIREMENTS[module]
    name = needed.partition(">=")[0]
    assert (1, "") == (done.returncode, done.stdout)
    assert done.stderr == (
        f"The sandbox cannot start: {name} cannot be imported. "
        f"Run: python -m pip install '{needed}'\n"
    )


@pytest.mark.parametrize("option", ["--check", "--help"])
def test_options_without_a_package(option: str, tmp_path: Path) -> None:
    """The check comes first, whatever the options are."""
    (tmp_path / "sitecustomize.py").write_text(WITHOUT.format(module="typst"), "utf-8")

    done = run(tmp_path, "-m", "convertapi_sandbox", option)

    assert (1, "") == (done.returncode, done.stdout)
    assert "python -m pip install 'typst>=0.15.2'" in done.stderr


@pytest.mark.parametrize("module", ["starlette", "typst"])
def test_class_without_a_package(module: str, tmp_path: Path) -> None:
    """The class raises an error before it listens."""
    (tmp_path / "sitecustomize.py").write_text(WITHOUT.format(module=module), "utf-8")

    done = run(tmp_path, "-c", START.format(port=0))

    assert 1 == done.returncode
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: The sandbox cannot start: {module} cannot be imported. "
        f"Run: python -m pip install '{REQUIREMENTS[module]}'"
    )


HELD = "from convertapi_sandbox.engines import MISSING; print(MISSING.get(('pdf', 'md')))"


def test_pair_without_its_package(tmp_path: Path) -> None:
    """The sandbox starts, and tells what the pair needs."""
    (tmp_path / "sitecustomize.py").write_text(WITHOUT.format(module="pdf_oxide"), "utf-8")

    done = run(tmp_path, "-c", HELD)

    assert "pdf_oxide>=0.3.70\n" == done.stdout, done.stderr


def test_fixture_without_a_package(tmp_path: Path) -> None:
    """A test that uses the fixture fails with the same message."""
    (tmp_path / "sitecustomize.py").write_text(WITHOUT.format(module="pikepdf"), "utf-8")
    (tmp_path / "test_user.py").write_text(FIXTURE_TEST, "utf-8")

    # What lies in the folders above is not part of the test.
    alone = ("-p", "no:cacheprovider", f"--rootdir={tmp_path}", f"--confcutdir={tmp_path}")
    done = run(tmp_path, "-m", "pytest", "-q", *alone, str(tmp_path))

    assert "1 error" in done.stdout, done.stdout + done.stderr
    assert "Run: python -m pip install 'pikepdf>=10.18'" in done.stdout


def test_old_and_missing_packages_are_all_named(tmp_path: Path) -> None:
    """One message names everything, so that one command is enough."""
    metadata = tmp_path / "typst-0.14.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: typst\nVersion: 0.14\n", "utf-8")
    (tmp_path / "sitecustomize.py").write_text(WITHOUT.format(module="PIL"), "utf-8")

    done = run(tmp_path, "-m", "convertapi_sandbox")

    assert done.stderr == (
        "The sandbox cannot start: typst 0.14 is older than 0.15.2, Pillow cannot be imported. "
        "Run: python -m pip install 'typst>=0.15.2' 'Pillow>=12.0'\n"
    )
