"""What `make follow-pages` makes of a page; the pages themselves are followed there."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from dev.follow_pages import JOURNEYS, OFFICIAL, ROOT, adapted, steps
from tests.docs.blocks import SHELL, Block, blocks

if TYPE_CHECKING:
    from pathlib import Path

PAGES = sorted((ROOT / "docs").rglob("*.md"))
FOLLOWED = {ROOT / "docs" / f"{page}.md" for pages in JOURNEYS for page in pages}


def block(language: str, code: str, above: str = "") -> Block:
    """Return a block of a page."""
    return Block(ROOT / "docs" / "page.md", 7, language, code, above)


def run(*followed: Block, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run what the blocks add to the script."""
    script = "\n".join(["set -euo pipefail", *(s for b in followed for s in steps(b, 4321))])
    return subprocess.run(
        ["/bin/bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_command_is_left_out(page: Path) -> None:
    """A page's commands are followed, or a comment above them says why not."""
    left_out = [b.line for b in blocks(page) if b.language in SHELL and not b.excuse]

    assert page in FOLLOWED or [] == left_out


def test_blocks_share_a_shell(tmp_path: Path) -> None:
    """What one block exports, the next has; a file is written as the page has it."""
    done = run(
        block("bash", "export WORD=there\n"),
        block("python", "# dags/first.py\nprint('$WORD')\n"),
        block("bash", 'echo "$WORD"\n'),
        folder=tmp_path,
    )

    assert 0 == done.returncode, done.stderr
    assert "there" in done.stdout.splitlines()
    assert "# dags/first.py\nprint('$WORD')\n" == (tmp_path / "dags" / "first.py").read_text()


def test_block_that_serves_is_waited_for(tmp_path: Path) -> None:
    """The next block runs once the server has said something, while it goes on."""
    serves = "<!-- runs until it is stopped -->"
    done = run(
        block("bash", "echo ready; until [ -e enough ]; do sleep 0.05; done; echo $?\n", serves),
        block("bash", "echo next; touch enough; wait $!\n"),
        folder=tmp_path,
    )

    assert 0 == done.returncode, done.stderr
    assert ["ready", "next"] == [w for w in done.stdout.splitlines() if not w.startswith("==")]


@pytest.mark.parametrize(
    "failing",
    [
        block("bash", "false\n"),
        block("bash", "exit 3\n", "<!-- runs until it is stopped -->"),
    ],
    ids=["command", "server"],
)
def test_command_that_fails_ends_the_journey(failing: Block, tmp_path: Path) -> None:
    """Nothing runs after a command that fails, or a server that does not start."""
    done = run(failing, block("bash", "echo further\n"), folder=tmp_path)

    assert 0 != done.returncode
    assert "further" not in done.stdout.splitlines()


def test_excused_block_is_named(tmp_path: Path) -> None:
    """It does not run, and the output says why."""
    done = run(
        block("bash", "touch made\n", "<!-- not run: it's in the clouds -->"), folder=tmp_path
    )

    assert ["== docs/page.md:7 is not run: its in the clouds"] == done.stdout.splitlines()
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("https://raw.githubusercontent.com/apache/airflow/constraints-3.3.1/constraints-3.12.txt",
         f"{OFFICIAL}/airflow-3.3.1-py3.12.txt"),
        ('"https://raw.githubusercontent.com/apache/airflow/constraints-${A}/constraints-${P}.txt"',
         f'"{OFFICIAL}/airflow-${{A}}-py${{P}}.txt"'),
        ("convertapi-sandbox --port 8765", "convertapi-sandbox --port 4321"),
        ("pip install apache-airflow", "pip install apache-airflow"),
    ],
    ids=["constraints", "variables", "port", "nothing"],
)  # fmt: skip
def test_what_is_replaced(written: str, expected: str) -> None:
    """Airflow's constraints and the port are; all else is as the page has it."""
    assert expected == adapted(written, 4321)
