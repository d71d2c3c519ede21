"""What goes wrong in one try: at which request, and at which write."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

REQUEST_FAULTS = {
    "unsent": "no connection can be made",
    "lost before": "the connection breaks before the service reads the request",
    "lost after": "the answer is lost after the work",
    "cut": "the answer breaks off half way",
    "busy": "the service answers 503",
    "gateway": "a gateway answers 502 in place of the service, after the work",
    "garbage": "a proxy's page comes in place of the answer, after the work",
    "kill before": "the process is killed before the request",
    "kill after": "the process is killed after the work, before it reads the answer",
    "second": "a second runner does the whole task in this moment",
    "change": "the source is written anew",
    "vanish": "every result at the service is deleted",
}

WRITE_FAULTS = {
    "kill": "the process is killed before it",
    "full": "no space is left, until the end of the try",
    "denied": "writing is not permitted, until the end of the try",
    "once": "it fails once",
    "twin": "another task, whose result has the same name, runs in this moment",
}

READ_FAULTS = {
    "once": "it fails once",
    "down": "the store does not answer, until the end of the try",
}

TRIGGER_FAULTS = ("unsent", "lost before", "lost after", "cut", "busy", "gateway", "kill before")
"""What happens to requests of the triggerer; where it is killed, another one begins anew."""

_ERRORS = {"full": errno.ENOSPC, "denied": errno.EACCES, "once": errno.EIO}


class KilledProcess(BaseException):
    """The process does not exist any more: nothing that it would do has an effect."""


@dataclass
class Trouble:
    """The faults of one try.

    :param at_request: fault by the number of the request, counted from 1.
    :param at_write: fault by the number of the write; :param at_read: likewise.
    :param in_trigger: fault by the number of a request of the triggerer.
    """

    at_request: dict[int, str] = field(default_factory=dict)
    at_write: dict[int, str] = field(default_factory=dict)
    at_read: dict[int, str] = field(default_factory=dict)
    in_trigger: dict[int, str] = field(default_factory=dict)
    requests: int = 0
    writes: int = 0
    reads: int = 0
    dead: bool = False
    blocked: str = ""
    is_down: bool = False
    twin: Callable[[], None] = lambda: None
    met: list[str] = field(default_factory=list)
    """The faults that the try came to."""

    def next_request(self, what: str) -> str:
        """Count a request; return its fault, empty for none."""
        self.check_alive()
        self.requests += 1
        fault = self.at_request.get(self.requests, "")
        if fault:
            self.met.append(f"at request {self.requests} ({what}) {REQUEST_FAULTS[fault]}")
        return fault

    def kill(self) -> None:
        """End the process."""
        self.dead = True
        raise KilledProcess

    def check_alive(self) -> None:
        """Raise where the process is dead: a `finally` of a killed process does not run."""
        if self.dead:
            raise KilledProcess

    def before_write(self, path: str) -> None:
        """Count a write, and raise its fault."""
        self.check_alive()
        self.writes += 1
        fault = self.at_write.get(self.writes, "")
        if fault:
            name = os.path.basename(path)  # noqa: PTH119 - a store's path, too
            self.met.append(f"at write {self.writes} ({name}) {WRITE_FAULTS[fault]}")
        if fault == "kill":
            self.kill()
        if fault == "twin":
            self.twin()
        if fault in {"full", "denied"}:
            self.blocked = fault
        reason = _ERRORS.get(self.blocked or fault)
        if reason:
            raise OSError(reason, os.strerror(reason), path)

    def before_read(self, path: str) -> None:
        """Count a read of a file or a listing, and raise its fault."""
        self.check_alive()
        self.reads += 1
        fault = self.at_read.get(self.reads, "")
        if fault:
            name = os.path.basename(path)  # noqa: PTH119 - a store's path, too
            self.met.append(f"at read {self.reads} ({name}) {READ_FAULTS[fault]}")
        self.is_down = self.is_down or fault == "down"
        if fault or self.is_down:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)


@dataclass
class Present:
    """Whose trouble it is now: a second runner has its own."""

    trouble: Trouble = field(default_factory=Trouble)
    second: Callable[[], None] = lambda: None
    change: Callable[[], None] = lambda: None
    vanish: Callable[[], None] = lambda: None
