"""What must be true after each step, and at each bill."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.simulation.tasks import batch_output, levels
from tests.simulation.world import PASSWORD, TOKENS

if TYPE_CHECKING:
    from tests.simulation.running import Outcome
    from tests.simulation.service import Bill
    from tests.simulation.tasks import Asked, Level
    from tests.simulation.world import World

SETTLE = 30.0
_GONE = 5009
TRANSIENT = {5000, 5009, 50050}
_ID = re.compile(r"(?<![a-z0-9])[a-z0-9]{32}(?![a-z0-9])")


class BrokenPromiseError(AssertionError):
    """An invariant does not hold."""


def require(holds: bool, what: str) -> None:
    """Raise where it does not hold."""
    if not holds:
        raise BrokenPromiseError(what)


@dataclass
class Ledger:
    """Judge each bill by what the service could have told at that moment.

    A further bill for the same is right only where nothing of the one before can be had any more:
    neither its result, nor its final verdict, nor an output that the task has told of.

    :param told: outputs that a batch has reported as converted, and their contents, by scope.
    """

    world: World
    told: dict[tuple[str, ...], dict[str, bytes]] = field(default_factory=dict)
    past: dict[tuple[str, ...], list[Bill]] = field(default_factory=dict)
    double_posts: set[str] = field(default_factory=set)
    failed: set[tuple[str, ...]] = field(default_factory=set)

    def scope(self, asked: Asked, what: str) -> tuple[str, ...]:
        """Return for whom a conversion counts as the same."""
        run = asked.destination if asked.is_batch else self.world.run_id
        return (
            run,
            asked.key or "",
            self.world.token,
            str(asked.durable),
            self.world.touches,
            what,
        )

    def chain_of(self, bill: Bill) -> tuple[list[Level], int, str]:
        """Return the steps that a bill belongs to, its index, and the input of a batch."""
        asked = self.world.asked
        for name, contents in self._inputs(asked):
            steps = levels(asked, contents)
            for index, level in enumerate(steps):
                if bill.asked in level.asked:
                    return steps, index, name
        return [], 0, ""

    def _inputs(self, asked: Asked) -> list[tuple[str, list[bytes]]]:
        versions = self.world.contents
        if asked.is_batch:
            return [(name, [one]) for name, all_ in versions.items() for one in all_ if one]
        current = [versions.get(name, [b""]) for name in asked.sources]
        last = [next((one for one in reversed(all_) if one), b"") for all_ in current]
        found = [("", last)]
        # A source may have been written anew while the task ran.
        for index, all_ in enumerate(current):
            found += [("", [*last[:index], one, *last[index + 1 :]]) for one in all_ if one]
        return found

    def judge(self, bill: Bill) -> None:
        """Raise where a bill must not be."""
        asked = self.world.asked
        scope = self.scope(asked, bill.asked)
        before = self.past.setdefault(scope, [])
        if before and asked.durable:
            self._judge_durable(before, bill)
        elif before:
            self._judge_direct(before, bill)
        steps, index, name = self.chain_of(bill)
        if bill.code == _GONE:
            return  # its input is not there any more
        require(bool(steps), "a conversion was billed that nobody asked for")
        if asked.durable:
            self._judge_later_steps(asked, steps[index + 1 :])
        if asked.is_batch:
            self._judge_batch(asked, steps[-1], name)
        before.append(bill)

    def _judge_direct(self, before: list[Bill], bill: Bill) -> None:
        require(before[-1].who != bill.who, "a try in direct mode was billed twice for one file")

    def _judge_durable(self, before: list[Bill], bill: Bill) -> None:
        last, world = before[-1], self.world
        if self._overlapped(last, bill):
            return
        now, job = world.moment.now, world.service.known(last.job_id)
        if job is None or job.bill is not last:
            return  # forgotten, or given at the submit
        if now < job.visible:
            # One id that is billed twice is right only where the job came later than `settle`.
            require(
                world.switches.visible_after > SETTLE, "a job that was not visible yet was repeated"
            )
            return
        require(now >= job.done, "a running conversion was billed again")
        if last.code in TRANSIENT:
            met = sum(one.code in TRANSIENT for one in before)
            require(met < 2, "a third attempt followed two transient verdicts")
            return
        require(not last.code, f"a document was billed again after its final verdict {last.code}")
        there = all(world.service.stored(file_id) for file_id in job.files)
        require(not there, "a conversion was billed again though its result could be fetched")

    def _overlapped(self, last: Bill, bill: Bill) -> bool:
        """Tell whether a second runner was there: what it submitted may not be visible yet."""
        return last.who != bill.who and last.who in self.world.overlapping

    def _judge_later_steps(self, asked: Asked, later: list[Level]) -> None:
        for level in later:
            jobs = []
            for what in level.asked:
                bills = self.past.get(self.scope(asked, what), [])
                job = self.world.service.known(bills[-1].job_id) if bills else None
                if job is None or job.bill is not bills[-1] or self.world.moment.now < job.done:
                    return
                if bills[-1].who in self.world.overlapping:
                    return
                require(
                    not (job.bill.code and job.bill.code not in TRANSIENT),
                    "an earlier step was billed though a later one has its final verdict",
                )
                jobs.append(job)
            there = all(self.world.service.stored(one) for job in jobs for one in job.files)
            is_last = level is later[-1]
            have_results = there and not any(job.bill and job.bill.code for job in jobs)
            require(
                not (is_last and have_results),
                "an earlier step was billed though the result of the last one could be fetched",
            )

    def _judge_batch(self, asked: Asked, last: Level, name: str) -> None:
        if dict(asked.more).get("overwrite") is True:
            return
        told = self.told.get(self.scope(asked, last.asked[0]))
        if told is None:
            return
        stand = all(
            self.world.read(self.world.uri("out") + asked.destination + path) == data
            for path, data in told.items()
        )
        require(not stand, f"{name} was billed again though its output stands, as was told before")


def check(world: World, ledger: Ledger, outcome: Outcome) -> None:
    """Check what holds after every try."""
    _check_secrets(world, outcome)
    _check_inputs(world)
    _check_places(world, outcome)
    if outcome.error is not None and not outcome.was_killed:
        _check_error(outcome)
    if outcome.was_killed or outcome.error is not None:
        return
    require(
        outcome.asked == outcome.asked_last, "a task that resumed with other arguments ended well"
    )
    if outcome.asked.is_batch:
        _check_batch(world, ledger, outcome)
    else:
        check_single(world, outcome)
    _check_leftovers(world, outcome)


def _check_error(outcome: Outcome) -> None:
    from airflow_provider_convertapi.errors import ConvertApiError
    from tests.airflow_api import AirflowException

    faults = set(outcome.trouble.at_write.values())
    known = isinstance(outcome.error, ConvertApiError | AirflowException)
    broken = isinstance(outcome.error, OSError) and faults
    require(known or bool(broken), f"the task ended with a plain {outcome.error!r}")


def _present(world: World, name: str, outcome: Outcome) -> list[bytes]:
    """Return the versions that a file had while the try ran."""
    versions = world.contents.get(name, [])
    first = max(outcome.inputs.get(name, 1) - 1, 0)
    return [content for content in versions[first:] if content]


def check_single(world: World, outcome: Outcome, *, was_alone: bool = True) -> None:
    """Check what a single conversion returned and told.

    :param was_alone: whether all that was billed while it ran was billed to it.
    """
    asked = outcome.asked
    versions = [_present(world, name, outcome) for name in asked.sources]
    candidates: list[list[bytes]] = [[]]
    for one in versions:
        candidates = [[*start, content] for start in candidates for content in one]
    wanted = [levels(asked, contents)[-1].made for contents in candidates]
    got = [world.read(uri) for uri in outcome.value]
    contents = [[data for _, data in made] for made in wanted]
    if outcome.who not in world.overlapping:
        require(got in contents, "an output is missing, torn, or not made from its own input")
    prefix = world.uri("out") + asked.destination
    require(all(uri.startswith(prefix) for uri in outcome.value), "an output has a name of another")
    if was_alone and not world.ambiguous:
        billed = sum(
            bill.cost for bill in world.service.bills[outcome.first_bill : outcome.last_bill]
        )
        line = next(text for text in reversed(outcome.told) if "charged now:" in text)
        said = int(line.rpartition("charged now: ")[2].rstrip("."))
        if outcome.who not in world.overlapping:
            require(
                said == billed, f"the task said that it was charged {said}, but {billed} was billed"
            )


def _check_batch(world: World, ledger: Ledger, outcome: Outcome) -> None:
    asked, summary = outcome.asked, outcome.value
    counted = sum(summary[name] for name in ("converted", "reused", "failed", "not_attempted"))
    listed = {name for name, versions in world.contents.items() if versions[-1]}
    steady = all(outcome.inputs.get(name) == len(all_) for name, all_ in world.contents.items())
    if steady:
        require(counted == len(listed), f"the summary counts {counted} of {len(listed)} files")
    out = world.uri("out") + asked.destination
    for name in sorted(listed if steady and outcome.who not in world.overlapping else ()):
        [content] = _present(world, name, outcome)[-1:]
        last = levels(asked, [content])[-1]
        first = batch_output(name, asked)
        stem, _, kind = first.rpartition(".")
        paths = [first] + [f"{stem}-{n}.{kind}" for n in range(2, len(last.made) + 1)]
        found = [world.read(out + path) for path in paths]
        if summary["failed"] == summary["not_attempted"] == 0:
            require(
                found == [data for _, data in last.made],
                f"{name} counts as converted, but its output is missing, torn or another's",
            )
        if found == [data for _, data in last.made]:
            told = dict(zip(paths, (data for _, data in last.made), strict=True))
            ledger.told[ledger.scope(asked, last.asked[0])] = told
    if not world.ambiguous and outcome.who not in world.overlapping:
        billed = sum(
            bill.cost for bill in world.service.bills[outcome.first_bill : outcome.last_bill]
        )
        # A submit that joins a job which is not visible yet is answered as any other.
        most = billed + world.service.joined
        require(
            billed <= summary["cost"] <= most,
            f"the summary says {summary['cost']}, billed was {billed}",
        )


def _check_leftovers(world: World, outcome: Outcome) -> None:
    """Check that what ended well has left nothing, unless a request to delete it met a fault."""
    parts = [path for path in world.files("out") if path.endswith(".part")]
    if not world.was_killed_elsewhere:
        require(not parts, f"hidden files are left: {parts}")
    require(not _spools(world), "a spool is left")
    if outcome.trouble.met or outcome.who in world.overlapping or world.abandoned:
        return
    left = [
        stored.name for stored in world.service.files.values() if stored.until > world.moment.now
    ]
    require(not left, f"documents are left at the service: {left}")


def _spools(world: World) -> list[str]:
    return [] if world.spool_may_be_left else os.listdir(f"{world.root}/tmp")  # noqa: PTH208 - names are enough


def _check_inputs(world: World) -> None:
    present = {name: versions[-1] for name, versions in world.contents.items() if versions[-1]}
    require(world.files("in") == present, "an input was changed, or something lies among them")


def _check_places(world: World, outcome: Outcome) -> None:
    allowed = (f"{world.root}/out/", f"{world.root}/tmp")
    strange = [
        path
        for path in world.disk.written
        if not path.startswith(allowed) and path != f"{world.root}/out"
    ]
    require(not strange, f"something was written outside the destination: {strange}")
    elsewhere = [
        path for path in world.store.objects if not path.startswith(("box/in/", "box/out/"))
    ]
    require(not elsewhere, f"something was stored outside the destination: {elsewhere}")
    del outcome


def _check_secrets(world: World, outcome: Outcome) -> None:
    told = list(outcome.told)
    told += [
        data.decode("utf-8", "replace")
        for path, data in world.files("out").items()
        if "_convertapi" in path
    ]
    text = "\n".join(told)
    for secret in (*TOKENS, PASSWORD):
        require(secret not in text, "a token or a password was shown")
    shown = set(_ID.findall(text)) & world.service.ids
    where = [line for line in told if any(one in line for one in shown)][:1]
    require(not shown, f"an id that opens a document was shown: {where}")
