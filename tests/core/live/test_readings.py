"""Each reading is named from evidence: every switch alone, pairs, limits of tokens, lost answers.

Whatever the sandbox is set to, what the check says that it knows is true of the sandbox.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_convertapi.clock import Clock
from airflow_provider_convertapi.errors import TransportError
from airflow_provider_convertapi.live import hosts, later
from airflow_provider_convertapi.live.documents import pdf
from airflow_provider_convertapi.live.facts import KNOWN
from airflow_provider_convertapi.live.refusals import FORMAT_CODE, PAIR_STATUS, PLACE, REFUSALS
from airflow_provider_convertapi.live.report import render, replace
from airflow_provider_convertapi.live.run import finish, run
from convertapi_sandbox import Sandbox
from tests.canary import leaks, secrets_of
from tests.core.live.conftest import known

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_convertapi.live.check import Check

    NewCheck = Callable[..., Check]

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore:The HMAC key is"),  # of PyJWT, in the sandbox
]

PAID: list[dict[str, Any]] = [
    {"known_job_id": "refuse"},
    {"known_job_id": "bill"},
    {"job_consumed_by_read": True},
    {"job_dies_with_documents": True},
    {"job_delete_takes_documents": True},
    {"bill_refused": True},
    {"bill_failed": False},
    {"job_keeps_verdict": False},
    {"job_refusals_at": "job"},
    {"conversion_cost": 2},
    {"throttle_above": 1, "throttle_status": 429, "retry_after": 1},
    {"name_index": "underscore", "conversion_time": True},
    {"unknown_pair_status": 404, "unsupported_code": 4150},
]
FREE: list[dict[str, Any]] = [
    *({"token_answer": shape} for shape in ("Token", "text", "access_token")),
    {"wrong_kid_status": 400, "invalid_token_code": 4011},
    {"jwt_key": "base64", "known_file_id": "refuse"},
    {"jwt_leeway": 60.0, "clock_offset": 90.0},
    {"jwt_leeway": 20.0, "jwt_max_lifetime": 600.0},
    {"jwt_max_lifetime": 10.0, "client_ip_networks": True},
    {"not_found_body": "empty", "byte_ranges": True, "legacy_user_fields": True},
    {"account_active": False, "invalid_token_code": 4010},
]
JWTS = {"jwt_key", "jwt_leeway", "token_answer", "wrong_kid_status"}
AGAIN = {"known_job_id", "job_consumed_by_read", "job_keeps_verdict"}
"""Settings whose report is put to the test a second time; the others take the same way."""
NO_KID = ""
"""A login without which nothing is asked about JWTs, so that the rest is asked sooner."""
EXPECTED = {
    "known_job_id",
    "job_consumed_by_read",
    "job_dies_with_documents",
    "job_delete_takes_documents",
    "bill_refused",
    "bill_failed",
    "job_keeps_verdict",
    "job_refusals_at",
    "conversion_cost",
    "job_visible_after",
    *JWTS,
}
"""What is known after a check that may spend 9, unless another setting hides it."""


def hidden(settings: dict[str, Any]) -> set[str]:
    """Return what cannot be known under some settings."""
    found = set()
    if settings.get("job_consumed_by_read"):
        found |= {"job_dies_with_documents", "job_delete_takes_documents"}
    if settings.get("bill_refused") and settings.get("known_job_id") == "refuse":
        found |= {"job_refusals_at"}  # the second POST is refused, billed, and the last
    return found


def apply(sandbox: Sandbox, settings: dict[str, Any]) -> None:
    """Set switches."""
    for name, value in settings.items():
        setattr(sandbox.settings, name, value)


def check_that_it_is_true(sandbox: Sandbox, check: Check) -> dict[str, Any]:
    """Compare what a check found with the sandbox's settings; return what it found."""
    report = render(check, None, check.close())
    found = known(check)
    settings = sandbox.settings.as_dict()
    assert {name: settings[name] for name in found} == found
    assert sandbox.billed <= check.allowed
    assert sandbox.billed == check.money.spent
    assert ({}, {}) == (sandbox.files, sandbox.jobs)
    assert [] == leaks(secrets_of(sandbox), {"the report": report})
    return found


def label(settings: dict[str, Any]) -> str:
    """Return the name of a test."""
    return ",".join(f"{name}={value}" for name, value in settings.items()) or "defaults"


@pytest.mark.parametrize("settings", [{}, *PAID], ids=label)
def test_each_setting_is_found_and_leads_to_the_same_readings(
    convertapi_sandbox: Sandbox, new_check: NewCheck, settings: dict[str, Any]
) -> None:
    """A sandbox that is started with what a report says gives the same report."""
    apply(convertapi_sandbox, settings)
    login = NO_KID if settings else convertapi_sandbox.kid
    first = new_check(9, login=login)

    run(first)
    found = check_that_it_is_true(convertapi_sandbox, first)

    assert EXPECTED - hidden(settings) - (JWTS if settings else set()) <= found.keys()
    assert settings.items() <= found.items()
    if not settings.keys() <= AGAIN:
        return
    convertapi_sandbox.reset()
    apply(convertapi_sandbox, {k: float(v) if k in FLOATS else v for k, v in found.items()})
    second = new_check(9, login=login)
    run(second)
    again = check_that_it_is_true(convertapi_sandbox, second)
    assert {name: again[name] for name in EXPECTED & found.keys()} == {
        name: found[name] for name in EXPECTED & found.keys()
    }


FLOATS = {"jwt_leeway", "job_visible_after", "clock_offset"}


@pytest.mark.parametrize("settings", FREE, ids=label)
def test_each_free_setting_is_found(
    convertapi_sandbox: Sandbox, new_check: NewCheck, settings: dict[str, Any]
) -> None:
    """Nothing is spent for it."""
    apply(convertapi_sandbox, settings)
    check = new_check()

    run(check)

    assert settings.items() <= check_that_it_is_true(convertapi_sandbox, check).items()


def test_a_job_that_is_visible_late(convertapi_sandbox: Sandbox, new_check: NewCheck) -> None:
    """It is waited for, and the time is bounded by what was seen."""
    convertapi_sandbox.settings.job_visible_after = 0.3
    check = new_check(3)

    run(check)

    found = known(check)
    assert 0 < found["job_visible_after"] < 3
    assert "join" == found["known_job_id"]


# --- money -------------------------------------------------------------------------------------


@pytest.mark.parametrize("allowed", [1, 2, 3, 5, 9])
def test_no_more_is_spent_than_allowed(
    convertapi_sandbox: Sandbox, new_check: NewCheck, allowed: int
) -> None:
    """Whatever is billed that need not be."""
    convertapi_sandbox.settings.known_job_id = "bill"
    convertapi_sandbox.settings.bill_refused = True
    check = new_check(allowed, login=NO_KID)

    run(check)

    check_that_it_is_true(convertapi_sandbox, check)
    assert 0 < convertapi_sandbox.billed <= allowed


PRICES: list[dict[str, Any]] = [
    *({"conversion_cost": cost} for cost in (0, 2, 3, 5, 12)),
    {"cost_per": "result", "conversion_cost": 2},
    {"cost_per": "input", "conversion_cost": 2},
    {"pair": ("docx", "pdf")},
    {"pair": ("file", "zip")},
    {"pair": ("pdf", "png"), "bill_refused": True},
]


@pytest.mark.parametrize("allowed", [1, 3, 9])
@pytest.mark.parametrize("settings", PRICES, ids=label)
def test_only_the_first_of_a_kind_can_cost_too_much(
    convertapi_sandbox: Sandbox, new_check: NewCheck, settings: dict[str, Any], allowed: int
) -> None:
    """Nothing is begun that would exceed what is allowed at a price that is known."""
    switches = {name: value for name, value in settings.items() if name != "pair"}
    apply(convertapi_sandbox, switches)
    if pair := settings.get("pair"):
        convertapi_sandbox.answer(*pair, files=[(f"a.{pair[1]}", b"-")], cost=7)
    check = new_check(allowed, login=NO_KID)

    run(check)

    report = render(check, None, check.close())
    assert convertapi_sandbox.billed == check.money.spent
    taken, kinds = 0, set[str]()
    for entry in convertapi_sandbox.requests.filter(method="POST"):
        taken += entry.cost
        kind = entry.path.removeprefix("/async")
        assert taken <= allowed or not entry.cost or kind not in kinds
        kinds |= {kind} if entry.cost else set()
    assert (taken > allowed) == ("which only its result told" in report)


def test_a_balance_that_one_conversion_exceeds(
    convertapi_sandbox: Sandbox, new_check: NewCheck
) -> None:
    """One that began within the balance does not show that an account is billed further."""
    convertapi_sandbox.balance = 2
    convertapi_sandbox.settings.conversion_cost = 5
    check = new_check(9, login=NO_KID)

    run(check)

    assert "overage" not in known(check)


def test_a_long_document_is_not_sent_where_length_costs(
    convertapi_sandbox: Sandbox, new_check: NewCheck
) -> None:
    """Two pages cost twice what one costs, so the price of 300 is not risked."""
    convertapi_sandbox.settings.cost_per = "result"
    check = new_check(9, login=NO_KID)

    run(check)

    assert {"cost_per": "result", "conversion_cost": 1}.items() <= known(check).items()
    assert 1 == len(convertapi_sandbox.requests.filter(path="/async/convert/docx"))


@pytest.mark.parametrize("late", [True, False])
def test_a_deleted_job_and_refusals_are_told_apart(
    convertapi_sandbox: Sandbox, new_check: NewCheck, *, late: bool
) -> None:
    """A debit that may be the deleted job's is put to the test: that comes once, refusals' each."""
    convertapi_sandbox.settings.bill_deleted = False
    convertapi_sandbox.settings.bill_refused = not late
    check = new_check(9, login=NO_KID)

    def say(text: str) -> None:
        if late and "refused" in text:  # something is billed just now
            answer = requests.post(
                f"{convertapi_sandbox.url}/convert/pdf/to/png",
                files={"File": ("a.pdf", pdf(1).data)},
                headers={"Authorization": f"Bearer {convertapi_sandbox.token}"},
                timeout=10,
            )
            assert answer.ok

    check.say = say
    run(check)

    found = known(check)
    told = (None, False) if late else (False, True)
    assert told == (found.get("bill_deleted"), found.get("bill_refused"))
    assert convertapi_sandbox.billed <= 9


def test_the_first_refusal_that_is_billed_is_the_last(
    convertapi_sandbox: Sandbox, new_check: NewCheck
) -> None:
    """Nothing that could cost something is sent after it."""
    convertapi_sandbox.settings.bill_refused = True
    check = new_check(9, login=NO_KID)

    run(check)

    converting = [e for e in convertapi_sandbox.requests if "/convert/" in e.path and e.paid]
    refused = [entry for entry in converting if entry.status in {400, 415} and entry.cost]
    assert refused == converting[-1:]
    assert {PLACE, REFUSALS} <= {fact.name for fact in check.facts if fact.state == KNOWN}
    assert {PAIR_STATUS, FORMAT_CODE}.isdisjoint(fact.name for fact in check.facts)


def test_without_a_master_token_money_is_not_guessed(
    convertapi_sandbox: Sandbox, new_check: NewCheck
) -> None:
    """What is billed is unknown, and no more requests are sent than could be billed."""
    convertapi_sandbox.settings.known_job_id = "bill"
    check = new_check(9, extra={"master_token": None})

    run(check)

    check.close()
    assert not {"known_job_id", "bill_failed", "bill_refused"} & known(check).keys()
    assert convertapi_sandbox.billed <= check.money.spent <= 9
    assert {"job_consumed_by_read", "job_keeps_verdict"} <= known(check).keys()


def test_somebody_else_uses_the_account(convertapi_sandbox: Sandbox, new_check: NewCheck) -> None:
    """A count that moves by itself measures nothing."""
    convertapi_sandbox.fail(
        "GET /user",
        body=b'{"Active": true, "ConversionsTotal": 9, "ConversionsConsumed": 3}',
        status=200,
    )
    check = new_check(3)

    run(check)

    assert not {"known_job_id", "bill_failed", "bill_refused"} & known(check).keys()
    assert any("somebody else" in fact.reading for fact in check.facts)


# --- quota -------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["start", "job"])
@pytest.mark.parametrize(("status", "code"), [(403, 403), (403, 4014), (401, 403)])
def test_an_exhausted_account(
    convertapi_sandbox: Sandbox, new_check: NewCheck, status: Any, code: Any, place: Any
) -> None:
    """Its refusal is named, and nothing is billed."""
    convertapi_sandbox.balance = 0
    wanted = {"quota_status": status, "job_refusals_at": place}
    if status == 403:
        wanted["quota_code"] = code
    apply(convertapi_sandbox, {"quota_code": code, **wanted})
    check = new_check(2)

    run(check)

    assert wanted.items() <= check_that_it_is_true(convertapi_sandbox, check).items()
    assert 0 == convertapi_sandbox.billed


@pytest.mark.parametrize("place", ["start", "job"])
def test_a_limited_token(convertapi_sandbox: Sandbox, new_check: NewCheck, place: Any) -> None:
    """A second connection shows the refusal; its conversion is counted."""
    apply(convertapi_sandbox, {"quota_code": 4014, "job_refusals_at": place})
    token = convertapi_sandbox.add_token(limit=1)
    check = new_check(9, login=NO_KID)
    limited = new_check(9, login=token["kid"], password=token["token"], extra={"master_token": ""})

    run(check, limited)

    limited.close()
    found = check_that_it_is_true(convertapi_sandbox, check)
    assert (403, 4014, place, False) == tuple(
        found[n] for n in ("quota_status", "quota_code", "job_refusals_at", "bill_refused")
    )
    assert 1 == convertapi_sandbox.tokens[0]["used"]


def test_an_account_that_is_billed_further(
    convertapi_sandbox: Sandbox, new_check: NewCheck
) -> None:
    """Overage shows where nothing was left."""
    convertapi_sandbox.balance = 0
    convertapi_sandbox.settings.overage = True
    check = new_check(1)

    run(check)

    assert True is check_that_it_is_true(convertapi_sandbox, check)["overage"]


def test_the_connections_own_token_is_limited(
    convertapi_sandbox: Sandbox, new_check: NewCheck
) -> None:
    """The check ends where the token does, and names what it saw."""
    token = convertapi_sandbox.add_token(limit=2)
    check = new_check(9, login=token["kid"], password=token["token"])

    run(check)

    found = check_that_it_is_true(convertapi_sandbox, check)
    assert (403, 403) == (found["quota_status"], found["quota_code"])
    assert 2 == convertapi_sandbox.billed


# --- an unreliable network -----------------------------------------------------------------------


@pytest.mark.parametrize("drop", ["before", "after_work"])
@pytest.mark.parametrize("path", ["POST /async/convert", "POST /convert", "GET /async/job"])
@pytest.mark.parametrize("skip", [0, 2])
def test_a_lost_answer_misleads_nobody(
    convertapi_sandbox: Sandbox, new_check: NewCheck, path: str, drop: Any, skip: int
) -> None:
    """What is said to be known is true, and nothing more is spent."""
    convertapi_sandbox.fail(path, drop=drop, skip=skip)
    check = new_check(9, login=NO_KID)

    run(check)

    found = check_that_it_is_true(convertapi_sandbox, check)
    assert {"job_consumed_by_read", "bill_failed", "bill_refused"} <= found.keys()


@pytest.mark.parametrize("fault", [{"status": 503}, {"html": True}, {"empty": True, "status": 502}])
def test_an_overloaded_service(
    convertapi_sandbox: Sandbox, new_check: NewCheck, fault: dict[str, Any]
) -> None:
    """Other answers than ConvertAPI's are no evidence."""
    for path in ("POST /async/convert", "GET /async/job", "DELETE /d", "GET /user"):
        convertapi_sandbox.fail(path, **fault, times=2, skip=1)
    check = new_check(9, login=NO_KID)

    run(check)

    check.close()
    settings = convertapi_sandbox.settings.as_dict()
    found = known(check)
    for name in ("throttle_above", "throttle_status"):
        found.pop(name, None)  # it was, for a moment
    assert {name: settings[name] for name in found} == found
    assert convertapi_sandbox.billed <= 9
    assert all(fact.evidence or fact.state != KNOWN for fact in check.facts if fact.question)


# --- interrupted, and later ----------------------------------------------------------------------


@pytest.mark.parametrize("moment", [1, 4, 7, 10, 13])
def test_an_interrupted_check_leaves_nothing(
    convertapi_sandbox: Sandbox, new_check: NewCheck, moment: int
) -> None:
    """Ctrl-C at any moment: documents and jobs are deleted, and what is known is told."""
    convertapi_sandbox.jobs_take(polls=2)  # so that there are as many waits on a slow machine
    waits = iter(range(1, 10_000))

    def sleep(seconds: float) -> None:
        if next(waits) == moment:
            raise KeyboardInterrupt
        time.sleep(min(seconds, 0.05))

    check = new_check(9, clock=Clock(time.time, time.monotonic, sleep), login=NO_KID)

    with pytest.raises(KeyboardInterrupt):
        run(check)
    remains = check.close()
    finish(check)

    assert [] == remains
    assert ({}, {}) == (convertapi_sandbox.files, convertapi_sandbox.jobs)
    assert convertapi_sandbox.billed <= 9
    assert "not asked" in render(check, None, remains)


def test_a_job_is_left_and_asked_for_later(
    convertapi_sandbox: Sandbox, new_check: NewCheck
) -> None:
    """Three calls, hours apart: known, known, forgotten; the report says how long in between."""
    hours = 0.0

    def now() -> float:
        return time.time() + 3600 * hours

    first = new_check(3, nonce="0123456789abcdef", login=NO_KID)
    report = render(first, run(first), first.close())
    assert 1 == len(convertapi_sandbox.jobs)
    assert {} == convertapi_sandbox.files

    told = []
    for hours in (1.05, 1.5, 2.05):
        left = later.read(report)
        assert left is not None
        if hours > 2:
            convertapi_sandbox.vanish_job()
        check = new_check(clock=Clock(now, time.monotonic, time.sleep), login=NO_KID)
        fact, left = later.ask(check, left)
        report = replace(report, fact, left)
        told.append(fact.switches)

    assert [{}, {}, {"job_lifetime": 7200}] == told
    assert later.read(report) is None
    assert 1 == report.count("## 3.")
    assert "--set job_lifetime=7200" in report
    assert [] == leaks(secrets_of(convertapi_sandbox), {"the report": report})


def test_a_job_that_can_be_read_once_is_not_left(
    convertapi_sandbox: Sandbox, new_check: NewCheck
) -> None:
    """A call later would only consume it; a verdict that is kept is left instead."""
    convertapi_sandbox.settings.job_consumed_by_read = True
    check = new_check(9, nonce="0123456789abcdef", login=NO_KID)

    left = run(check)

    check.close()
    assert left is not None
    assert "failed" == left.kind
    assert ["failed"] == [job["state"] for job in convertapi_sandbox.jobs.values()]


def test_a_host_that_does_not_answer_is_an_error(new_check: NewCheck) -> None:
    """There is nothing to report."""
    with pytest.raises(TransportError, match="gave no answer"):
        run(new_check(9, host="http://127.0.0.1:9"))


@pytest.mark.parametrize(
    ("same", "reading"), [(False, "are unknown there"), (True, "are known on all of them")]
)
def test_other_hosts_are_asked_without_a_credential(
    convertapi_sandbox: Sandbox, new_check: NewCheck, same: Any, reading: str
) -> None:
    """An id is asked for there, and nothing but the id travels."""
    with Sandbox(workers=1) as second:
        other = convertapi_sandbox.url.replace("127.0.0.1", "localhost") if same else second.url
        check = new_check(1, login=NO_KID)
        check.hosts = (convertapi_sandbox.url, other)

        run(check)

        told = {fact.name: fact.reading for fact in check.facts if fact.state == KNOWN}
        assert [reading] * 2 == [told[hosts.DOCUMENTS], told[hosts.JOBS]]
        assert all("authorization" not in entry.headers for entry in second.requests)
        assert same != bool(second.requests)
