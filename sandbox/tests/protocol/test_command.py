"""The command line, and the pytest fixture."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import requests

from convertapi_sandbox import Sandbox
from convertapi_sandbox.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


COMMAND = [sys.executable, "-m", "convertapi_sandbox"]


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command; yield its process and its first line."""
    # As for a user: compiled once, and not measured by coverage.
    left_out = ("PYTHONDONTWRITEBYTECODE", "COV")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(left_out)}
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        try:
            yield process, said
        finally:
            process.terminate()


def test_command_line(tmp_path: Path) -> None:
    """The command prints its address and a connection to paste, and applies its options."""
    rules = tmp_path / "faults.json"
    rules.write_text(json.dumps([{"match": "GET /user", "status": 500, "code": 50050}]), "utf-8")
    options = ["--balance", "7", "--faults", str(rules), "--fault", "GET /info status=503 times=2"]
    (tmp_path / "a.json").write_text("{}", "utf-8")
    answers = tmp_path / "answers.json"
    answers.write_text('[{"source": "pdf", "target": "md", "files": ["a.json"]}]', "utf-8")
    options += ["--answers", str(answers), "--answer"]
    options += [f"doc pdf file={tmp_path / 'a.json'} cost=2 times=1 name=inv* updatetoc=true"]
    options += ["--set", "token_answer=text", "--set", "job_polls=2", "--allow-host", "127.0.0.1:9"]

    with started(*options) as (process, said):
        url = said.removeprefix("ConvertAPI sandbox on ").strip()
        other = Sandbox.attach(url)
        told = [process.stdout.readline() for _ in range(5)]  # type: ignore[union-attr]  # a pipe

        assert [("GET /user", 1), ("GET /info", 2)] == [(f.match, f.times) for f in other.faults]
        assert [
            ("pdf to md", None, "*", {}, None, [("a.json", b"{}")]),
            ("docx to pdf", 2, "inv*", {"updatetoc": "true"}, 1, [("a.json", b"{}")]),
        ] == [(a.pair, a.cost, a.name, a.parameters, a.times, a.files) for a in other.answers]
        assert (7, "text", 2, "127.0.0.1:9") == (
            other.balance,
            other.settings.token_answer,
            other.settings.job_polls,
            other.settings.allow_hosts,
        )
        assert [500, 503] == [
            requests.get(url + path, timeout=9).status_code for path in ("/user", "/info")
        ]
        connection = re.fullmatch(r"export AIRFLOW_CONN_CONVERTAPI_DEFAULT='(.*)'\n", told[-1])
        assert connection
        assert other.airflow_connection == json.loads(connection[1])
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(10)
        assert process.stderr is not None
        assert "" == process.stderr.read()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_second_signal_interrupts_no_clean_up(number: signal.Signals) -> None:
    """`timeout` and impatient users send several; the folder is deleted all the same."""
    with started() as (process, said):
        status = requests.get(said.split()[-1] + "/_sandbox/status", timeout=9)
        assert 200 == status.status_code
        for _ in range(5):
            process.send_signal(number)
            time.sleep(0.02)
        assert 0 == process.wait(10)
        assert process.stderr is not None
        assert "" == process.stderr.read()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--set", "no_such=1"], "no such sandbox setting"),
        (["--set", "known_job_id=x"], "must be one of"),
        (["--fault", "POST convert status=1"], "METHOD /path"),
        (["--fault", "POST /convert colour=red"], "has no colour"),
        (["--faults", "/nowhere.json"], "No such file"),
        (["--faults", "{object}"], "a list of faults"),
        (["--faults", "{nameless}"], 'needs a "match"'),
        (["--answer", "docx mp4 file={object}"], "no converter for docx to mp4"),
        (["--answer", "pdf extract"], "needs a file"),
        (["--answer", "pdf extract {object}"], "expected NAME=VALUE"),
        (["--answer", "pdf extract file=/nowhere.json"], "No such file"),
        (["--answer", "pdf extract file={object} Colour=red"], "has no parameter Colour"),
        (["--answers", "{object}"], "a list of canned answers"),
        (["--answers", "{nameless}"], "has no status"),
        (["--host", "0.0.0.0"], "unsafe_host"),
        (["--port", "{taken}"], "in use"),
        (["--port", "70000"], "port must be a whole number from 0 to 65535, not 70000"),
        (["--port", "-1"], "port must be"),
        (["--workers", "0"], "workers must be"),
        (["--latency", "nan"], "latency must be"),
        (["--latency", "-1"], "latency must be"),
        (["--state", ""], "state is empty"),
        (["--allow-host", "http://x"], "allow_hosts"),
        (["--allow-host", "x:99999999"], "allow_hosts"),
        (["--set", "job_lifetime=Infinity"], "job_lifetime must be"),
        (["--add-token", "lifetime=NaN"], "lifetime of a token"),
        (["--fault", "POST /convert status=abc"], "status of a fault must be"),
        (["--faults", "{damaged}"], "damaged: "),
        (["--answers", "{damaged}"], "damaged: "),
        (["--faults", "{binary}"], "binary: "),
        (["--answers", "{binary}"], "binary: "),
    ],
)
def test_bad_options(
    sandbox: Sandbox,
    arguments: list[str],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """A bad option makes the command exit with status 2 and a line that says why."""
    (tmp_path / "object").write_text("{}", "utf-8")
    (tmp_path / "nameless").write_text('[{"status": 500}]', "utf-8")
    known = {"taken": sandbox.url.rpartition(":")[2]}
    (tmp_path / "damaged").write_text("[{", "utf-8")
    (tmp_path / "binary").write_bytes(b"\xff")
    known |= {name: str(tmp_path / name) for name in ("object", "nameless", "damaged", "binary")}

    with pytest.raises(SystemExit, match="2"):
        main([item.format(**known) for item in arguments])

    assert complaint in capsys.readouterr().err


def test_starts_at_once() -> None:
    """The start takes little processor time; wall time says nothing on a busy test machine."""
    times = []
    for _ in range(3):  # the first one compiles
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with started() as (_, said):
            host, port = said.rpartition("//")[2].strip().split(":")
            socket.create_connection((host, int(port)), timeout=5).close()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    assert min(times) < 1.5  # more than twice its time on a quiet machine


USER_TEST = """
import os, json, requests

def test_one(convertapi_sandbox):
    connection = json.loads(os.environ["AIRFLOW_CONN_CONVERTAPI_DEFAULT"])
    assert convertapi_sandbox.url == connection["host"]
    convertapi_sandbox.fail("GET /info", status=500)
    assert requests.get(connection["host"] + "/info").status_code == 500
    open({url!r}, "w").write(connection["host"])
    convertapi_sandbox.answer("docx", "pdf", files=[("a.pdf", b"%PDF")])
    files, data = {{"File": ("a.docx", b"x")}}, {{"PageRagne": "1"}}
    bearer = {{"Authorization": "Bearer " + connection["password"]}}
    url = connection["host"] + "/convert/docx/to/pdf"
    assert requests.post(url, files=files, data=data, headers=bearer).status_code == 200

def test_two(convertapi_sandbox):
    assert convertapi_sandbox.requests == convertapi_sandbox.faults == []
    assert convertapi_sandbox.answers == []
    assert open({url!r}).read() == convertapi_sandbox.url

def test_none():
    assert "AIRFLOW_CONN_CONVERTAPI_DEFAULT" not in os.environ
"""


def test_fixture(tmp_path: Path) -> None:
    """The fixture uses one server for a run, empties it for each test, and tells typing errors."""
    (tmp_path / "test_user.py").write_text(USER_TEST.format(url=str(tmp_path / "url")), "utf-8")
    plugin = "convertapi_sandbox.plugin"

    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            plugin,
            "-p",
            "no:cacheprovider",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )

    assert "3 passed, 1 warning" in done.stdout, done.stdout + done.stderr
    warning = "IgnoredParameterWarning: /convert/docx/to/pdf has no parameter PageRagne: "
    assert warning in done.stdout


def test_plugin_costs_a_run_without_a_sandbox_nothing() -> None:
    """Loading the plugin imports neither the server nor what it needs."""
    code = (
        "import sys, convertapi_sandbox.plugin;"
        "print(sorted({'starlette', 'uvicorn', 'jwt', 'asyncio'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )

    assert done.stdout.strip() in ("[]", "['asyncio']")  # pytest itself may import asyncio
