"""Name every output of a batch before anything is paid, and find those that collide.

This module may change from release to release.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from airflow_provider_convertapi.api.converters import (
    result_extension,
    without_extension,
)
from airflow_provider_convertapi.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence

OnCollision = Literal["fail", "suffix"]

_SHOWN = 5
_DIGITS = 8


def shard_of(path: str, shards: int) -> int:
    """Return which of `shards` a file belongs to, counted from 0, the same for ever.

    The path goes without its extension, so that `a.docx` and `a.odt`, which may collide, meet.
    """
    digest = hashlib.sha256(without_extension(path).encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") % shards


@dataclass(frozen=True, slots=True)
class Naming:
    """How outputs are named.

    :param to_formats: target format or tool of each step.
    :param on_collision: ``fail`` refuses a batch in which two inputs have one output; ``suffix``
        keeps their extensions apart: `a.docx.pdf`, `a.odt.pdf`.
    :param safe: makes a single name one that every store takes.
    """

    to_formats: Sequence[str]
    on_collision: OnCollision
    safe: Callable[[str], str]

    def plain(self, path: str) -> str:
        """Return the relative path of an input's output."""
        return self._named(path, without_extension(path.rpartition("/")[2]))

    def suffixed(self, path: str) -> str:
        """Return it with the input's own extension, whatever else exists."""
        return self._named(path, path.rpartition("/")[2])

    def hashed(self, path: str, source: str) -> str:
        """Return it with a digest of where the input lies, for inputs of one name."""
        digest = hashlib.sha256(source.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]
        return self._named(path, f"{path.rpartition('/')[2]}-{digest}")

    def _named(self, path: str, stem: str) -> str:
        made = path
        for to_format in self.to_formats:
            made = f"x.{result_extension(made, to_format)}"
        name = self.safe(f"{stem}.{made[2:]}")
        return posixpath.join(path.rpartition("/")[0], name)

    def targets(
        self, inputs: Sequence[tuple[str, str]], is_from: Callable[[str, str], bool | None]
    ) -> list[str]:
        """Return the relative output path of each input, in order; no two are equal.

        :param inputs: relative path of each input, and what records call it.
        :param is_from: tells whether an output path was made from an input before, which keeps it
            then; None where it was made from none.

        `ParameterError` lists what collides where that was not to be mended.
        """
        taken: set[str] = set()
        targets = [self._choice(path, source, is_from, taken) for path, source in inputs]
        while colliding := {target for target, count in Counter(targets).items() if count > 1}:
            if self.on_collision == "fail" or colliding <= taken:
                raise _collision(colliding, targets, inputs)
            taken |= colliding
            targets = [
                self._choice(path, source, is_from, taken) if target in colliding else target
                for target, (path, source) in zip(targets, inputs, strict=True)
            ]
        return targets

    def _choice(
        self,
        path: str,
        source: str,
        is_from: Callable[[str, str], bool | None],
        taken: Container[str],
    ) -> str:
        """Return the name that an input had, else the first that nobody has."""
        if self.on_collision == "fail":
            return self.plain(path)
        choices = (self.plain(path), self.suffixed(path), self.hashed(path, source))
        made = {choice: is_from(choice, source) for choice in choices}
        # What it once collided with may be gone; its name stays, since another one pays anew.
        had = [choice for choice in choices if made[choice]]
        free = [choice for choice in choices if made[choice] is None and choice not in taken]
        return [*had[-1:], *free, choices[-1]][0]


def _collision(
    colliding: set[str], targets: Sequence[str], inputs: Sequence[tuple[str, str]]
) -> ParameterError:
    sources: Mapping[str, list[str]] = {target: [] for target in sorted(colliding)[:_SHOWN]}
    for target, (path, _) in zip(targets, inputs, strict=True):
        if target in sources:
            sources[target].append(path)
    shown = "; ".join(f"{' and '.join(paths[:3])} to {t}" for t, paths in sources.items())
    more = f" and {len(colliding) - _SHOWN} more" if len(colliding) > _SHOWN else ""
    complaint = (
        f"would write several files to one output: {shown}{more}. Nothing was paid. Set "
        "on_collision='suffix' to keep their extensions apart, or convert them in two tasks"
    )
    return ParameterError(f"source {complaint}.", {"source": [complaint]})
