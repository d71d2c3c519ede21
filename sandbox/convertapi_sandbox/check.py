"""`--check`: convert a built-in document with every pair, and print the results."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from convertapi_sandbox import samples
from convertapi_sandbox.engines import MISSING, PAIRS
from convertapi_sandbox.jobs import EngineError
from convertapi_sandbox.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convertapi_sandbox.jobs import EngineOutput


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one pair: its results, or why there are none; and its duration in seconds."""

    source: str
    target: str
    seconds: float
    outputs: tuple[EngineOutput, ...] = ()
    error: str = ""


async def outcomes(folder: Path, pairs: Iterable[tuple[str, str]]) -> list[Outcome]:
    """Convert a sample with each pair, on all workers; the results go into `folder`."""
    pool = Pool()
    try:
        return await asyncio.gather(*(_convert(pool, pair, folder) for pair in pairs))
    finally:
        await pool.close()


async def _convert(pool: Pool, pair: tuple[str, str], folder: Path) -> Outcome:
    place = folder / "-to-".join(pair)
    place.mkdir()
    job = samples.job(*pair, place)
    started = time.monotonic()
    try:
        outputs = await pool.convert(job)
    except EngineError as error:
        return Outcome(*pair, time.monotonic() - started, error=str(error))
    return Outcome(*pair, time.monotonic() - started, tuple(outputs))


def run(pairs: Iterable[tuple[str, str]] = tuple(PAIRS)) -> int:
    """Check pairs, by default every one, and print a table.

    Returns:
        The exit status: 0 if all of them work.
    """
    with tempfile.TemporaryDirectory(prefix="convertapi-check-") as folder:
        found = asyncio.run(outcomes(Path(folder), pairs))
        for line in _table(found):
            sys.stdout.write(f"{line}\n")
    return 1 if any(outcome.error for outcome in found) else 0


def _table(found: list[Outcome]) -> Iterable[str]:
    for outcome in sorted(found, key=lambda one: (one.source, one.target)):
        pair = f"{outcome.source} to {outcome.target}"
        engine = PAIRS.get((outcome.source, outcome.target), "none")
        size = sum(output.path.stat().st_size for output in outcome.outputs)
        made = outcome.error or f"{len(outcome.outputs)} file(s), {size:,} bytes"
        yield f"{pair:<26}{engine:<12}{'FAILED  ' if outcome.error else 'ok      '}{made}"
    failed = sum(bool(outcome.error) for outcome in found)
    yield f"{len(found) - failed} of {len(found)} conversions work."
    for package in sorted(set(MISSING.values())):
        pairs = [" to ".join(pair) for pair, needed in MISSING.items() if needed == package]
        yield f"Not installed: {', '.join(pairs)}. Run: python -m pip install '{package}'"
