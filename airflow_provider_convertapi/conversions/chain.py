"""A conversion in steps at the service; a single conversion is a chain of one.

Documents stay at the service between steps: each step takes the results of the step before by their
ids.  Each step is a separate job, whose results stay at the service until the chain has succeeded
or failed for good.

This module may change from release to release.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.endpoints import Conversion, find_file
from airflow_provider_convertapi.api.ids import JobIds, seed_text
from airflow_provider_convertapi.conversions.collection import (
    can_be_fetched,
    collect,
    delete_files,
)
from airflow_provider_convertapi.conversions.copies import find_published, note_place
from airflow_provider_convertapi.conversions.durable import StepJob
from airflow_provider_convertapi.conversions.job import Job
from airflow_provider_convertapi.conversions.result import ConversionResult
from airflow_provider_convertapi.conversions.steps import later_requests
from airflow_provider_convertapi.errors import (
    ConversionError,
    ConvertApiError,
    ResultCheckError,
    ResultExpiredError,
    TransientConversionError,
)

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_provider_convertapi.conversions.deferral import JobRef
    from airflow_provider_convertapi.conversions.durable import StepOutput
    from airflow_provider_convertapi.conversions.job import JobSettings
    from airflow_provider_convertapi.conversions.request import (
        CheckedConversion,
        ConversionRequest,
    )
    from airflow_provider_convertapi.conversions.session import Session
    from airflow_provider_convertapi.conversions.target import Target

MERGE_OF_ONE = (
    "%s merges one file alone, which costs 1 conversion and changes nothing: leave merge out."
)

_GONE = 5009
"""ConvertAPI's Code for an unknown file id."""


@dataclass(slots=True)
class Chain:
    """Convert exactly once: look for the jobs, submit, wait, publish, and clean up.

    `proceed` may be called again after a transient error: it continues where it stopped.

    :param scope: identifies the task or the batch's output; part of the first step's seeds.
    :param stored: ids of file parameters that are at the service, by `Step.key_of`.
    :param seconds: how long to wait for each job; None means the request's timeout.
    :param leaves_documents: True collects the ids of documents in `documents`, for the caller to
        delete; False deletes the documents.
    """

    conversion: CheckedConversion
    session: Session
    scope: Mapping[str, Any]
    settings: JobSettings
    log: logging.Logger
    stored: Mapping[str, str] = field(default_factory=dict, repr=False)
    seconds: float | None = None
    leaves_documents: bool = False
    documents: list[str] = field(default_factory=list, init=False, repr=False)
    _steps: list[list[StepJob]] = field(default_factory=list, init=False)
    """The jobs of each step that was reached."""
    _derivation: str = field(default="", init=False)
    """The stamps of its outputs are derived from this; empty until its last step was reached."""
    _known_names: list[str] = field(default_factory=list, init=False)
    """The names of its results, if an earlier attempt has shown them."""

    @property
    def jobs(self) -> list[tuple[Job, tuple[str, ...]]]:
        """Return all jobs, each with the keys of the inputs that it may have uploaded."""
        return [(step.job, tuple(step.job.request.uploads)) for step in self._all]

    @property
    def refs(self) -> list[JobRef]:
        """Return the jobs that the service has, in the order that `proceed` expects."""
        return [step.ref for step in self._all if step.ref]

    @property
    def attempt(self) -> int:
        """Return the attempt of the first step's first job, counted from 0."""
        return self._steps[0][0].attempt if self._steps else 0

    @property
    def cost(self) -> int:
        """Return the conversions that it has cost so far, in this and earlier tries."""
        return sum(step.cost for step in self._all)

    @property
    def charged(self) -> int:
        """Return the conversions that this try has paid for so far."""
        return sum(step.charged for step in self._all)

    @property
    def ended_bill(self) -> tuple[int, int]:
        """Return cost and charge of the jobs that have succeeded."""
        ended = [step for step in self._all if step.conversion]
        return sum(step.cost for step in ended), sum(step.charged for step in ended)

    @property
    def _all(self) -> list[StepJob]:
        return [step for steps in self._steps for step in steps]

    @property
    def _length(self) -> int:
        return 1 + len(self.conversion.steps)

    def proceed(
        self, known: Sequence[JobRef] = (), *, defers: bool = False
    ) -> ConversionResult | list[JobRef]:
        """Continue the conversion to its end.

        :param known: jobs that another process has begun, in the order of `refs`.
        :param defers: True returns the jobs so far instead of waiting for one.
        """
        with self._cleaning_up():
            # All steps are looked up before anything is submitted: if the last one has its result,
            # no earlier step may be paid again.
            if not known and not self._steps:
                found = self._find()
                if found is not None:
                    return found
            waiting = deque(known)
            for number in range(1, self._length + 1):
                steps = self._step(number, waiting)
                with self._naming_step(number):
                    # All are submitted before one is waited for, so that they run side by side.
                    for step in steps:
                        step.begin()
                    if defers and any(step.is_under_way for step in steps):
                        return self.refs
                    for step in steps:
                        self._finish(step)
            return self._collect()

    def left_behind(self) -> list[str]:
        """Return the ids of the documents that an earlier try may have left at the service."""
        with suppress(ConvertApiError):  # the service deletes the rest within three hours
            for number in range(1, self._length + 1):
                for step in self._step(number, deque()):
                    step.find()
        return [document for step in self._all for document in step.documents]

    # --- steps -------------------------------------------------------------------------------

    def _step(self, number: int, known: deque[JobRef]) -> list[StepJob]:
        """Return the jobs of a step; create them when the step is first reached."""
        if number > len(self._steps):
            made = self._new_step(number, self._outputs(number - 1), known)
            self._steps.append(made)
            if number == self._length:
                # All results of the conversion have one stamp, whichever of its jobs made them.
                self._derivation = " ".join(step.job.ids.derivation for step in made)
        for step in self._steps[number - 1]:
            # Each step gets the full time, also when `proceed` is called again.
            step.job.deadline = self._deadline(step.job.request)
        return self._steps[number - 1]

    def _outputs(self, number: int) -> list[StepOutput]:
        if number == 0:
            return []
        return [output for step in self._steps[number - 1] for output in step.outputs()]

    def _new_step(
        self, number: int, outputs: Sequence[StepOutput], known: deque[JobRef]
    ) -> list[StepJob]:
        made = []
        for request, seed in self._asked(number, outputs):
            # A seed that is made now could be another one: since the job was submitted, the source
            # may have been written or removed.
            if known:
                ids = JobIds(self.session.key, known[0].derivation)
            else:
                ids = JobIds.from_seed(self.session.key, seed_text(seed))
            if request.is_merge_of_one and not self.leaves_documents:  # a batch says it once
                self.log.warning(MERGE_OF_ONE, request.describe())
            deadline = self._deadline(request)
            job = Job(self.session, ids, request, self.settings, deadline, self.log)
            step = StepJob(job, number, self._check_target)
            if known:
                step.adopt(known.popleft())
            made.append(step)
        return made

    def _deadline(self, request: ConversionRequest) -> float:
        seconds = request.timeout if self.seconds is None else self.seconds
        return self.session.client.monotonic() + seconds

    def _check_target(self) -> None:
        """Check, before anything is paid, that no file is in the way; later, publishing does."""
        if not self.cost:
            self._target.check(self._known_names)

    @property
    def _target(self) -> Target:
        """Return the target; once the last step was reached, it recognises its own outputs."""
        target, derivation = self.conversion.target, self._derivation
        return target.stamped(JobIds(self.session.key, derivation)) if derivation else target

    def _asked(
        self, number: int, outputs: Sequence[StepOutput]
    ) -> list[tuple[ConversionRequest, dict[str, Any]]]:
        """Return the requests of a step, each with its seed."""
        common: dict[str, Any] = {
            "namespace": self.session.settings.namespace,
            "key": self.conversion.conversion_key,
        }
        if self._length > 1:
            common["step"] = number
        if number == 1:
            common["scope"] = dict(self.scope)
            return [(request, request.seed() | common) for request in self.conversion.requests]
        # These seeds name the job and the index of an input's result, not its file id: another try
        # derives the same ids, even if the service has forgotten the files.
        later = later_requests(self.conversion, number, outputs, self.stored)
        return [(request, seed | common) for request, seed in later]

    def _finish(self, step: StepJob) -> None:
        try:
            step.finish()
        except TransientConversionError:
            self._discard(step.uploads)  # another attempt uploads under other ids
            raise

    # --- results of an earlier try -----------------------------------------------------------

    def _find(self) -> ConversionResult | None:
        """Look for the results of an earlier try or run, before anything is submitted."""
        if not self._may_be_known():
            return None
        for number in range(1, self._length + 1):
            steps = self._step(number, deque())
            with self._naming_step(number):
                for step in steps:
                    step.find()  # raises a final verdict of any step, and of any sibling
        found = self._reuse()
        if found is None:
            self._keep_what_stands()
        return found

    def _may_be_known(self) -> bool:
        """Tell whether the service may know any of its jobs.

        On a first try, free lookups of the first jobs and the last one tell whether an earlier run
        of the same name has submitted them.  A single conversion needs only the search itself.
        """
        if self.settings.may_be_known or self._length == 1:
            return True
        first, *_, last = [self._step(number, deque()) for number in range(1, self._length + 1)]
        for step in first:
            step.find()
        is_known = any(step.is_known for step in first) or not last[0].job.look(0).unknown
        # A single first job is submitted at once and needs no second lookup.  With several, the
        # others wait for its upload, in which another process may submit them.
        self._steps = [] if is_known or len(first) > 1 else [first]
        return is_known

    def _keep_what_stands(self) -> None:
        """Forget results that are gone, and the steps after them.

        If a later step runs, or its results exist, the results of earlier steps are not needed.
        """
        for number in range(len(self._steps), 1, -1):
            before = [step for steps in self._steps[: number - 1] for step in steps]
            steps = self._steps[number - 1]
            if all(step.conversion for step in before) and all(step.stands() for step in steps):
                del self._steps[number:]
                return
        for step in self._steps[0]:
            step.check_fetchable()
        del self._steps[1:]

    def _reuse(self) -> ConversionResult | None:
        last = self._steps[-1]
        if not all(step.conversion for step in last):
            return None
        made = self._made()
        # A result that is still there is fetched again, which is free: an earlier try may have died
        # while it published, and an output of the same size proves nothing.
        if can_be_fetched(last[0].job, made):
            self.session.count_decision("already_succeeded")
            self.log.info(
                "An earlier try converted and paid this; its result is collected, no charge."
            )
            return self._collect()
        # The results are gone from the service, perhaps because they were published and deleted.
        outputs = find_published(self._derivation, self._target, made)
        if outputs is None:
            self._known_names = [file.name for file in made.files]
            return None
        self.session.count_decision("already_succeeded")
        self.log.info("Reused, no charge: this was converted before.")
        # The earlier try may have died before it had deleted all of them.
        self._discard_all()
        return self._result(outputs)

    # --- the end -----------------------------------------------------------------------------

    def _made(self) -> Conversion:
        files = [
            file for step in self._steps[-1] if step.conversion for file in step.conversion.files
        ]
        return Conversion(self.cost, tuple(files))

    def _collect(self) -> ConversionResult:
        """Publish the results of the last step, and delete the chain's documents at the service."""
        target, what = self._target, self._steps[-1][0].job.request.describe()
        outputs, digests = collect(self.session, target, self._made(), what, self.log)
        # Only after publication: until then these are the only copies of a paid result.  The jobs'
        # records stay: if this process dies before Airflow knows that the task has succeeded, they
        # show the next try that the conversion is paid.
        self._discard_all()
        return self._result(outputs, digests)

    def _result(self, outputs: list[str], digests: tuple[str, ...] = ()) -> ConversionResult:
        for step in self._all:
            step.forget_note()
        if not self.leaves_documents:  # a batch never requests a conversion twice
            note_place(self._derivation, self.conversion.target.destination)
        sizes = tuple(file.size for file in self._made().files)
        return ConversionResult(outputs, self.cost, self.charged, sizes, digests)

    def _discard_all(self) -> None:
        self._discard([document for step in self._all for document in step.documents])

    def _leave_refused(self, *, is_kept: bool) -> None:
        """Delete the documents after a refusal, except those that a later try needs.

        A batch has recorded the refusal.  Any other task fetches the results again, without paying,
        and applies the check that it has by then.

        :param is_kept: whether the results were kept beside the destination.
        """
        if self.leaves_documents and is_kept:
            self._discard_all()
        elif not self.leaves_documents:
            last = {file.file_id for file in self._made().files}
            others = [one for step in self._all for one in step.documents if one not in last]
            self._discard(others)

    def _discard(self, documents: Sequence[str]) -> None:
        ids = list(dict.fromkeys(documents))
        if self.leaves_documents:
            self.documents += ids
        else:
            deadline = self._all[0].job.deadline
            delete_files(self.session.client, ids, deadline, self.log)

    @contextmanager
    def _cleaning_up(self) -> Iterator[None]:
        """Delete all documents if a step has failed for good.

        After a refused request they stay: once its parameters are fixed, another try needs them.
        """
        try:
            yield
        except ConversionError as error:
            if not error.transient:
                self._discard_all()
            raise
        except ResultCheckError as error:
            self._leave_refused(is_kept=bool(error.kept))
            raise

    @contextmanager
    def _naming_step(self, number: int) -> Iterator[None]:
        """Add to an error which step it was, and what the steps before it cost."""
        paid = sum(step.cost for steps in self._steps[: number - 1] for step in steps)
        try:
            yield
        except ConvertApiError as error:
            # If an input has expired at the service, another attempt would be paid for nothing.
            if error.transient and error.code == _GONE:
                self._check_inputs(number, paid, error)
            if number == 1:
                raise
            before = f" The steps before it took {paid} conversion(s)." if paid else ""
            said = f"Step {number} of {self._length} failed: {error.message}{before}"
            raise error.saying(said) from error.__cause__

    def _check_inputs(self, number: int, paid: int, error: ConvertApiError) -> None:
        client = self.session.client
        files = [output.file for output in self._outputs(number - 1) if output.file]
        if all(client.call(find_file(file.file_id)) is not None for file in files):
            return
        raise ResultExpiredError(
            f"Step {number} of {self._length} failed: ConvertAPI has deleted what the step before "
            f"it made. {paid} conversion(s) were paid. Clear the task to convert and pay again. "
            f"({error.message})"
        )
