"""The manifest's last records of an output: its conversion and its failure.

This module may change from release to release.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.batch.tables import unpack
from airflow_provider_convertapi.wording import reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class LastConversion:
    """The last conversion into an output.

    :param source: the hash of the source, valid in this process only.
    :param outputs: the size of each output; a single number if only the planned one was written.
    """

    match: bytes
    match_seen: bytes | None
    source: int
    outputs: Mapping[str, int] | int

    def is_from(self, source: str) -> bool:
        """Tell whether it was made from this source."""
        return self.source == hash(source)

    def sizes(self, target: str) -> Mapping[str, int]:
        """Return the outputs with their sizes; `target` is the planned one."""
        return {target: self.outputs} if isinstance(self.outputs, int) else self.outputs

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> LastConversion:
        """Return the conversion of a table's row."""
        match, match_seen, source, outputs = row
        sizes = json.loads(outputs) if isinstance(outputs, str) else outputs
        return cls(match, match_seen, source, sizes)


@dataclass(frozen=True, slots=True)
class LastFailure:
    """The last failure of a conversion into an output.

    :param is_newer: whether it came after the last conversion, whose outputs were gone by then;
        None if there was no conversion.
    """

    match: bytes
    match_seen: bytes | None
    bars: bool
    run_id: str
    try_number: int
    attempt: int
    error: str
    code: int | None
    timeout: int | None
    message: str
    is_newer: bool | None

    def describe(self, *, is_first: bool) -> str:
        """Return the error, its Code and its reason; the first of several gets its whole text."""
        code = f" (Code {self.code})" if self.code else ""
        why = reason(self.message, is_first=is_first) if self.message else ""
        return f"{self.error}{code}{f': {why}' if why else ''}"

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> LastFailure:
        """Return the failure of a table's row."""
        match, match_seen, bars, run_id, *rest = row
        return cls(match, match_seen, bool(bars), unpack(run_id), *rest)
