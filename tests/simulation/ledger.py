"""What each bill must be: right by what the service could have told at that moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.simulation.tasks import levels

if TYPE_CHECKING:
    from tests.simulation.service import Bill
    from tests.simulation.tasks import Asked, Level
    from tests.simulation.world import World

SETTLE = 30.0
INLINE = 1024 * 1024
"""Bytes up to which a single conversion's input is known by its content."""
_GONE = 5009
TRANSIENT = {5000, 5009, 50050}


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

    def scope(self, asked: Asked, what: str, name: str) -> tuple[str, ...]:
        """Return for whom a conversion counts as the same.

        :param name: the input of a batch; empty for a single conversion.
        """
        run = asked.destination if asked.is_batch else self.world.run_id
        # A touch makes another file of a large one, and of a batch's, which nobody reads for that.
        touched = [
            f"{one}:{times}"
            for one, times in sorted(self.world.touches.items())
            if one == name or (not asked.is_batch and self._is_large(one))
        ]
        return (
            run,
            asked.key or "",
            self.world.token,
            str(asked.durable),
            *touched,
            what,
        )

    def _is_large(self, name: str) -> bool:
        return any(len(version) > INLINE for version in self.world.contents[name])

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
        steps, index, name = self.chain_of(bill)
        scope = self.scope(asked, bill.asked, name)
        before = self.past.setdefault(scope, [])
        if before and asked.durable:
            self._judge_durable(before, bill)
        elif before:
            self._judge_direct(before, bill)
        if bill.code == _GONE:
            return  # its input is not there any more
        require(bool(steps), "a conversion was billed that nobody asked for")
        if asked.durable:
            self._judge_later_steps(asked, steps[index + 1 :], name)
        if asked.budget is not None:
            self._judge_budget(asked.budget)
        if asked.is_batch and not self._could_not_see(before, bill):
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
        if now < job.visible and bill.who.split("/")[1] == "1":
            return  # a first try of a run that is made anew does not know that there was another
        if now < job.visible:
            # One id that is billed twice is right only where the job came later than `settle`.
            require(
                world.switches.visible_after > SETTLE, "a job that was not visible yet was repeated"
            )
            return
        require(now >= job.done, "a running conversion was billed again")
        if last.code in TRANSIENT:
            met = sum(one.code in TRANSIENT and not self._is_lost(one) for one in before)
            require(met < 2, "a third attempt followed two transient verdicts")
            return
        require(not last.code, f"a document was billed again after its final verdict {last.code}")
        there = all(world.service.stored(file_id) for file_id in job.files)
        require(not there, "a conversion was billed again though its result could be fetched")

    def _is_lost(self, bill: Bill) -> bool:
        """Tell whether nobody can know of a verdict: its try was killed, the service forgot it."""
        job = self.world.service.known(bill.job_id)
        is_forgotten = job is None or job.bill is not bill
        return is_forgotten and bill.who in self.world.unrecorded

    def _overlapped(self, last: Bill, bill: Bill) -> bool:
        """Tell whether a second runner was there: what it submitted may not be visible yet."""
        return last.who != bill.who and last.who in self.world.overlapping

    def _could_not_see(self, before: list[Bill], bill: Bill) -> bool:
        """Tell whether a second runner has consumed the record that this one looks for."""
        consumes = self.world.switches.consumed_by_read
        return consumes and bool(before) and self._overlapped(before[-1], bill)

    def _judge_budget(self, most: int) -> None:
        """Raise where an instance of the task pays beyond its budget, as far as it could know.

        The first file of its kind may cost more than anybody could foresee, but none follows it.
        """
        world = self.world
        known = [
            bill
            for bill in world.service.bills
            if bill.who.startswith(f"{world.instance}/")
            and bill.who not in world.unrecorded | world.overlapping
        ]
        spent = sum(bill.cost for bill in known)
        require(
            spent < most or world.ambiguous,
            f"a conversion was billed after {spent} of a budget of {most}",
        )

    def _judge_later_steps(self, asked: Asked, later: list[Level], name: str) -> None:
        for level in later:
            jobs = []
            for what in level.asked:
                bills = self.past.get(self.scope(asked, what, name), [])
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
            have_results = there and not any(job.bill and job.bill.code for job in jobs)
            require(
                not have_results,
                "an earlier step was billed though the result of a later one could be fetched",
            )

    def _judge_batch(self, asked: Asked, last: Level, name: str) -> None:
        if dict(asked.more).get("overwrite") is True:
            return
        told = self.told.get(self.scope(asked, last.asked[0], name))
        if told is None:
            return
        stand = all(
            self.world.read(self.world.uri("out") + asked.destination + path) == data
            for path, data in told.items()
        )
        require(not stand, f"{name} was billed again though its output stands, as was told before")
