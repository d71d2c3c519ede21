"""The two wheels, as users get them, hold one package each, whole, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import airflow_provider_convertapi

ROOT = Path(__file__).parents[2]
VERSION = airflow_provider_convertapi.__version__
# The folder of a distribution's pyproject.toml, and its package.
PROVIDER = (ROOT, "airflow_provider_convertapi")
SANDBOX = (ROOT / "sandbox", "convertapi_sandbox")
DISTRIBUTIONS = pytest.mark.parametrize(
    ("project", "package"), [PROVIDER, SANDBOX], ids=["provider", "sandbox"]
)
pytestmark = pytest.mark.xdist_group("wheel")  # the fixture takes seconds: once is enough


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a source distribution of each, from that its wheel, and unpack the wheels.

    Each is unpacked into a folder with the name of its package.
    """
    folder = tmp_path_factory.mktemp("wheels")
    for project, package in (PROVIDER, SANDBOX):
        subprocess.run(
            [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, project],
            check=True,
            capture_output=True,
        )
        [wheel] = folder.glob(f"{package}-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder / package)
    return folder


def _files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def _metadata(unpacked: Path, package: str) -> Path:
    [metadata] = (unpacked / package).glob("*.dist-info")
    return metadata


@DISTRIBUTIONS
def test_wheel_is_the_package(unpacked: Path, project: Path, package: str) -> None:
    """Every file of the package is in it: modules, types, data; no other package, no tests."""
    files = _files(unpacked / package)
    metadata = {name for name in files if ".dist-info/" in name}

    assert {f"{package}/{name}" for name in _files(project / package)} == files - metadata
    assert f"{package}/py.typed" in files


@DISTRIBUTIONS
def test_wheel_carries_licence_and_version(unpacked: Path, project: Path, package: str) -> None:
    """Both are released under the one licence of the repository, and under one version."""
    metadata = _metadata(unpacked, package)

    assert (ROOT / "LICENSE").read_text() == (metadata / "licenses" / "LICENSE").read_text()
    assert f"\nVersion: {VERSION}\n" in (metadata / "METADATA").read_text()


def test_wheels_carry_entry_points(unpacked: Path) -> None:
    """The provider has Airflow's, the sandbox its command and pytest's."""
    provider, sandbox = (
        (_metadata(unpacked, package) / "entry_points.txt").read_text().split("\n\n")
        for _, package in (PROVIDER, SANDBOX)
    )

    provider_info = "airflow_provider_convertapi.provider_info:get_provider_info"
    assert [f"[apache_airflow_provider]\nprovider_info = {provider_info}\n"] == provider
    assert [
        "[console_scripts]\nconvertapi-sandbox = convertapi_sandbox.__main__:main",
        "[pytest11]\nconvertapi_sandbox = convertapi_sandbox.plugin\n",
    ] == sandbox


def test_extra_is_the_sandbox_of_the_same_release() -> None:
    """`airflow-provider-convertapi[sandbox]` brings the sandbox that was released with it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert [f"convertapi-sandbox=={VERSION}"] == project["optional-dependencies"]["sandbox"]


def test_wheels_work_without_the_source(unpacked: Path, tmp_path: Path) -> None:
    """`import airflow` reads the wheel's provider info, and the hook and the sandbox import."""
    packages = [package for _, package in (PROVIDER, SANDBOX)]
    code = (
        f"import airflow, {packages[0]}.hooks.convertapi, {packages[1]}.server; "
        f"print({packages[0]}.__file__, {packages[1]}.__file__, sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
        | {"PYTHONPATH": os.pathsep.join(str(unpacked / package) for package in packages)},
    )

    assert [str(unpacked / package / package / "__init__.py") for package in packages] == (
        done.stdout.strip().splitlines()[-2:]
    )
