"""Plan a batch: find out everything that can be known before anything is paid.

This module may change from release to release.
"""

from __future__ import annotations

import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.converters import catalogue, extension_of
from airflow_provider_convertapi.batch.decisions import (
    Decision,
    History,
    Item,
    RequestDigest,
    ReusePolicy,
    decide,
)
from airflow_provider_convertapi.batch.former import without_leftovers
from airflow_provider_convertapi.batch.index import Index
from airflow_provider_convertapi.batch.inputs import (
    MISSING,
    OWN_OUTPUT,
    Inputs,
    check_not_inputs,
    leave_out_outputs,
    record_uri,
    url_fingerprint,
)
from airflow_provider_convertapi.batch.items import Items
from airflow_provider_convertapi.batch.manifest import StateDirectory
from airflow_provider_convertapi.batch.names import Naming
from airflow_provider_convertapi.batch.outcomes import LastConversion, LastFailure
from airflow_provider_convertapi.batch.record import parameters_digest
from airflow_provider_convertapi.batch.tables import open_tables, pack, unpack
from airflow_provider_convertapi.conversions.origins import format_of
from airflow_provider_convertapi.errors import BudgetExceededError, InputNotFoundError, facts_of
from airflow_provider_convertapi.storage import (
    Folder,
    Source,
    find_source,
    is_url,
    list_everything,
    safe_name,
    shown,
)
from airflow_provider_convertapi.storage.schemes import locate
from airflow_provider_convertapi.storage.trouble import explaining

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from airflow_provider_convertapi.batch.request import BatchRequest
    from airflow_provider_convertapi.conversions.task import TaskTry

_CANDIDATES = """
SELECT inputs.uri, inputs.target, inputs.fingerprint,
    conversions.match, conversions.match_seen, conversions.source, conversions.outputs,
    failures.match, failures.match_seen, failures.bars, failures.run_id, failures.try_number,
    failures.attempt, failures.error, failures.code, failures.timeout, failures.message,
    failures.outputs_gone AND failures.at > conversions.at
FROM inputs LEFT JOIN conversions USING (target) LEFT JOIN failures USING (target)
ORDER BY inputs.target
"""

_EXAMPLES = 50
_ID_BYTES = 4


@dataclass(slots=True, kw_only=True)
class Plan:
    """The files to convert, and everything that a run needs to convert them.

    :param request_digest: the digests that records match by; new records get the first one.
    :param state: the directory of our own files beside the outputs.
    :param file_parameters: the files among the parameters, found, by name.
    :param started: seconds since the epoch at which the batch began.
    :param id: distinguishes the records of this plan from those of another plan of the same task.
    :param source_files: number of files in the whole source, of all shards.
    :param left_out: number of files that were listed and left out, by reason.
    :param items: the files to convert, by output.
    :param reused: number of outputs that exist from earlier; `reused_from`: by source format.
    :param known: number of failures that are known and paid for; `known_examples` names a few. The
        results of `known_lost` of them are lost.
    :param told_by_content: number of files whose content was read, as their store has no versions.
    :param spent: conversions that this task instance took before.
    :param highest: the highest known cost of one conversion, by source format.
    :param balance: conversions that the account had left; None if they do not limit the batch.
    :param has_wrong_times: whether the manifest holds records of a clock that was ahead.
    :param uncleaned: the files that an earlier try settled last, each with its attempt; their
        documents may still be at the service.
    """

    request_digest: RequestDigest
    state: StateDirectory
    file_parameters: Mapping[str, Source | str]
    started: float
    id: str = field(default_factory=lambda: token_hex(_ID_BYTES))
    source_files: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    items: Items = field(default_factory=Items)
    reused: int = 0
    reused_from: Counter[str] = field(default_factory=Counter)
    known: int = 0
    known_examples: list[str] = field(default_factory=list)
    known_lost: int = 0
    told_by_content: int = 0
    spent: int = 0
    highest: dict[str, int] = field(default_factory=dict)
    balance: int | None = None
    has_wrong_times: bool = False
    uncleaned: list[tuple[Item, int]] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Return the number of files in this shard."""
        return len(self.items) + self.reused + self.known

    @property
    def least_cost(self) -> int:
        """Return the least number of conversions that the files to convert still take."""
        return self.items.least_cost(self.request_digest.least_cost)

    def check_budget(self, most: int | None) -> None:
        """Raise `BudgetExceededError` if the plan costs more than `most`; None means no limit."""
        least = self.least_cost
        if most is None or self.spent + least <= most:
            return
        spent = f", and earlier tries took {self.spent}" if self.spent else ""
        raise BudgetExceededError(
            f"{len(self.items)} file(s) are to be converted for at least {least} conversion(s)"
            f"{spent}, but max_conversions is {most}. Nothing was paid now. Raise max_conversions, "
            "or convert fewer files: a glob, a shard, or max_conversions divided over several runs."
        )


def plan_batch(request: BatchRequest, task: TaskTry, *, now: float, keeps_salt: bool) -> Plan:
    """List the inputs, name the outputs, and compare both with the manifest.

    :param now: seconds since the epoch.
    :param keeps_salt: whether a run follows, so that a missing salt is written.
    """
    state = StateDirectory.beside(request.destination.uri)
    files = find_file_parameters(request)
    digests = _Digests(request, files)
    with explaining(state.own.uri, paid=False):
        salts = state.salts()
        digests.add(salts or ([state.new_salt()] if keeps_salt else []))
    plan = Plan(
        request_digest=RequestDigest(
            to_format=request.to_formats[-1], digesting=digests, least_cost=len(request.to_formats)
        ),
        state=state,
        file_parameters=files,
        started=now,
    )
    with closing(open_tables()) as tables:
        index = Index(tables, task, now, only_own_run=bool(request.overwrite))
        manifest = state.manifest
        with explaining(str(manifest.files), paid=False):
            index.read(manifest)
        # Records of a salt whose file was removed must still match, or they would be paid again.
        digests.add(sorted(index.salts))
        plan.has_wrong_times = manifest.has_wrong_times
        _list_inputs(plan, request, tables, index)
        _name_outputs(plan, request, tables, index)
        # One listing instead of a request for each output; a first run needs none.
        if index.has_conversions and plan.source_files:
            standing = list_everything(request.destination.uri)
            if keeps_salt:
                standing = without_leftovers(standing, Folder(request.destination.uri), index, now)
            index.note_standing(standing)
        takes = _takes(request)
        index.note_planned(takes)
        policy = _reuse_policy(request, task)
        _Comparison(plan, index, policy, _look(request), takes).run(tables)
    if keeps_salt and len(plan.items):
        manifest.files.check_writable()  # a conversion without a record would be paid again
    return plan


def _list_inputs(
    plan: Plan, request: BatchRequest, tables: sqlite3.Connection, index: Index
) -> None:
    """Add the inputs of this shard to the tables, each with the plain name of its output."""
    inputs = Inputs(request, tables, plan.started, index.is_output)
    naming = _naming(request)
    tables.executemany(
        "INSERT INTO inputs (uri, path, fingerprint, inside, is_named, target) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (
            (
                pack(entry.uri),
                pack(entry.path),
                pack(entry.fingerprint),
                None if entry.inside is None else pack(entry.inside),
                entry.is_named,
                pack(naming.plain(entry.path)),
            )
            for entry in inputs.read()
        ),
    )
    plan.source_files, plan.left_out = inputs.total, inputs.left_out


def _naming(request: BatchRequest) -> Naming:
    return Naming(request.to_formats, request.on_collision, safe_name, request.from_formats)


def _name_outputs(
    plan: Plan, request: BatchRequest, tables: sqlite3.Connection, index: Index
) -> None:
    """Give each input its output; leave out inputs that are outputs of others."""
    tables.execute("CREATE INDEX by_target ON inputs (target)")
    plan.left_out[OWN_OUTPUT] += leave_out_outputs(tables)
    _naming(request).assign(tables, record_uri, index.is_from)
    check_not_inputs(tables)


@dataclass(slots=True)
class _Comparison:
    """Compare every input with the manifest's records of its output."""

    plan: Plan
    index: Index
    policy: ReusePolicy
    look: Callable[[str], int | None] | None
    takes: Callable[[str], bool]

    def run(self, tables: sqlite3.Connection) -> None:
        """Fill the plan."""
        self.plan.spent, recent = self.index.spent, self.index.recent()
        self.plan.highest = self.index.costs.highest(self.plan.request_digest.to_format)

        def to_convert() -> Iterator[Item]:
            for row in tables.execute(_CANDIDATES):
                item = Item(unpack(row[0]), unpack(row[1]), unpack(row[2]))
                if item.fingerprint.endswith("-"):  # only a size, because its store has no versions
                    item.fingerprint = _hash_content(item.uri)
                    self.plan.told_by_content += 1
                if self._is_to_convert(item, row):
                    yield item
                elif item.target in recent:
                    # The try that settled it may have been killed before it deleted its documents.
                    fingerprint, attempt = recent[item.target]
                    settled = Item(item.uri, item.target, fingerprint)
                    self.plan.uncleaned.append((settled, attempt))

        self.plan.items.extend(to_convert())

    def _is_to_convert(self, item: Item, row: Sequence[Any]) -> bool:
        """Count a settled file; complete an item that is to be converted, and return True."""
        source = record_uri(item.uri)
        conversion = LastConversion.from_row(row[3:7]) if row[3] is not None else None
        failure = LastFailure.from_row(row[7:]) if row[7] is not None else None

        def stands() -> bool:
            return conversion is not None and self.index.stands(item.target, conversion, self.look)

        digest, history = self.plan.request_digest, History(conversion, failure, stands)
        decision = decide(item, source, history, digest, self.policy)
        if decision is Decision.REUSE:
            self.plan.reused += 1
            self.plan.reused_from[format_of(item.uri)] += 1
        elif decision is Decision.KNOWN:
            self.plan.known += 1
            lost = failure is not None and facts_of(failure.error).concerns == "result"
            self.plan.known_lost += lost
            if failure is not None and len(self.plan.known_examples) < _EXAMPLES:
                said = failure.describe(is_first=not self.plan.known_examples)
                self.plan.known_examples.append(f"{shown(item.uri)}: known: {said}")
        else:
            self._complete(item, source, conversion)
        return decision is Decision.CONVERT

    def _complete(self, item: Item, source: str, conversion: LastConversion | None) -> None:
        # A result that an earlier try paid and did not save is free now: the budget ignores it.
        if self.policy.collects and self.plan.spent:
            matches = self.plan.request_digest.matches(source, item.fingerprint)
            item.prepaid = self.index.prepaid(item.target, matches)
        item.foreign_outputs = self.index.foreign_outputs(item.target)
        to_format = self.plan.request_digest.to_format
        item.former_outputs = self.index.former_outputs(item.target, source, to_format)
        item.is_input = self.index.is_input(item.target) and self.takes(item.target)
        # An output that was made from another source must not be overwritten.
        item.is_of_another = conversion is not None and not conversion.is_from(source)
        if conversion is not None and not item.is_of_another:
            item.own_outputs = self.index.own_outputs(item.target, conversion, item.former_outputs)


def _takes(request: BatchRequest) -> Callable[[str], bool]:
    """Return a function that tells whether the batch would convert a file of this name."""
    if request.from_formats[0]:
        return lambda _: True
    targets_of = cache(catalogue().targets_of)
    return lambda path: request.to_formats[0] in targets_of(extension_of(path))


def _look(request: BatchRequest) -> Callable[[str], int | None] | None:
    """Return a function that returns an output's size; None if a listing shows all outputs.

    In a file system it may not: it does not follow links, and names may be spelled differently.
    """
    place = request.destination.uri
    if not locate(place, "destination").has_directories:
        return None
    return lambda path: request.destination.sizes([place + path])[0]


def _reuse_policy(request: BatchRequest, task: TaskTry) -> ReusePolicy:
    return ReusePolicy(
        run_id=task.run_id,
        retry_failed=request.retry_failed,
        on_missing_output=request.on_missing_output,
        # Records do not say which step of a chain timed out.
        timeout=None if request.steps else request.service_timeout,
        first_try=task.first_number,
        collects=request.durable,
        hash_content=_hash_content if request.content_hash else None,
    )


def find_file_parameters(request: BatchRequest) -> dict[str, Source | str]:
    """Find the files among the parameters; URLs are left to the service to fetch."""
    return {
        name: uri if is_url(uri) else find_source(uri, field=f"parameters[{name!r}]")
        for name, uri in request.files.items()
    }


class _Digests:
    """The digests of the parameters, one under each salt; a call waits for them.

    scrypt is slow on purpose, so it runs while the source is listed.
    """

    def __init__(self, request: BatchRequest, files: Mapping[str, Source | str]) -> None:
        self._parameters = _identity(request, files)
        self._digests: dict[str, Future[str]] = {}

    def add(self, salts: Iterable[str]) -> None:
        """Start to compute the digests under these salts, except known ones."""
        pool = ThreadPoolExecutor(1)
        for salt in salts:
            if salt not in self._digests:
                self._digests[salt] = pool.submit(parameters_digest, self._parameters, salt)
        pool.shutdown(wait=False)  # its thread ends when they are computed

    def __call__(self) -> tuple[str, ...]:
        return tuple(digest.result() for digest in self._digests.values())


def _identity(request: BatchRequest, files: Mapping[str, Source | str]) -> dict[str, Any]:
    """Return what identifies the parameters, as JSON values."""
    # Records hold a digest of this. If a release changes it, no record matches any more, and every
    # file of every batch is paid again; so a new key appears only when its feature is used.
    # Records hold only the last format, so the digest includes the first step's.
    steps = [request.to_format, *(step.identity() for step in request.steps)]
    return {
        "plain": dict(request.plain),
        "files": {
            name: [file.uri, file.fingerprint] if isinstance(file, Source) else [file]
            for name, file in files.items()
        },
        "from_format": request.from_format,
        "conversion_key": request.conversion_key,
        **({"steps": steps} if request.steps else {}),
    }


def _hash_content(uri: str) -> str:
    if is_url(uri):
        return url_fingerprint(uri)
    try:
        return find_source(uri, hash_limit=math.inf).fingerprint
    except (InputNotFoundError, FileNotFoundError):  # it vanished after it was listed
        return MISSING
