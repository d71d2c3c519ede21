"""The README shows the demo's real output."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, cast

from dev.demo import Report
from dev.examples import Batch, Run
from dev.stage import DOCUMENTS, ROOT

if TYPE_CHECKING:
    from dev.stage import Stage


def test_readme_shows_the_nights() -> None:
    """The table of the three nights, with as many files as there are; `make demo` checks them."""
    pattern = (".docx", ".md", ".txt")  # of the nightly example
    files = sum(path.suffix in pattern for path in DOCUMENTS.rglob("*"))
    manifest = f"{ROOT}/build/demo/results/nightly/_convertapi/manifest/"
    counts = [(files, 0, files), (0, files, 0), (1, files - 1, 1)]
    nights = [
        Run("nightly_folder", "success", (1, 3), [], [Batch(*night, manifest)], None)
        for night in counts
    ]
    screen = io.StringIO()

    Report(cast("Stage", None), screen).nights(nights)

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert screen.getvalue() in readme
