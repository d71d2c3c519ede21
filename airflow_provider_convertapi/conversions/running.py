"""Make one conversion for a task: run it, say how it ended, and remember that it was asked for.

This module may change from release to release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_convertapi.conversions.chain import Chain
from airflow_provider_convertapi.conversions.direct import DirectConversion
from airflow_provider_convertapi.conversions.job import JobSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_convertapi.conversions.deferral import JobRef
    from airflow_provider_convertapi.conversions.request import CheckedConversion
    from airflow_provider_convertapi.conversions.result import ConversionResult
    from airflow_provider_convertapi.conversions.session import Session


def run(session: Session, conversion: CheckedConversion) -> ConversionResult:
    """Make a checked conversion from beginning to end; errors name connection, cost and remedy."""
    result = proceed(session, conversion, prepare(session, conversion))
    assert not isinstance(result, list)  # noqa: S101 - it defers where it is told to
    return result


def prepare(
    session: Session, conversion: CheckedConversion, *, seconds: float | None = None
) -> Chain | DirectConversion:
    """Return the conversion, ready to run: jobs that survive a crash, or one exchange.

    :param seconds: how long each job is waited for; None means the conversion's own timeout.
    """
    task = session.task
    sources = (source for request in conversion.requests for source in request.sources)
    if any(not source.has_version for source in sources):
        session.log.info(
            "The source's store says neither an ETag nor a time: its content was read to tell it "
            "from other files of its size."
        )
    settings = JobSettings(may_be_known=task.is_later, is_second_attempt=task.is_later)
    if not conversion.durable:
        return DirectConversion(conversion, session, settings, session.log)
    session.warn_of_limits()
    scope = {**task.names, "call": task.call_number(conversion.identity())}
    return Chain(conversion, session, scope, settings, session.log, seconds=seconds)


def proceed(
    session: Session,
    conversion: CheckedConversion,
    prepared: Chain | DirectConversion,
    known: Sequence[JobRef] = (),
    *,
    defers: bool = False,
) -> ConversionResult | list[JobRef]:
    """Go on with a conversion; the log says how it ended.

    :param known: jobs that another process has begun.
    :param defers: return the jobs instead of waiting for any.
    """
    with session.naming_connection(conversion.describe()):
        if isinstance(prepared, DirectConversion):
            result: ConversionResult | list[JobRef] = prepared.run()
        else:
            result = prepared.proceed(known, defers=defers)
    if not isinstance(result, list):
        session.log.info(
            "Converted %s into %s. Cost: %d conversion(s); charged now: %d.",
            conversion.describe(),
            ", ".join(result.outputs),
            result.cost,
            result.charged,
        )
        session.task.count_call(conversion.identity())
    return result
