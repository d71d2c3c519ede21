"""Plan a batch: everything that can be known before anything is paid.

This module may change from release to release.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.batch.decisions import RequestDigest, ReusePolicy, decide_all
from airflow_provider_convertapi.batch.index import Index
from airflow_provider_convertapi.batch.inputs import (
    MISSING,
    Inputs,
    check_not_inputs,
    record_uri,
    url_fingerprint,
    without_outputs,
)
from airflow_provider_convertapi.batch.manifest import StateDirectory
from airflow_provider_convertapi.batch.names import Naming
from airflow_provider_convertapi.batch.record import parameters_digest
from airflow_provider_convertapi.errors import BudgetExceededError, InputNotFoundError
from airflow_provider_convertapi.storage import (
    Source,
    find_source,
    is_url,
    list_everything,
    safe_name,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_convertapi.batch.decisions import Item
    from airflow_provider_convertapi.batch.inputs import Input
    from airflow_provider_convertapi.batch.record import Author
    from airflow_provider_convertapi.batch.request import BatchRequest

_EXAMPLES = 5


@dataclass(slots=True, kw_only=True)
class Plan:
    """What is to be done, and what a run needs to do it.

    :param items: what is to be converted, by output.
    :param reused: how many outputs stand from earlier.
    :param known: how many failures are known and paid for; `known_examples` names a few.
    :param spent: conversions that this task instance took before.
    :param uncleaned: what an earlier try of it settled last, with the attempt: documents of those
        may still lie at the service.
    :param request_digest: what records match by; the first of its digests is written.
    :param state: our own files beside the outputs.
    :param source_files: how many files the whole source has, all shards together.
    :param file_parameters: the files among the parameters, by name, found.
    :param started: seconds since the epoch at which the batch began.
    """

    items: list[Item]
    reused: int
    known: int
    known_examples: list[str]
    spent: int
    request_digest: RequestDigest
    state: StateDirectory
    source_files: int
    file_parameters: Mapping[str, Source | str]
    started: float
    uncleaned: list[tuple[Item, int]] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Return how many files there are in all."""
        return len(self.items) + self.reused + self.known

    @property
    def least_cost(self) -> int:
        """Return the conversions that all files to convert still take at least."""
        return sum(item.needs(self.request_digest.least_cost) for item in self.items)

    def check_budget(self, most: int | None) -> None:
        """Raise `BudgetExceededError` where more would be paid than `most` conversions."""
        least = self.least_cost
        if most is None or self.spent + least <= most:
            return
        spent = f", and earlier tries took {self.spent}" if self.spent else ""
        raise BudgetExceededError(
            f"{len(self.items)} file(s) are to be converted for at least {least} conversion(s)"
            f"{spent}, but max_conversions is {most}. Nothing was paid now. Raise max_conversions, "
            "or convert fewer files: a glob, a shard, or max_conversions divided over several runs."
        )


def plan_batch(request: BatchRequest, author: Author, *, first_try: int, keeps_salt: bool) -> Plan:
    """List the inputs, name the outputs, compare both with the manifest.

    :param first_try: the number of the first try since the task was last cleared.
    :param keeps_salt: whether a salt may be written where there is none yet.
    """
    state = StateDirectory.beside(request.destination.uri)
    files = find_file_parameters(request)
    digests = _digesting(request, files, state, keeps_salt=keeps_salt)
    index = Index(author, only_own_run=request.overwrite)
    index.read(state.manifest)
    reader = Inputs(request, index.is_output)
    inputs, targets = _named(request, index, reader.read())
    if index.converted and inputs:
        for found in list_everything(request.destination.uri):
            index.found(found.path, found.size)
    digest = RequestDigest(
        to_format=request.to_formats[-1], digesting=digests, least_cost=len(request.to_formats)
    )
    policy = _reuse_policy(request, first_try)
    decided = decide_all(inputs, targets, index, digest, policy, record_uri)
    return Plan(
        items=decided.items,
        reused=decided.reused,
        known=len(decided.known),
        known_examples=[
            f"{shown(item.uri)} (known: {word})" for item, word in decided.known[:_EXAMPLES]
        ],
        spent=index.spent,
        uncleaned=decided.uncleaned,
        request_digest=digest,
        state=state,
        source_files=reader.total,
        file_parameters=files,
        started=time.time(),
    )


def _reuse_policy(request: BatchRequest, first_try: int) -> ReusePolicy:
    return ReusePolicy(
        retry_failed=request.retry_failed,
        on_missing_output=request.on_missing_output,
        # Which step of a chain ran out of its time no record says.
        timeout=None if request.steps else request.service_timeout,
        first_try=first_try,
        collects=request.durable,
        hash_content=_hash_content if request.content_hash else None,
    )


def find_file_parameters(request: BatchRequest) -> dict[str, Source | str]:
    """Find the files among the parameters; a URL is the service's to fetch."""
    return {
        name: uri if is_url(uri) else find_source(uri, field=f"parameters[{name!r}]")
        for name, uri in request.files.items()
    }


def _digesting(
    request: BatchRequest,
    files: Mapping[str, Source | str],
    state: StateDirectory,
    *,
    keeps_salt: bool,
) -> Callable[[], tuple[str, ...]]:
    """Begin the digests of the parameters, beside the listing; return what waits for them."""
    salts = state.salts()
    if not salts and keeps_salt:
        salts = [state.new_salt()]
    # Records hold the last format only: the one that the first step makes is part of the digest.
    steps = [request.to_format, *(step.identity() for step in request.steps)]
    parameters: dict[str, Any] = {
        "plain": dict(request.plain),
        "files": {
            name: [file.uri, file.fingerprint] if isinstance(file, Source) else [file]
            for name, file in files.items()
        },
        "from_format": request.from_format,
        "conversion_key": request.conversion_key,
        **({"steps": steps} if request.steps else {}),
    }
    pool = ThreadPoolExecutor(1)
    digests = [pool.submit(parameters_digest, parameters, salt) for salt in salts]
    pool.shutdown(wait=False)  # it ends when they have
    return lambda: tuple(digest.result() for digest in digests)


def _named(
    request: BatchRequest, index: Index, inputs: list[Input]
) -> tuple[list[Input], list[str]]:
    """Name the outputs; leave out inputs that are outputs themselves."""
    naming = Naming(request.to_formats, request.on_collision, safe_name)
    if any(item.inside is not None for item in inputs):
        inputs = without_outputs(inputs, [naming.plain(item.path) for item in inputs])
    targets = naming.targets([(item.path, record_uri(item.uri)) for item in inputs], index.is_from)
    check_not_inputs(inputs, targets)
    return inputs, targets


def _hash_content(uri: str) -> str:
    if is_url(uri):
        return url_fingerprint(uri)
    try:
        return find_source(uri, content_hash=True).fingerprint
    except InputNotFoundError:
        return MISSING
