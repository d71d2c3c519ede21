"""Plan a batch: everything that can be known before anything is paid."""

from __future__ import annotations

import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.batch.decisions import Asked, Rules, make_plan
from airflow_provider_convertapi.batch.inputs import (
    MISSING,
    Inputs,
    check_not_inputs,
    recorded,
    url_fingerprint,
    without_outputs,
)
from airflow_provider_convertapi.batch.manifest import (
    MANIFEST,
    PLANS,
    SALT,
    Index,
    Manifest,
)
from airflow_provider_convertapi.batch.names import Naming
from airflow_provider_convertapi.batch.record import parameters_digest
from airflow_provider_convertapi.errors import InputNotFoundError
from airflow_provider_convertapi.storage import (
    OWN_DIRECTORY,
    Folder,
    Source,
    find_source,
    is_url,
    list_everything,
    safe_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_convertapi.batch.decisions import Plan
    from airflow_provider_convertapi.batch.inputs import Input
    from airflow_provider_convertapi.batch.manifest import (
        Author,
    )
    from airflow_provider_convertapi.batch.request import BatchRequest

_SALT_BYTES = 8


@dataclass(frozen=True, slots=True)
class Records:
    """What is kept beside the outputs.

    :param own: the directory of our own files.
    """

    own: Folder

    @classmethod
    def beside(cls, destination: str) -> Records:
        """Return the records of a destination; `destination` ends in ``/``."""
        return cls(Folder(f"{destination}{OWN_DIRECTORY}/"))

    @property
    def manifest(self) -> Manifest:
        """Return the manifest."""
        return Manifest(Folder(self.own.uri + MANIFEST))

    @property
    def plans(self) -> Folder:
        """Return the directory of plans that wait for a task to resume."""
        return Folder(self.own.uri + PLANS)

    def salts(self) -> list[str]:
        """Return the salts that keyed the digests of parameters; mostly one.

        Two tasks that write a destination's first records at once may each make one.  So every
        record names its own, and a reader knows them all.
        """
        return [name.removeprefix(SALT) for name in self.own.names() if name.startswith(SALT)]

    def new_salt(self) -> str:
        """Keep a new salt, and return it."""
        salt = secrets.token_hex(_SALT_BYTES)
        self.own.write(SALT + salt, salt.encode())
        return salt


@dataclass(slots=True)
class Planned:
    """A plan, and what a run needs beside it.

    :param asked: what records match by; the first of its digests is written.
    :param source_files: how many files the whole source has, all shards together.
    :param file_parameters: the files among the parameters, by name, found.
    :param started: seconds since the epoch at which the batch began.
    """

    plan: Plan
    asked: Asked
    records: Records
    source_files: int
    file_parameters: Mapping[str, Source | str]
    started: float


def make(request: BatchRequest, author: Author, *, first_try: int, keeps_salt: bool) -> Planned:
    """List the inputs, name the outputs, compare both with the manifest.

    :param first_try: the number of the first try since the task was last cleared.
    :param keeps_salt: whether a salt may be written where there is none yet.
    """
    records = Records.beside(request.destination.uri)
    files = find_file_parameters(request)
    digests = _digesting(request, files, records, keeps_salt=keeps_salt)
    index = Index(author, only_own_run=request.overwrite)
    index.read(records.manifest)
    reader = Inputs(request, index.is_output)
    inputs, targets = _named(request, index, reader.read())
    if index.converted and inputs:
        for found in list_everything(request.destination.uri):
            index.found(found.path, found.size)
    rules = Rules(
        retry_failed=request.retry_failed,
        on_missing_output=request.on_missing_output,
        # Which step of a chain ran out of its time no record says.
        timeout=None if request.steps else request.service_timeout,
        first_try=first_try,
        collects=request.durable,
        hash_content=_hash_content if request.content_hash else None,
    )
    formats = request.to_formats
    asked = Asked(to_format=formats[-1], digesting=digests, least_cost=len(formats))
    plan = make_plan(inputs, targets, index, asked, rules, recorded)
    return Planned(plan, asked, records, reader.total, files, time.time())


def find_file_parameters(request: BatchRequest) -> dict[str, Source | str]:
    """Find the files among the parameters; a URL is the service's to fetch."""
    return {
        name: uri if is_url(uri) else find_source(uri, field=f"parameters[{name!r}]")
        for name, uri in request.files.items()
    }


def _digesting(
    request: BatchRequest,
    files: Mapping[str, Source | str],
    records: Records,
    *,
    keeps_salt: bool,
) -> Callable[[], tuple[str, ...]]:
    """Begin the digests of the parameters, beside the listing; return what waits for them."""
    salts = records.salts()
    if not salts and keeps_salt:
        salts = [records.new_salt()]
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
    targets = naming.targets([(item.path, recorded(item.uri)) for item in inputs], index.is_from)
    check_not_inputs(inputs, targets)
    return inputs, targets


def _hash_content(uri: str) -> str:
    if is_url(uri):
        return url_fingerprint(uri)
    try:
        return find_source(uri, content_hash=True).fingerprint
    except InputNotFoundError:
        return MISSING
