"""Run a sandbox from the command line: convertapi-sandbox, or python -m convertapi_sandbox."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from convertapi_sandbox import requirements
from convertapi_sandbox.faults import Fault
from convertapi_sandbox.settings import Settings
from convertapi_sandbox.tokens import ApiToken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convertapi_sandbox import Sandbox
    from convertapi_sandbox.canned import CannedAnswer


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; return the exit status."""
    try:
        requirements.check()
    except ImportError as error:
        print(error, file=sys.stderr)  # noqa: T201 - for the person who started it
        return 1
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.check:
        from convertapi_sandbox.check import run  # noqa: PLC0415 - rare

        return run()
    from convertapi_sandbox import Sandbox  # noqa: PLC0415 - checked above

    try:
        settings = _settings(options)
        faults = _faults(options)
        answers = _answers(options)
        limits = [_limits(text) for text in options.add_token]
        sandbox = Sandbox(
            balance=options.balance,
            latency=options.latency,
            workers=options.workers,
            state=options.state,
            settings=settings,
            host=options.host,
            port=options.port,
            seed=options.seed,
            unsafe_host=options.unsafe_host,
        )
        sandbox.start()
    except (ValueError, AttributeError, OSError) as error:
        parser.error(str(error))
    try:
        _end_on_signals()
        for fault in faults:
            sandbox.add_fault(fault)
        for answer in answers:
            sandbox.add_answer(answer)
        for limit in limits:
            sandbox.add_token(**limit)
        print(greeting(sandbox), flush=True)  # noqa: T201 - for the person who started it
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return 0
    finally:
        sandbox.stop()


def _end_on_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        # A shell's background command ignores SIGINT, and must go on doing so.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(*_: object) -> None:
    """End the service; further signals must not interrupt its clean-up.

    It sets no Event, because a signal in the middle of the Event's wait() would deadlock.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="convertapi-sandbox",
        description="A ConvertAPI on this machine that really converts. No account is needed.",
    )
    add = parser.add_argument
    add("--port", type=int, default=0, help="port to listen on; 0 (default) for a free one")
    add("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    add(
        "--unsafe-host",
        action="store_true",
        help="allow a --host that other machines reach; the credentials are public",
    )
    add("--state", metavar="DIR", help="keep documents, finished jobs and the balance in DIR")
    add("--balance", type=int, default=1000, help="conversions on the account (default 1000)")
    add("--latency", type=float, default=0.0, help="minimum seconds from arrival to result")
    add("--workers", type=int, help="processes that convert; default: one per processor")
    add("--seed", type=int, help="make ids and random faults repeatable")
    add(
        "--allow-host",
        action="append",
        default=[],
        metavar="HOST[:PORT]",
        help="host to fetch from and to call web hooks on; none is allowed by default",
    )
    add(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a switch of Settings, such as known_job_id=bill",
    )
    add(
        "--add-token",
        action="append",
        default=[],
        metavar="LIMITS",
        help='a further API token, such as "limit=1 lifetime=3600"; it is printed',
    )
    add("--faults", metavar="FILE", help="JSON file with a list of faults")
    add(
        "--fault",
        action="append",
        default=[],
        metavar="RULE",
        help='a fault, such as "POST /convert status=503 times=2"',
    )
    add("--answers", metavar="FILE", help="JSON file with a list of canned answers")
    add(
        "--answer",
        action="append",
        default=[],
        metavar="ANSWER",
        help='a canned answer, such as "pdf extract file=answer.json cost=1 DocumentType=invoice"',
    )
    add("--check", action="store_true", help="convert a sample with every pair, and exit")
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    settings = Settings(allow_hosts=",".join(options.allow_host))
    for item in options.set:
        name, _, value = item.partition("=")
        setattr(settings, name, _value(value))
    return settings


def _faults(options: argparse.Namespace) -> list[Fault]:
    from convertapi_sandbox import canned  # noqa: PLC0415 - its packages are checked first

    rules = canned.read_list(options.faults, "faults") if options.faults else []
    for text in options.fault:
        method, path, *effects = shlex.split(text) + [""] * 2
        pairs = [effect.partition("=") for effect in effects if effect]
        rules.append(
            {"match": f"{method} {path}"} | {name: _value(value) for name, _, value in pairs}
        )
    return [Fault.from_dict(rule) for rule in rules]


def _limits(text: str) -> dict[str, Any]:
    """Read NAME=VALUE ... of a further token."""
    pairs = (pair.partition("=") for pair in shlex.split(text))
    limits = {name: _value(value) for name, _, value in pairs}
    if unknown := limits.keys() - {"limit", "lifetime"}:
        msg = f"--add-token: {', '.join(sorted(unknown))} is unknown; known: limit, lifetime"
        raise ValueError(msg)
    ApiToken.new(**limits)
    return limits


def _answers(options: argparse.Namespace) -> list[CannedAnswer]:
    from convertapi_sandbox import canned  # noqa: PLC0415 - its packages are checked first

    answers = canned.load(options.answers) if options.answers else []
    return answers + [_answer(text) for text in options.answer]


def _answer(text: str) -> CannedAnswer:
    """Read SOURCE DESTINATION NAME=VALUE ...; a name that is not an attribute is a parameter's."""
    from convertapi_sandbox import canned  # noqa: PLC0415 - its packages are checked first

    source, target, *pairs = shlex.split(text) + [""] * 2
    values: dict[str, Any] = {"source": source, "target": target, "parameters": {}}
    files = []
    for name, sign, value in (pair.partition("=") for pair in pairs if pair):
        if not sign:
            msg = f"{text!r}: expected NAME=VALUE, not {name!r}"
            raise ValueError(msg)
        if name == "file":
            files.append(canned.read(value))
        elif name in ("cost", "times"):
            values[name] = _value(value)
        elif name == "name":
            values[name] = value
        else:
            values["parameters"][name] = value
    return canned.CannedAnswer(files=files, **values)


def _value(text: str) -> Any:
    """Read a value as JSON if it is valid JSON, else as text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def greeting(sandbox: Sandbox) -> str:
    """Return what is printed at the start: address, credentials, and a line for Airflow."""
    connection = sandbox.airflow_connection_json
    return "\n".join(
        (
            f"ConvertAPI sandbox on {sandbox.url}",
            f"  API token     {sandbox.token}",
            f"  Kid           {sandbox.kid}",
            f"  master token  {sandbox.master_token}",
            *(
                f"  token         {token['token']}, Kid {token['kid']}, limit {token['limit']}"
                for token in sandbox.tokens
            ),
            "",
            f"export AIRFLOW_CONN_CONVERTAPI_DEFAULT={shlex.quote(connection)}",
        )
    )


if __name__ == "__main__":
    sys.exit(main())
