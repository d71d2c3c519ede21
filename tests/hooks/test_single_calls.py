"""The hook's single calls: a wrong argument or connection ends the task, and is named."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from airflow_provider_convertapi.failures import ConnectionConfigFailure, ParameterFailure
from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook
from tests.account.conftest import connect

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox

DAYS = "2026-11-01", "2026-11-02"

CALLS: dict[str, tuple[Any, ...]] = {
    "get_user": (),
    "get_statistics": DAYS,
    "write_statistics": (*DAYS, "/nowhere/report.csv"),
    "get_conn": (),
    "issue_token": (),
    "upload": (__file__,),
    "download": ("x" * 32, "/nowhere/"),
    "delete": ("x" * 32,),
}

WRONG: list[tuple[str, tuple[Any, ...], str]] = [
    ("issue_token", (0,), "lifetime is 0; it must be a number of seconds of at least 1"),
    ("issue_token", (-5,), "lifetime is -5"),
    ("issue_token", ("1h",), "lifetime is '1h'"),
    ("issue_token", (60, ""), "client_ip is empty"),
    ("issue_token", (60, ["192.0.2.1"]), "client_ip is a list; it must be text"),
    ("get_statistics", ("yesterday", DAYS[1]), "start_date is 'yesterday'"),
    ("get_statistics", (DAYS[1], DAYS[0]), "end_date is 2026-11-01, before start_date"),
    ("write_statistics", (*DAYS, None), "destination is None"),
    ("write_statistics", (*DAYS, "None"), "destination is empty; if it is templated"),
    ("upload", (None,), "source is None"),
    ("upload", ([__file__],), "source is a list; it must be text"),
    ("download", (None, "/nowhere/"), "file_id is None"),
    ("download", ("x" * 32, None), "destination is None"),
    ("delete", ("",), "file_id is empty"),
]


@pytest.mark.usefixtures("airflow_db")
@pytest.mark.parametrize("name", CALLS)
def test_unknown_connection_ends_the_task(name: str) -> None:
    """No retry can create it."""
    with pytest.raises(ConnectionConfigFailure, match="'convertapi_typo' does not exist"):
        getattr(ConvertApiHook("convertapi_typo"), name)(*CALLS[name])


def test_wrong_arguments(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is named, and nothing is sent."""
    connect(sandbox, monkeypatch, master_token=sandbox.master_token)
    hook = ConvertApiHook()

    for name, given, complaint in WRONG:
        with pytest.raises(ParameterFailure, match=complaint):
            getattr(hook, name)(*given)

    assert [] == list(sandbox.requests)


def test_unknown_format_of_a_report(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No report is written in another format than the one that was asked for."""
    connect(sandbox, monkeypatch, master_token=sandbox.master_token)
    wanted: Any = "xlsx"

    with pytest.raises(ParameterFailure, match="format is 'xlsx'; it must be 'csv' or 'jsonl'"):
        ConvertApiHook().write_statistics(*DAYS, tmp_path / "report.xlsx", format=wanted)

    assert [] == list(tmp_path.iterdir())
    assert [] == list(sandbox.requests)


def test_seconds_and_dates(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are taken as objects, too."""
    connect(sandbox, monkeypatch, master_token=sandbox.master_token)

    token = ConvertApiHook().issue_token(timedelta(minutes=5))

    claims = jwt.decode(token, options={"verify_signature": False})
    assert 300 <= claims["exp"] - claims["nbf"] <= 420
    assert [] == ConvertApiHook().get_statistics(date(2026, 11, 1), date(2026, 11, 2))


@pytest.mark.usefixtures("airflow_db")
def test_plan_after_a_batch_that_made_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    """It says what `convert` does with such a summary: nothing, without an error."""
    (tmp_path / "in").mkdir()
    hook, archive = ConvertApiHook(), tmp_path / "all.zip"
    summary = hook.convert_batch(f"{tmp_path}/in/", "pdf", f"{tmp_path}/out/")

    plan = hook.plan(summary, "zip", archive)

    assert (0, 0) == (plan["to_convert"], plan["least_cost"])
    assert [] == hook.convert(summary, "zip", archive)
    assert [] == list(sandbox.requests)
