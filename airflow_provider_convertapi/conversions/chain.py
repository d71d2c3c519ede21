"""A chain of conversions at the service: each step takes the last one's results by their ids.

No bytes move in between.  Each step is a durable job of its own; what it makes stays at the service
until the chain has ended, well or for good.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.converters import converter_format, is_array, result_extension
from airflow_provider_convertapi.api.endpoints import Conversion, find_file
from airflow_provider_convertapi.api.ids import JobIds, seed_text
from airflow_provider_convertapi.conversions.collection import (
    can_be_fetched,
    collect,
    delete_files,
    published,
)
from airflow_provider_convertapi.conversions.deferral import WatchedJob
from airflow_provider_convertapi.conversions.durable import Underway
from airflow_provider_convertapi.conversions.job import at_once
from airflow_provider_convertapi.conversions.links import Link, StepOrder
from airflow_provider_convertapi.conversions.request import Part
from airflow_provider_convertapi.conversions.result import Outcome
from airflow_provider_convertapi.errors import (
    ConversionError,
    ConvertApiError,
    ParameterError,
    ResultExpiredError,
    TransientConversionError,
    UnsupportedFormatError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow_provider_convertapi.conversions.job import Work
    from airflow_provider_convertapi.conversions.links import Result
    from airflow_provider_convertapi.conversions.request import Order
    from airflow_provider_convertapi.conversions.steps import Step

_GONE = 5009
"""ConvertAPI's Code for a file id that it does not know."""


@dataclass(slots=True)
class Chain:
    """Convert in steps.

    :param orders: what is asked of the first step, once for each input.
    :param steps: the steps after it.
    :param seed: what belongs to the seed of every job beside its own: namespace and key.
    :param scope: whose chain it is; part of the first step's seeds.
    :param make_work: returns what one conversion needs, by its order and ids.
    :param key: what keys the ids.
    :param shared: ids of file parameters that lie at the service, by step and name.
    :param paid_before: conversions that this try paid for before it had to begin anew.
    :param seconds: how long each job that was begun earlier is waited for; None: its order's time.
    """

    orders: Sequence[Order]
    steps: Sequence[Step]
    seed: Mapping[str, Any]
    scope: Mapping[str, Any]
    make_work: Callable[[Order, JobIds], Work]
    key: str = field(repr=False)
    shared: Mapping[str, str] = field(default_factory=dict, repr=False)
    paid_before: int = 0
    seconds: float | None = None
    begun: list[WatchedJob] = field(default_factory=list, init=False)
    """The jobs of it that the service has, in the order of `proceed`."""
    _links: list[Link] = field(default_factory=list, init=False)

    @property
    def left(self) -> list[str]:
        """Return the ids of documents whose deletion is the caller's."""
        return [file_id for link in self._links for file_id in link.work.left or ()]

    @property
    def works(self) -> list[tuple[Work, list[str]]]:
        """Return what was begun, and the places of the inputs that each may have uploaded."""
        return [
            (link.work, [part.place for part in link.work.order.uploads]) for link in self._links
        ]

    @property
    def charged(self) -> int:
        """Return the conversions that were paid for here so far."""
        return self.paid_before + sum(link.charged for link in self._links)

    @property
    def cost(self) -> int:
        """Return the conversions that the steps so far have taken, whenever that was."""
        return sum(link.cost for link in self._links)

    def proceed(
        self, known: Sequence[WatchedJob] = (), *, defers: bool = False
    ) -> Outcome | list[WatchedJob]:
        """Go on with the chain to its end.

        :param known: jobs that an earlier process had begun, in the order of this method.
        :param defers: return all jobs so far, in their order, instead of waiting for any.
        """
        if not known:
            found = self._finished()
            if found is not None:
                return found
        self._links = []
        if not known:
            self.orders[0].check_output()
        waiting, begun = deque(known), [*known]
        self.begun = begun
        results: list[Result] = []
        with self._cleaning():
            for number in range(1, len(self.steps) + 2):
                links = self._step(number, results, waiting)
                with self._named(number, results):
                    jobs = [self._begin(link, waiting, begun) for link in links]
                    if defers and any(fresh for _, fresh in jobs):
                        return begun
                    for link, (job, _) in zip(links, jobs, strict=True):
                        if isinstance(job, Underway):
                            link.finish(job)
                results = [result for link in links for result in link.results()]
            return self._collect(links)

    def _begin(
        self, link: Link, waiting: deque[WatchedJob], begun: list[WatchedJob]
    ) -> tuple[Underway | Outcome, bool]:
        """Return the job, and whether it was begun, or found running, here."""
        if waiting:
            link.work.delays = at_once
            if self.seconds is not None:
                link.work.deadline = link.work.client.monotonic() + self.seconds
            return waiting.popleft().underway, False
        job = link.begin()
        underway = job if isinstance(job, Underway) else Underway(link.attempt, None, link.uploads)
        begun.append(WatchedJob.of(link.work.ids.derivation, underway))
        return job, isinstance(job, Underway)

    def _step(
        self, number: int, results: Sequence[Result], known: Sequence[WatchedJob] = ()
    ) -> list[Link]:
        """Return the jobs of a step, and keep them in mind."""
        links = []
        for place, (order, seed) in enumerate(self._asked(number, results)):
            if place < len(known):
                ids = JobIds(self.key, known[place].derivation)
            else:
                ids = JobIds.from_seed(self.key, seed_text(seed))
            links.append(Link(self.make_work(order, ids)))
        self._links += links
        return links

    def _asked(self, number: int, results: Sequence[Result]) -> list[tuple[Order, dict[str, Any]]]:
        if number == 1:
            return [
                (
                    replace(order, overwrite=True),
                    {**order.seed(), **self.seed, "scope": dict(self.scope), "step": 1},
                )
                for order in self.orders
            ]
        step = self.steps[number - 2]
        origin = step.from_format or self._format_after(number - 1)
        if is_array(origin, step.to_format):
            return [self._later(step, origin, results, is_alone=False)]
        return [self._later(step, origin, [result], is_alone=True) for result in results]

    def _format_after(self, number: int) -> str:
        """Return the format of what a step makes."""
        first = self.orders[0]
        made = result_extension(f"x.{first.source_format}", first.target_format)
        for step in self.steps[: number - 1]:
            made = result_extension(f"x.{step.from_format or made}", step.to_format)
        return made

    def _later(
        self, step: Step, origin: str, results: Sequence[Result], *, is_alone: bool
    ) -> tuple[Order, dict[str, Any]]:
        """Return a later step's order, and its seed: it names jobs, never a file id."""
        first, total = self.orders[0], len(self.steps) + 1
        names = ["File"] if is_alone else [f"Files[{n}]" for n in range(len(results))]
        places = [str(n) for n in range(len(results))]
        shared = {
            place: result.file.file_id
            for place, result in zip(places, results, strict=True)
            if result.file
        }
        parts = [Part(name, place, "") for name, place in zip(names, places, strict=True)]
        for name, file in step.files.items():
            place = f"{step.number}.{name}"
            parts.append(Part(name, place, file))
            if place in self.shared:
                shared[place] = self.shared[place]
        more = f" and {len(self.orders) - 1} more" if len(self.orders) > 1 else ""
        order = StepOrder(
            parts=tuple(parts),
            source_format=converter_format(origin, step.to_format),
            target_format=step.to_format,
            parameters=step.plain,
            service_timeout=step.service_timeout,
            destination=first.destination,
            overwrite=True,
            timeout=first.timeout,
            poll_interval=first.poll_interval,
            shared=shared,
            title=f"{first.describe()}{more}, step {step.number} of {total} "
            f"({origin} to {step.to_format})",
            originals=tuple(uri for order in self.orders for uri in order.input_uris),
        )
        inputs = [
            [name, result.derivation, result.index]
            for name, result in zip(names, results, strict=True)
        ]
        seed = {"step": step.number, "inputs": inputs, **step.identity(), **self.seed}
        return order, seed

    def _collect(self, links: Sequence[Link]) -> Outcome:
        """Publish what the last step made, and delete what the chain left at the service."""
        work = self._final_work(links)
        outputs = collect(work, self._conversion(links))
        self._delete(work)
        return self._outcome(links, outputs)

    def _outcome(self, links: Sequence[Link], outputs: list[str]) -> Outcome:
        sizes = tuple(file.size for file in self._conversion(links).files)
        return Outcome(outputs, self.cost, self.charged, sizes)

    def _conversion(self, links: Sequence[Link]) -> Conversion:
        files = [file for link in links if link.conversion for file in link.conversion.files]
        return Conversion(self.cost, tuple(files))

    def _final_work(self, links: Sequence[Link]) -> Work:
        work = links[0].work
        overwrite = self.orders[0].overwrite
        return replace(work, order=replace(work.order, overwrite=overwrite))

    def _finished(self) -> Outcome | None:
        """Look at the last step first: an earlier try, or run, may have got that far.

        Which jobs it has, the answers of the steps before tell, whose documents may be gone.
        """
        self._links = []
        links = self._step(1, [])
        if not links[0].work.this_try.may_be_known:
            return None
        for number in range(1, len(self.steps) + 2):
            if number > 1:
                links = self._step(number, [r for link in links for r in link.results()])
            for link in links:
                link.find()
        return self._reuse(links) if all(link.conversion for link in links) else None

    def _reuse(self, links: Sequence[Link]) -> Outcome | None:
        work = self._final_work(links)
        conversion = self._conversion(links)
        if can_be_fetched(work, conversion):
            work.log.info("An earlier try has ended this chain; its result is collected.")
            return self._collect(links)
        outputs = published(work, conversion)
        if outputs is None:
            return None
        work.log.info("Reused, no charge: an earlier try published %s.", ", ".join(outputs))
        self._delete(work)
        return self._outcome(links, outputs)

    @contextmanager
    def _cleaning(self) -> Iterator[None]:
        """Delete the intermediates when a step has failed for good; else another try needs them."""
        try:
            yield
        except (ConversionError, ParameterError, UnsupportedFormatError) as error:
            if not error.transient and self._links:
                self._delete(self._links[0].work)
            raise

    def _delete(self, work: Work) -> None:
        documents = [file_id for link in self._links for file_id in link.documents]
        documents = list(dict.fromkeys(documents))
        if work.left is not None:
            work.left += documents
        else:
            delete_files(work.client, documents, work.deadline, work.log)

    @contextmanager
    def _named(self, number: int, inputs: Sequence[Result]) -> Iterator[None]:
        """Let an error say which step it was, and what was paid before it."""
        paid = self.cost
        try:
            yield
        except ConvertApiError as error:
            if isinstance(error, TransientConversionError) and error.code == _GONE:
                self._check_inputs(number, inputs, paid, error)
            if number == 1:
                raise
            before = f" The steps before it took {paid} conversion(s)." if paid else ""
            said = f"Step {number} of {len(self.steps) + 1} failed: {error.message}{before}"
            raise type(error)(said, *error.args[1:]) from error.__cause__

    def _check_inputs(
        self, number: int, inputs: Sequence[Result], paid: int, error: ConversionError
    ) -> None:
        client = self._links[0].work.client
        files = [result.file for result in inputs if result.file]
        if all(client.call(find_file(file.file_id)) is not None for file in files):
            return
        raise ResultExpiredError(
            f"Step {number} of {len(self.steps) + 1} failed: ConvertAPI has deleted what the step "
            f"before it made. {paid} conversion(s) were paid. Clear the task to convert and pay "
            f"anew. ({error.message})"
        )
