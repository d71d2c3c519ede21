"""The documented table of errors is the error tree, class by class."""

from __future__ import annotations

from pathlib import Path

from airflow_provider_convertapi import errors, failures
from airflow_provider_convertapi.errors import ConvertApiError

PAGE = Path(__file__).parents[2] / "docs" / "retries-and-money.md"


def test_errors_table_is_the_tree() -> None:
    """Each class has its row, in order, with the first line of its docstring and what it does."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = lines.index("| Error | It means | The task |")

    table = lines[start + 2 : lines.index("", start)]

    assert [row(error) for error in tree()] == table


def test_every_name_in_a_log_is_on_the_page() -> None:
    """A failure is named beside the error whose subclass it is, so that a search finds it."""
    text = PAGE.read_text(encoding="utf-8")

    assert [] == [name for name in failures.__all__ if f"`{name}`" not in text]


def tree() -> list[type[ConvertApiError]]:
    """Return the public classes in the order in which they are written."""
    classes = [value for name, value in vars(errors).items() if name in errors.__all__]
    return [error for error in classes if error is not ConvertApiError]


def row(error: type[ConvertApiError]) -> str:
    """Write one row of the table."""
    meaning = (error.__doc__ or "").partition("\n")[0]
    return f"| `{error.__name__}` | {meaning} | {'may retry' if error.transient else 'fails'} |"
