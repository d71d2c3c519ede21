"""The fenced code blocks of a Markdown page.

A comment `<!-- not run: reason -->` on the line above its fence excuses a block; a shell block that
serves until it is stopped has `<!-- runs until it is stopped -->` there.
As a program it prints the shell blocks of the pages that it is given, as one script.
"""

from __future__ import annotations

import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SHELL = {"bash", "sh", "shell"}
FENCE = re.compile(r"^ *```(\w*)$")
EXCUSE = re.compile(r"^ *<!-- not run: (.+) -->$")
SERVES = re.compile(r"^ *<!-- runs until it is stopped -->$")


@dataclass(frozen=True)
class Block:
    """A block of code, and where in its page it begins.

    :param above: the line above its fence.
    """

    page: Path
    line: int
    language: str
    code: str
    above: str

    @property
    def excuse(self) -> str | None:
        """Return why it is not run; None if it is."""
        found = EXCUSE.match(self.above)
        return found[1] if found else None

    @property
    def serves(self) -> bool:
        """Tell whether it runs until it is stopped."""
        return bool(SERVES.match(self.above))


def blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of `page` in order; one that never closes is an error."""
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), 1))
    above = ""
    for number, line in lines:
        if fence := FENCE.match(line):
            code = textwrap.dedent("\n".join(_until_closed(page, number, lines)) + "\n")
            yield Block(page, number + 1, fence[1], code, above)
        above = line


def _until_closed(page: Path, opened: int, lines: Iterator[tuple[int, str]]) -> Iterator[str]:
    for _, line in lines:
        if line.strip() == "```":
            return
        yield line
    raise ValueError(f"{page.name}:{opened}: this code block never closes")


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        for block in blocks(path):
            if block.language in SHELL and not block.excuse:
                print(f"echo '# {path}:{block.line}'\n{block.code}")  # noqa: T201 - the result
