"""Decide what a batch converts: what is new, changed, missing, or failed for a passing reason.

This module may change from release to release.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from airflow_provider_convertapi.api.converters import without_extension
from airflow_provider_convertapi.batch.record import match_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_convertapi.batch.index import Index, LastConversion, LastFailure

OnMissingOutput = Literal["convert", "ignore"]

_LOST = frozenset({"ResultLostError", "ResultExpiredError"})
"""What may have been billed and has left nothing."""

_IN_THE_WAY, _UNREADABLE = "OutputExistsError", "UnexpectedAnswerError"
_TRANSIENT = "TransientConversionError"


class Listed(Protocol):
    """An input as its listing shows it."""

    @property
    def uri(self) -> str:
        """Where it lies."""
        ...

    @property
    def fingerprint(self) -> str:
        """What the listing says of its content."""
        ...


@dataclass(slots=True)
class Item:
    """One file to convert.

    :param uri: the input.
    :param target: its output, relative to the destination.
    :param fingerprint: what identifies its content.
    :param seen: what the listing said of it where `fingerprint` is a hash of the content.
    :param own_outputs: what a batch wrote for this output before, so that it may be written over.
    :param foreign_outputs: outputs of other files that its numbered results would fall on.
    :param barred_attempts: attempts, from 0 on, whose verdicts do not count any more.
    :param is_second_attempt: an earlier attempt ended with a verdict that one more may change.
    :param prepaid: conversions that earlier tries paid for and whose results this one finds.
    """

    uri: str
    target: str
    fingerprint: str
    seen: str | None = None
    own_outputs: tuple[str, ...] = ()
    foreign_outputs: tuple[str, ...] = ()
    barred_attempts: int = 0
    is_second_attempt: bool = False
    prepaid: int = 0

    def needs(self, least_cost: int) -> int:
        """Return the conversions that it still takes at least, of those it takes in all."""
        return max(least_cost - self.prepaid, 0)

    def newly_taken(self, cost: int, charged: int) -> int:
        """Return what of a cost no earlier try of the task instance has counted.

        :param charged: conversions that this try submitted.
        """
        return max(cost - self.prepaid, charged)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestDigest:
    """What was asked of every file alike.

    :param to_format: target format or tool.
    :param digesting: returns the digest of the parameters under each salt of the manifest; the
        first time it may wait for them.
    :param least_cost: conversions that one file takes at least.
    """

    to_format: str
    digesting: Callable[[], tuple[str, ...]] = field(repr=False)
    least_cost: int = 1

    @property
    def digests(self) -> tuple[str, ...]:
        """Return the digest of the parameters under each salt of the manifest."""
        return self.digesting()

    def matches(self, source: str, fingerprint: str) -> set[bytes]:
        """Return the digests of a file's conversion that a record may hold."""
        return {match_of(source, fingerprint, self.to_format, digest) for digest in self.digests}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReusePolicy:
    """Which records settle a file.

    :param retry_failed: permanent failures of other runs are paid once more.
    :param on_missing_output: ``convert`` an output that was removed, or ``ignore`` that it was.
    :param timeout: the user's own `Timeout`, seconds: a file that ran out of less is converted.
    :param first_try: the number of the first try since the task was last cleared.
    :param collects: what an earlier try paid for and did not save can be fetched: it made jobs.
    :param hash_content: returns the fingerprint of a file's content; None: the listing's counts.
    """

    retry_failed: bool = False
    on_missing_output: OnMissingOutput = "convert"
    timeout: int | None = None
    first_try: int = 1
    collects: bool = True
    hash_content: Callable[[str], str] | None = None


@dataclass(slots=True)
class Decisions:
    """What the records settle, and what they leave to be converted.

    :param items: what is to be converted, by output.
    :param reused: how many outputs stand from earlier.
    :param known: failures that are known and paid for, with a word on each.
    :param uncleaned: what an earlier try of this task instance settled last, with the attempt:
        documents of those may still lie at the service.
    """

    items: list[Item] = field(default_factory=list)
    reused: int = 0
    known: list[tuple[Item, str]] = field(default_factory=list)
    uncleaned: list[tuple[Item, int]] = field(default_factory=list)


def decide_all(
    listed: Sequence[Listed],
    targets: Sequence[str],
    index: Index,
    digest: RequestDigest,
    policy: ReusePolicy,
    record_uri: Callable[[str], str],
) -> Decisions:
    """Compare every input with what the manifest says of its output.

    :param targets: the output of each input, in order.
    :param record_uri: returns what records call an input.
    """
    decided, recent = Decisions(), index.recent()
    outputs = _Outputs(targets, index)
    for found, target in sorted(zip(listed, targets, strict=True), key=lambda pair: pair[1]):
        item = Item(found.uri, target, found.fingerprint)
        source = record_uri(found.uri)
        converted, failed = index.converted.get(target), index.failed.get(target)
        if failed is not None and _has_more_time(failed, policy):
            failed = None  # another `Timeout` makes other jobs: nothing of it counts any more
        known = [record for record in (converted, failed) if record is not None]
        same = _those_of_this(known, item, source, digest, policy)
        if converted in same and (_stands(converted) or policy.on_missing_output == "ignore"):
            decided.reused += 1
        elif failed in same and converted not in same and _bars(failed, index, policy):
            decided.known.append((item, _word(failed)))
        else:
            if failed is not None and failed in same:
                is_verdict = failed.bars and failed.error not in (_IN_THE_WAY, _UNREADABLE)
                item.barred_attempts = failed.attempt + 1 if is_verdict else 0
                item.is_second_attempt = failed.error == _TRANSIENT
            _hash(item, policy)
            if policy.collects and index.spent:
                matches = digest.matches(source, item.fingerprint)
                item.prepaid = index.spending.kept(target, matches)
            item.foreign_outputs = outputs.of_others(target)
            if converted is not None and converted.is_from(source):
                item.own_outputs = outputs.of(target, converted)
            decided.items.append(item)
            continue
        if target in recent:
            settled = Item(found.uri, target, recent[target].fingerprint)
            decided.uncleaned.append((settled, recent[target].attempt))
    return decided


class _Outputs:
    """Whose each output is: a file may have several, of which the plan knows the first only.

    :param planned: the output of each input.
    """

    def __init__(self, planned: Sequence[str], index: Index) -> None:
        self._planned, self._index = frozenset(planned), index
        self._numbered: defaultdict[str, list[str]] = defaultdict(list)
        for path in {*planned, *index.outputs()}:
            stem, dash, number = without_extension(path).rpartition("-")
            if dash and number.isdecimal():
                self._numbered[stem].append(path)

    def of(self, target: str, converted: LastConversion) -> tuple[str, ...]:
        """Return what was written for an output, by its last conversion or an earlier one."""
        written = dict.fromkeys([*converted.sizes(target), *self._near(target)])
        return tuple(path for path in written if path == target or self._is_of(path, target))

    def of_others(self, target: str) -> tuple[str, ...]:
        """Return what would be a numbered result of it, and is another file's."""
        return tuple(path for path in self._near(target) if not self._is_of(path, target))

    def _near(self, target: str) -> Sequence[str]:
        return self._numbered.get(without_extension(target), ())

    def _is_of(self, path: str, target: str) -> bool:
        return path not in self._planned and self._index.makers(path) == {target}


def _those_of_this(
    known: Sequence[LastConversion | LastFailure],
    item: Item,
    source: str,
    digest: RequestDigest,
    policy: ReusePolicy,
) -> list[LastConversion | LastFailure | None]:
    """Return the records that are of this very conversion; look at the content if need be."""
    by_listing = digest.matches(source, item.fingerprint) if known else set()
    same: list[LastConversion | LastFailure | None] = [
        record for record in known if (record.match_seen or record.match) in by_listing
    ]
    if same or not known or policy.hash_content is None:
        return same
    _hash(item, policy)
    by_content = digest.matches(source, item.fingerprint)
    return [record for record in known if record.match in by_content]


def _hash(item: Item, policy: ReusePolicy) -> None:
    if policy.hash_content is not None and item.seen is None:
        item.seen, item.fingerprint = item.fingerprint, policy.hash_content(item.uri)


def _has_more_time(failed: LastFailure, policy: ReusePolicy) -> bool:
    """Tell whether a file that ran out of time would have more of it now."""
    return bool(failed.timeout and policy.timeout and policy.timeout > failed.timeout)


def _stands(converted: LastConversion | None) -> bool:
    return converted is not None and converted.stands


def _bars(failed: LastFailure | None, index: Index, policy: ReusePolicy) -> bool:
    """Tell whether a failure stands: paid for and permanent, or lost by this series of tries."""
    if failed is None:
        return False
    # Of this run, and no human cleared the task since.
    own = failed.run_id == index.author.run_id
    recent = own and failed.try_number >= policy.first_try
    if failed.error in _LOST:
        # It may have been billed: paying anew is for a human, or another run, to decide.
        return recent
    if own and (failed.error == _UNREADABLE or (failed.error == _IN_THE_WAY and not recent)):
        # Of its job the same run fetches the result for free; a clear says: the place is free now.
        return False
    return failed.bars and (recent or not policy.retry_failed)


def _word(failed: LastFailure | None) -> str:
    assert failed  # noqa: S101 - for the type checker
    return failed.error + (f" (Code {failed.code})" if failed.code else "")
