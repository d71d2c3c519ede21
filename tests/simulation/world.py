"""The world of one story: a model of the service, two places, one task, and time."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import shutil
import tempfile
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.surroundings import Surroundings, simulated
from tests.simulation.carriers import Carrier
from tests.simulation.catalogue import own_catalogue
from tests.simulation.disk import Disk, watching
from tests.simulation.service import Service
from tests.simulation.stores import CONNECTION, Contents, use
from tests.simulation.tasks import OVERLAY
from tests.simulation.trouble import Present
from tests.simulation.virtual import InlinePool, Moment, VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.simulation.service import Bill, Switches
    from tests.simulation.tasks import Asked

TOKENS = ("token-of-the-simulation-1", "token-of-the-simulation-2")
PASSWORD = "password-of-the-simulation"
_HOST = "http://127.0.0.1:9"
_numbers = count()


class _Kept(logging.Handler):
    """Keep what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        if record.exc_info and record.exc_info[1]:
            self.lines.append(repr(record.exc_info[1]))


@dataclass
class World:
    """Everything of one story.

    :param place_in: kind of the place of the inputs: ``disk``, ``abfs`` or ``memory``.
    """

    root: str
    asked: Asked
    place_in: str
    place_out: str
    switches: Switches
    moment: Moment = field(default_factory=Moment)
    present: Present = field(default_factory=Present)
    token: str = TOKENS[0]
    # Ids of earlier stories in this process must not be met again: some are remembered.
    dag_id: str = field(default_factory=lambda: f"dag-{next(_numbers)}")
    run_number: int = 1
    try_number: int = 0
    max_tries: int = 3
    contents: dict[str, list[bytes]] = field(default_factory=dict)
    """Every version of each input, the last one being the present one; [-1] is b"" once removed."""
    overlapping: set[str] = field(default_factory=set)
    """Tries beside which another one ran."""
    broken: list[str] = field(default_factory=list)
    """Promises that a bill broke."""
    judge: Callable[[Bill], None] = lambda _: None
    abandoned: bool = False
    """Whether documents of a conversion that nobody asks for any more may be at the service."""
    was_killed_elsewhere: bool = False
    spool_may_be_left: bool = False
    touches: Counter[str] = field(default_factory=Counter)
    """How often each file was touched: a large one, and one of a batch, is another one then."""
    shard: int = 0
    writes: int = 0
    """How often somebody else wrote a file on the disk."""
    unrecorded: set[str] = field(default_factory=set)
    """Tries that were broken off: what they paid is known once it is looked for."""

    def __post_init__(self) -> None:
        self.service = Service(lambda: self.moment.now, self.token, self.switches)
        self.service.before_bill = self._bill
        self.service.fetch = lambda name: self.read(self.uri("in") + name)
        self.store = Contents(self.moment, self.present)
        self.disk = Disk(self.root, self.present)
        self.loop = VirtualLoop(self.moment)
        self.kept = _Kept()
        self.log = logging.Logger("simulation")  # noqa: LOG001 - of this story only
        self.log.addHandler(self.kept)
        for name in ("in", "out", "aside", "tmp"):
            Path(self.root, name).mkdir()
        if self.asked.overlay:
            self.write(self.uri("aside") + OVERLAY, self.asked.overlay)

    def _bill(self, bill: Bill) -> None:
        try:
            self.judge(bill)
        except AssertionError as error:
            self.broken.append(str(error))

    @property
    def ambiguous(self) -> bool:
        """Tell whether one job may have been billed twice, of which nobody can know."""
        ids = [bill.job_id for bill in self.service.bills if bill.job_id]
        return len(ids) != len(set(ids))

    # --- files -------------------------------------------------------------------------------

    def uri(self, place: str) -> str:
        """Return the URI of the place ``in``, ``out`` or ``aside``; it ends in ``/``."""
        kind = self.place_out if place == "out" else self.place_in
        return f"{self.root}/{place}/" if kind == "disk" else f"{kind}://{CONNECTION}@box/{place}/"

    def read(self, uri: str) -> bytes | None:
        """Return what is at a URI; None where nothing is."""
        if uri.startswith("/"):
            path = Path(uri)
            return path.read_bytes() if path.is_file() else None
        found = self.store.objects.get(uri.partition("@")[2])
        return found[0] if found else None

    def write(self, uri: str, data: bytes) -> None:
        """Write, as somebody else."""
        with self.disk.unwatched():
            if uri.startswith("/"):
                Path(uri).parent.mkdir(parents=True, exist_ok=True)
                Path(uri).write_bytes(data)
                # Each time is another one, and none a whole second, which would have no mark.
                self.writes += 1
                now = int(self.moment.now * 1e9) + 50 + 100 * self.writes
                os.utime(uri, ns=(now, now))
            else:
                self.store.write(uri.partition("@")[2], data)

    def remove(self, uri: str) -> None:
        """Remove, as somebody else."""
        with self.disk.unwatched():
            if uri.startswith("/"):
                Path(uri).unlink(missing_ok=True)
            else:
                self.store.objects.pop(uri.partition("@")[2], None)

    def files(self, place: str) -> dict[str, bytes]:
        """Return everything in a place, by its path in it."""
        uri = self.uri(place)
        if uri.startswith("/"):
            paths = [path for path in Path(uri).rglob("*") if path.is_file()]
            return {str(path.relative_to(uri)): path.read_bytes() for path in paths}
        prefix = uri.partition("@")[2]
        return {
            path.removeprefix(prefix): data
            for path, (data, _, _) in self.store.objects.items()
            if path.startswith(prefix)
        }

    def put_input(self, name: str, content: bytes) -> None:
        """Write an input."""
        self.contents.setdefault(name, []).append(content)
        self.write(self.uri("in") + name, content)

    # --- the task ----------------------------------------------------------------------------

    @property
    def run_id(self) -> str:
        """Return the name of the present run."""
        return f"run-{self.run_number}"

    @property
    def instance(self) -> str:
        """Return the name of the present task instance."""
        return f"{self.run_id}[{self.shard}]"

    def use_token(self, token: str) -> None:
        """Let the connection, and the service, have another token."""
        self.token = self.service.token = token


@contextmanager
def opened(seed: int, **given: Any) -> Iterator[World]:
    """Make a world, and let the provider live in it."""
    random.seed(seed)
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None
    root = tempfile.mkdtemp(prefix="simulation-", dir=base)
    world = World(root, **given)
    carrier = Carrier(world.service, world.moment, world.present)
    outside = Surroundings(
        clock=world.moment.clock(),
        new_adapter=carrier.adapter,
        carry=carrier.carry,
        new_pool=InlinePool,
    )
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        stack.callback(world.loop.close)
        stack.enter_context(own_catalogue())
        stack.enter_context(simulated(outside))
        stack.enter_context(watching(world.disk))
        stack.enter_context(_hashing_fast())
        stack.enter_context(_logging_to(world.kept))
        before, tempfile.tempdir = tempfile.tempdir, f"{root}/tmp"
        stack.callback(setattr, tempfile, "tempdir", before)
        use(world.store)
        world.disk.is_watched = False
        yield world


@contextmanager
def _hashing_fast() -> Iterator[None]:
    """Let the hash that is slow on purpose be a fast one: it would take most of a story's time."""

    def fast(password: bytes, *, salt: bytes, dklen: int, **_: int) -> bytes:
        return hashlib.blake2b(password, salt=salt, digest_size=dklen).digest()

    before, hashlib.scrypt = hashlib.scrypt, fast  # type: ignore[assignment] # as it is called here
    try:
        yield
    finally:
        hashlib.scrypt = before


@contextmanager
def _logging_to(handler: logging.Handler) -> Iterator[None]:
    logger = logging.getLogger("airflow_provider_convertapi")
    before = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


def connection(world: World) -> str:
    """Return the Airflow connection, in JSON."""
    return json.dumps({"conn_type": "convertapi", "host": _HOST, "password": world.token})
