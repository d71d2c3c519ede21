"""The free questions: the clock, the account, stored documents, refused credentials.

This module may change from release to release.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from airflow_provider_convertapi.api import endpoints
from airflow_provider_convertapi.api.wire import Request
from airflow_provider_convertapi.errors import TransportError, UnexpectedAnswerError
from airflow_provider_convertapi.live.documents import Document
from airflow_provider_convertapi.live.wire import code_of, is_ok, status_of, told

if TYPE_CHECKING:
    from airflow_provider_convertapi.api.wire import Response
    from airflow_provider_convertapi.live.check import Check

_Q = 0
_OLD_FIELDS = frozenset({"secret", "apikey", "status", "secondsleft"})
_SKEW = 1.0
"""Seconds by which two clocks may differ and still count as equal."""


def ask(check: Check) -> None:
    """Ask the free questions, except those about JWTs."""
    _ask_for_unknown_token(check)
    _ask_for_account(check)
    _say_clock(check)
    _ask_for_documents(check)


def _ask_for_unknown_token(check: Check) -> None:
    """Send an invented token, for which no account can be billed."""
    answer = check.wire.free(Request("GET", "/convert/docx/to/pdf"), secrets.token_hex(16))
    name, evidence = (
        "an unknown token",
        f"GET /convert/docx/to/pdf with a random token: {told(answer)}",
    )
    code = code_of(answer)
    if answer is None:
        raise TransportError(
            f"{check.settings.base_url}, of connection {check.settings.conn_id!r}, gave no answer; "
            "nothing was spent. Check the connection's host, and this machine's network. "
            f"({check.wire.trouble})",
            sent=False,
        )
    if answer.status < 400 or (answer.status != 401 and code is None):
        raise UnexpectedAnswerError(
            f"{check.settings.base_url}, of connection {check.settings.conn_id!r}, is not "
            f"ConvertAPI: it answers a conversion with a random token by {told(answer)}. Check the "
            "connection's host, and whether a proxy or a sign-in page is between. Nothing was "
            "spent."
        )
    if answer.status != 401:
        check.unclear(_Q, name, "it is not refused with 401", evidence)
    elif code not in {4010, 4011, 4013}:
        check.unclear(_Q, name, "it is refused with 401, under a Code that no switch has", evidence)
    else:
        meaning = "Tasks with a wrong token fail at once with AuthenticationError."
        reading = f"it is refused with 401, Code {code}"
        check.know(_Q, name, reading, evidence, meaning, invalid_token_code=code)


def _ask_for_account(check: Check) -> None:
    problem = check.money.begin()
    if problem:
        why = f"{problem}, so what is billed cannot be measured"
        check.skip(_Q, "the account", why)
        return
    account = check.money.account
    active = account.get("Active")
    if isinstance(active, bool):
        left = check.money.left_at_first
        left_told = "an unknown number of" if left is None else left
        reading = ("active" if active else "not active") + f"; {left_told} conversions are left"
        meaning = "" if active else "Nothing can be converted until it is activated."
        check.know(_Q, "the account", reading, "GET /user", meaning, account_active=active)
    old = bool(_OLD_FIELDS & {name.lower() for name in account})
    reading = "are told" if old else "are not told"
    check.know(_Q, "account fields of earlier years", reading, "GET /user", legacy_user_fields=old)


def _say_clock(check: Check) -> None:
    ahead = check.wire.ahead
    if ahead is None:
        check.unclear(_Q, "the service's clock", "its answers have no Date header")
        return
    seconds = 0 if abs(ahead) < check.wire.doubt + _SKEW else round(ahead)
    reading = f"{abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} this machine's"
    meaning = "JWTs are widened by a minute on both sides."
    if abs(seconds) > 60:
        meaning += " That is not enough: set this machine's clock."
    reading = reading if seconds else "the same as this machine's"
    check.know(_Q, "the service's clock", reading, "Date header", meaning, clock_offset=seconds)


def _ask_for_documents(check: Check) -> None:
    missing = check.jobs.ask(secrets.token_hex(16))
    if status_of(missing) != 404:
        check.unclear(2, "an unknown job", "it is not answered with 404", told(missing))
    else:
        body = "json" if code_of(missing) is not None else "empty"
        reading = f"404, {'with a Code' if body == 'json' else 'without a Code'}"
        check.know(2, "an unknown job", reading, told(missing), not_found_body=body)
    file_id = secrets.token_hex(16)
    first, second = Document("check.txt", b"first"), Document("check.txt", b"the second")
    stored = check.jobs.store(file_id, first)
    if not is_ok(stored):
        check.unclear(_Q, "an upload", "it is not accepted", told(stored))
        return
    again = check.jobs.store(file_id, second)
    _say_known_file(check, again, _content(check, file_id))
    _ask_for_ranges(check, file_id)
    check.jobs.remove(file_id)


def _content(check: Check, file_id: str) -> bytes | None:
    answer = check.wire.free(endpoints.download(file_id).request, check.keys.secret())
    return answer.body if is_ok(answer) else None


def _say_known_file(check: Check, again: Response | None, content: bytes | None) -> None:
    name = "an upload under a known fileId"
    evidence = f"the second upload: {told(again)}"
    if is_ok(again) and content == b"the second":
        meaning = "A later try may send an input again under its id."
        check.know(_Q, name, "it replaces the document", evidence, meaning, known_file_id="replace")
    elif status_of(again) == 400 and content == b"first":
        meaning = "A later try looks for the upload first, so it is not refused."
        check.know(_Q, name, "it is refused", evidence, meaning, known_file_id="refuse")
    else:
        check.unclear(_Q, name, "neither replaced nor refused", evidence)


def _ask_for_ranges(check: Check, file_id: str) -> None:
    request = Request("GET", f"/d/{file_id}", accept="*/*", headers={"Range": "bytes=2-"})
    answer = check.wire.free(request, check.keys.secret())
    status = status_of(answer)
    if status not in {200, 206}:
        check.unclear(_Q, "byte ranges of downloads", "the answer shows neither", told(answer))
        return
    served = status == 206
    reading = "are served" if served else "are ignored"
    check.know(_Q, "byte ranges of downloads", reading, told(answer), byte_ranges=served)
