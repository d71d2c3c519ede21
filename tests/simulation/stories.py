"""Tell a story in plain sentences, and judge it after each step."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.simulation.invariants import BrokenPromiseError, Ledger, check, check_single, require
from tests.simulation.running import RETRIES, run_try
from tests.simulation.trouble import Trouble
from tests.simulation.world import TOKENS, opened

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.simulation.making import Step, Story
    from tests.simulation.running import Outcome
    from tests.simulation.world import World


@dataclass
class Told:
    """A story that was run: what happened, and the promise that was broken, if any."""

    story: Story
    sentences: list[str] = field(default_factory=list)
    broken: str = ""
    outcomes: list[Outcome] = field(default_factory=list)


# --- a story is told -------------------------------------------------------------------------


@dataclass
class Teller:
    """Run a story, and judge it."""

    told: Told
    world: World
    ledger: Ledger
    last: Outcome | None = None

    def say(self, sentence: str) -> None:
        """Tell what happens."""
        self.told.sentences.append(f"{self.world.moment.elapsed:9.1f} s: {sentence}")

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
        """Run a try, tell it, and check everything."""
        world = self.world
        trouble = Trouble(dict(detail["requests"]), dict(detail["writes"]))
        present = world.present
        present.change = lambda: self.write(0.0)
        present.vanish = lambda: self.vanish(0.0)
        present.second = self.second
        outcome = run_try(world, trouble, deferred=lambda times: self.deferred(times, detail))
        self.note(title, outcome)
        check(world, self.ledger, outcome)

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
            self.again({"requests": {}, "writes": {}, "deferred": None})
        self.world.service.quota = None
        self.say("Conversions are bought.")

    def heal(self) -> None:
        """Let everything be well again: then the task must come to an end."""
        service, world = self.world.service, self.world
        service.quota, service.verdicts, service.seconds = None, [], 2.0
        for _ in range(3):
            self.again({"requests": {}, "writes": {}, "deferred": None})
            if self.last and self.last.error is None:
                return
        is_doubtful = any(bill.code for bill in service.bills) or bool(world.overlapping)
        # What a batch wrote and could not record before it was killed is not known to be its own.
        is_doubtful = is_doubtful or (world.was_killed_elsewhere and world.asked.is_batch)
        # A file whose name the service chose is not written over by another version's result, and
        # one that a batch could not record is not known to be its own.
        is_doubtful = is_doubtful or "OutputExists" in repr(self.last and self.last.error)
        require(
            is_doubtful or not world.asked.durable,
            f"all is well, and the task does not come to an end: {self.last and self.last.error}",
        )

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

    # --- the world ---------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.say(f"{seconds:g} seconds pass.")
        self.world.moment.sleep(seconds)

    def write(self, share: float) -> None:
        """Write a file anew."""
        names = self._present()
        name = names[int(share * len(names))]
        version = len(self.world.contents[name]) + 1
        self.world.put_input(name, f"{name} version {version} page:".encode())
        self.say(f"{name} is written anew.")
        self.world.abandoned = True

    def touch(self, share: float) -> None:
        """Write the same bytes again."""
        names = self._present()
        name = names[int(share * len(names))]
        content = self.world.contents[name][-1]
        self.world.moment.sleep(1)
        self.world.write(self.world.uri("in") + name, content)
        self.say(f"{name} is touched.")
        self.world.touches += "t"
        self.world.abandoned = True

    def add(self, share: float) -> None:
        """Add a file to a batch."""
        if self.world.asked.is_batch:
            name = f"new{len(self.world.contents)}.{min(self.world.contents).rpartition('.')[2]}"
            self.world.put_input(name, f"{name} is new {share}".encode())
            self.say(f"{name} is added.")

    def _present(self) -> list[str]:
        return sorted(name for name, versions in self.world.contents.items() if versions[-1])

    def _output(self, share: float) -> str | None:
        files = [name for name in sorted(self.world.files("out")) if "_convertapi" not in name]
        return self.world.uri("out") + files[int(share * len(files))] if files else None

    def remove_output(self, share: float) -> None:
        """Remove an output."""
        uri = self._output(share)
        if uri:
            self.world.remove(uri)
            self.say(f"{uri.rpartition('/')[2]} is removed.")

    def damage_output(self, share: float) -> None:
        """Write an output over."""
        uri = self._output(share)
        if uri:
            size = len(self.world.read(uri) or b"")
            # With another size: one of the same size is told from ours at a cost only.
            self.world.write(uri, b"x" * (size // 2))
            self.say(f"{uri.rpartition('/')[2]} is damaged.")

    def quota(self, left: int) -> None:
        """Let the account have few conversions left, or any number again."""
        service = self.world.service
        service.quota = left if service.quota is None else None
        self.say(f"The account has {'many' if service.quota is None else left} conversions.")

    def verdicts(self, codes: Sequence[int]) -> None:
        """Let the next conversions end so."""
        self.world.service.verdicts = list(codes)
        self.say(f"The next conversions end with {list(codes)}.")

    def vanish(self, share: float) -> None:
        """Delete all results at the service."""
        del share
        self.world.service.files.clear()
        self.say("All documents at the service vanish.")

    def slow(self, seconds: float) -> None:
        """Let conversions take longer, or less long."""
        self.world.service.seconds = seconds
        self.say(f"A conversion takes {seconds:g} s.")

    def change(self, change: tuple[str, Any]) -> None:
        """Change an argument, or the token."""
        name, value = change
        self.world.abandoned = True
        if name == "token":
            self.world.use_token(TOKENS[value])
            self.say("The token is another one.")
        else:
            self.world.asked = self.world.asked.changed(**{name: value})
            self.say(f"The task's {name} is {value!r} now.")


_DO: dict[str, Callable[[Teller, Any], None]] = {
    "try": Teller.again,
    "night": Teller.night,
    "anew": Teller.anew,
    "wait": Teller.wait,
    "write": Teller.write,
    "touch": Teller.touch,
    "add": Teller.add,
    "remove output": Teller.remove_output,
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
            teller.say(f"{name} is there: {content.decode()}")
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
