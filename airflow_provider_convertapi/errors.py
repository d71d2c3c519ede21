"""Every way a conversion can fail, one class for each thing a caller can do about it.

Those marked with a star are `transient`: another try may end differently, with no change made.

::

    ConvertApiError                the base of all; knows no Airflow
    |- ConnectionConfigError       a field of the connection is wrong   fix the connection
    |- ParameterError              the request is wrong (400, or here)  fix the DAG
    |- UnsupportedFormatError      415, or an unknown pair of formats   other format or file
    |- InputNotFoundError          the source is not there              fix the source
    |- InputChangedError        *  the source was written meanwhile     the next try reads it again
    |- OutputExistsError           a file of others is in the way       move it, or overwrite
    |- OutputNotWritableError      no space, read-only, not permitted   make room, or choose a place
    |- AuthenticationError         401                                  fix token or Kid
    |- QuotaExhaustedError         403, or Code 4014                    buy conversions
    |- ThrottledError           *  503, 429 until our time was up       later, or a larger plan
    |- TransportError           *  no answer, or a gateway's            the next try looks first
    |- ConversionError             a verdict on the document; paid      fix the document
    |  `- TransientConversionError
    |                           *  a verdict worth one more attempt     the next try pays for one
    |- ResultCheckError            its result is refused; paid      look at it, change the request
    |- ConversionTimeoutError   *  our own `timeout`; the job goes on   the next try collects
    |- ConversionInterrupted    *  told to stop; the job goes on        the next try collects
    |- ResultLostError             sent, maybe billed, answer lost      clear the task to pay again
    |- ResultExpiredError          accepted once, unknown now           clear the task to pay again
    |- UnexpectedAnswerError       an answer that makes no sense        check the connection's host
    |- BudgetExceededError         more than `max_conversions`          raise it, or do less
    `- BatchFailedError            files of a batch failed for good     see its manifest
       `- TransientBatchFailedError
                                *  some of them may still succeed       the next try converts those

Decisions depend on the facts and fields below, never on the text and never on a list of classes
elsewhere.  The facts are class attributes, so that they are known even for a failure of which only
the name was kept (`facts_of`).  Each class passes all its fields to `args`, so that every instance
survives pickling, since the errors of tasks cross process borders.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from airflow_provider_convertapi.wording import on_one_line

Concern = Literal["document", "request", "result", "files", "account", "run", "service"]
"""What an error is about.

- ``document`` and ``request``: the service's verdict on the file, or on the request; or our own on
  the result
- ``result``: a conversion that may have been paid, and has no result
- ``files``: inputs and outputs in their stores
- ``account`` and ``run``: something that concerns all other files, too, so that no more are sent
- ``service``: the service, or the connection to it
"""

__all__ = [
    "AuthenticationError",
    "BatchFailedError",
    "BudgetExceededError",
    "ConnectionConfigError",
    "ConversionError",
    "ConversionInterrupted",
    "ConversionTimeoutError",
    "ConvertApiError",
    "InputChangedError",
    "InputNotFoundError",
    "OutputExistsError",
    "OutputNotWritableError",
    "ParameterError",
    "QuotaExhaustedError",
    "ResultCheckError",
    "ResultExpiredError",
    "ResultLostError",
    "ThrottledError",
    "TransientBatchFailedError",
    "TransientConversionError",
    "TransportError",
    "UnexpectedAnswerError",
    "UnsupportedFormatError",
]


class ConvertApiError(Exception):
    """Base of all errors of this provider.

    :param message: what happened, to which file, what it cost and what to do next.
    """

    transient: ClassVar[bool] = False
    """Whether another try may end differently, with no change made."""

    transient_in_batch: ClassVar[bool] = False
    """Whether that is so for a file of a batch, whose next try lists the inputs again."""

    concerns: ClassVar[Concern] = "service"

    title: ClassVar[str] = "ConvertAPI: the task failed."
    """What happened, in a few words that are true of every instance."""

    advice: ClassVar[str] = "read the message above; clear the task to try again."
    """What a person can do, if the message does not say it better."""

    set_out: str | None = None
    """The message with a short first line, for Airflow's page; None until it leaves a task."""

    paid: bool | None = None
    """Whether a conversion that ends this way was billed; None if that is unknown."""

    bars_file: bool = False
    """Whether a batch must not pay for the file again in later runs, until file or parameters
    change."""

    is_judged: bool | None = None
    """Whether `result_check` judged the result; False if it failed itself, None if nobody asked."""

    bars_paid_file: ClassVar[bool] = False
    """The same, but only if the conversion was paid: another one would end the same way."""

    job_goes_on: ClassVar[bool] = False
    """Whether a job that was submitted goes on at the service, for the next try to collect."""

    asks_to_wait: ClassVar[bool] = False
    """Whether the service is only too busy: the call is repeated until the caller's time is up."""

    is_of_quota: ClassVar[bool] = False
    """Whether no conversions are left, so that buying some is what helps."""

    code: int | None = None
    """ConvertAPI's Code; None if the answer had none, or there was no answer."""

    retry_after: float | None = None
    """Seconds that the service asked to wait; None if it gave no number."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = on_one_line(message)

    def __str__(self) -> str:
        return self.message if self.set_out is None else self.set_out

    def saying(self, message: str) -> Self:
        """Return the same error with another message."""
        # The text is the first of `args`, and the class's own fields are the others.
        return type(self)(message, *self.args[1:])

    @property
    def halts_batch(self) -> bool:
        """Whether it concerns all other files, too, so that no more are sent."""
        return self.concerns in ("account", "run")

    @property
    def is_refusal(self) -> bool:
        """Whether the service answered, and will not convert this request."""
        return self.concerns in ("document", "request")

    @property
    def is_verdict(self) -> bool:
        """Whether the service has tried to convert the document and could not."""
        return self.concerns == "document"

    @property
    def is_answer_lost(self) -> bool:
        """Whether the request may have been accepted, so that the job must be looked for first."""
        return False


def facts_of(name: str | None) -> type[ConvertApiError]:
    """Return the facts of a failure from its class's name; defaults for an unknown name."""
    kind = globals().get(name or "")
    if isinstance(kind, type) and issubclass(kind, ConvertApiError):
        return kind
    return _OtherError


def with_facts(error: BaseException) -> ConvertApiError:
    """Return the error itself if it is ours, else one with the facts of a store's own error."""
    return error if isinstance(error, ConvertApiError) else _OtherError(type(error).__name__)


class _OtherError(ConvertApiError):
    """The facts that are assumed for a store's own error, and for errors of a later version."""

    transient = True


class ConnectionConfigError(ConvertApiError, ValueError):
    """A field of ConvertAPI's connection or of a store's is wrong; the message names it."""

    title = "A connection is not set up as it must be."
    advice = "correct the connection, then clear the task."
    concerns = "account"
    paid = False


class ParameterError(ConvertApiError):
    """Something that was asked for is not possible (HTTP 400, or found before asking).

    :param message: names the parameter and the remedy.
    :param invalid: parameter or argument name -> what is wrong with it; empty when unknown.
    :param bars_file: False if the same request may be accepted later, since a proxy or a setting
        may have refused it (HTTP 413), or if it was not the conversion that was refused.
    """

    title = "What was asked for is not possible."
    advice = "correct the DAG, then clear the task."
    concerns = "request"
    bars_file = True

    def __init__(
        self, message: str, invalid: dict[str, list[str]] | None = None, bars_file: bool = True
    ) -> None:
        super().__init__(message)
        self.invalid = invalid or {}
        self.bars_file = bars_file
        self.args = (message, self.invalid, bars_file)


class UnsupportedFormatError(ConvertApiError):
    """The service does not convert this kind of file, or this pair of formats (HTTP 415).

    :param bars_file: False if the host may be the wrong one (404, 405), or if it was not the
        conversion that was refused.
    """

    title = "ConvertAPI does not convert this."
    advice = "use other formats or another file, then clear the task."
    concerns = "request"
    paid = False
    bars_file = True

    def __init__(self, message: str, bars_file: bool = True) -> None:
        super().__init__(message)
        self.bars_file = bars_file
        self.args = (message, bars_file)


class InputNotFoundError(ConvertApiError):
    """A source or a file parameter is not where the task looked for it."""

    title = "An input is not there."
    advice = "check the path and what writes the file, then clear the task."
    transient_in_batch = True
    concerns = "files"
    paid = False


class InputChangedError(ConvertApiError):
    """The source was written while the task looked at it; nothing was paid."""

    title = "An input was written meanwhile."
    advice = "wait until the file is written; the next try reads it again."
    transient = True
    concerns = "files"
    paid = False


class OutputExistsError(ConvertApiError):
    """Another file has the name of an output, and `overwrite` does not allow replacing it."""

    title = "A file is in the way of an output."
    advice = "move the file away or set overwrite=True, then clear the task."
    concerns = "files"
    bars_paid_file = True


class OutputNotWritableError(ConvertApiError):
    """Outputs cannot be written: there is no space, or the place is read-only or not permitted.

    :param paid: False if it was found before paying.
    """

    title = "An output cannot be written."
    advice = "make room, or choose another destination, then clear the task."
    concerns = "run"

    def __init__(self, message: str, paid: bool | None = None) -> None:
        super().__init__(message)
        self.paid = paid
        self.args = (message, paid)


class AuthenticationError(ConvertApiError):
    """The service does not accept the credential (HTTP 401, or 403 for a stored file).

    :param code: ConvertAPI's Code (4010-4013, 4015, 4017), None if the answer had none.
    """

    title = "ConvertAPI does not accept the credential."
    advice = "check the connection's API token and Kid, then clear the task."
    concerns = "account"
    paid = False

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.args = (message, code)


class QuotaExhaustedError(ConvertApiError):
    """No conversions are left on the account (HTTP 403, or Code 4014).

    :param paid: None if it is not known whether a job that was submitted before was paid.
    """

    is_of_quota = True
    title = "No conversions are left."
    advice = "buy conversions at ConvertAPI, then clear the task."
    concerns = "account"
    paid: bool | None = False

    def __init__(self, message: str, paid: bool | None = False) -> None:
        super().__init__(message)
        self.paid = paid
        self.args = (message, paid)


class ThrottledError(ConvertApiError):
    """The service is overloaded or the plan's concurrency is used up (HTTP 503 or 429).

    :param retry_after: seconds the service asked to wait; None when it did not say.
    :param code: ConvertAPI's Code, None if the answer had none.
    """

    title = "ConvertAPI is too busy."
    advice = "try later, run fewer at a time, or get a larger plan."
    transient = True
    asks_to_wait = True
    paid = False

    def __init__(
        self, message: str, retry_after: float | None = None, code: int | None = None
    ) -> None:
        super().__init__(message)
        self.retry_after, self.code = retry_after, code
        self.args = (message, retry_after, code)


class TransportError(ConvertApiError):
    """The service did not answer: DNS, TLS, a reset, silence, or a gateway's error.

    :param sent: whether any byte of the request may have reached the service.
    """

    title = "ConvertAPI did not answer."
    advice = "check the host and the network; the next try looks before it pays."
    transient = True

    def __init__(self, message: str, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent
        self.args = (message, sent)

    @property
    def is_answer_lost(self) -> bool:
        """Whether a byte was sent, after which the outcome is unknown."""
        return self.sent


class ConversionError(ConvertApiError):
    """The service tried and could not convert this document; that is billed too.

    :param code: ConvertAPI's Code, for example 5002 (damaged) or 5003 (password protected).
    """

    title = "The document cannot be converted."
    advice = "fix the document, or change what is asked for, then clear the task."
    concerns = "document"
    paid = True
    bars_file = True
    code: int

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code
        self.args = (message, code)


class TransientConversionError(ConversionError):
    """The conversion failed, but one more attempt may succeed: Codes 5000, 5008, 5009 and 50050."""

    title = "The document could not be converted this time."
    advice = "nothing; the next try makes one more attempt, and pays for it."
    transient = True
    bars_file = False


class ResultCheckError(ConvertApiError):
    """A result was refused before it was published, by its first bytes or by `result_check`; paid.

    A `result_check` raises it with its reason as the only argument.

    :param message: why.
    :param kept: URIs where the refused results are kept; empty if they are not.
    """

    title = "The result is refused."
    advice = "look at the result, then change the file, the parameters or the check."
    is_judged = True
    concerns = "document"
    paid = True
    bars_file = True

    def __init__(self, message: str, kept: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.kept = kept
        self.args = (message, kept)

    @property
    def is_refusal(self) -> bool:
        """Whether the service will not convert what it was sent: it has."""
        return False

    @property
    def is_verdict(self) -> bool:
        """Whether the service could not convert the document: it could."""
        return False


class ConversionTimeoutError(ConvertApiError):
    """Our own `timeout` passed while the job went on; the next try collects it."""

    title = "The conversion did not end in time."
    advice = "nothing; the next try collects the job without paying."
    transient = True
    job_goes_on = True


class ConversionInterrupted(ConvertApiError):  # noqa: N818 - it is not a fault, and the name is public
    """The task was told to stop while the job went on; the next try collects it."""

    title = "The task was stopped."
    advice = "nothing; the next try collects the job without paying."
    transient = True
    job_goes_on = True
    concerns = "run"


class ResultLostError(ConvertApiError):
    """A conversion was sent and its answer is lost for good; it may have been billed."""

    title = "The result is lost."
    advice = "clear the task to convert and pay again."
    concerns = "result"


class ResultExpiredError(ConvertApiError):
    """The service accepted the job and no longer knows it, or its files."""

    title = "ConvertAPI does not have the result any more."
    advice = "clear the task to convert and pay again."
    concerns = "result"


class UnexpectedAnswerError(ConvertApiError):
    """The service answered something that this provider cannot understand.

    :param refused: whether it was a 4xx, so that the service, or a proxy before it, did not accept
        the request.
    """

    title = "ConvertAPI answered something that makes no sense."
    advice = "check that the connection's host is ConvertAPI."

    def __init__(self, message: str, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused
        self.args = (message, refused)

    @property
    def is_refusal(self) -> bool:
        """Whether it was a 4xx."""
        return self.refused

    @property
    def is_answer_lost(self) -> bool:
        """Whether it was not a 4xx: an unreadable answer may mean that the job was accepted."""
        return not self.refused


class BudgetExceededError(ConvertApiError):
    """The task would take more conversions than `max_conversions` allows."""

    title = "It would take more conversions than max_conversions."
    advice = "raise max_conversions, or convert fewer files."
    concerns = "run"
    paid = False


class BatchFailedError(ConvertApiError):
    """More files of a batch failed than its failure policy allows."""

    title = "Files of the batch failed."
    advice = "see the manifest for each file."
    concerns = "run"


class TransientBatchFailedError(BatchFailedError):
    """Some of the files failed with a transient error; another try converts those."""

    transient = True
