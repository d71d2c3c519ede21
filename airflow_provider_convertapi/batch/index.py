"""What the manifest says of one output, as far as a plan needs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(slots=True)
class Converted:
    """The last conversion into an output."""

    match: bytes
    match_seen: bytes | None
    source: int
    """The hash of the source: of 100,000 files the names alone are megabytes."""
    outputs: dict[str, int] | int
    """The size of each output; of the one that was planned its size alone."""
    when: str
    standing: int = 0
    """How many of the outputs stand with their sizes."""

    @property
    def stands(self) -> bool:
        """Tell whether every output is there as it was written."""
        return self.standing >= (1 if isinstance(self.outputs, int) else len(self.outputs))

    def is_from(self, source: str) -> bool:
        """Tell whether it was made from this source."""
        return self.source == hash(source)

    def sizes(self, target: str) -> Mapping[str, int]:
        """Return what was written, with sizes; `target` is the output that was planned."""
        return {target: self.outputs} if isinstance(self.outputs, int) else self.outputs

    def found(self, target: str, path: str, size: int) -> None:
        """Note that a file stands in the destination."""
        self.standing += self.sizes(target).get(path) == size


@dataclass(slots=True)
class Failed:
    """The last failure on the way to an output."""

    match: bytes
    match_seen: bytes | None
    source: int
    """The hash of the source, as above."""
    bars: bool
    when: str
    run_id: str
    try_number: int
    attempt: int
    error: str
    code: int | None
    timeout: int | None


@dataclass(frozen=True, slots=True)
class Settled:
    """A conversion that has an answer, by what its job's id is derived from."""

    target: str
    fingerprint: str
    attempt: int
