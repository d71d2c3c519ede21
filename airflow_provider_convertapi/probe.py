"""Check the contract at the live service: ``python -m airflow_provider_convertapi.probe``.

Without ``--spend`` it sends only free requests.  It converts only its own tiny documents, deletes
them, and writes a report without secrets.
"""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_convertapi.clock import SYSTEM_CLOCK
from airflow_provider_convertapi.errors import ConvertApiError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_convertapi.connection import ConnectionSettings
    from airflow_provider_convertapi.live.check import Check
    from airflow_provider_convertapi.live.later import Left

__all__ = ["main"]

_SPEND = (
    "take up to N conversions; 9 asks all; only the first conversion of a kind, whose price is not "
    "known before, can go beyond N, and is then the last"
)
REPORT = "convertapi-live-check.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check and return its exit status: 130 if it was interrupted, 1 for errors."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.spend < 0:
        parser.error("--spend is a number of conversions, 0 or more")
    try:
        if given.later and not given.spend:
            return _ask_later(given)
        return _check(given)
    except KeyboardInterrupt:
        _say("Interrupted; what was made has been deleted as far as possible.")
        return 130
    except ConvertApiError as error:
        _say(str(error))
        return 1
    except BrokenPipeError:  # not of the report: `command_line` ends quietly
        raise
    except OSError as error:
        _say(f"{given.report}: the report cannot be read or written: {error.strerror}.")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_convertapi.probe",
        description="Find out which reading of ConvertAPI's contract is true at the live service.",
    )
    add = parser.add_argument
    add("--conn-id", default="convertapi_default", help="the connection (convertapi_default)")
    add("--spend", type=int, default=0, metavar="N", help=_SPEND)
    add(
        "--limited-conn-id",
        metavar="ID",
        help="a second connection, whose token has a usage limit of 1, to see the exhausted quota",
    )
    add(
        "--later",
        action="store_true",
        help="with --spend: leave a job; alone: ask, an hour or more later, whether it is kept",
    )
    add("--report", type=Path, default=Path(REPORT), metavar="FILE", help=f"the report ({REPORT})")
    return parser


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a command speaks to a person


def _settings(conn_id: str) -> ConnectionSettings:
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook  # noqa: PLC0415 - imports Airflow

    return ConvertApiHook(conn_id).open_session().settings


def _new_check(conn_id: str, allowed: int, nonce: str = "") -> Check:
    from airflow_provider_convertapi.live.check import Check  # noqa: PLC0415 - imports requests

    return Check(_settings(conn_id), SYSTEM_CLOCK, _say, allowed, nonce=nonce)


def _check(given: argparse.Namespace) -> int:
    from airflow_provider_convertapi.live.report import TITLE, render  # noqa: PLC0415 - as above
    from airflow_provider_convertapi.live.run import finish, run  # noqa: PLC0415 - as above

    if _read(given.report)[: len(TITLE)] not in ("", TITLE):
        _say(f"{given.report} is not a report of this command, and is not overwritten; move it.")
        return 1
    check = _new_check(given.conn_id, given.spend, secrets.token_hex(8) if given.later else "")
    limited = None
    if given.limited_conn_id:
        limited = _new_check(given.limited_conn_id, given.spend)
    given.report.touch()  # fails before anything is paid if the report cannot be written
    _announce(check, given.spend)
    left: Left | None = None
    try:
        left = run(check, limited)
    except KeyboardInterrupt:
        check.money.stopped = "the check was interrupted"
        finish(check)
        raise
    finally:
        remains = [name for made in (check, limited) if made for name in made.close()]
        text = render(check, left, remains, limited)
        given.report.write_text(text, encoding="utf-8")
        print(text)  # noqa: T201 - a command speaks to a person
        _say(f"The report is in {given.report}; it holds no secret.")
    return 0


def _read(report: Path) -> str:
    """Return the text of an earlier report; empty if there is none."""
    # A file that is not text is not a report of this command, and names no job.
    return report.read_text("utf-8", "replace") if report.is_file() else ""


def _announce(check: Check, allowed: int) -> None:
    _say(f"Connection {check.settings.conn_id!r}: {check.settings.base_url}.")
    if not allowed:
        _say("Only what is free is asked. --spend 9 asks everything, for about 7 conversions.")
        return
    _say(
        f"This takes up to {allowed} conversion(s) from the account. A price is told only with a "
        "result: the first conversion of a kind (PDF to PNG, Word to PDF, texts to ZIP) can cost "
        "more than is left, and then nothing more is sent."
    )


def _ask_later(given: argparse.Namespace) -> int:
    from airflow_provider_convertapi.live import later, report  # noqa: PLC0415 - as above

    earlier = _read(given.report)
    left = later.read(earlier)
    if left is None:
        _say(
            f"{given.report} names no job that was left. Begin with --spend 9 --later, and call "
            "this after 1, 2 and 3 hours with the same --report."
        )
        return 1
    check = _new_check(given.conn_id, 0)
    try:
        fact, left = later.ask(check, left)
    finally:
        check.close()
    given.report.write_text(report.replace(earlier, fact, left), encoding="utf-8")
    print("\n".join(report.describe(fact)))  # noqa: T201 - a command speaks to a person
    return 0


if __name__ == "__main__":
    from airflow_provider_convertapi.command_line import run as run_command

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that SIGTERM cleans up, too
    run_command(main)
