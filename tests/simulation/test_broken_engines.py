"""The simulation finds engines that are broken on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.simulation.broken import ENGINES
from tests.simulation.making import make
from tests.simulation.stories import tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mock import MockerFixture


@pytest.mark.long
@pytest.mark.once
@pytest.mark.timeout(600)
@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.__name__)
def test_broken_engine_is_found(
    engine: Callable[[MockerFixture], None], mocker: MockerFixture
) -> None:
    """It breaks a promise within the stated number of stories."""
    engine(mocker)
    assert any(tell(make(seed)).broken for seed in range(ENGINES[engine]))
