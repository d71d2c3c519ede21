"""Random stories keep every promise, and a story is told the same way twice."""

from __future__ import annotations

import pytest

from tests.simulation.making import make
from tests.simulation.stories import shortened, tell

SOME, MANY = 100, 1000
"""Stories in `make test`, and in `make test-long`."""


def _tell(first: int, count: int) -> None:
    for seed in range(first, first + count):
        told = tell(make(seed))
        if told.broken:
            short = shortened(told.story)
            sentences = "\n".join(short.sentences)
            pytest.fail(f"make simulate SEED={seed}\n{sentences}\nBROKEN: {short.broken}")


@pytest.mark.timeout(600)
def test_stories_keep_every_promise() -> None:
    """Tell some stories."""
    _tell(0, SOME)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_many_stories_keep_every_promise() -> None:
    """Tell more."""
    _tell(SOME, MANY)


def test_story_is_told_the_same_way_twice() -> None:
    """A seed says everything."""
    for seed in range(10):
        first, second = tell(make(seed)), tell(make(seed))
        assert [len(first.sentences), first.broken] == [len(second.sentences), second.broken]
