"""Stories: chosen by a seed, and by nothing else."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from tests.simulation.service import Switches
from tests.simulation.tasks import Asked
from tests.simulation.trouble import READ_FAULTS, REQUEST_FAULTS, TRIGGER_FAULTS
from tests.simulation.world import PASSWORD

_LARGE = 1024 * 1024 + 1
"""Bytes that do not fit into a submit."""

Step = tuple[str, Any]
"""What happens, and how: see `_DO`."""


@dataclass(frozen=True)
class Story:
    """Everything that a seed decides."""

    seed: int
    asked: Asked
    place_in: str
    place_out: str
    switches: Switches
    files: tuple[tuple[str, bytes], ...]
    steps: tuple[Step, ...]


def make(seed: int) -> Story:
    """Return the story of a seed."""
    rng = random.Random(seed)
    asked = _asked(rng)
    places = ["disk", "disk", "abfs", "memory"]
    names = [f"{letter}.{'pdf' if asked.steps[0][0] != 'pdf' else 'txt'}" for letter in "abc"]
    asked = asked.changed(sources=tuple(names[: len(asked.sources)]))
    count = rng.randint(1, 3) if asked.is_batch else len(asked.sources)
    large = rng.random() < 0.06
    files = tuple((name, _content(rng, name, large=large)) for name in names[:count])
    switches = Switches(
        visible_after=rng.choice([0.0, 0.0, 5.0, 20.0]),
        second_post=rng.choice(["join", "refuse", "bill"]),
        verdicts_at_submit=rng.random() < 0.2,
        refusals_in_job=rng.random() < 0.3,
        costs_results=rng.random() < 0.2,
        consumed_by_read=rng.random() < 0.1,
    )
    steps: list[Step] = [_step(rng, asked) for _ in range(rng.randint(2, 7))]
    return Story(seed, asked, rng.choice(places), rng.choice(places), switches, files, tuple(steps))


def _asked(rng: random.Random) -> Asked:
    is_batch = rng.random() < 0.45
    durable = rng.random() < 0.8
    kind = rng.choice(["plain", "plain", "chain", "pictures", "merge", "siblings"])
    given = rng.choice([(), (("PageSize", "a4"),), (("Password", PASSWORD),)])
    steps: tuple[Any, ...] = (("pdf", given),)
    sources: tuple[str, ...] = ("one",)
    if kind == "chain" and durable:
        steps = (("pdf", given), ("protect", ()), *rng.choice([(), (("compress", ()),)]))
    elif kind == "pictures":
        steps = (("jpg", ()),)
    elif kind == "merge" and not is_batch:
        steps, sources = (("merge", ()),), ("one", "two")
    elif kind == "siblings" and not is_batch and durable:
        steps, sources = (("pdf", given), ("merge", ())), ("one", "two")
    is_directory = is_batch or kind == "pictures" or rng.random() < 0.2
    destination = ("" if is_batch else rng.choice(["", "deep/"])) if is_directory else "x.pdf"
    asked = Asked(is_batch, sources, steps, destination, durable, rng.random() < 0.4)
    if rng.random() < 0.1:
        size = _LARGE if rng.random() < 0.3 else 1
        asked = asked.changed(overlay=b"overlay".ljust(size, b"."))
    if is_batch:
        return asked.changed(more=_batch_arguments(rng), shards=rng.choice([1, 1, 1, 2]))
    return asked.changed(by_url=rng.random() < 0.1)


def _batch_arguments(rng: random.Random) -> tuple[tuple[str, Any], ...]:
    more: tuple[tuple[str, Any], ...] = ()
    if rng.random() < 0.3:
        more += (("defer_batch", 1),)
    if rng.random() < 0.2:
        more += (("max_conversions", rng.randint(1, 8)),)
    if rng.random() < 0.1:
        more += (("overwrite", True),)
    return more


def _content(rng: random.Random, name: str, *, large: bool) -> bytes:
    damaged = b" damaged" if rng.random() < 0.08 else b""
    content = f"{name} version 1".encode() + damaged + b" page:" * rng.randint(1, 3)
    return content.ljust(_LARGE, b".") if large and rng.random() < 0.7 else content


def _step(rng: random.Random, asked: Asked) -> Step:
    kind = rng.choices(
        ["try", "night", "anew", "wait", "write", "touch", "remove output", "damage output",
         "quota", "verdicts", "vanish", "change", "slow", "add", "twin", "poor", "remove input"],
        [45, 8, 3, 6, 4, 3, 4, 2, 4, 6, 3, 4, 4, 3, 6, 4, 2],
    )[0]  # fmt: skip
    detail: Any = rng.random()
    if kind in {"try", "night", "anew"}:
        detail = _trouble(rng)
    elif kind == "wait":
        detail = rng.choice([1.0, 20.0, 600.0, 8000.0, 12000.0])
    elif kind == "twin":
        detail = rng.randint(1, 6)
    elif kind == "poor":
        detail = rng.randint(1, 5)
    elif kind == "quota":
        detail = rng.choice([0, 1, 2])
    elif kind == "verdicts":
        detail = rng.choice(
            [[50050], [5000], [5001], [50050, 50050], [0, 50050], [0, 5001], [0, 0, 5001]]
        )
    elif kind == "change":
        detail = _change(rng, asked)
    elif kind == "slow":
        detail = rng.choice([0.1, 2.0, 40.0, 700.0, 2500.0])
    return kind, detail


def _change(rng: random.Random, asked: Asked) -> tuple[str, Any]:
    kinds: list[tuple[str, Any]] = [
        ("key", rng.choice(["again", None])),
        ("token", 1),
        ("token", 0),
    ]
    kinds.append(("deferrable", not asked.deferrable))
    (target, _), *later = asked.steps
    kinds.append(("steps", ((target, (("PageSize", rng.choice(["a3", "a5"])),)), *later)))
    # Several pages do not fit into one file.
    is_single = not any(target == "jpg" for target, _ in asked.steps)
    if is_single and not asked.is_batch and not asked.destination.endswith("/"):
        kinds.append(("destination", "y.pdf"))
    return rng.choice(kinds)


def _trouble(rng: random.Random) -> dict[str, Any]:
    """Return at which requests and writes of a try something happens."""
    found: dict[str, Any] = {"requests": {}, "writes": {}, "reads": {}, "triggerer": {}}
    if rng.random() < 0.55:
        for _ in range(rng.choice([1, 1, 2, 3])):
            number = min(int(rng.expovariate(1 / 5)) + 1, 40)
            found["requests"][number] = rng.choice(list(REQUEST_FAULTS))
    if rng.random() < 0.25:
        number = min(int(rng.expovariate(1 / 4)) + 1, 20)
        found["writes"][number] = rng.choice(["kill", "full", "denied", "once"])
    if rng.random() < 0.12:
        number = min(int(rng.expovariate(1 / 8)) + 1, 40)
        found["reads"][number] = rng.choice(list(READ_FAULTS))
    if rng.random() < 0.3:
        found["triggerer"][rng.randint(1, 4)] = rng.choice(TRIGGER_FAULTS)
    happens = ["change", "write", "vanish", "token", "wait"]
    found["deferred"] = rng.choice(happens) if rng.random() < 0.25 else None
    return found
