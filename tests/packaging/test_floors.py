"""Each declared lower bound is one that every Airflow's official constraints allow."""

from __future__ import annotations

import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
OFFICIAL = sorted((ROOT / "constraints" / "official").glob("airflow-*.txt"))


def requirements(project: Path) -> list[Requirement]:
    """Return what a project declares that it needs, with its extras."""
    declared = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
    extras = declared["optional-dependencies"].values()
    return [Requirement(line) for line in [*declared["dependencies"], *chain(*extras)]]


def pins(file: Path) -> dict[str, str]:
    """Return the versions in a constraints file, and that of Airflow, which only its name has."""
    lines = [line.partition("==") for line in file.read_text("utf-8").splitlines()]
    pinned = {canonicalize_name(name): version for name, _, version in lines if version}
    return pinned | {"apache-airflow": file.stem.split("-")[1]}


@pytest.mark.parametrize("project", [ROOT, ROOT / "sandbox"], ids=["provider", "sandbox"])
@pytest.mark.parametrize("file", OFFICIAL, ids=lambda file: file.stem)
def test_official_pins_are_allowed(file: Path, project: Path) -> None:
    """What a constraints file pins, the project accepts; pip would refuse to install it there."""
    pinned = pins(file)

    refused = [
        f"{needed} (pinned: {pinned[name]})"
        for needed in requirements(project)
        if (name := canonicalize_name(needed.name)) in pinned
        and not needed.specifier.contains(pinned[name])
    ]

    assert [] == refused


@pytest.mark.parametrize("project", [ROOT, ROOT / "sandbox"], ids=["provider", "sandbox"])
@pytest.mark.parametrize("file", OFFICIAL, ids=lambda file: file.stem)
def test_python_is_allowed(file: Path, project: Path) -> None:
    """The Python of each constraints file is one that the project accepts."""
    declared = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]

    assert SpecifierSet(declared["requires-python"]).contains(file.stem.partition("-py")[2])


def test_pins_are_read() -> None:
    """The files are there, and what the provider needs is among their pins."""
    needed = {canonicalize_name(requirement.name) for requirement in requirements(ROOT)}
    needed -= {"pypdfium2", "convertapi-sandbox"}  # of extras; Airflow needs neither

    assert 13 == len(OFFICIAL)
    for file in OFFICIAL:
        assert needed <= pins(file).keys()
