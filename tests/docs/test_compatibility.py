"""The table of Airflow and Python says what `make test-matrix` runs, and so do the classifiers."""

from __future__ import annotations

import tomllib
from pathlib import Path

from dev.matrix import cases

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "compatibility.md").read_text("utf-8")
WORDS = {"the newest, with the newest of everything": "newest", "the newest prerelease": "next"}
PYTHON = "Programming Language :: Python :: 3."


def table(heading: str = "## Airflow and Python", column: str = "Airflow") -> list[list[str]]:
    """Return the cells of the first table below a heading that begins with a column; head first."""
    text = PAGE.partition(f"\n{heading}\n")[2].partition(f"\n| {column} |")[2]
    lines = f"| {column} |{text}".split("\n\n")[0].splitlines()
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


def test_each_airflow_has_the_date_until_which_it_is_kept() -> None:
    """That is 18 months after its release, and later for the last of Airflow 2."""
    _, *rows = table("## How long each is kept")
    run = {".".join(row[0].split(".")[:2]) for row in table()[1:] if row[0][0].isdigit()}

    assert run == {row[0] for row in rows}
    for name, released, until, _ in rows:
        year, month, day = map(int, released.split("-"))
        months = year * 12 + month - 1 + 18
        due = f"{months // 12}-{months % 12 + 1:02}-{day:02}"
        assert until == due or (name == "2.11" and until > due)


def test_each_python_has_the_date_until_which_it_is_kept() -> None:
    """A Python that the package names has a row."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {line[len(PYTHON) - 2 :] for line in project["classifiers"] if PYTHON in line}

    _, *rows = table("## How long each is kept", "Python")

    assert declared == {row[0] for row in rows}
