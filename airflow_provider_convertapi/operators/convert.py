"""The operator for one conversion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_convertapi.airflow_names import conf
from airflow_provider_convertapi.conversions.arguments import ConversionArguments
from airflow_provider_convertapi.operators.base import ConvertApiBaseOperator

# Import nothing else here: parsing a DAG file must not load what only a running task needs.
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.sdk import Context, XComArg

    from airflow_provider_convertapi.conversions.arguments import (
        OnQuota,
        PathArgument,
        ResultCheck,
        Seconds,
        SourceArgument,
        StepArguments,
    )
    from airflow_provider_convertapi.conversions.deferral import JobEvent
    from airflow_provider_convertapi.conversions.request import CheckedConversion
    from airflow_provider_convertapi.conversions.result import ConversionResult
    from airflow_provider_convertapi.conversions.values import Options
    from airflow_provider_convertapi.operators.lineage import Lineage

__all__ = ["ConvertApiOperator"]

_LAST_LOOK = 1.0
"""Seconds for which a task whose time is up checks once more for its result, which is paid."""


class ConvertApiOperator(ConvertApiBaseOperator[ConversionArguments]):
    """Convert one document, or one list of documents, with ConvertAPI.

    A conversion is billed once within two hours, the time for which the service remembers a job: a
    retry, or a cleared task, looks for the job before it pays, and logs "reused, no charge".  A
    permanent failure, such as an exhausted quota, fails the task at once, whatever `retries` says.

    Returns the list of output URIs and pushes the cost as the XCom `conversion_cost`.

    :param source: a local path, an object storage URI (``s3://conn@bucket/key``), an ``http(s)``
        URL that ConvertAPI fetches itself, or a list of those for merge, zip and the other
        converters of several files; None for a converter that needs none, such as ``qrcode``.
        (templated)
    :param to_format: target format or tool: ``pdf``, ``jpg``, ``merge``, ``protect``, … (templated)
    :param destination: a file, or a directory when it ends in ``/``; several results need a
        directory. (templated)
    :param from_format: source format; None infers it from the extension, ``web`` for a URL without
        one. (templated)
    :param parameters: the converter's own parameters. Those that are files, such as
        ``OverlayFile``, take the same kinds of source as `source`. (templated)
    :param steps: further conversions of the result, which stays at the service between them. Each
        is a mapping of `to_format` and, if needed, `from_format` and `parameters`:
        ``[{"to_format": "merge"}, {"to_format": "protect", "parameters": {...}}]``. Where the
        first converter takes one file, each source is converted, and a step such as merge or zip
        takes all of them. Each step is a separate job, and is billed. (templated)
    :param convertapi_conn_id: the connection's id. (templated)
    :param timeout: seconds that the task waits for the conversion; a job that takes longer is left
        for the next try to collect.
    :param poll_interval: the longest time in seconds between two polls; the first are closer.
    :param durable: True submits a job that survives a crash of the task; False converts in one
        streamed exchange and stores no document at the service, but an answer that is lost may
        have been billed.
    :param deferrable: wait for the job in the triggerer, without a worker slot; the default is
        Airflow's ``[operators] default_deferrable``. With ``durable=False`` there is no job to
        wait for, and the task runs directly.
    :param on_quota_exhausted: ``fail`` fails the task at once; ``raise`` lets Airflow's retries and
        retry policies handle `QuotaExhaustedError`.
    :param overwrite: whether an existing file is replaced. None replaces only a file that
        `destination` names; in a directory, where the service chooses the names, a file that this
        conversion did not write raises `OutputExistsError`. True replaces any file, False none. An
        input is never overwritten.
    :param conversion_key: part of the job's id: another key converts and pays again. (templated)
    :param result_check: a callable that accepts or refuses the results of each conversion before
        they are published: it gets the list of their local paths, returns True or None to accept
        and False to refuse, or raises `ResultCheckError` with a reason. A refused result is paid,
        kept below ``_convertapi/refused/`` beside the outputs, and not paid for again. Ready-made
        checks are in `airflow_provider_convertapi.checks`.
    :param cancel_on_kill: delete the job and its documents when a user ends the deferred task
        (Airflow 3.3 and later), or when the task is stopped or out of time on its last try. A
        conversion that was paid is then lost. False leaves the job for the next try to collect, or
        for the task after it was cleared.
    :param plan_only: log what would be done and its least cost, and send nothing.
    """

    # Airflow's registry reads this from the class itself, not from a base class.
    __supports_durable_execution: ClassVar[bool] = True

    _conversion: CheckedConversion | None = None
    """What this try converts; None until it has begun. `_result` is set when it has succeeded."""
    _result: ConversionResult | None = None

    def __init__(
        self,
        *,
        source: SourceArgument | XComArg | None,
        to_format: str,
        destination: PathArgument | XComArg,
        from_format: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        steps: Sequence[StepArguments] | None = None,
        convertapi_conn_id: str = "convertapi_default",
        timeout: Seconds = 1800,
        poll_interval: Seconds = 10,
        durable: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        on_quota_exhausted: OnQuota = "fail",
        overwrite: bool | None = None,
        conversion_key: str | None = None,
        result_check: ResultCheck | None = None,
        cancel_on_kill: bool = False,
        plan_only: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        arguments = ConversionArguments(
            source=source,
            to_format=to_format,
            destination=destination,
            from_format=from_format,
            parameters=parameters,
            steps=steps,
            timeout=timeout,
            poll_interval=poll_interval,
            durable=durable,
            on_quota_exhausted=on_quota_exhausted,
            overwrite=overwrite,
            conversion_key=conversion_key,
            result_check=result_check,
        )
        self._keep(
            arguments,
            convertapi_conn_id=convertapi_conn_id,
            deferrable=deferrable,
            cancel_on_kill=cancel_on_kill,
            plan_only=plan_only,
        )

    def _checks(self) -> tuple[Options, Callable[[Any], Any] | None]:
        if self.multiple_outputs:
            from airflow_provider_convertapi.conversions.values import wrong

            # Airflow would fail the task after it has paid (`airflow/sdk/execution_time/
            # task_runner.py`), and each retry likewise.
            raise wrong("multiple_outputs", "is True, but the task returns a list; leave it out")
        return super()._checks()

    def execute(self, context: Context) -> list[str]:
        """Convert, publish, and return the URIs of the outputs."""
        from airflow_provider_convertapi.conversions.checking import check_conversion

        with self._explicit_failures():
            conversion = check_conversion(_with_outputs(self._arguments()))
            if self.plan_only:
                return self._plan(conversion)
            if conversion.durable:
                self._warn_of_late_retries()
            elif self.deferrable:
                self.log.info("durable=False makes no job to wait for: the task runs directly.")
            return self._convert(context, conversion)

    def execute_complete(self, context: Context, event: Any = None) -> list[str]:
        """Collect the job that the trigger waited for, and return the URIs of the outputs."""
        from airflow_provider_convertapi.conversions.checking import check_conversion
        from airflow_provider_convertapi.conversions.deferral import JobEvent

        with self._explicit_failures(resumed=context):
            found = JobEvent.parse(event, expected=None)
            # The service has the inputs by now, and the files that they came from may be gone.
            arguments = _with_outputs(self._arguments_of_jobs())
            conversion = check_conversion(arguments, find_inputs=False)
            if found.status == "error":
                self.log.warning("The triggerer could not watch the job; this task waits for it.")
            return self._convert(context, conversion, found)

    def _convert(
        self, context: Context, conversion: CheckedConversion, found: JobEvent | None = None
    ) -> list[str]:
        """Convert; `found` continues with the jobs that the trigger reported."""
        from airflow_provider_convertapi.conversions.running import prepare, proceed

        session = self._open_session(context)
        self._note_digest(session)
        self._conversion = conversion
        if found is not None:
            # Before anything is looked for: another key makes other ids, under which the paid job
            # is not found, and other arguments would publish its result under a wrong name.
            session.check_key(found.key_check, f"{conversion.describe()} was")
            found.check_asked(self._asked(session), conversion.describe())
        seconds = _LAST_LOOK if found and found.status == "timeout" else None
        prepared = prepare(session, conversion, seconds=seconds)
        jobs = found.jobs if found else ()
        with self._cancelling(session, lambda: prepared.jobs):
            result = proceed(session, conversion, prepared, jobs, defers=self.deferrable)
        if isinstance(result, list):
            self._defer_for(session, result, session.clock.time() + conversion.timeout)
        return self._end(context, conversion, result)

    def _end(
        self, context: Context, conversion: CheckedConversion, result: ConversionResult
    ) -> list[str]:
        self._result = result
        outputs = result.outputs
        place = outputs[0] if len(outputs) == 1 else conversion.target.destination.uri
        self._note_outlets(context, place if outputs else None)
        context["ti"].xcom_push(key="conversion_cost", value=result.cost)
        return outputs

    def _lineage(self) -> Lineage | None:
        if self._conversion is None:
            return None
        from airflow_provider_convertapi.operators.lineage import of_conversion

        return of_conversion(self._conversion, self._digest, self._result)

    def _plan(self, conversion: CheckedConversion) -> list[str]:
        from airflow_provider_convertapi.storage import shown
        from airflow_provider_convertapi.wording import labelled

        how = "job that survives crashes" if conversion.durable else "direct exchange"
        for line in (
            "Plan only, nothing is sent.",
            *labelled("To convert", conversion.describe()),
            *labelled("Into", shown(conversion.target.destination.uri)),
            f"Cost: at least {conversion.least_cost} conversion(s), as a {how}.",
        ):
            self.log.info("%s", line)
        return []


def _with_outputs(arguments: ConversionArguments) -> ConversionArguments:
    """Replace each batch summary in `source` by the files that the batch made.

    `AirflowSkipException` if the batches made no files.
    """
    from airflow_provider_convertapi.batch.made import MADE_NOTHING, with_outputs

    given = with_outputs(arguments)
    if given is None:
        from airflow_provider_convertapi.airflow_names import AirflowSkipException

        raise AirflowSkipException(MADE_NOTHING)
    return given
