"""The table of Airflow and Python says what `make test-matrix` runs, and so do the classifiers."""

from __future__ import annotations

import tomllib
from pathlib import Path

from dev.matrix import cases

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "compatibility.md").read_text("utf-8")
WORDS = {"the newest, with the newest of everything": "newest", "the newest prerelease": "next"}
PYTHON = "Programming Language :: Python :: 3."


def table() -> list[list[str]]:
    """Return the cells of the first table, its head first."""
    lines = PAGE.partition("\n## Airflow and Python\n")[2].strip().split("\n\n")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [rows[0], *rows[2:]]


def test_table_says_what_is_run() -> None:
    """Each cell with a word is a case, and each case has its cell."""
    head, *rows = table()
    pythons = [cell.removeprefix("Python ") for cell in head[1:]]
    told = {
        f"{WORDS.get(airflow, airflow)}-py{python}"
        for airflow, *cells in rows
        for python, cell in zip(pythons, cells, strict=True)
        if cell
    }

    assert {case.name for case in cases()} == told


def test_prerelease_may_fail() -> None:
    """The one cell that is not a promise says so."""
    may_fail = {case.name for case in cases() if case.may_fail}

    assert {"next-py3.11"} == may_fail
    assert ["the newest prerelease", "it may fail", "", "", ""] == table()[-1]


def test_classifiers_are_what_is_run() -> None:
    """A Python is in the classifiers if the table says that the contract passed there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {line[len(PYTHON) - 2 :] for line in project["classifiers"] if PYTHON in line}

    head, *rows = table()
    runs = {
        head[column].removeprefix("Python ")
        for column in range(1, len(head))
        if any(row[column] == "yes" for row in rows)
    }

    assert runs == declared
