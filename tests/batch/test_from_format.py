"""Files whose names do not tell what they are, and a batch that is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.batch.nights import Night


@pytest.mark.parametrize("durable", [False, True])
def test_from_format_says_what_a_file_is(night: Night, durable: bool) -> None:
    """The service goes by the name that it is sent, so that this name ends in the format."""
    night.write("report", "dots.", "old.gz", "upper.TXT")
    (night.source / "large").write_text("Large." + " " * 1_100_000)  # it is uploaded

    summary = night.run(from_format="txt", durable=durable)

    assert 5 == summary["converted"]
    assert ["dots..pdf", "large.pdf", "old.pdf", "report.pdf", "upper.pdf"] == night.outputs()
    assert 5 == night.sandbox.billed
