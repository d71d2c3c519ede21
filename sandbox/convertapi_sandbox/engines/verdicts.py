"""The engines' refusals: status, Code and text of the service's table of response codes.

Source: https://docs.convertapi.com/docs/response-codes. The texts contain no path of this machine.
"""

from __future__ import annotations

from convertapi_sandbox.isolation import STEP_SECONDS
from convertapi_sandbox.jobs import EngineError

_PROCESSED, _BAD_REQUEST, _UNSUPPORTED = 500, 400, 415


def timed_out(seconds: float) -> EngineError:
    """Return 5000: the conversion took longer than its Timeout."""
    return EngineError(
        _PROCESSED, 5000, f"Conversion timeout: not done within {seconds:g} seconds."
    )


def step_too_long() -> EngineError:
    """Return 5000: one step of a conversion took longer than the sandbox allows."""
    text = f"Conversion timeout: one step took more than the sandbox's {STEP_SECONDS} seconds."
    return EngineError(_PROCESSED, 5000, text)


def failed(error: BaseException | str) -> EngineError:
    """Return 5001 with a library's message, shortened."""
    text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    return EngineError(_PROCESSED, 5001, f"Conversion failed. {' '.join(text.split())[:300]}")


def crashed() -> EngineError:
    """Return 5001: the converting process died."""
    return failed("The converter crashed on this file.")


def closed() -> EngineError:
    """Return 5001: the sandbox is being closed."""
    return failed("The sandbox is closed.")


def too_much_memory() -> EngineError:
    """Return 5001: the conversion needs more memory than a worker has."""
    return failed("It needs more memory than the sandbox gives a conversion.")


def damaged(detail: str = "") -> EngineError:
    """Return 5002: the file cannot be read in the format of its name."""
    text = " ".join(f"The file is damaged or of another format. {detail}".split())
    return EngineError(_PROCESSED, 5002, text[:300])


def protected() -> EngineError:
    """Return 5003: the file needs a password, and none was given."""
    return EngineError(_PROCESSED, 5003, "The file is password protected. Provide its Password.")


def wrong_password() -> EngineError:
    """Return 5007: the given password does not open the file."""
    return EngineError(_PROCESSED, 5007, "The file cannot be decrypted with this Password.")


def every_page_deleted() -> EngineError:
    """Return 5005: nothing would be left of the document."""
    return EngineError(_PROCESSED, 5005, "Cannot delete every page of the document.")


def unicode_password(algorithm: str) -> EngineError:
    """Return 5006: older algorithms accept only passwords of Latin letters."""
    text = f"The algorithm {algorithm} does not support Unicode passwords."
    return EngineError(_PROCESSED, 5006, text)


def no_images() -> EngineError:
    """Return 50013: there is no picture in the document."""
    return EngineError(_PROCESSED, 50013, "There are no images in the PDF.")


def nothing_to_extract() -> EngineError:
    """Return 50020: there is nothing to extract."""
    return EngineError(_PROCESSED, 50020, "There is nothing to extract.")


def bad_parameter(name: str, detail: str) -> EngineError:
    """Return 400/4000: a parameter's text has no meaning for this document."""
    return EngineError(_BAD_REQUEST, 4000, f"Parameter validation error. {name}: {detail}")


def unsupported(what: str) -> EngineError:
    """Return 415: the sandbox cannot do this, but the real service can."""
    text = f"The sandbox cannot convert {what}; the real service can."
    return EngineError(_UNSUPPORTED, 415, text)
