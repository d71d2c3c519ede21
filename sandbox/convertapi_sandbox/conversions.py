"""One conversion: the request is checked, the document converted, and the account billed."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from convertapi_sandbox import catalogue, fetch, names
from convertapi_sandbox.answers import ResultFile
from convertapi_sandbox.async_jobs import Outcome
from convertapi_sandbox.billing import Receipt
from convertapi_sandbox.engines import MISSING, PAIRS, unsupported_parameters
from convertapi_sandbox.errors import (
    BAD_FILE_ID,
    BAD_REQUEST,
    FAILED,
    PARAMETER,
    SERVER_ERROR,
    UNSUPPORTED,
    ServiceError,
    parameter_error,
)
from convertapi_sandbox.jobs import EngineError, EngineJob, InputFile
from convertapi_sandbox.parameters import check
from convertapi_sandbox.request import Upload, read_form
from convertapi_sandbox.spool import Spool
from convertapi_sandbox.store import ID

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from starlette.requests import Request

    from convertapi_sandbox.canned import CannedAnswer
    from convertapi_sandbox.catalogue import Converter
    from convertapi_sandbox.faults import Fault
    from convertapi_sandbox.front import Exchange
    from convertapi_sandbox.jobs import EngineOutput
    from convertapi_sandbox.parameters import Checked, Typed
    from convertapi_sandbox.request import Form, Value
    from convertapi_sandbox.state import State

_ELSEWHERE = "The sandbox has no engine for it; the real service converts it."
_PAGE = "page.html"
_GLANCE = 0.05
"""Seconds after which a conversion sees that its latency was changed."""
_DELETED = ServiceError(SERVER_ERROR, FAILED, "The job was deleted while it ran.")
_FORGOTTEN = ServiceError(SERVER_ERROR, FAILED, "The sandbox was reset while it converted.")


@dataclass(frozen=True, slots=True)
class Remote:
    """An input that must be fetched before the conversion starts."""

    url: str
    path: Path


Input = InputFile | Remote | ServiceError


@dataclass(slots=True)
class Order:
    """A conversion that was accepted: its parameters, inputs and caller."""

    converter: Converter
    checked: Checked
    spool: Spool
    fault: Fault | None
    exchange: Exchange
    files: list[Input] = field(default_factory=list)
    extra_files: dict[str, Input] = field(default_factory=dict)
    receipt: Receipt = field(default_factory=lambda: Receipt(0))
    canned: CannedAnswer | None = None
    is_waived: bool = False

    def waive(self) -> None:
        """Make it cost nothing and give no results, if it has not ended."""
        self.is_waived = True

    @property
    def name(self) -> str:
        """Return the name of the first document; the last part of its URL if it is not here."""
        first = self.files[0] if self.files else None
        if isinstance(first, Remote):
            return unquote(first.url.partition("?")[0].rstrip("/").rpartition("/")[2])
        return first.name if isinstance(first, InputFile) else ""

    def keep_answer(self) -> None:
        """Leave a canned answer, which was not given, for the next conversion."""
        if self.canned is not None:
            self.canned.hits -= 1
            self.canned, self.exchange.entry.canned = None, False


class Conversions:
    """Accepts and runs the conversions of one sandbox."""

    def __init__(self, state: State) -> None:
        self._state = state

    def spool(self) -> Spool:
        """Create the folder for a request's documents."""
        settings = self._state.settings
        return Spool(self._state.scratch.take(), settings.max_file_size, settings.too_large_status)

    def converter(self, source: str, target: str) -> Converter:
        """Return the converter for two names in a path, or raise the refusal of an unknown pair."""
        converter = catalogue.resolve(source, target)
        if converter is None:
            status = self._state.settings.unknown_pair_status
            raise ServiceError(
                status,
                PARAMETER if status == BAD_REQUEST else status,
                f"There is no converter from {source[:40]} to {target[:40]}.",
            )
        return converter

    async def read(self, request: Request, spool: Spool) -> Form:
        """Read the parameters and documents of a request."""
        return await read_form(request, spool)

    def accept(self, converter: Converter, form: Form, spool: Spool, exchange: Exchange) -> Order:
        """Return the order for a request, or raise the 400 or 415 that refuses it."""
        checked = check(form, converter, self._state.settings)
        exchange.entry.ignored = checked.ignored
        values = dict(checked.values)
        order = Order(converter, checked, spool, exchange.fault, exchange)
        allowed = converter.extensions
        order.files = [self._input(value, spool, allowed) for value in checked.inputs]
        if converter.source == "web":
            url = str(checked.values.pop("Url"))
            order.files = [self._reference(url, spool, frozenset())]
        for name, value in checked.extra_files.items():
            extensions = frozenset(converter.parameters[name].extensions)
            order.extra_files[name] = self._input(value, spool, extensions)
        order.canned = self._state.answers.take(converter, order.name, values)
        exchange.entry.canned = order.canned is not None
        if order.canned is None:
            self._require_engine(converter, values)
        return order

    def _require_engine(self, converter: Converter, values: Mapping[str, Typed]) -> None:
        """Raise the refusal of a conversion that the sandbox has no engine for."""
        pair = converter.source, converter.target
        if pair not in PAIRS:
            text = f"{converter.route}: {_ELSEWHERE}"
            if pair in MISSING:
                text += f" Or install its engine: python -m pip install '{MISSING[pair]}'"
            raise ServiceError(UNSUPPORTED, self._state.settings.unsupported_code, text)
        # A parameter with its default value changes nothing.
        given = {n: v for n, v in values.items() if v != converter.parameters[n].default}
        refused = unsupported_parameters(converter.source, converter.target, given)
        if refused:
            raise parameter_error({name: [f"{name}: {_ELSEWHERE}"] for name in refused})

    # --- inputs ------------------------------------------------------------------------------

    def _input(self, value: Value, spool: Spool, allowed: frozenset[str]) -> Input:
        if isinstance(value, Upload):
            self._check_extension(value.name, allowed)
            return InputFile(value.path, value.name)
        return self._reference(str(value), spool, allowed)

    def _reference(self, text: str, spool: Spool, allowed: frozenset[str]) -> Input:
        """Return the document for a text: a Url, or the id of a stored document."""
        text = text.strip()
        if fetch.is_url(text):
            file_id = fetch.own_file_id(text, self.origins)
            if file_id is None:
                return Remote(text, spool.place(text.partition("?")[0]))
            missing = fetch.unreachable(text)
        else:
            file_id = text
            missing = ServiceError(SERVER_ERROR, BAD_FILE_ID, "File id is not valid.")
        document = None
        if ID.fullmatch(file_id):
            document = self._state.store.find(file_id, self._state.settings.file_lifetime)
        if document is None:
            return missing
        self._check_extension(document.name, allowed)
        path = spool.place(document.name)
        self._state.store.link(document, path)
        return InputFile(path, document.name)

    @property
    def origins(self) -> tuple[str, ...]:
        """Return the origins of this sandbox."""
        port = self._state.origin.rpartition(":")[2]
        own = (self._state.origin, f"http://localhost:{port}", self._state.settings.public_url)
        return tuple(origin for origin in own if origin)

    def _check_extension(self, name: str, allowed: frozenset[str]) -> None:
        extension = names.extension(name)
        if not extension or (allowed and extension not in allowed):
            raise ServiceError(
                UNSUPPORTED,
                self._state.settings.unsupported_code,
                f"The file type {extension[:20]!r} is not supported by this converter.",
            )

    # --- the conversion ----------------------------------------------------------------------

    def reserve(self, order: Order) -> None:
        """Reserve the conversion, or raise the refusal for an exhausted quota."""
        order.exchange.entry.paid = True
        try:
            order.receipt = self._state.account.reserve(order.exchange.api_token)
        except ServiceError:
            order.keep_answer()
            raise

    async def perform(self, order: Order) -> Outcome:
        """Run a reserved conversion and bill it; never raises."""
        started = time.monotonic()
        outcome = await self._outcome(order)
        await self._take_time(order)
        outcome.cost = order.exchange.entry.cost = self._cost(outcome, order)
        self._state.account.settle(order.receipt, outcome.cost)
        if self._state.account.holds(order.receipt):
            self._note(order, outcome, time.monotonic() - started)
        return outcome

    async def _take_time(self, order: Order) -> None:
        """Wait until the conversion has taken as long as conversions do here and now."""
        began, settings = order.exchange.began, self._state.settings
        while (left := began + settings.latency - time.monotonic()) > 0:  # noqa: ASYNC110 - no event tells that a person set the switch
            await asyncio.sleep(min(left, _GLANCE))

    async def _outcome(self, order: Order) -> Outcome:
        fault = order.fault
        if fault is not None and fault.verdict is not None:
            order.keep_answer()
            status = fault.status or SERVER_ERROR
            return Outcome(error=ServiceError(status, fault.verdict, fault.message))
        try:
            outputs = await self._convert(order)
            await self._take_time(order)
            self._check_wanted(order)
            return Outcome(files=self._results(order, outputs))
        except ServiceError as error:
            return Outcome(error=error)
        except EngineError as error:
            return Outcome(error=ServiceError(error.status, error.code, error.message))
        except Exception as error:  # noqa: BLE001 - any error of an engine is a failed conversion
            return Outcome(
                error=ServiceError(
                    SERVER_ERROR, FAILED, f"Conversion failed: {type(error).__name__}."
                )
            )

    def _check_wanted(self, order: Order) -> None:
        """Raise if the job was deleted, or the sandbox reset: then no caller wants results."""
        if order.is_waived:
            raise _DELETED
        if not self._state.account.holds(order.receipt):
            raise _FORGOTTEN

    async def _convert(self, order: Order) -> list[EngineOutput]:
        if order.canned is not None:
            for item in (*order.files, *order.extra_files.values()):
                if isinstance(item, ServiceError):
                    raise item
            return order.canned.write(order.spool.folder / "out", order.name)
        files = [await self._there(item, order.converter) for item in order.files]
        extra = {n: await self._there(item, None) for n, item in order.extra_files.items()}
        job = EngineJob(
            order.converter.source,
            order.converter.target,
            tuple(files),
            extra,
            order.checked.values,
            order.spool.folder,
            order.checked.timeout,
        )
        return await self._state.pool.convert(job)

    async def _there(self, item: Input, converter: Converter | None) -> InputFile:
        """Return an input on disk, after fetching it if it is remote."""
        if isinstance(item, ServiceError):
            raise item
        if isinstance(item, InputFile):
            return item
        name = await fetch.download(item.url, item.path, self._state.settings)
        if converter is not None and converter.source == "web":
            return InputFile(item.path, _PAGE)
        self._check_extension(name, converter.extensions if converter else frozenset())
        return InputFile(item.path, name)

    def _cost(self, outcome: Outcome, order: Order) -> int:
        """Return the cost of an outcome: the price of a success, or one for a processed failure."""
        if order.is_waived:
            return 0
        if outcome.error is None:
            if order.canned is not None and order.canned.cost is not None:
                return order.canned.cost
            counted = {"result": len(outcome.files), "input": len(order.files)}
            settings = self._state.settings
            # A converter without a document, such as that of barcodes, is not free.
            return settings.conversion_cost * max(counted.get(settings.cost_per, 1), 1)
        if outcome.error.status == SERVER_ERROR:
            return int(self._state.settings.bill_failed)
        refused = outcome.error.status in (BAD_REQUEST, UNSUPPORTED)
        return int(refused and self._state.settings.bill_refused)

    # --- results -----------------------------------------------------------------------------

    def _results(self, order: Order, outputs: list[EngineOutput]) -> list[ResultFile]:
        proposed = self._names(order, outputs)
        if order.fault is not None and order.fault.names:
            wanted = list(order.fault.names)
            proposed = [*wanted, *proposed[len(wanted) :]][: len(outputs)]
        results = []
        for output, name in zip(outputs, proposed, strict=True):
            if order.checked.store:
                document = self._state.store.adopt(output.path, name, self._state.ids.new())
                results.append(ResultFile(name, document.size, None, document.id))
            else:
                results.append(ResultFile(name, output.path.stat().st_size, output.path))
        return results

    def _names(self, order: Order, outputs: list[EngineOutput]) -> list[str]:
        """Return the names of results: FileName or the engine's; equal names are numbered."""
        proposed = [names.safe(output.name) for output in outputs]
        if order.checked.file_name is not None:
            proposed = [_renamed(name, order.checked.file_name) for name in proposed]
        often, seen = Counter(proposed), Counter[str]()
        named = []
        for name in proposed:
            stem, extension = names.split(name)
            if often[name] > 1:
                stem = names.numbered(stem, seen[name], self._state.settings.name_index)
                seen[name] += 1
            named.append(names.safe(f"{stem}.{extension}"))
        return named

    def url(self, file: ResultFile, fault: Fault | None = None) -> str:
        """Return the URL of a stored result."""
        origin = self._state.settings.public_url or self._state.origin
        if fault is not None and fault.url_host:
            host = fault.url_host
            origin = host if "://" in host else f"https://{host}"
        brackets = "[]" if self._state.settings.url_brackets == "raw" else ""
        name = quote(file.name, safe=brackets + "!$&'()*+,;=:@")
        return f"{origin.rstrip('/')}/d/{file.file_id}/{name}"

    def _note(self, order: Order, outcome: Outcome, seconds: float) -> None:
        """Record this conversion for GET /user/statistic."""
        first = order.files[0] if order.files else None
        self._state.statistics.append(
            {
                "at": time.time(),
                "ok": outcome.error is None,
                "milliseconds": int(seconds * 1000),
                "source": order.converter.source,
                "target": order.converter.target,
                "ip": order.exchange.client,
                "file": first.name if isinstance(first, InputFile) else "",
                "error": outcome.error.message if outcome.error else "",
            }
        )


def _renamed(name: str, wanted: str) -> str:
    """Return the base name that a caller wants, with the extension of the result."""
    extension = names.split(name)[1]
    return names.safe(f"{wanted.removesuffix(f'.{extension}')}.{extension}")
