"""The state that all questions share: requests, money, credentials, facts, and things to delete.

This module may change from release to release.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.ids import JobIds
from airflow_provider_convertapi.live.facts import KNOWN, NOT_ASKED, UNCLEAR, Fact
from airflow_provider_convertapi.live.jobs import Jobs
from airflow_provider_convertapi.live.keys import Keys
from airflow_provider_convertapi.live.money import Money
from airflow_provider_convertapi.live.wire import THROTTLED_TRIES, Wire, is_throttled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_convertapi.api.wire import Request, Response
    from airflow_provider_convertapi.clock import Clock
    from airflow_provider_convertapi.connection import ConnectionSettings
    from airflow_provider_convertapi.live.documents import Document
    from airflow_provider_convertapi.live.jobs import Job

# ConvertAPI's OpenAPI document has all of them but the last, which is known from third parties.
HOSTS = tuple(
    f"https://{name}.convertapi.com"
    for name in ("v2", "eu-v2", "uk-v2", "us-v2", "ca-v2", "as-v2", "au-v2", "jp-v2")
)
STOPPED = "a refused request was billed, so nothing more is asked that could cost something"


def left_id(key: str, nonce: str, kind: str) -> str:
    """Return the id of a job that was left; a report alone, without the key, does not reveal it."""
    return JobIds.from_seed(key, f"live check {nonce} {kind}").job_id(0)


@dataclass(slots=True)
class Check:
    """One live check of one connection.

    :param allowed: conversions that it may take.
    :param pages: pages of the document that should take long to convert.
    :param hosts: the origins of ConvertAPI.
    """

    settings: ConnectionSettings
    clock: Clock
    say: Callable[[str], None]
    allowed: int = 0
    pages: int = 300
    hosts: tuple[str, ...] = HOSTS
    nonce: str = ""
    """Part of the ids of jobs that are left for a later call; empty if none is left."""
    facts: list[Fact] = field(default_factory=list)
    vanished_at: float = 0.0
    """Age in seconds at which the record of a job that was read had vanished; 0 if it did not."""
    verdict_gone_at: float = 0.0
    """The same for the verdict of a job that failed."""
    measured_all: bool = True
    """Whether the account's count could be read after each refused request."""
    pending: str = ""
    """Why a debit may come later that no question explains; empty if none may."""
    first_price: tuple[int, str] | None = None
    """The cost of the first conversion, and its name."""
    grows: bool = False
    """Whether more pages or results were seen to cost more."""
    kept_at: float = 0.0
    """Age in seconds at which the record of a job that was left alone was still there."""
    wire: Wire = field(init=False)
    money: Money = field(init=False)
    keys: Keys = field(init=False)
    jobs: Jobs = field(init=False)

    def __post_init__(self) -> None:
        timeout = self.settings.http_timeout
        self.wire = Wire(self.settings.base_url, self.clock, self.say, timeout)
        self.money = Money(self.wire, self.allowed, self.settings.master_token)
        self.keys = Keys(self.settings, self.wire)
        self.jobs = Jobs(self.wire, self.keys.secret)

    def close(self) -> list[str]:
        """Delete everything that was made; return what may be left at the service."""
        try:
            return self.jobs.clean()
        finally:
            self.wire.close()

    # --- facts -----------------------------------------------------------------------------------

    def know(
        self,
        question: int,
        name: str,
        reading: str,
        evidence: str,
        meaning: str = "",
        **switches: Any,
    ) -> None:
        """Add a fact that the evidence shows."""
        self.facts.append(Fact(question, name, KNOWN, reading, evidence, meaning, switches))

    def unclear(self, question: int, name: str, why: str, evidence: str = "") -> None:
        """Add a question that was asked, but that the evidence does not answer."""
        self.facts.append(Fact(question, name, UNCLEAR, why, evidence))

    def skip(self, question: int, name: str, why: str = "") -> None:
        """Add a question that was not asked."""
        why = why or self.money.stopped or "it needs more conversions than are allowed"
        self.facts.append(Fact(question, name, NOT_ASKED, why))

    def has(self, name: str) -> bool:
        """Tell whether there is an entry of a fact, known or not."""
        return any(fact.name == name for fact in self.facts)

    def is_settled(self, name: str) -> bool:
        """Tell whether a fact is known already."""
        return any(fact.name == name and fact.state == KNOWN for fact in self.facts)

    def settle(self, fact_name: str) -> None:
        """Remove entries of a fact from before it was known."""
        self.facts = [f for f in self.facts if f.name != fact_name or f.state == KNOWN]

    @property
    def is_flat(self) -> bool:
        """Tell whether a conversion is known to cost the same for any number of pages."""
        if self.first_price is None or self.grows:
            return False
        return self.first_price[0] == 1 or self.is_settled("what pages and results cost")

    def left_id(self, kind: str) -> str | None:
        """Return the id of a job for a later call; None if no job is left."""
        return left_id(self.settings.id_key, self.nonce, kind) if self.nonce else None

    def submit(
        self,
        pair: tuple[str, str],
        fields: Sequence[tuple[str, str | Document]],
        *,
        worst: int,
        stores: bool = False,
        job_id: str | None = None,
    ) -> Job:
        """Submit a job; again if its POST was lost and the account shows that it was not billed.

        :param worst: the most conversions that it can take.
        """
        submit = partial(
            self.jobs.submit,
            pair,
            fields,
            stores=stores,
            may_repeat=lambda: self.money.may(worst),
        )
        job = submit(job_id=job_id)
        if job.submitted is None and not job.is_accepted and self.money.measure(1) == 0:
            return submit(job_id=job.id) if self.money.may(worst) else job
        return job

    def follow(self, job: Job) -> None:
        """Poll a job until it has ended; if it does not, stop, since later counts are doubtful."""
        if not job.is_accepted:
            return
        self.jobs.follow(job)
        if job.final is None and not job.vanished and not self.money.stopped:
            self.money.stopped = "a job of this check does not end, and may be billed at any time"

    # --- requests that may be billed -------------------------------------------------------------

    def pay(self, request: Request, worst: int) -> Response | None:
        """Send a conversion that leaves no job; send it again only if it was throttled."""
        answer = None
        for attempt in range(THROTTLED_TRIES):
            answer = self.wire.once(request, self.keys.secret())
            if not is_throttled(answer):
                return answer
            self.wire.pause(answer, attempt)
            if self.money.is_metered and self.money.measure():
                return None  # it was billed although it was said to be refused
            if not self.money.may(worst):
                break
        return answer

    def refusal_was_billed(self, evidence: str) -> None:
        """Note that refusals are billed, and stop."""
        self.money.stopped = STOPPED
        if not self.is_settled("refusals"):
            self.settle("refusals")
            self.know(
                5,
                "refusals",
                "a request that is refused with 400 or 415 is billed",
                evidence,
                "What is found before anything is sent costs nothing; what only ConvertAPI can "
                "refuse costs one conversion, and a batch counts it. Run `plan_only=True` first.",
                bill_refused=True,
            )
