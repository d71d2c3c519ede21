"""Two documents that are easily taken for each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_twins(folder: Path) -> list[Path]:
    """Write two documents of one name, whose results have one name and one size."""
    paths = [folder / name / "a.md" for name in ("one", "two")]
    for path in paths:
        path.parent.mkdir()
        path.write_text(f"This is {path.parent.name}.\n")
    return paths
