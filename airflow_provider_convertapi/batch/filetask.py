"""One file of a batch under way, and the ways in which it gets there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.endpoints import get_job
from airflow_provider_convertapi.conversions.deferral import WatchedJob
from airflow_provider_convertapi.conversions.durable import Underway
from airflow_provider_convertapi.conversions.job import AlwaysMyTurn, at_once
from airflow_provider_convertapi.conversions.result import Outcome

if TYPE_CHECKING:
    from airflow_provider_convertapi.api.client import Client
    from airflow_provider_convertapi.batch.converter import Converter
    from airflow_provider_convertapi.batch.decisions import Item
    from airflow_provider_convertapi.conversions.chain import Chain
    from airflow_provider_convertapi.conversions.direct import DirectConversion
    from airflow_provider_convertapi.conversions.durable import DurableConversion
    from airflow_provider_convertapi.conversions.job import Turn, Work
    from airflow_provider_convertapi.conversions.request import Order


@dataclass(slots=True)
class FileTask:
    """One file, which goes from thread to thread where the service makes it wait.

    :param way: one of the methods below; None of an outcome means that its job goes on.
    :param attend: follows the way, and remembers how it went.
    :param watched: the job that the service has of it; its first step's where there are steps.
    :param seconds: how long it may take from now on; None for the order's timeout.
    """

    item: Item
    converter: Converter = field(repr=False)
    way: Way = field(repr=False)
    attend: Callable[[FileTask, Client], None] = field(repr=False)
    watched: WatchedJob | None = None
    seconds: float | None = None
    order: Order | None = field(default=None, init=False)
    conversion: DurableConversion | None = field(default=None, init=False)
    chain: Chain | None = field(default=None, init=False)
    exchange: DirectConversion | None = field(default=None, init=False)
    turn: Turn = field(default_factory=AlwaysMyTurn, init=False, repr=False)
    begun: Underway | Outcome | None = field(default=None, init=False)

    def __call__(self, client: Client, turn: Turn) -> None:
        """Do it with the connection of a free slot, and at the service in its turn."""
        self.turn = turn
        self.attend(self, client)

    # --- ways --------------------------------------------------------------------------------

    def direct(self, client: Client) -> Outcome:
        """Convert in one exchange."""
        self.exchange = self.converter.direct(self.item, client, self.turn)
        self.order = self.exchange.order
        return self.exchange.run()

    def durable(self, client: Client) -> Outcome | None:
        """Submit a job, wait for it and collect it."""
        self.begin(client)
        return self._finish(client)

    def begin(self, client: Client) -> Outcome | None:
        """Submit a job."""
        conversion = self._conversion(client)
        if self.begun is None:
            self.begun = conversion.begin()
        if isinstance(self.begun, Outcome):
            return self.begun
        self.watched = WatchedJob.of(conversion.work.ids.derivation, self.begun)
        return None

    def resume(self, client: Client) -> Outcome | None:
        """Wait for a job that an earlier wave submitted; its input may be gone by now."""
        if self.conversion is None and self.watched is not None:
            self.order = self.converter.expected(self.item)
            ids = self.converter.watched_ids(self.watched)
            self.conversion = self.converter.resumed(self.item, self.order, ids, client, at_once)
            self.begun = self.watched.underway
        return self._finish(client)

    def begin_steps(self, client: Client) -> Outcome | None:
        """Submit the first step."""
        begun = self._chain(client).proceed(defers=True)
        if isinstance(begun, Outcome):
            return begun
        self.watched = begun[0]
        return None

    def finish_steps(self, client: Client) -> Outcome | None:
        """Go through all steps, the first of which may be under way."""
        known = [self.watched] if self.watched is not None else []
        outcome = self._chain(client).proceed(known)
        assert isinstance(outcome, Outcome)  # noqa: S101 - it defers only where it is told to
        return outcome

    def look(self, client: Client) -> Outcome | None:
        """Collect a job that an earlier wave submitted, if it has an answer."""
        assert self.watched is not None  # noqa: S101 - for the type checker
        job_id = self.converter.watched_ids(self.watched).job_id(self.watched.attempt)
        answer = client.call(get_job(job_id))
        if not (answer.conversion or answer.verdict):
            return None
        has_steps = self.converter.request.steps
        return self.finish_steps(client) if has_steps else self.resume(client)

    def _finish(self, client: Client) -> Outcome:
        conversion = self._conversion(client)
        assert self.begun is not None  # noqa: S101 - for the type checker
        if isinstance(self.begun, Outcome):
            return self.begun
        return conversion.finish(self.begun)

    def _conversion(self, client: Client) -> DurableConversion:
        """Return the conversion, in the hands of this thread and in its turn: looks grow old."""
        self._enter(client)
        if self.conversion is None:
            self.conversion = self.converter.durable(self.item, client)
            self.order = self.conversion.work.order
        work = self.conversion.work
        seconds = work.order.timeout if self.seconds is None else self.seconds
        work.client, work.deadline = client, client.monotonic() + seconds
        work.turn = self.turn
        return self.conversion

    def _enter(self, client: Client) -> None:
        """Wait for the turn, and end here where the task was told to stop meanwhile."""
        self.turn.enter()
        client.pause(0)

    def _chain(self, client: Client) -> Chain:
        # Anew each time: a chain looks for what is done, and belongs to one connection.
        self._enter(client)
        if self.watched is not None:
            self.order = self.converter.expected(self.item)
        paid_before = self.chain.charged if self.chain else 0
        self.chain = self.converter.chain(self.item, client, self.order)
        self.chain.paid_before = paid_before
        self.chain.seconds = self.seconds
        self.order = self.chain.orders[0]
        return self.chain

    # --- what it leaves ----------------------------------------------------------------------

    @property
    def attempt(self) -> int:
        """Return which attempt of the conversion it was, counted from 0."""
        return self.conversion.attempt if self.conversion else 0

    @property
    def documents(self) -> list[str]:
        """Return the ids of documents that are to be deleted once its record is safe."""
        if self.chain is not None:
            return self.chain.left
        return (self.conversion.work.left or []) if self.conversion else []

    @property
    def works(self) -> list[tuple[Work, list[str]]]:
        """Return its conversions, and the places of the inputs that each may have uploaded."""
        if self.chain is not None:
            return self.chain.works
        if self.conversion is not None:
            work = self.conversion.work
            return [(work, [part.place for part in work.order.uploads])]
        if self.watched is None:
            return []
        ids, order = self.converter.watched_ids(self.watched), self.converter.expected(self.item)
        client = self.converter.hook.client
        return [(self.converter.resumed(self.item, order, ids, client).work, self.watched.uploads)]

    @property
    def is_submitted(self) -> bool:
        """Tell whether the service has a job of it."""
        if self.chain is not None and self.chain.begun:
            return True
        return self.watched is not None or isinstance(self.begun, Underway)

    @property
    def bill(self) -> tuple[int, int]:
        """Return the conversions that it has taken so far, and those of them that this try did."""
        one = self.chain or self.conversion or self.exchange
        return (one.cost, one.charged) if one else (0, 0)


Way = Callable[[FileTask, "Client"], Outcome | None]
