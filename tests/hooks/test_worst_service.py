"""Where the contract is uncertain, the answer that hurts most: still safe, still billed once."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import (
    ConversionTimeoutError,
    ConvertApiError,
    ParameterError,
    QuotaExhaustedError,
)

if TYPE_CHECKING:
    from convertapi_sandbox import Sandbox
    from tests.hooks.conftest import MakeHook


def test_known_id_is_refused(sandbox: Sandbox, make_hook: MakeHook, letter: Path) -> None:
    """A refusal of an id that is known means look: the job is there, and is collected."""
    sandbox.settings.known_job_id = "refuse"
    sandbox.job_visible_after(0.5)  # longer than the settle time: it is sent again
    sandbox.fail("POST /async/convert", drop="after_work", times=1)
    out = letter.parent / "letter.pdf"

    make_hook().convert(letter, "pdf", out)

    assert out.exists()
    assert 1 == sandbox.billed


@pytest.mark.parametrize("status", [403, 401])
def test_quota_in_either_dress(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, status: Any
) -> None:
    """403, and 401 with Code 4014, are one and the same exhausted quota."""
    sandbox.settings.quota_status = status
    sandbox.balance = 0

    with pytest.raises(QuotaExhaustedError):
        make_hook().convert(letter, "pdf", letter.parent / "letter.pdf")

    assert 1 == len(sandbox.requests.filter(method="POST"))


def test_quota_refusal_stored_in_the_job(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path
) -> None:
    """A refusal reported by the job was not paid: with quota, the cleared task converts."""
    sandbox.settings.job_refusals_at = "job"
    sandbox.balance = 0
    out = letter.parent / "letter.pdf"
    with pytest.raises(QuotaExhaustedError):
        make_hook().convert(letter, "pdf", out)
    sandbox.balance = 5

    make_hook(2).convert(letter, "pdf", out)

    assert out.exists()
    assert 1 == sandbox.billed


def test_parameter_refusal_stored_in_the_job(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 400 reported by the job is its verdict: a cleared task raises it without sending."""
    monkeypatch.setenv("AIRFLOW__CONVERTAPI__UNKNOWN_PARAMETERS", "warn")
    sandbox.settings.unknown_parameters = "refused"
    sandbox.settings.job_refusals_at = "job"
    bad = {"FontSise": 9}
    for number in (1, 2):
        with (
            pytest.warns(UserWarning, match="FontSise"),
            pytest.raises(ParameterError, match="FontSise"),
        ):
            make_hook(number).convert(letter, "pdf", letter.parent / "o.pdf", parameters=bad)

    assert 1 == len(sandbox.requests.filter(method="POST"))


def test_record_that_the_first_read_consumes(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path
) -> None:
    """A later try that finds the result by its only read collects it from that very read."""
    sandbox.settings.job_consumed_by_read = True
    sandbox.jobs_take(polls=4)
    out = letter.parent / "letter.pdf"
    with pytest.raises(ConversionTimeoutError):
        make_hook().convert(letter, "pdf", out, timeout=0.3)
    sandbox.jobs_take(polls=0)

    make_hook(2).convert(letter, "pdf", out)

    assert out.exists()
    assert 1 == sandbox.billed


@pytest.mark.parametrize("shape", ["underscore", "dash"])
def test_result_names_are_taken_as_they_come(
    sandbox: Sandbox, make_hook: MakeHook, tmp_path: Path, shape: Any
) -> None:
    """Names of several results are the service's own, whichever style it has."""
    sandbox.settings.name_index = shape
    source = tmp_path / "pages.txt"
    source.write_text("\n".join(f"line {n}" for n in range(150)))
    hook = make_hook()
    hook.convert(source, "pdf", tmp_path / "pages.pdf")

    outputs = hook.convert(tmp_path / "pages.pdf", "jpg", f"{tmp_path}/images/")

    assert len(outputs) == len(list((tmp_path / "images").iterdir())) > 1


HOSTILE_NAMES = [
    "../../evil.pdf",
    "/etc/evil.pdf",
    "a/b.pdf",
    "..\\..\\evil.pdf",
    "C:\\evil.pdf",
    "nul\x00byte.pdf",
    "",
    ".",
    "..",
    "n" * 300 + ".pdf",
    ".hidden.pdf",
    "line\r\nbreak.pdf",
]


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=repr)
def test_hostile_result_name(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, name: str, durable: bool
) -> None:
    """Whatever a result is called, it lands inside the destination, whole, and is billed once."""
    sandbox.fail("POST *", names=[name])
    place = letter.parent / "out"

    [output] = make_hook().convert(letter, "pdf", f"{place}/", durable=durable)

    assert [Path(output)] == list(place.iterdir())
    assert Path(output).read_bytes().startswith(b"%PDF")
    assert {letter, place} == set(letter.parent.iterdir())
    assert 1 == sandbox.billed


ANSWERS: list[Any] = [
    pytest.param({"html": True, "status": 200}, id="a sign-in page"),
    pytest.param({"empty": True, "status": 500}, id="an empty 500"),
    pytest.param({"body": b'{"a": 1}', "status": 200}, id="JSON that says nothing"),
    pytest.param({"body": b"\xff\xfe\x00", "status": 200}, id="bytes"),
    pytest.param({"redirect": "http://127.0.0.1:9/"}, id="a redirect elsewhere"),
    pytest.param({"truncate": 20}, id="a torn body"),
]


@pytest.mark.parametrize("match", ["POST /async/convert", "GET /async/job", "GET /d", "HEAD /d"])
@pytest.mark.parametrize("fault", ANSWERS)
def test_hostile_answer(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, match: str, fault: dict[str, Any]
) -> None:
    """One nonsensical answer anywhere: the result is right or the error is typed; billed once."""
    sandbox.fail(match, times=1, after_work=match.startswith("POST"), skip=0, **fault)
    out = letter.parent / "letter.pdf"
    with suppress(ConvertApiError):
        make_hook().convert(letter, "pdf", out)
    if not out.exists():
        make_hook(2).convert(letter, "pdf", out)

    assert out.read_bytes().startswith(b"%PDF")
    assert ["letter.pdf", "letter.txt"] == sorted(path.name for path in letter.parent.iterdir())
    assert 1 == sandbox.billed


def test_result_url_on_another_host(sandbox: Sandbox, make_hook: MakeHook, letter: Path) -> None:
    """A result `Url` on another host is never used: results are fetched by id from our host."""
    sandbox.fail("POST /async/convert", url_host="127.0.0.1:9")
    out = letter.parent / "letter.pdf"

    make_hook().convert(letter, "pdf", out)

    assert out.exists()


def test_wrong_announced_size_publishes_nothing(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path
) -> None:
    """A result that is not as large as announced is not published, and not paid again."""
    sandbox.fail("POST /async/convert", wrong_size=3, times=1)
    out = letter.parent / "letter.pdf"

    with pytest.raises(ConvertApiError, match="size"):
        make_hook().convert(letter, "pdf", out)

    assert ["letter.txt"] == [path.name for path in letter.parent.iterdir()]
    assert 1 == sandbox.billed


def test_known_id_is_refused_while_the_job_is_invisible(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal after a lost answer is waited out: the job is accepted, paid, and not seen yet."""
    monkeypatch.setenv("AIRFLOW__CONVERTAPI__SETTLE", "1.5")
    sandbox.settings.known_job_id = "refuse"
    sandbox.fail("GET /async/job", status=404, times=None)
    sandbox.fail("POST /async/convert", drop="after_work", times=1)
    out = letter.parent / "letter.pdf"

    def appear() -> None:
        while len(sandbox.requests.filter(path="/async/convert/*")) < 2:
            time.sleep(0.01)
        sandbox.clear_faults()

    appearing = threading.Thread(target=appear, daemon=True)
    appearing.start()
    make_hook().convert(letter, "pdf", out)
    appearing.join()

    assert out.exists()
    assert 1 == sandbox.billed
    assert 2 == len(sandbox.requests.filter(path="/async/convert/*"))
