"""The operators that read the account."""

from __future__ import annotations

import csv
import json
import threading
import tracemalloc
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import (
    AuthenticationError,
    ConnectionConfigError,
    ParameterError,
    UnexpectedAnswerError,
)
from airflow_provider_convertapi.failures import ConnectionConfigFailure
from tests.account.conftest import connect
from tests.tries import TaskInstance, execute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convertapi_sandbox import Sandbox

TODAY = datetime.now(UTC).date()
TOMORROW = TODAY + timedelta(days=1)  # the tests may go on past midnight
OPENAPI_ROW = {
    "Result": True,
    "CreatedAt": "2026-11-01T16:45:24.6184076Z",
    "ExecutionTime": 9327,
    "Converter": "docx-to-pdf",
    "SourceFormat": "docx",
    "DestinationFormat": "pdf",
    "Ip": "192.0.2.1",
    "Source": 'a,"b"\n.docx',
    "Error": None,
}
FORMER_ROW = {
    "Id": 7,
    "Result": False,
    "DateStamp": "2026-11-02T01:00:00+03:00",
    "ConversionTime": 1433,
    "ConversionCost": 2,
    "Converter": "pdf-to-jpg",
    "SourceFileFormat": "pdf",
    "DestinationFileFormat": "jpg",
    "Agent": "curl",
    "Source": "ä.pdf",
    "Error": "damaged",
}


def account() -> Any:
    """Make the operator."""
    from airflow_provider_convertapi.operators.account import ConvertApiAccountOperator

    return ConvertApiAccountOperator(task_id="account")


def statistics(destination: object, **arguments: Any) -> Any:
    """Make the operator, for today and the rest of this night unless it is told other days."""
    from airflow_provider_convertapi.operators.account import ConvertApiStatisticsOperator

    days = {"first_day": TODAY.isoformat(), "last_day": TOMORROW.isoformat()}
    given = {**days, "destination": str(destination), **arguments}
    return ConvertApiStatisticsOperator(task_id="statistics", **given)


def convert(source: Path) -> None:
    """Convert a document, so that the account has something to tell."""
    from airflow_provider_convertapi.operators.convert import ConvertApiOperator

    source.write_text("Dear reader.\n")
    operator = ConvertApiOperator(
        task_id="convert", source=str(source), to_format="pdf", destination=f"{source.parent}/out/"
    )
    execute(operator, TaskInstance())


@contextmanager
def serving(
    monkeypatch: pytest.MonkeyPatch, *bodies: bytes | Iterator[bytes], cut: int = 0
) -> Iterator[list[str]]:
    """Answer each request with the next body; yield the requests' paths.

    :param cut: of the first answer, how many bytes of what it announces are missing.
    """
    answers, paths = iter(bodies), []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            body = next(answers)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            if isinstance(body, bytes):
                missing = cut if len(paths) == 1 else 0
                self.send_header("Content-Length", str(len(body) + missing))
            self.end_headers()
            for block in [body] if isinstance(body, bytes) else body:
                self.wfile.write(block)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        connection = {
            "conn_type": "convertapi",
            "password": "t" * 32,
            "host": f"http://127.0.0.1:{server.server_port}",
            "extra": {"master_token": "m" * 32},
        }
        monkeypatch.setenv("AIRFLOW_CONN_CONVERTAPI_DEFAULT", json.dumps(connection))
        try:
            yield paths
        finally:
            server.shutdown()


def test_balance(sandbox: Sandbox, tmp_path: Path) -> None:
    """What the account has, and what is left of it; only the master token asks."""
    convert(tmp_path / "a.txt")
    before = len(sandbox.requests)

    found = execute(account(), TaskInstance())

    assert found["active"] is True
    assert (1, sandbox.balance) == (found["consumed"], found["remaining"])
    assert found["total"] == found["consumed"] + found["remaining"]
    assert ["master"] == [entry.authorization_kind for entry in list(sandbox.requests)[before:]]
    json.dumps(found)  # as XCom does


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({}, (None, None, None, None)),
        ({"Active": "yes", "ConversionsTotal": "5"}, (None, 5, None, None)),
        ({"ConversionsTotal": 5.0, "ConversionsConsumed": "7"}, (None, 5, 7, -2)),
        ({"ConversionsTotal": 5.5, "ConversionsConsumed": True}, (None, None, None, None)),
        ({"Active": True, "ConversionsTotal": 5, "ConversionsConsumed": 7}, (True, 5, 7, -2)),
        ({"Active": False, "ConversionsTotal": 5}, (False, 5, None, None)),
    ],
)
def test_account_is_read_leniently(
    monkeypatch: pytest.MonkeyPatch, user: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    """What ConvertAPI does not tell is None, and a plan may bill beyond its size."""
    with serving(monkeypatch, json.dumps({**user, "Secret": "s3cret"}).encode()):
        found = execute(account(), TaskInstance())

    names = ("active", "total", "consumed", "remaining")
    assert expected == tuple(found[name] for name in names)
    assert set(names) == found.keys()


@pytest.mark.parametrize("make", [account, lambda: statistics("/tmp/never.csv")])
def test_master_token_is_needed(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    """Without it nothing is sent, and a wrong one is named; neither is retried."""
    connect(sandbox, monkeypatch)
    with pytest.raises(ConnectionConfigError, match="master_token is empty") as caught:
        execute(make(), TaskInstance())
    assert isinstance(caught.value, ConnectionConfigFailure)
    assert [] == list(sandbox.requests)

    connect(sandbox, monkeypatch, master_token="w" * 32)
    with pytest.raises(AuthenticationError, match="master_token is not accepted"):
        execute(make(), TaskInstance())
    assert not Path("/tmp/never.csv").exists()


def test_report_of_real_conversions(sandbox: Sandbox, tmp_path: Path) -> None:
    """In a directory it is named by its days; a second one is written over the first."""
    convert(tmp_path / "a.txt")
    for _ in range(2):
        uri = execute(statistics(f"{tmp_path}/reports/"), TaskInstance())

    assert uri == f"{tmp_path}/reports/statistics-{TODAY}-{TOMORROW}.csv"
    with Path(uri).open(newline="") as file:
        [row] = csv.DictReader(file)
    assert ("True", "txt", "pdf", "a.txt") == (
        row["Result"],
        row["SourceFormat"],
        row["DestinationFormat"],
        row["Source"],
    )
    assert datetime.fromisoformat(row["CreatedAt"]).tzinfo is UTC
    assert sandbox.billed == 1


def test_both_generations_of_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Former names become the present ones; what else is told is kept; times are in UTC."""
    body = json.dumps([OPENAPI_ROW, FORMER_ROW]).encode()
    with serving(monkeypatch, body, body):
        execute(statistics(tmp_path / "a.csv"), TaskInstance())
        execute(statistics(tmp_path / "a.jsonl", format="jsonl"), TaskInstance())

    lines = (tmp_path / "a.jsonl").read_text("utf-8").splitlines()
    new, old = map(json.loads, lines)
    assert new == {**OPENAPI_ROW, "CreatedAt": "2026-11-01T16:45:24.618407+00:00"}
    assert old["CreatedAt"] == "2026-11-01T22:00:00+00:00"
    assert ("pdf", "jpg", 1433, 2, 7) == (
        old["SourceFormat"], old["DestinationFormat"], old["ExecutionTime"],
        old["ConversionCost"], old["Id"],
    )  # fmt: skip
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [OPENAPI_ROW["Source"], "ä.pdf"] == [row["Source"] for row in rows]
    assert ["", "curl"] == [row["Agent"] for row in rows]


def test_odd_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What a spreadsheet would run is text there; nulls and both spellings mislead nobody."""
    formula = '=HYPERLINK("http://x").docx'
    rows: list[dict[str, Any]] = [
        {"Source": formula, "Error": "+1", "Converter": "-", "Ip": "@x", "Agent": "\t=1"},
        {"Source": None, "ConversionCost": -1, "Extra": {"a": ["ä"]}},
        {"SourceFormat": "pdf", "SourceFileFormat": None, "DateStamp": "soon", "CreatedAt": None},
        {},
    ]
    body = json.dumps(rows).encode()
    with serving(monkeypatch, body, body):
        execute(statistics(tmp_path / "a.csv"), TaskInstance())
        execute(statistics(tmp_path / "a.jsonl", format="jsonl"), TaskInstance())

    first, *_ = map(json.loads, (tmp_path / "a.jsonl").read_text("utf-8").splitlines())
    assert formula == first["Source"]
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        told = list(csv.DictReader(file))
    names = ("Source", "Error", "Converter", "Ip", "Agent")
    assert [f"'{rows[0][name]}" for name in names] == [told[0][name] for name in names]
    assert ("", "-1", '{"a": ["ä"]}') == tuple(
        told[1][name] for name in ("Source", "ConversionCost", "Extra")
    )
    assert ("pdf", "soon") == (told[2]["SourceFormat"], told[2]["CreatedAt"])
    assert {""} == set(told[3].values())


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_no_conversions(sandbox: Sandbox, tmp_path: Path, kind: str) -> None:
    """A report of nothing has a header, or is empty."""
    uri = execute(statistics(tmp_path / "a", format=kind, first_day="2020-01-01",
                             last_day="2020-01-31"), TaskInstance())  # fmt: skip
    text = Path(uri).read_text("utf-8")
    assert text.startswith("CreatedAt,Result,") if kind == "csv" else not text


def test_transfer_that_breaks_off_is_repeated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Half a report is never published."""
    body = json.dumps([OPENAPI_ROW, FORMER_ROW]).encode()
    with serving(monkeypatch, body[:60], body, cut=len(body) - 60) as paths:
        execute(statistics(tmp_path / "a.jsonl", format="jsonl"), TaskInstance())
    assert 2 == len(paths)
    assert 2 == len((tmp_path / "a.jsonl").read_bytes().splitlines())


@pytest.mark.parametrize(
    "body",
    [b"<html>Sign in</html>", b"", b"[1]", b'["a"]', b'[{"a": 1}', b'[{"a": "\xff"}]', b"[[]]"],
)
def test_answer_that_is_no_list_of_conversions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: bytes
) -> None:
    """A sign-in page does not become a report."""
    with (
        serving(monkeypatch, *[body] * 6),
        pytest.raises(UnexpectedAnswerError, match="user/statistic"),
    ):
        execute(statistics(tmp_path / "a.csv"), TaskInstance())
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("first_day", {"first_day": "yesterday"}),
        ("first_day", {"first_day": "01.02.2026"}),
        ("first_day", {"first_day": None}),
        ("first_day", {"first_day": "2026-11-271"}),
        ("last_day", {"last_day": "2026-11-27 and later"}),
        ("last_day", {"last_day": "2026-02-30"}),
        ("last_day", {"first_day": "2026-02-02", "last_day": "2026-02-01"}),
    ],
)
def test_wrong_days(sandbox: Sandbox, tmp_path: Path, field: str, arguments: Any) -> None:
    """The message names the field; nothing is sent, nothing is written, nothing is retried."""
    from airflow_provider_convertapi.failures import ParameterFailure

    with pytest.raises(ParameterError, match=f"^{field} is ") as caught:
        execute(statistics(tmp_path / "a.csv", **arguments), TaskInstance())
    assert isinstance(caught.value, ParameterFailure)
    assert [] == list(sandbox.requests)
    assert [] == list(tmp_path.iterdir())


def test_wrong_format_is_found_when_the_dag_is_parsed() -> None:
    """As a mistake of whoever wrote the DAG; a mapped task, made as it runs, is not retried."""
    from airflow_provider_convertapi.failures import ParameterFailure

    with pytest.raises(ParameterFailure, match="format is 'xlsx'; it must be 'csv' or 'jsonl'"):
        statistics("/tmp/a.xlsx", format="xlsx")


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(2026, 2, 1), date(2026, 2, 28)),
        (datetime(2026, 2, 1, 3, tzinfo=UTC), "2026-02-28T23:00:00+00:00"),
        (" 2026-02-01 ", "2026-02-28"),
    ],
)
def test_days_however_they_are_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, first: Any, last: Any
) -> None:
    """A date, a time, or the text of one, as templates render them."""
    with serving(monkeypatch, b"[]") as paths:
        execute(statistics(tmp_path / "a.csv", first_day=first, last_day=last), TaskInstance())
    assert ["/user/statistic?startDate=2026-02-01&endDate=2026-02-28"] == paths


@pytest.mark.long
@pytest.mark.once
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_hundred_thousand_rows_in_constant_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    """Twenty megabytes are fetched, read and written in less than four."""
    line = json.dumps(OPENAPI_ROW).encode()

    def rows() -> Iterator[bytes]:
        yield b"[" + line
        for _ in range(999):
            yield (b"," + line) * 100
        yield (b"," + line) * 99 + b"]"

    with serving(monkeypatch, rows()):
        operator = statistics(tmp_path / "a", format=kind)
        operator.execute  # noqa: B018 - imported before memory is counted
        import airflow_provider_convertapi.account

        tracemalloc.start()
        execute(operator, TaskInstance())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    with (tmp_path / "a").open(newline="", encoding="utf-8") as file:
        count = sum(1 for _ in (csv.DictReader(file) if kind == "csv" else file))
    assert 100_000 == count
    assert peak < 16 << 20
    del airflow_provider_convertapi
