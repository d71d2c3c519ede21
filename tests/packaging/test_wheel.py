"""The wheel, as users get it, holds the whole package and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "airflow_provider_convertapi"
pytestmark = pytest.mark.xdist_group("wheel")  # the fixture takes seconds: once is enough


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, and unpack it."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
    )
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def _files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_wheel_is_the_package(unpacked: Path) -> None:
    """Every file of the package is in it: modules, types, the catalogue; no tests, no examples."""
    files = _files(unpacked)
    metadata = {name for name in files if ".dist-info/" in name}

    assert {f"{PACKAGE}/{name}" for name in _files(ROOT / PACKAGE)} == files - metadata
    assert {f"{PACKAGE}/py.typed", f"{PACKAGE}/sandbox/catalogue.json"} <= files


def test_wheel_carries_licence_and_entry_points(unpacked: Path) -> None:
    """Its metadata hold the licence, Airflow's entry point and pytest's."""
    [metadata] = unpacked.glob("*.dist-info")

    assert (ROOT / "LICENSE").read_text() == (metadata / "licenses" / "LICENSE").read_text()
    entry_points = (metadata / "entry_points.txt").read_text()
    assert f"provider_info = {PACKAGE}.provider_info:get_provider_info" in entry_points
    assert f"convertapi_sandbox = {PACKAGE}.sandbox.plugin" in entry_points


def test_wheel_works_without_the_source(unpacked: Path, tmp_path: Path) -> None:
    """`import airflow` reads the wheel's provider info, and the hook and the sandbox import."""
    code = (
        f"import airflow, {PACKAGE}.hooks.convertapi, {PACKAGE}.sandbox.server; "
        f"print({PACKAGE}.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
        | {"PYTHONPATH": str(unpacked)},
    )

    assert str(unpacked / PACKAGE / "__init__.py") == done.stdout.strip().rpartition("\n")[2]
