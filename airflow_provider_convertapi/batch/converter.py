"""Convert one file of a batch, under ids that the next try, run or worker finds again."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api import redaction
from airflow_provider_convertapi.api.converters import extension_of, without_extension
from airflow_provider_convertapi.api.ids import JobIds, seed_text
from airflow_provider_convertapi.batch.limit import Rhythm
from airflow_provider_convertapi.batch.outputs import BatchOutput
from airflow_provider_convertapi.conversions.arguments import place_order
from airflow_provider_convertapi.conversions.chain import Chain
from airflow_provider_convertapi.conversions.direct import DirectConversion
from airflow_provider_convertapi.conversions.durable import DurableConversion
from airflow_provider_convertapi.conversions.job import Work
from airflow_provider_convertapi.conversions.request import Part
from airflow_provider_convertapi.conversions.result import Try
from airflow_provider_convertapi.errors import InputChangedError
from airflow_provider_convertapi.storage import Source, is_url, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_provider_convertapi.api.client import Client
    from airflow_provider_convertapi.batch.decisions import Item
    from airflow_provider_convertapi.batch.request import BatchRequest
    from airflow_provider_convertapi.batch.shared_files import SharedFiles
    from airflow_provider_convertapi.conversions.deferral import WatchedJob
    from airflow_provider_convertapi.conversions.job import Turn
    from airflow_provider_convertapi.conversions.request import Order
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

quiet = logging.getLogger(f"{__name__}.one")
"""A batch tells its story in totals: a line for each file would bury what matters."""
quiet.setLevel(logging.WARNING)


@dataclass(slots=True)
class Converter:
    """Make the conversions of a batch.

    :param file_parameters: the files among the parameters, by name, found.
    """

    hook: ConvertApiHook
    request: BatchRequest
    shared: SharedFiles
    file_parameters: Mapping[str, Source | str]
    rhythm: Rhythm = field(init=False)
    _settle: float = field(init=False)

    def __post_init__(self) -> None:
        self._settle = self.hook.settle
        self.rhythm = Rhythm(self.request.poll_interval)

    def order(self, item: Item) -> Order:
        """Return what is asked of one file; it is looked at anew."""
        order = self._placed(item, find_inputs=True)
        order = self._with(item, order, self._input(item, order.parts[0].input))
        order.destination.check_not_input([order.destination.uri], order.input_uris)
        return order

    def expected(self, item: Item) -> Order:
        """Return the same of a file whose job is underway: it may be gone by now."""
        order = self._placed(item, find_inputs=False)
        if is_url(item.uri):
            return self._with(item, order, item.uri)
        nowhere: Any = None
        name = item.uri.rpartition("/")[2]
        return self._with(
            item, order, Source(item.uri, name, 0, item.fingerprint, nowhere, nowhere)
        )

    def _placed(self, item: Item, *, find_inputs: bool) -> Order:
        request = self.request
        return place_order(
            source=item.uri,
            to_format=request.to_format,
            destination=request.destination.uri,
            from_format=request.from_format,
            parameters=dict(request.plain),
            timeout=request.timeout,
            poll_interval=request.poll_interval,
            overwrite=request.overwrite,
            find_inputs=find_inputs,
        )

    def _with(self, item: Item, order: Order, source: Source | str) -> Order:
        """Complete an order by what is the batch's: output, file parameters, `Timeout`."""
        parts = [replace(order.parts[0], input=source)]
        parts += [Part(name, name, file) for name, file in self.file_parameters.items()]
        place = self.request.destination.uri
        output = BatchOutput(
            place + item.target,
            to_format=self.request.to_formats[-1],
            ours=tuple(place + path for path in item.own_outputs),
            others=tuple(place + path for path in item.foreign_outputs),
            kept_apart=self._kept_apart(item),
        )
        return replace(
            order,
            parts=tuple(parts),
            destination=output,
            service_timeout=self.request.service_timeout,
        )

    def _input(self, item: Item, found: Source | str) -> Source | str:
        """Return the file that the plan is about, or say that it is another one now."""
        if isinstance(found, str):
            return found
        if found.fingerprint != (item.seen or item.fingerprint):
            raise InputChangedError(
                f"{shown(found.uri)} was written since it was listed; nothing was paid. The next "
                "try, or run, converts it; set min_age to leave files alone that are being written."
            )
        return replace(found, fingerprint=item.fingerprint)

    def _kept_apart(self, item: Item) -> str:
        if self.request.on_collision == "fail":
            return ""
        return f"{without_extension(item.target)}.{extension_of(item.uri)}".rpartition("/")[2]

    def ids(self, item: Item, order: Order) -> JobIds:
        """Return the ids of a file's conversion: no part of a run, a task, a try or a shard."""
        settings = self.hook.settings
        scope = {"destination": self.request.destination.uri, "output": item.target}
        seed = order.seed() | {
            "namespace": settings.namespace,
            "key": self.request.conversion_key,
            "scope": scope,
            **({"step": 1} if self.request.steps else {}),
        }
        return JobIds.from_seed(settings.id_key, seed_text(seed))

    def durable(self, item: Item, client: Client) -> DurableConversion:
        """Return a file's conversion as a job."""
        order = self.order(item)
        order = replace(order, shared=self.shared.ids(client))
        return self.resumed(item, order, self.ids(item, order), client)

    def watched_ids(self, job: WatchedJob) -> JobIds:
        """Return the ids of a job that a trigger watched: they are not derived anew."""
        return JobIds(self.hook.settings.id_key, job.derivation)

    def chain(self, item: Item, client: Client, order: Order | None = None) -> Chain:
        """Return a file's conversion in steps.

        :param order: of a first step that is underway; None looks at the file anew.
        """
        scope = {"destination": self.request.destination.uri, "output": item.target}

        def make_work(order: Order, ids: JobIds) -> Work:
            return self.resumed(item, order, ids, client).work

        shared = self.shared.ids(client)
        first = replace(order or self.order(item), shared=shared)
        return Chain(
            orders=[first],
            steps=self.request.steps,
            seed={
                "namespace": self.hook.settings.namespace,
                "key": self.request.conversion_key,
            },
            scope=scope,
            make_work=make_work,
            key=self.hook.settings.id_key,
            shared=shared,
        )

    def resumed(
        self,
        item: Item,
        order: Order,
        ids: JobIds,
        client: Client,
        delays: Callable[[float], Iterator[float]] | None = None,
    ) -> DurableConversion:
        """Return a conversion whose ids are known.

        :param delays: seconds before each poll; None for the rhythm of this batch.
        """
        return DurableConversion(
            Work(
                client,
                ids,
                order,
                self._this_try(item),
                client.monotonic() + order.timeout,
                quiet,
                delays=delays or (lambda _: self.rhythm.delays()),
                patient=False,
                left=[],
                passed=item.barred_attempts,
            )
        )

    def direct(self, item: Item, client: Client, turn: Turn) -> DirectConversion:
        """Return a file's conversion in one exchange."""
        order = self.order(item)
        deadline = client.monotonic() + order.timeout
        this_try = self._this_try(item)
        return DirectConversion(client, order, this_try, deadline, quiet, patient=False, turn=turn)

    def _this_try(self, item: Item) -> Try:
        scope = self.hook.scope
        if scope.try_number == 1 and item.is_second_attempt:
            # Of an earlier run: its attempt counts, but nothing of it can still be on its way.
            return Try(2, 0.0, self._settle, follows_runs=True)
        return Try(scope.try_number, scope.started, self._settle, follows_runs=True)


def error_fields(error: BaseException) -> dict[str, Any]:
    """Return what a record says of a failure."""
    code = getattr(error, "code", None)
    return {
        "error": type(error).__name__,
        "code": code if isinstance(code, int) else None,
        "message": redaction.shown(str(error)),
    }
