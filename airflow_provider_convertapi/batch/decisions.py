"""Decide which files a batch converts: new, changed and missing ones, and transient failures.

This module may change from release to release.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.wire import TIMEOUT_CODE
from airflow_provider_convertapi.batch.record import match_of
from airflow_provider_convertapi.errors import facts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_convertapi.batch.arguments import OnMissingOutput
    from airflow_provider_convertapi.batch.outcomes import LastConversion, LastFailure


class Decision(Enum):
    """What to do with a file.

    `REUSE`: keep its existing outputs; `KNOWN`: its failure is known and paid for; `CONVERT`:
    convert it.
    """

    REUSE = "reuse"
    KNOWN = "known"
    CONVERT = "convert"


# Checkpoints store the fields in this order, and a batch that was deferred before an upgrade is
# resumed after it.  So a new field comes last, with a default.
@dataclass(slots=True)
class Item:
    """One file to convert.

    :param uri: the input.
    :param target: its output, relative to the destination.
    :param fingerprint: identifies its content.
    :param seen: the listing's fingerprint, if `fingerprint` is a hash of the content.
    :param own_outputs: outputs that a batch wrote for this file before, and may overwrite.
    :param former_outputs: outputs of earlier versions of the file, which a new version may not
        have, with a digest of their content.
    :param foreign_outputs: outputs of other files whose names its numbered results would have.
    :param barred_attempts: the number of attempts, from 0 on, whose verdicts are recorded; they do
        not end this conversion.
    :param is_second_attempt: whether an earlier attempt ended with a transient verdict.
    :param has_timed_out: whether that verdict was a timeout.
    :param prepaid: conversions that earlier tries paid for and whose results this try can collect.
    :param outputs_gone: whether it was converted before and its outputs were removed or changed.
    :param is_of_another: whether a batch made its output from another source.
    :param is_input: whether its output would have the name of an input, which stays as it is.
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
    has_timed_out: bool = False
    former_outputs: Mapping[str, str] = field(default_factory=dict)
    outputs_gone: bool = False
    is_of_another: bool = False
    is_input: bool = False

    def newly_taken(self, cost: int, charged: int) -> int:
        """Return the part of a cost that no earlier try of the task instance has counted.

        :param charged: conversions that this try submitted.
        """
        return max(cost - self.prepaid, charged)


@dataclass(frozen=True, slots=True)
class History:
    """The manifest's last records of an output.

    :param stands: tells whether all outputs of `conversion` still exist as they were written.
    """

    conversion: LastConversion | None
    failure: LastFailure | None
    stands: Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestDigest:
    """The part of the request that is the same for every file.

    :param to_format: target format or tool.
    :param digesting: returns the digest of the parameters under each salt of the manifest; the
        first call may wait for them.
    :param least_cost: the least number of conversions that one file takes.
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

    :param run_id: the current run.
    :param retry_failed: whether to pay once more for permanent failures of other runs.
    :param on_missing_output: ``convert`` an output that was removed, or ``ignore`` that it was.
    :param timeout: the user's `Timeout` in seconds; a file that timed out with less is converted.
    :param first_try: the number of the first try since the task was last cleared.
    :param collects: whether results that an earlier try paid for but did not save can be fetched.
    :param hash_content: returns the fingerprint of a file's content; None uses the listing's.
    """

    run_id: str
    retry_failed: bool = False
    on_missing_output: OnMissingOutput = "convert"
    timeout: int | None = None
    first_try: int = 1
    collects: bool = True
    hash_content: Callable[[str], str] | None = None


def decide(
    item: Item,
    source: str,
    history: History,
    digest: RequestDigest,
    policy: ReusePolicy,
) -> Decision:
    """Compare a file with the manifest's records of its output; complete the item accordingly.

    :param source: the file's name in records.
    """
    conversion, failure = history.conversion, history.failure
    if failure is not None and _has_more_time(failure, policy):
        failure = None  # a longer `Timeout` makes another job, so the old failure does not count
    is_converted, is_failed = _are_of_this(conversion, failure, item, source, digest, policy)
    if is_converted and (policy.on_missing_output == "ignore" or history.stands()):
        return Decision.REUSE
    item.outputs_gone = is_converted
    # With two runs at once, or two records in an unknown order, the conversion counts.
    if failure is not None and is_failed and (failure.is_newer or not is_converted):
        if _bars(failure, policy):
            return Decision.KNOWN
        facts = facts_of(failure.error)
        # It is paid once more: verdicts that the service still remembers must not end it.
        is_verdict = failure.bars and not facts.bars_paid_file
        item.is_second_attempt = facts.transient and facts.concerns == "document"
        is_told = is_verdict or item.is_second_attempt
        item.barred_attempts = failure.attempt + 1 if is_told else 0
        item.has_timed_out = item.is_second_attempt and failure.code == TIMEOUT_CODE
    _hash(item, policy)
    return Decision.CONVERT


def _are_of_this(
    conversion: LastConversion | None,
    failure: LastFailure | None,
    item: Item,
    source: str,
    digest: RequestDigest,
    policy: ReusePolicy,
) -> tuple[bool, bool]:
    """Tell whether each record is of this same conversion; hash the content if needed."""
    if conversion is None and failure is None:
        return False, False
    matches = digest.matches(source, item.fingerprint)
    same = tuple(
        record is not None and (record.match_seen or record.match) in matches
        for record in (conversion, failure)
    )
    if not any(same) and policy.hash_content is not None:
        _hash(item, policy)
        matches = digest.matches(source, item.fingerprint)
        same = tuple(
            record is not None and record.match in matches for record in (conversion, failure)
        )
    return same[0], same[1]


def _hash(item: Item, policy: ReusePolicy) -> None:
    if policy.hash_content is not None and item.seen is None:
        item.seen, item.fingerprint = item.fingerprint, policy.hash_content(item.uri)


def _has_more_time(failure: LastFailure, policy: ReusePolicy) -> bool:
    """Tell whether a file that timed out would have more time now."""
    return bool(failure.timeout and policy.timeout and policy.timeout > failure.timeout)


def _bars(failure: LastFailure, policy: ReusePolicy) -> bool:
    """Tell whether a failure is final: permanent and paid for, or lost since the last clearing."""
    # Recent: of this run, and the task was not cleared since.
    own = failure.run_id == policy.run_id
    recent = own and failure.try_number >= policy.first_try
    facts = facts_of(failure.error)
    if facts.concerns == "result":
        # It may have been billed, so it is only paid again by another run, or after a person has
        # cleared the task.
        return recent
    if own and facts.bars_paid_file and not recent:
        return False  # a person who clears the task has moved the file that was in the way
    return failure.bars and (recent or not policy.retry_failed)
