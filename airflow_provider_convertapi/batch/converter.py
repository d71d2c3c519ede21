"""Convert one file of a batch, under ids that another try, run or worker can derive again.

This module may change from release to release.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.converters import extension_of, without_extension
from airflow_provider_convertapi.api.ids import JobIds, seed_text
from airflow_provider_convertapi.batch.inputs import MISSING
from airflow_provider_convertapi.batch.limit import PollSchedule
from airflow_provider_convertapi.batch.outputs import BatchOutput
from airflow_provider_convertapi.conversions.chain import Chain
from airflow_provider_convertapi.conversions.checking import (
    acceptance_of,
    check_file,
    check_input,
    request_for,
)
from airflow_provider_convertapi.conversions.direct import DirectConversion
from airflow_provider_convertapi.conversions.job import Job, JobSettings, Unlimited
from airflow_provider_convertapi.conversions.request import CheckedConversion
from airflow_provider_convertapi.conversions.target import Target
from airflow_provider_convertapi.errors import InputChangedError
from airflow_provider_convertapi.storage import (
    Source,
    find_source,
    is_url,
    listed_source,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_convertapi.batch.decisions import Item
    from airflow_provider_convertapi.batch.request import BatchRequest
    from airflow_provider_convertapi.batch.shared_files import SharedFiles
    from airflow_provider_convertapi.conversions.deferral import JobRef
    from airflow_provider_convertapi.conversions.job import Permit
    from airflow_provider_convertapi.conversions.request import ConversionRequest, Input
    from airflow_provider_convertapi.conversions.session import Session

quiet = logging.getLogger(f"{__name__}.one")
"""The log of single files: a batch logs totals, which a line for each file would bury."""
quiet.setLevel(logging.WARNING)


@dataclass(slots=True)
class Converter:
    """Prepare the conversions of a batch.

    :param file_parameters: the files among the parameters, found, by name.
    """

    session: Session
    request: BatchRequest
    shared: SharedFiles
    file_parameters: Mapping[str, Input]
    schedule: PollSchedule = field(init=False)

    def __post_init__(self) -> None:
        self.schedule = PollSchedule(self.request.poll_interval)

    # --- the request -------------------------------------------------------------------------

    def check(self, item: Item) -> CheckedConversion:
        """Return a file's checked conversion, without a request to its store."""
        source = self._listed(item)
        check_input(source, "source")
        conversion = self._conversion(item, source)
        check_file(self.request, conversion.requests[0])
        target = conversion.target
        target.destination.check_not_input([target.destination.uri], target.inputs)
        return conversion

    def expect(self, item: Item) -> CheckedConversion:
        """Return the conversion of a file whose job runs; the file itself may be gone."""
        if is_url(item.uri):
            return self._conversion(item, item.uri)
        nowhere: Any = None
        name = item.uri.rpartition("/")[2]
        source = Source(item.uri, name, 0, item.fingerprint, nowhere, nowhere)
        return self._conversion(item, source)

    def _listed(self, item: Item) -> Input:
        """Return the file as the plan found it; it is checked again right before paying."""
        seen = item.seen or item.fingerprint
        if is_url(item.uri):
            return item.uri
        if seen == MISSING:
            self.check_listed(item)
        return replace(listed_source(item.uri, seen), fingerprint=item.fingerprint)

    def check_listed(self, item: Item) -> None:
        """Raise an error if a file has vanished, or was written, since it was listed."""
        if is_url(item.uri):
            return
        found = find_source(item.uri)
        if found.fingerprint != (item.seen or item.fingerprint):
            raise InputChangedError(
                f"{shown(found.uri)} was written since it was listed; nothing was paid. The next "
                "try, or run, converts it; set min_age to skip files that are still being written."
            )

    def _conversion(self, item: Item, source: Input) -> CheckedConversion:
        request = request_for(self.request, [source], self.file_parameters)
        return CheckedConversion(
            requests=[request],
            steps=self.request.steps,
            target=self._target(item, request),
            durable=self.request.durable,
            conversion_key=self.request.conversion_key,
        )

    def _target(self, item: Item, request: ConversionRequest) -> Target:
        overwrite = self.request.overwrite
        inputs = (*request.input_uris, *self.request.step_files)
        # With `overwrite` an output of another run is only reused if its stamp proves that it is
        # this conversion's.
        return Target(
            self._output(item),
            overwrite and not item.is_input,
            inputs,
            trusts_size=not overwrite,
            acceptance=acceptance_of(self.request, [request]),
        )

    def _output(self, item: Item) -> BatchOutput:
        place = self.request.destination.uri
        return BatchOutput(
            place + item.target,
            directory=place,
            to_format=self.request.to_formats[-1],
            ours=tuple(place + path for path in item.own_outputs),
            former={
                place + path: digest
                for path, digest in item.former_outputs.items()
                if path not in item.own_outputs
            },
            others=tuple(place + path for path in item.foreign_outputs),
            kept_apart=self._kept_apart(item),
            is_of_another=item.is_of_another,
            is_input=item.is_input,
        )

    def _kept_apart(self, item: Item) -> str:
        if self.request.on_collision == "fail":
            return ""
        return f"{without_extension(item.target)}.{extension_of(item.uri)}".rpartition("/")[2]

    # --- its conversion ----------------------------------------------------------------------

    def prepare(self, item: Item, permit: Permit, *, is_begun: bool) -> Chain | DirectConversion:
        """Return a file's conversion, ready to run.

        :param is_begun: whether the service has its job; then the file may be gone.
        """
        conversion = self.expect(item) if is_begun else self.check(item)
        settings = JobSettings(
            # Another run, or a killed try, may have paid for this file, so it looks before it pays.
            may_be_known=True,
            is_second_attempt=item.is_second_attempt,
            has_timed_out=item.has_timed_out,
            barred_attempts=item.barred_attempts,
            waits_out_throttling=False,  # the pool does, without holding a slot
            is_of_batch=True,
            delays=lambda _: self.schedule.delays(),
            permit=permit,
        )
        if not self.request.durable:
            ids = self._ids(item, conversion.requests[0])
            own = replace(conversion, target=conversion.target.stamped(ids))
            return DirectConversion(own, self.session, settings, quiet)
        stored = self.shared.ids(self.session.client)
        first = replace(conversion.requests[0], stored=stored)
        return Chain(
            replace(conversion, requests=[first]),
            self.session,
            self._scope(item),
            settings,
            quiet,
            stored=stored,
            leaves_documents=True,  # until the record is published; see `Recorder`
        )

    def left_behind(self, item: Item) -> list[str]:
        """Return the ids of the documents that an earlier try may have left of a file's steps."""
        # It reserves nothing: the file is settled, and nothing of it is submitted any more.
        chain = self.prepare(item, Unlimited(), is_begun=True)
        return chain.left_behind() if isinstance(chain, Chain) else []

    def _scope(self, item: Item) -> dict[str, str]:
        """Return the scope of a file's ids; without run, task, try and shard, which may change."""
        return {"destination": self.request.destination.uri, "output": item.target}

    def source_format(self, item: Item) -> str:
        """Return the source format that a file is converted from."""
        return self.expect(item).requests[0].source_format

    def ids(self, item: Item) -> JobIds:
        """Return the ids of a file's first job, as the plan describes the file."""
        return self._ids(item, self.expect(item).requests[0])

    def _ids(self, item: Item, request: ConversionRequest) -> JobIds:
        # This must be the seed that `Chain` makes for its first step, or no job is found again. A
        # change of it also moves the ids of jobs that run during an upgrade: each is paid again.
        seed = request.seed() | {
            "namespace": self.session.settings.namespace,
            "key": self.request.conversion_key,
            "scope": self._scope(item),
            **({"step": 1} if len(self.request.to_formats) > 1 else {}),
        }
        return JobIds.from_seed(self.session.key, seed_text(seed))

    def job(self, item: Item, ref: JobRef) -> Job:
        """Return a job that another process has begun."""
        request = self.expect(item).requests[0]
        settings = JobSettings(may_be_known=True, is_second_attempt=item.is_second_attempt)
        deadline = self.session.client.monotonic() + request.timeout
        ids = JobIds(self.session.key, ref.derivation)
        return Job(self.session, ids, request, settings, deadline, quiet)
