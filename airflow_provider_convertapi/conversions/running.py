"""Run one conversion for a task, log how it ended, and count it.

This module may change from release to release.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.ids import JobIds, seed_text
from airflow_provider_convertapi.conversions.chain import MERGE_OF_ONE, Chain
from airflow_provider_convertapi.conversions.direct import DirectConversion
from airflow_provider_convertapi.conversions.job import JobSettings
from airflow_provider_convertapi.errors import ConvertApiError, TransportError
from airflow_provider_convertapi.metrics import count_end
from airflow_provider_convertapi.wording import labelled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_provider_convertapi.conversions.deferral import JobRef
    from airflow_provider_convertapi.conversions.request import CheckedConversion
    from airflow_provider_convertapi.conversions.result import ConversionResult
    from airflow_provider_convertapi.conversions.session import Session

_NAMED = 10
"""The most outputs that the log names."""


def run(session: Session, conversion: CheckedConversion) -> ConversionResult:
    """Run a checked conversion from beginning to end; errors name connection, cost and remedy."""
    result = proceed(session, conversion, prepare(session, conversion))
    assert not isinstance(result, list)  # noqa: S101 - it returns jobs only if `defers` is set
    return result


def prepare(
    session: Session, conversion: CheckedConversion, *, seconds: float | None = None
) -> Chain | DirectConversion:
    """Return the conversion ready to run: as jobs that survive a crash, or as one exchange.

    :param seconds: how long to wait for each job; None means the conversion's own timeout.
    """
    sources = (source for request in conversion.requests for source in request.sources)
    if any(not source.has_version for source in sources):
        session.log.info(
            "The source's store says neither an ETag nor a time: its content was read to tell it "
            "from other files of its size."
        )
    prepared = _prepared(session, conversion, seconds)
    session.bill = lambda: (prepared.cost, prepared.charged)
    return prepared


def _prepared(
    session: Session, conversion: CheckedConversion, seconds: float | None
) -> Chain | DirectConversion:
    task = session.task
    settings = JobSettings(
        may_be_known=task.is_later, is_second_attempt=False, keeps_notes=task.is_durable
    )
    if not conversion.durable:
        ids = _direct_ids(session, conversion)
        if conversion.requests[0].is_merge_of_one:
            session.log.warning(MERGE_OF_ONE, conversion.describe())
        own = replace(conversion, target=conversion.target.stamped(ids))
        return DirectConversion(own, session, settings, session.log, note_ids=ids)
    session.warn_of_limits()
    return Chain(conversion, session, task.names, settings, session.log, seconds=seconds)


def _direct_ids(session: Session, conversion: CheckedConversion) -> JobIds:
    """Return ids for a direct conversion, which has no job, to note verdicts and stamp outputs."""
    seed = conversion.requests[0].seed() | {
        "namespace": session.settings.namespace,
        "key": conversion.conversion_key,
        "scope": session.task.names,
        "direct": True,
    }
    return JobIds.from_seed(session.key, seed_text(seed))


def proceed(
    session: Session,
    conversion: CheckedConversion,
    prepared: Chain | DirectConversion,
    known: Sequence[JobRef] = (),
    *,
    defers: bool = False,
) -> ConversionResult | list[JobRef]:
    """Continue a conversion, and log how it ended.

    :param known: jobs that another process has begun.
    :param defers: True returns the jobs that run instead of waiting for them.
    """
    what = conversion.describe()
    with (
        _telling_cost(session, conversion, prepared),
        session.naming_connection(what, lambda: (prepared.cost, prepared.charged)),
    ):
        if isinstance(prepared, DirectConversion):
            result: ConversionResult | list[JobRef] = prepared.run()
        else:
            result = prepared.proceed(known, defers=defers)
    if not isinstance(result, list):
        count_end(session.count, conversion.formats, result.charged, has_result=True, goes_on=False)
        _say(session, what, result)
    return result


def _say(session: Session, what: str, result: ConversionResult) -> None:
    """Log the source, the outputs and the cost in short lines."""
    made, more = result.outputs[:_NAMED], len(result.outputs) - _NAMED
    if len(made) == 1:
        lines = labelled("Converted", what) + labelled("Into", made[0])
    else:
        rest = [f"... and {more} more"] if more > 0 else []
        number = f"{len(result.outputs)} files"
        lines = labelled("Converted", what) + labelled("Into", number, [*made, *rest])
    bill = f"{result.cost} conversion(s); charged now: {result.charged}."
    for line in lines + labelled("Cost", bill):
        session.log.info("%s", line)


@contextmanager
def _telling_cost(
    session: Session, conversion: CheckedConversion, prepared: Chain | DirectConversion
) -> Iterator[None]:
    """Count a failed conversion, and add to its error what it has cost."""
    count_failure = partial(count_end, session.count, conversion.formats, has_result=False)
    try:
        yield
    except ConvertApiError as error:
        count_failure(prepared.charged, goes_on=error.job_goes_on)
        if not prepared.cost or _states_cost(error, prepared):
            raise
        said = f"{error} {_spent(prepared, error)}"
        raise error.saying(said) from error.__cause__
    except BaseException as error:
        # An error of a store or of Airflow: a note keeps its class and text as they are.
        count_failure(prepared.charged, goes_on=not prepared.ended_bill[0])
        if prepared.cost:
            spent = _spent(prepared)
            error.add_note(spent)
            session.log.warning("%s was not finished. %s", conversion.describe(), spent)
        raise


def _states_cost(error: ConvertApiError, prepared: Chain | DirectConversion) -> bool:
    """Tell whether the text has the cost already: a transport error, or the only verdict."""
    is_lone = prepared.cost == prepared.charged == 1
    return isinstance(error, TransportError) or (is_lone and error.is_verdict)


def _spent(prepared: Chain | DirectConversion, error: ConvertApiError | None = None) -> str:
    cost, charged = prepared.cost, prepared.charged
    if prepared.ended_bill[0] == cost or (error is not None and error.paid):
        return f"In all, {cost} conversion(s) were paid, {charged} of them now."
    return f"{cost} conversion(s) were submitted, {charged} of them now, and may be billed."
