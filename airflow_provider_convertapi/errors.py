"""Every way a conversion can fail, one class for each thing a caller can do about it.

Those marked with a star are `transient`: another try can end differently without anybody's help.

::

    ConvertApiError                the base of all; knows no Airflow
    |- ConnectionConfigError       a field of the connection is wrong   mend the connection
    |- ParameterError              the request is wrong (400, or here)  mend the DAG
    |- UnsupportedFormatError      415, or a pair nobody converts       other format or file
    |- InputNotFoundError          the source is not there              mend the source
    |- InputChangedError        *  the source was written meanwhile     the next try reads it anew
    |- OutputExistsError           somebody else's file is in the way   move it, or overwrite
    |- AuthenticationError         401                                  mend token or Kid
    |- QuotaExhaustedError         403, or Code 4014                    a human must buy
    |- ThrottledError           *  503, 429 until our time was up       later, or a larger plan
    |- TransportError           *  no answer, or a gateway's            the next try looks first
    |- ConversionError             a verdict on the document; paid      mend the document
    |  `- TransientConversionError
    |                           *  a verdict worth one more attempt     the next try pays for one
    |- ConversionTimeoutError   *  our own `timeout`; the job goes on   the next try collects
    |- ConversionInterrupted    *  told to stop; the job goes on        the next try collects
    |- ResultLostError             sent, maybe billed, answer lost      clear the task to pay anew
    |- ResultExpiredError          accepted once, unknown now           clear the task to pay anew
    |- UnexpectedAnswerError       an answer nobody can understand      check the connection's host
    |- BudgetExceededError         more than `max_conversions`          raise it, or do less
    `- BatchFailedError            files of a batch failed for good     see its manifest
       `- TransientBatchFailedError
                                *  some of them for a passing reason    the next try converts those

Only the fields decide, never the text.  Each class hands all its fields to `args`, so that every
instance survives pickling: the errors of tasks cross process borders.
"""

from __future__ import annotations

from typing import ClassVar

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
    "ParameterError",
    "QuotaExhaustedError",
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
    """Whether another try can end differently without anybody's help."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message


class ConnectionConfigError(ConvertApiError, ValueError):
    """A field of the connection is missing or wrong; the message names it."""


class ParameterError(ConvertApiError):
    """Something that was asked for is not possible (HTTP 400, or found before asking).

    :param message: names the parameter and the remedy.
    :param invalid: parameter or argument name -> what is wrong with it; empty when unknown.
    :param lasting: whether the same request is refused for ever, so that a batch does not repeat
        it in later runs; False where a proxy or a setting may have refused it (HTTP 413).
    """

    def __init__(
        self, message: str, invalid: dict[str, list[str]] | None = None, lasting: bool = True
    ) -> None:
        super().__init__(message)
        self.invalid = invalid or {}
        self.lasting = lasting
        self.args = (message, self.invalid, lasting)


class UnsupportedFormatError(ConvertApiError):
    """The service does not convert this kind of file, or this pair of formats (HTTP 415).

    :param lasting: as of `ParameterError`; False where the host may be the wrong one (404, 405).
    """

    def __init__(self, message: str, lasting: bool = True) -> None:
        super().__init__(message)
        self.lasting = lasting
        self.args = (message, lasting)


class InputNotFoundError(ConvertApiError):
    """A source or a file parameter is not where the task looked for it."""


class InputChangedError(ConvertApiError):
    """The source was written while the task looked at it; nothing was paid."""

    transient = True


class OutputExistsError(ConvertApiError):
    """A file that is not ours stands where an output would go, and `overwrite` is off."""


class AuthenticationError(ConvertApiError):
    """The service does not accept the credential (HTTP 401).

    :param code: ConvertAPI's Code (4010-4013, 4015, 4017), None where the answer had none.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.args = (message, code)


class QuotaExhaustedError(ConvertApiError):
    """No conversions are left on the account (HTTP 403, or Code 4014)."""


class ThrottledError(ConvertApiError):
    """The service is overloaded or the plan's concurrency is used up (HTTP 503 or 429).

    :param retry_after: seconds the service asked to wait; None when it did not say.
    """

    transient = True

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.args = (message, retry_after)


class TransportError(ConvertApiError):
    """There is no answer of the service itself: DNS, TLS, a reset, silence, a gateway.

    :param sent: whether any byte of the request may have reached the service.
    """

    transient = True

    def __init__(self, message: str, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent
        self.args = (message, sent)


class ConversionError(ConvertApiError):
    """The service tried and could not convert this document; that is billed too.

    :param code: ConvertAPI's Code, for example 5002 (damaged) or 5003 (password protected).
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code
        self.args = (message, code)


class TransientConversionError(ConversionError):
    """A verdict that one more attempt may change: Codes 5000, 5008, 5009 and 50050."""

    transient = True


class ConversionTimeoutError(ConvertApiError):
    """Our own `timeout` passed while the job went on; the next try collects it."""

    transient = True


class ConversionInterrupted(ConvertApiError):  # noqa: N818 - it is no fault, and the name is public
    """The task was told to stop while the job went on; the next try collects it."""

    transient = True


class ResultLostError(ConvertApiError):
    """A conversion was sent and its answer cannot be had any more; it may have been billed."""


class ResultExpiredError(ConvertApiError):
    """The service accepted the job and does not know it, or its files, any more."""


class UnexpectedAnswerError(ConvertApiError):
    """The service answered something that this provider cannot understand."""


class BudgetExceededError(ConvertApiError):
    """The work would take more conversions than `max_conversions` allows."""


class BatchFailedError(ConvertApiError):
    """Files of a batch failed, more than its failure policy allows."""


class TransientBatchFailedError(BatchFailedError):
    """Some of the files failed for a reason that passes; another try converts those."""

    transient = True
