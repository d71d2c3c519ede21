"""Random stories keep every promise, and a story is told the same way twice."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.simulation.making import make
from tests.simulation.stories import tell

SOME, MANY = 40, 800
"""Stories in `make test`, and in `make test-long`."""


FOUND = {
    741: "a listing that failed was taken for an empty one, and the batch ended well",
    811: "the same, in direct mode",
    9385: "a second verdict, found by a later try, was taken for the first, which was forgotten",
}
"""Seeds of stories that once broke a promise."""


def _tell(first: int, count: int) -> None:
    """Tell stories in a process of their own: no other test may have left a thread or a setting."""
    told = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--offset", str(first), "--seeds", str(count)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stdout[-20_000:] + told.stderr[-2_000:]
    assert f"{count} stories in " in told.stdout


@pytest.mark.timeout(600)
def test_stories_keep_every_promise() -> None:
    """Tell some stories."""
    _tell(0, SOME)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_many_stories_keep_every_promise() -> None:
    """Tell more."""
    _tell(SOME, MANY)


@pytest.mark.parametrize("seed", FOUND)
def test_story_that_broke_a_promise(seed: int) -> None:
    """It does not any more."""
    _tell(seed, 1)


def test_story_is_told_the_same_way_twice() -> None:
    """A seed says everything."""
    for seed in range(5):
        first, second = tell(make(seed)), tell(make(seed))
        assert [len(first.sentences), first.broken] == [len(second.sentences), second.broken]
