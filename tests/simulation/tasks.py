"""What a story's task is asked for, and what must come out of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.simulation.results import converted, extension, identity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

TOGETHER = {"merge", "zip"}
"""Converters of several files."""

OVERLAY = "overlay.pdf"
"""The name of a file parameter, in a place of its own."""

WEB = "http://web.simulated/"
"""Where the service finds the inputs by itself."""


@dataclass(frozen=True)
class Asked:
    """The arguments of the task.

    :param sources: names of files; a batch takes the whole directory.
    :param steps: target and parameters of each conversion, the first one included.
    :param destination: name of a file or, ending in ``/``, of a directory in the place for outputs.
    :param more: further arguments of the operator.
    :param shards: into how many shards a batch is divided; each is a task instance.
    :param overlay: content of a file parameter of the first step; empty for none.
    :param by_url: whether the service fetches the sources itself.
    """

    is_batch: bool
    sources: tuple[str, ...]
    steps: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    destination: str
    durable: bool = True
    deferrable: bool = False
    key: str | None = None
    more: tuple[tuple[str, Any], ...] = ()
    shards: int = 1
    overlay: bytes = field(default=b"", repr=False)
    by_url: bool = False

    def changed(self, **changes: Any) -> Asked:
        """Return other arguments."""
        return replace(self, **changes)

    @property
    def budget(self) -> int | None:
        """Return the most conversions that an instance of the task may take; None for no limit."""
        return dict(self.more).get("max_conversions")

    def arguments(self, place: Callable[[str], str], shard: int) -> dict[str, Any]:
        """Return the operator's arguments.

        :param place: returns the URI of the place ``in``, ``out`` or ``aside``.
        """
        (target, parameters), *later = self.steps
        files = {"OverlayFile": place("aside") + OVERLAY} if self.overlay else {}
        return {
            "source": self._source(WEB if self.by_url else place("in"), shard),
            "to_format": target,
            "parameters": {**dict(parameters), **files} or None,
            "steps": [{"to_format": to, "parameters": dict(given)} for to, given in later] or None,
            "destination": place("out") + self.destination,
            "durable": self.durable,
            "deferrable": self.deferrable,
            "conversion_key": self.key,
            **dict(self.more),
        }

    def _source(self, place: str, shard: int) -> Any:
        names = [place + name for name in self.sources]
        if not self.is_batch:
            return names[0] if len(names) == 1 else names
        return place if self.shards == 1 else {"source": place, "shard": [shard, self.shards]}


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
        if asked.overlay and not found:
            groups = [[*group, asked.overlay] for group in groups]
        made = [result for group in groups for result in converted(target, given, group)]
        found.append(Level(tuple(identity(target, given, group) for group in groups), tuple(made)))
        current = [content for _, content in made]
    return found


def batch_output(name: str, asked: Asked) -> str:
    """Return the name of a batch file's first output, relative to the destination."""
    return f"{name.rpartition('.')[0]}.{extension(asked.steps[-1][0])}"
