"""What a story's task is asked for, and what must come out of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.simulation.results import converted, extension, identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TOGETHER = {"merge", "zip"}
"""Converters of several files."""


@dataclass(frozen=True)
class Asked:
    """The arguments of the task.

    :param sources: names of files; a batch takes the whole directory.
    :param steps: target and parameters of each conversion, the first one included.
    :param destination: name of a file or, ending in ``/``, of a directory in the place for outputs.
    :param more: further arguments of the operator.
    """

    is_batch: bool
    sources: tuple[str, ...]
    steps: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    destination: str
    durable: bool = True
    deferrable: bool = False
    key: str | None = None
    more: tuple[tuple[str, Any], ...] = ()

    def changed(self, **changes: Any) -> Asked:
        """Return other arguments."""
        return replace(self, **changes)

    def arguments(self, place_in: str, place_out: str) -> dict[str, Any]:
        """Return the operator's arguments."""
        (target, parameters), *later = self.steps
        names = [place_in + name for name in self.sources]
        source: Any = place_in if self.is_batch else names[0] if len(names) == 1 else names
        return {
            "source": source,
            "to_format": target,
            "parameters": dict(parameters) or None,
            "steps": [{"to_format": to, "parameters": dict(given)} for to, given in later] or None,
            "destination": place_out + self.destination,
            "durable": self.durable,
            "deferrable": self.deferrable,
            "conversion_key": self.key,
            **dict(self.more),
        }


@dataclass(frozen=True)
class Level:
    """The conversions of one step: what each is known by, and what they make."""

    asked: tuple[str, ...]
    made: tuple[tuple[str, bytes], ...] = field(repr=False)


def levels(asked: Asked, contents: Sequence[bytes]) -> list[Level]:
    """Return what each step is asked for and makes, of these inputs.

    :param contents: the inputs of one conversion: all sources of a single one, a file of a batch.
    """
    found: list[Level] = []
    current = list(contents)
    for target, parameters in asked.steps:
        given: Mapping[str, str] = dict(parameters)
        groups = [current] if target in TOGETHER else [[content] for content in current]
        made = [result for group in groups for result in converted(target, given, group)]
        found.append(Level(tuple(identity(target, given, group) for group in groups), tuple(made)))
        current = [content for _, content in made]
    return found


def batch_output(name: str, asked: Asked) -> str:
    """Return the name of a batch file's first output, relative to the destination."""
    return f"{name.rpartition('.')[0]}.{extension(asked.steps[-1][0])}"
