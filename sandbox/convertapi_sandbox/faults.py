"""Faults on demand: rules that make the service misbehave, a number of times or at random."""

from __future__ import annotations

import base64
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from convertapi_sandbox.bounds import check_number
from convertapi_sandbox.journal import path_matches

if TYPE_CHECKING:
    from collections.abc import Sequence

METHODS = frozenset({"*", "DELETE", "GET", "HEAD", "POST", "PUT"})

_NUMBERS: dict[str, dict[str, Any]] = {
    "times": {"whole": True, "optional": True},
    "skip": {"whole": True},
    "probability": {"most": 1},
    "status": {"least": 200, "most": 599, "whole": True, "optional": True},
    "code": {"whole": True, "optional": True},
    "delay": {},
    "truncate": {"whole": True, "optional": True},
    "stall": {},
    "verdict": {"whole": True, "optional": True},
    "wrong_size": {"least": None, "whole": True},
}
"""The bounds of a fault's numbers, as arguments of `check_number`."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """One rule. Several effects in one rule act together.

    Attributes:
        match: "METHOD /path", where the path is complete, the beginning of one up to a slash, or a
            pattern with `*`; the method may also be `*`.
        times: Number of requests that it acts on; None for all.
        skip: Number of matching requests that it lets pass first.
        probability: Share of the remaining requests that it acts on, drawn from the sandbox's seed.
        status, code, message: The answer. A status alone gets a JSON error body.
        headers: Added to the answer, also to one of the service.
        html, empty, body, content_type: The body of the answer instead of JSON.
        redirect: Where the answer points to (302, or `status`).
        drop: Close the connection without an answer: "before" anything is done, or "after_work",
            after the conversion was done, billed and stored.
        after_work: Convert and bill first, then answer as the rule says.
        delay: Seconds to wait before anything else.
        truncate: Bytes of the answer's body after which the connection closes.
        stall: Seconds of silence, after `truncate` bytes if given, else before the body.
        verdict: Code with which the conversion itself ends: billed, and kept as the job's answer.
            With a `status` other than 500 nothing is billed.
        names: Names of the results, instead of the right ones.
        wrong_size: Bytes by which the announced size differs from the true one.
        url_host: Host, or origin, of the result URLs.
        hits: Requests that it has acted on so far.
    """

    match: str
    times: int | None = 1
    skip: int = 0
    probability: float = 1.0
    status: int | None = None
    code: int | None = None
    message: str = "Injected by the sandbox."
    headers: Mapping[str, str] = field(default_factory=dict)
    html: bool = False
    empty: bool = False
    body: bytes | None = None
    content_type: str | None = None
    redirect: str | None = None
    drop: Literal["before", "after_work"] | None = None
    after_work: bool = False
    delay: float = 0.0
    truncate: int | None = None
    stall: float = 0.0
    verdict: int | None = None
    names: Sequence[str] = ()
    wrong_size: int = 0
    url_host: str | None = None
    hits: int = 0

    def __post_init__(self) -> None:
        """Refuse a rule that could never act, or that contradicts itself."""
        method, _, path = self.match.partition(" ")
        if method not in METHODS or not path.startswith(("/", "*")):
            msg = f'a fault matches "METHOD /path", not {self.match!r}'
            raise ValueError(msg)
        if self.drop not in (None, "before", "after_work"):
            msg = f'drop must be "before" or "after_work", not {self.drop!r}'
            raise ValueError(msg)
        for name, bounds in _NUMBERS.items():
            check_number(f"{name} of a fault", getattr(self, name), **bounds)
        if not isinstance(self.headers, Mapping):
            msg = f"headers of a fault are names and values, not {self.headers!r}"
            raise ValueError(msg)  # noqa: TRY004 - one class
        if isinstance(self.names, str):
            msg = f"names of a fault are a list, not {self.names!r}"
            raise ValueError(msg)  # noqa: TRY004 - one class
        if isinstance(self.body, str):
            self.body = self.body.encode()
        self.names = tuple(self.names)
        if not self.acts:
            msg = f"the fault for {self.match!r} has no effect: give a status, drop, delay, ..."
            raise ValueError(msg)

    @property
    def acts(self) -> bool:
        """Tell whether the rule changes anything."""
        return self.answers or bool(
            self.drop
            or self.delay
            or self.stall
            or self.headers
            or self.truncate is not None
            or self.verdict is not None
            or self.names
            or self.wrong_size
            or self.url_host
        )

    @property
    def answers(self) -> bool:
        """Tell whether the rule replaces the service's answer."""
        if self.html or self.empty or self.body is not None or self.redirect is not None:
            return True
        return self.status is not None and self.verdict is None

    @property
    def waits_for_work(self) -> bool:
        """Tell whether the conversion is done first, and its answer then dropped or replaced."""
        return self.drop == "after_work" or (self.answers and self.after_work)

    def matches(self, method: str, path: str) -> bool:
        """Tell whether the rule applies to a request."""
        wanted, _, pattern = self.match.partition(" ")
        return wanted in ("*", method) and path_matches(pattern, path)

    def as_dict(self) -> dict[str, Any]:
        """Return the rule as JSON values."""
        values = asdict(self)
        if self.body is not None:
            values["body"] = {"base64": base64.b64encode(self.body).decode()}
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Fault:
        """Return the rule that JSON describes; ValueError names unknown attributes."""
        unknown = set(values) - {item.name for item in fields(cls)}
        if unknown:
            msg = f"a fault has no {', '.join(sorted(unknown))}"
            raise ValueError(msg)
        if "match" not in values:
            msg = 'a fault needs a "match", such as "POST /convert"'
            raise ValueError(msg)
        values = dict(values)
        if isinstance(values.get("body"), Mapping):
            values["body"] = base64.b64decode(values["body"]["base64"])
        return cls(**values)


class Faults:
    """The rules in force, oldest first; at most one of them acts on a request."""

    def __init__(self, seed: int | None) -> None:
        self._seed = seed
        self.clear()

    def clear(self) -> None:
        """Remove all rules and restart the random numbers."""
        self.rules: list[Fault] = []
        self._random = random.Random(self._seed)  # noqa: S311 - not for secrets

    def add(self, fault: Fault) -> None:
        """Add a rule."""
        self.rules.append(fault)

    def take(self, method: str, path: str) -> Fault | None:
        """Return the rule that acts on this request, and count it."""
        for fault in self.rules:
            if not fault.matches(method, path) or fault.times == 0:
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            if fault.probability < 1 and self._random.random() >= fault.probability:
                continue
            fault.hits += 1
            if fault.times is not None:
                fault.times -= 1
            return fault
        return None
