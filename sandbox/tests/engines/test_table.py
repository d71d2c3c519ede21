"""The tables in the documentation match the engines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from convertapi_sandbox import isolation
from convertapi_sandbox.engines import archives, limits, sheetpages, table

PAGE = Path(__file__).parents[3] / "docs" / "sandbox-engines.md"


def test_tables_are_up_to_date() -> None:
    """Written by `python -m convertapi_sandbox.engines.table PAGE`."""
    page = PAGE.read_text("utf-8")

    assert table.written(page) == page


def test_limits_are_those_of_the_code() -> None:
    """The page states the limits."""
    text = PAGE.read_text("utf-8")

    assert f"limited to {isolation.MEMORY >> 30} GB of memory" in text
    assert f"({isolation.CHILD_MEMORY >> 30} GB for pandoc)" in text
    assert f"and {isolation.STEP_SECONDS} seconds. The {isolation.STEP_SECONDS} seconds" in text
    assert f"document may unpack to at most {limits.MAX_UNPACKED >> 20} MB" in text
    assert f"at most {limits.MAX_MEMBERS:,} parts" in text
    assert f"at most {limits.MAX_PIXELS // 1_000_000} million pixels" in text
    assert f"a sheet may have at most {sheetpages.MAX_CELLS:,} cells" in text
    assert f"archive may unpack to at most {archives.MAX_UNPACKED >> 30} GB" in text


def test_page_without_markers_is_refused() -> None:
    """A page without markers is an error, not left as it is."""
    with pytest.raises(ValueError, match="pairs"):
        table.written("no markers")


def test_written_on_the_command_line(tmp_path: Path) -> None:
    """The documented command rewrites the tables."""
    copy, text = tmp_path / "page.md", PAGE.read_text("utf-8")
    copy.write_text(text.replace("`surgery`", "").replace("pikepdf", "?"), "utf-8")

    module = "convertapi_sandbox.engines.table"
    subprocess.run([sys.executable, "-m", module, str(copy)], check=True)

    assert text == copy.read_text("utf-8")
