"""What happens in the world of a story beside the tries of its task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.simulation.world import TOKENS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.simulation.making import Story
    from tests.simulation.running import Outcome
    from tests.simulation.world import World


def is_state(name: str) -> bool:
    """Tell whether a file in the destination is no output, but what a batch remembers."""
    return "_convertapi" in name


@dataclass
class Told:
    """A story that was run: what happened, and the promise that was broken, if any."""

    story: Story
    sentences: list[str] = field(default_factory=list)
    broken: str = ""
    outcomes: list[Outcome] = field(default_factory=list)


@dataclass
class Happenings:
    """Let things happen, and tell them."""

    told: Told
    world: World

    def say(self, sentence: str) -> None:
        """Tell what happens."""
        self.told.sentences.append(f"{self.world.moment.elapsed:9.1f} s: {sentence}")

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.say(f"{seconds:g} seconds pass.")
        self.world.moment.sleep(seconds)

    def write(self, share: float) -> None:
        """Write a file anew."""
        names = self._present()
        if names:
            self.write_again(names[int(share * len(names))])

    def write_again(self, name: str) -> None:
        """Write this file anew."""
        version = len(self.world.contents[name]) + 1
        self.world.put_input(name, f"{name} version {version} page:".encode())
        self.say(f"{name} is written anew.")
        self.world.abandoned = True

    def remove_input(self, share: float) -> None:
        """Remove a file; a batch does without it, and another task fails until it is there."""
        names = self._present()
        if names:
            name = names[int(share * len(names))]
            self.world.contents[name].append(b"")
            self.world.remove(self.world.uri("in") + name)
            self.say(f"{name} is removed.")
            self.world.abandoned = True

    def touch(self, share: float) -> None:
        """Write the same bytes again."""
        names = self._present()
        if not names:
            return
        name = names[int(share * len(names))]
        content = self.world.contents[name][-1]
        self.world.moment.sleep(1)
        self.world.write(self.world.uri("in") + name, content)
        self.say(f"{name} is touched.")
        self.world.touches[name] += 1
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
        files = [name for name in sorted(self.world.files("out")) if not is_state(name)]
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
            # Where outputs bear no mark, and in a batch, one of the same size counts as ours.
            has_marks = uri.startswith("/") and not self.world.asked.is_batch
            self.world.write(uri, b"x" * (size if has_marks and share < 0.5 else size // 2))
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
