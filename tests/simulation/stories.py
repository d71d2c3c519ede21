"""Tell a story in plain sentences, and judge it after each step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.simulation.happenings import Happenings, Told, is_state
from tests.simulation.invariants import check, check_any, check_single
from tests.simulation.ledger import BrokenPromiseError, Ledger, require
from tests.simulation.running import RETRIES, run_try, together
from tests.simulation.tasks import levels
from tests.simulation.trouble import Trouble
from tests.simulation.world import opened

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.making import Step, Story
    from tests.simulation.running import Outcome
    from tests.simulation.world import World


QUIET: dict[str, Any] = {
    "requests": {}, "writes": {}, "reads": {}, "triggerer": {}, "deferred": None
}  # fmt: skip
"""A try in which nothing goes wrong."""


# --- a story is told -------------------------------------------------------------------------


@dataclass
class Teller(Happenings):
    """Run a story, and judge it."""

    ledger: Ledger
    last: Outcome | None = None

    def do(self, step: Step) -> None:
        """Do one step."""
        kind, detail = step
        _DO[kind](self, detail)

    # --- tries -------------------------------------------------------------------------------

    def again(self, detail: dict[str, Any]) -> None:
        """Retry the task, or clear it where no try follows by itself."""
        self.world.try_number += 1
        if self.world.try_number > self.world.max_tries:
            self.world.max_tries = self.world.try_number + RETRIES - 1
        self.attempt(f"Try {self.world.try_number} of {self.world.run_id}", detail)

    def night(self, detail: dict[str, Any]) -> None:
        """Begin the next run."""
        self.world.moment.sleep(86_400)
        self.world.run_number += 1
        self.world.try_number, self.world.max_tries = 1, RETRIES
        self.attempt(f"The next night, {self.world.run_id}", detail)

    def anew(self, detail: dict[str, Any]) -> None:
        """Make the run anew under its id."""
        self.world.try_number, self.world.max_tries = 1, RETRIES
        self.attempt(f"{self.world.run_id} is made anew", detail)

    def attempt(self, title: str, detail: dict[str, Any]) -> None:
        """Run a try of each instance of the task, tell it, and check everything."""
        world, outcomes = self.world, []
        for shard in range(world.asked.shards):
            world.shard = shard
            name = f"{title}, shard {shard}" if world.asked.shards > 1 else title
            outcomes.append(self.attempt_one(name, detail if shard == 0 else QUIET))
            if world.asked.shards > 1:
                check_any(world, outcomes[-1])
        self.last = together(outcomes)
        check(world, self.ledger, self.last)

    def attempt_one(self, title: str, detail: dict[str, Any]) -> Outcome:
        """Run a try of one instance."""
        world = self.world
        requests, writes, reads, triggerer = (
            dict(detail[of]) for of in ("requests", "writes", "reads", "triggerer")
        )
        present = world.present
        present.change = lambda: self.write(0.0)
        present.vanish = lambda: self.vanish(0.0)
        present.second = self.second
        trouble = Trouble(requests, writes, reads, triggerer)
        outcome = run_try(world, trouble, deferred=lambda times: self.deferred(times, detail))
        self.note(title, outcome)
        return outcome

    def note(self, title: str, outcome: Outcome) -> None:
        """Tell how a try went, and keep what later checks must know."""
        world, trouble = self.world, outcome.trouble
        self.told.outcomes.append(outcome)
        self.last = outcome
        faults = "; ".join(trouble.met)
        how = (
            "it was killed"
            if outcome.was_killed
            else f"it raised {type(outcome.error).__name__}: {outcome.error}"
            if outcome.error
            else f"it returned {outcome.value}"
        )
        billed = outcome.last_bill - outcome.first_bill
        self.say(f"{title}{': ' + faults if faults else ''}; {how}; billed {billed}.")
        if outcome.was_killed:
            world.was_killed_elsewhere = world.spool_may_be_left = True
        if outcome.was_killed or outcome.error:
            world.abandoned = True

    def second(self) -> None:
        """Let a second runner do the whole task now: a cleared task whose old try still runs."""
        world = self.world
        outer = world.service.who
        world.overlapping.add(outer)
        world.try_number += 1
        inner = run_try(world, Trouble())
        world.try_number -= 1
        world.overlapping.add(inner.who)
        self.say(f"  A second runner: {inner.error or inner.value}.")
        world.disk.is_watched = True

    def twin(self, number: int) -> None:
        """Let another task, whose result has the same name, run while a result is published."""
        world, asked = self.world, self.world.asked
        # A store that can only rename over a file cannot tell; the docs say so.
        if asked.is_batch or len(asked.sources) > 1 or world.place_out == "memory":
            return
        name = asked.sources[0]
        world.put_input(f"twin/{name}", f"twin of {name}".encode())
        mine = asked.changed(destination="both/", more=(("overwrite", False),), key=f"k{number}")
        trouble, inner = Trouble({}, {number: "twin"}), []

        def run() -> None:
            outer, world.asked = world.asked, mine.changed(sources=(f"twin/{name}",))
            try:
                inner.append(run_try(world, Trouble()))
            finally:
                world.asked = outer
                world.disk.is_watched = True

        trouble.twin = run
        world.asked = mine
        world.try_number += 1
        outcome = run_try(world, trouble)
        self.note("Two tasks whose results share a name", outcome)
        for one in [outcome, *inner]:
            self.say(f"  One of the two: {one.error or one.value}.")
            if one.error is None and not one.was_killed:
                check_single(world, one, was_alone=False)
            else:
                world.abandoned = True  # its result stays, for clearing the task to collect
        world.asked = asked
        world.contents[f"twin/{name}"].append(b"")
        world.remove(f"{world.uri('in')}twin/{name}")

    def poor(self, times: int) -> None:
        """Let the task meet an exhausted quota several times, until more is bought."""
        self.world.service.quota = 0
        self.say("The account has no conversions.")
        for _ in range(times):
            self.again(QUIET)
        self.world.service.quota = None
        self.say("Conversions are bought.")

    def heal(self) -> None:
        """Let everything be well again: then the task must come to an end."""
        service, world = self.world.service, self.world
        service.quota, service.verdicts, service.seconds = None, [], 2.0
        if not world.asked.is_batch:
            for name in set(world.asked.sources) - set(self._present()):
                self.write_again(name)
        for _ in range(3):
            self.again(QUIET)
            if self.last and self.last.error is None:
                return
        error = repr(self.last and self.last.error)
        require(
            not world.asked.durable or self._may_fail(error),
            f"all is well, and the task does not come to an end: {error}",
        )

    def _may_fail(self, error: str) -> bool:
        """Tell whether there is a reason for which the task may go on failing."""
        service, world, asked = self.world.service, self.world, self.world.asked
        switches = service.switches
        reasons = [
            any(bill.code for bill in service.bills),
            bool(world.overlapping),
            asked.budget is not None and "BudgetExceeded" in error,
            not self._present() and "InputNotFound" in error,  # a store has no empty directories
            # The trigger has read what cannot be read again; the docs say so.
            switches.consumed_by_read and asked.deferrable and "ResultExpired" in error,
            # A run that is made anew before a job is visible is refused its id.
            switches.visible_after > 0
            and switches.second_post == "refuse"
            and asked.is_batch
            and "ParameterError" in error,
            # What a batch could not record before it was broken off is not known to be its own.
            "OutputExists" in error and asked.is_batch and bool(world.unrecorded),
            "OutputExists" in error and self._is_in_the_way(),
        ]
        return any(reasons)

    def _is_in_the_way(self) -> bool:
        """Tell whether another file has a name that the service, or a batch, gives a result."""
        asked, contents = self.world.asked, self.world.contents
        if asked.destination and not asked.destination.endswith("/"):
            return False  # the user named it, and it is written over
        versions = [contents[name][-1:] for name in contents if contents[name][-1]]
        groups = versions if asked.is_batch else [[contents[name][-1] for name in asked.sources]]
        ours = {data for group in groups for _, data in levels(asked, group)[-1].made}
        files = {name: data for name, data in self.world.files("out").items() if not is_state(name)}
        # Another run's is another conversion's, and only on the disk do outputs say whose they are.
        if not asked.is_batch and (self.world.run_number > 1 or self.world.place_out != "disk"):
            return bool(files)
        return any(data not in ours for data in files.values())

    def deferred(self, times: int, detail: dict[str, Any]) -> None:
        """Let something happen while the task is deferred."""
        if times or not detail["deferred"]:
            return
        what = detail["deferred"]
        self.say(f"  While it is deferred: {what}.")
        if what == "change":
            (target, _), *later = self.world.asked.steps
            changed = ((target, (("PageSize", "a6"),)), *later)
            self.world.asked = self.world.asked.changed(steps=changed)
        elif what == "write":
            self.write(0.5)
        elif what == "vanish":
            self.vanish(0.0)
        elif what == "token":
            self.change(("token", 1))
        else:
            self.world.moment.sleep(1000)


_DO: dict[str, Callable[[Teller, Any], None]] = {
    "try": Teller.again,
    "night": Teller.night,
    "anew": Teller.anew,
    "wait": Teller.wait,
    "write": Teller.write,
    "touch": Teller.touch,
    "add": Teller.add,
    "remove output": Teller.remove_output,
    "remove input": Teller.remove_input,
    "damage output": Teller.damage_output,
    "quota": Teller.quota,
    "verdicts": Teller.verdicts,
    "vanish": Teller.vanish,
    "change": Teller.change,
    "slow": Teller.slow,
    "twin": Teller.twin,
    "poor": Teller.poor,
}


def tell(story: Story) -> Told:
    """Run a story; it says which promise was broken, and how it came to that."""
    told = Told(story)
    given = {
        "asked": story.asked,
        "place_in": story.place_in,
        "place_out": story.place_out,
        "switches": replace(story.switches),
    }
    with opened(story.seed, **given) as world:
        ledger = Ledger(world)
        teller = Teller(told, world, ledger)
        world.judge = ledger.judge
        places = f"from {story.place_in} to {story.place_out}"
        teller.say(f"{story.asked} {places}; {story.switches}")
        for name, content in story.files:
            world.put_input(name, content)
            teller.say(f"{name} is there: {content[:60].decode()} ({len(content)} bytes)")
        try:
            for step in story.steps:
                teller.do(step)
                _raise_suspended(world)
            teller.heal()
            _raise_suspended(world)
        except BrokenPromiseError as error:
            told.broken = str(error)
    return told


def _raise_suspended(world: World) -> None:
    """Raise what a bill broke: within a try the provider could have caught it."""
    if world.broken:
        raise BrokenPromiseError(world.broken[0])


def shortened(story: Story) -> Told:
    """Return the shortest story, made by leaving steps out, that still breaks something."""
    best = tell(story)
    index = len(story.steps) - 1
    while index >= 0:
        fewer = replace(story, steps=story.steps[:index] + story.steps[index + 1 :])
        told = tell(fewer)
        if told.broken:
            story, best = fewer, told
        index -= 1
    return best
