"""Direct mode: one exchange, nothing stored, and honest about what may have been billed."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.conversions.direct import DirectConversion
from airflow_provider_convertapi.conversions.job import JobSettings, Unlimited
from airflow_provider_convertapi.errors import (
    ConversionError,
    InputChangedError,
    OutputExistsError,
    ParameterError,
    QuotaExhaustedError,
    ResultLostError,
    ThrottledError,
)
from tests.core.api.server import Server, reply
from tests.tries import checked_conversion

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook
    from convertapi_sandbox import Sandbox
    from tests.hooks.conftest import MakeHook


def test_converts_and_stores_nothing(sandbox: Sandbox, make_hook: MakeHook, letter: Path) -> None:
    """The result is there, the service has kept nothing, and one conversion was billed."""
    out = letter.parent / "letter.pdf"

    assert [str(out)] == make_hook().convert(letter, "pdf", out, durable=False)

    assert out.read_bytes().startswith(b"%PDF")
    assert ({}, 1) == (dict(sandbox.files), sandbox.billed)
    assert ["/convert/txt/to/pdf"] == [entry.path for entry in sandbox.requests]


def test_several_results(sandbox: Sandbox, make_hook: MakeHook, tmp_path: Path) -> None:
    """Each part of the answer becomes a separate file in the directory."""
    source = tmp_path / "pages.txt"
    source.write_text("\n".join(f"line {n}" for n in range(150)))
    make_hook().convert(source, "pdf", tmp_path / "pages.pdf")

    outputs = make_hook(task_id="u").convert(
        tmp_path / "pages.pdf", "png", f"{tmp_path}/images/", durable=False
    )

    assert len(outputs) > 1
    assert sorted(outputs) == sorted(str(path) for path in (tmp_path / "images").iterdir())
    assert all(Path(path).read_bytes().startswith(b"\x89PNG") for path in outputs)


@pytest.mark.parametrize("destination", ["letter.pdf", "out/"])
def test_answer_without_a_result(
    make_hook: MakeHook, letter: Path, monkeypatch: pytest.MonkeyPatch, destination: str
) -> None:
    """A paid answer that holds no file is a failure, not a task that succeeded without output."""
    server = Server(reply(200, b"--edge--\r\n", "Content-Type: multipart/mixed; boundary=edge"))
    connection = {"conn_type": "convertapi", "host": server.url, "password": "token"}
    monkeypatch.setenv("AIRFLOW_CONN_CONVERTAPI_DEFAULT", json.dumps(connection))

    with pytest.raises(ResultLostError, match=r"holds no result.*may have been billed"):
        make_hook().convert(letter, "pdf", f"{letter.parent}/{destination}", durable=False)
    server.close()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(b"A message in several parts.\r\n", b"\r\nThe end.", id="preamble"),
        pytest.param(b"", b" \t\r\n", id="blanks"),
        pytest.param(b"", None, id="torn after the last boundary"),
    ],
)
def test_unusual_answer(
    make_hook: MakeHook,
    letter: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: bytes,
    after: bytes | None,
) -> None:
    """What surrounds the results may be unusual or missing: they are whole, and paid."""
    body = b'--edge \r\nContent-Disposition: attachment; filename="a.pdf"; size=8\r\n\r\n%PDF-1.7'
    answer = before + body + b"\r\n--edge--" + (after or b"")
    kind = "Content-Type: multipart/mixed; boundary=edge"
    chunked = f"HTTP/1.1 200 OK\r\n{kind}\r\nTransfer-Encoding: chunked\r\n\r\n{len(answer):x}\r\n"
    torn = [chunked.encode() + answer + b"\r\n"]  # without the last chunk
    server = Server(lambda _: torn if after is None else reply(200, answer, kind))
    connection = {"conn_type": "convertapi", "host": server.url, "password": "token"}
    monkeypatch.setenv("AIRFLOW_CONN_CONVERTAPI_DEFAULT", json.dumps(connection))
    out = letter.parent / "letter.pdf"

    make_hook().convert(letter, "pdf", out, durable=False)

    server.close()
    assert b"%PDF-1.7" == out.read_bytes()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"drop": "after_work"}, id="answer lost after the work"),
        pytest.param({"drop": "before"}, id="connection lost before the work"),
        pytest.param({"truncate": 700}, id="answer truncated"),
        pytest.param({"html": True}, id="a proxy's page"),
        pytest.param({"empty": True}, id="empty answer"),
        pytest.param({"wrong_size": 1}, id="size that does not match"),
        pytest.param({"status": 502, "html": True}, id="gateway"),
    ],
)
def test_lost_answer_is_not_sent_again(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, fault: dict[str, object]
) -> None:
    """Once a byte was sent the answer's loss is permanent, and the text says what it may cost."""
    sandbox.fail("POST /convert", times=1, **fault)
    out = letter.parent / "letter.pdf"

    with pytest.raises(ResultLostError, match="may have been billed"):
        make_hook().convert(letter, "pdf", out, durable=False)

    assert 1 == len(sandbox.requests)
    assert ["letter.txt"] == [path.name for path in letter.parent.iterdir()]


def test_throttling_is_waited_out(sandbox: Sandbox, make_hook: MakeHook, letter: Path) -> None:
    """A 503 costs nothing, so the request is made again after the time that the service asked."""
    sandbox.fail("POST /convert", status=503, code=503, times=2, headers={"Retry-After": "1"})

    make_hook().convert(letter, "pdf", letter.parent / "letter.pdf", durable=False)

    assert (3, 1) == (len(sandbox.requests), sandbox.billed)


@pytest.mark.parametrize("durable", [False, True])
def test_throttling_for_ever_ends_at_the_timeout(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, durable: bool
) -> None:
    """Throttling is bounded by `timeout`, and nothing was paid."""
    sandbox.fail("POST *", status=503, code=503, times=500, headers={"Retry-After": "0.1"})

    with pytest.raises(ThrottledError):
        make_hook().convert(letter, "pdf", letter.parent / "o.pdf", durable=durable, timeout=0.5)

    assert 0 == sandbox.billed


def test_refused_connection_is_tried_again(make_hook: MakeHook, letter: Path) -> None:
    """Where no byte left, the request may be sent again: the error says that nothing was sent."""
    hook = make_hook()
    hook.open_session().client.base_url = "http://127.0.0.1:9"

    with pytest.raises(Exception, match="no connection"):
        hook.convert(letter, "pdf", letter.parent / "o.pdf", durable=False, timeout=3)


class _Permit(Unlimited):
    """A permit that says what lay in a folder when it was given, and when it was given back.

    :param meanwhile: what happens while one waits for it.
    """

    def __init__(self, folder: Path, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.folder, self.meanwhile = folder, meanwhile
        self.seen: list[tuple[str, list[str]]] = []

    def acquire(self) -> None:
        self.meanwhile()
        self._see("acquire")

    def release(self) -> None:
        self._see("release")

    def _see(self, what: str) -> None:
        if what not in [was for was, _ in self.seen]:
            self.seen.append((what, sorted(path.suffix for path in self.folder.iterdir())))


def _direct(hook: ConvertApiHook, source: Path, permit: _Permit) -> DirectConversion:
    target = source.with_suffix(".pdf")
    conversion = checked_conversion(
        source=source, destination=target, durable=False, overwrite=False
    )
    settings = JobSettings(may_be_known=False, is_second_attempt=False, permit=permit)
    return DirectConversion(conversion, hook.open_session(), settings, logging.getLogger("t"))


def test_permit_is_free_with_the_last_byte(make_hook: MakeHook, letter: Path) -> None:
    """The next one need not wait until the result is on the disk."""
    permit = _Permit(letter.parent)

    _direct(make_hook(), letter, permit).run()

    assert [("acquire", [".txt"]), ("release", [".txt"])] == permit.seen
    assert letter.with_suffix(".pdf").read_bytes().startswith(b"%PDF")


def test_input_written_while_it_waits_for_its_permit(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path
) -> None:
    """The look at the input comes after the wait, right before the money."""
    permit = _Permit(letter.parent, lambda: letter.write_text("Another letter altogether.\n"))

    with pytest.raises(InputChangedError, match="nothing was paid"):
        _direct(make_hook(), letter, permit).run()

    assert (0, []) == (sandbox.billed, list(sandbox.requests))


@pytest.mark.parametrize("durable", [False, True])
def test_quota_is_explicit(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, durable: bool
) -> None:
    """Both modes end with the same class, which ends the task too."""
    from airflow_provider_convertapi.airflow_names import AirflowFailException

    sandbox.balance = 0

    with pytest.raises(QuotaExhaustedError) as caught:
        make_hook().convert(letter, "pdf", letter.parent / "o.pdf", durable=durable)

    assert isinstance(caught.value, AirflowFailException)
    assert 1 == len(sandbox.requests.filter(method="POST"))


@pytest.mark.parametrize("durable", [False, True])
def test_quota_can_be_left_to_retry_policies(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, durable: bool
) -> None:
    """`on_quota_exhausted="raise"` raises the plain class."""
    from airflow_provider_convertapi.airflow_names import AirflowFailException

    sandbox.balance = 0

    with pytest.raises(QuotaExhaustedError) as caught:
        make_hook().convert(
            letter, "pdf", letter.parent / "o.pdf", durable=durable, on_quota_exhausted="raise"
        )

    assert not isinstance(caught.value, AirflowFailException)


@pytest.mark.parametrize("durable", [False, True])
def test_damaged_document_fails_once(
    sandbox: Sandbox, make_hook: MakeHook, tmp_path: Path, durable: bool
) -> None:
    """The verdict names the file, the Code, the cost and what comes next."""
    broken = tmp_path / "broken.docx"
    broken.write_bytes(b"no document at all")

    with pytest.raises(ConversionError, match=r"broken\.docx.*Code 5002.*billed"):
        make_hook().convert(broken, "pdf", tmp_path / "o.pdf", durable=durable)

    assert 1 == sandbox.billed


@pytest.mark.parametrize("durable", [False, True])
def test_several_results_for_one_file_name(
    sandbox: Sandbox, make_hook: MakeHook, tmp_path: Path, durable: bool
) -> None:
    """Several results with a single-file destination are an error before anything is published."""
    source = tmp_path / "pages.txt"
    source.write_text("\n".join(f"line {n}" for n in range(150)))
    make_hook().convert(source, "pdf", tmp_path / "pages.pdf")

    with pytest.raises(ParameterError, match="several results"):
        make_hook(task_id="u").convert(
            tmp_path / "pages.pdf", "png", tmp_path / "page.png", durable=durable
        )

    assert not (tmp_path / "page.png").exists()


@pytest.mark.parametrize(
    ("durable", "remedy"), [(False, "converts and pays again"), (True, "stay at ConvertAPI")]
)
def test_result_named_like_its_source(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, durable: bool, remedy: str
) -> None:
    """The error of a result for the source's own place says what became of what was paid."""
    source = letter.with_suffix(".pdf")
    make_hook().convert(letter, "pdf", source)
    before = source.read_bytes()

    with pytest.raises(ParameterError, match=rf"(?s)over the input .*letter\.pdf.*paid.*{remedy}"):
        make_hook(task_id="u").convert(source, "compress", f"{letter.parent}/", durable=durable)

    assert before == source.read_bytes()
    assert 2 == sandbox.billed


@pytest.mark.parametrize("durable", [False, True])
def test_existing_output_is_found_before_paying(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, durable: bool
) -> None:
    """`overwrite=False` meets somebody's file before a request is paid for."""
    out = letter.parent / "letter.pdf"
    out.write_bytes(b"somebody's")

    with pytest.raises(OutputExistsError, match="overwrite=True"):
        make_hook().convert(letter, "pdf", out, durable=durable, overwrite=False)

    assert b"somebody's" == out.read_bytes()
    assert 0 == sandbox.billed


def test_overwrite_false_accepts_our_own_output(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path
) -> None:
    """A cleared task with `overwrite=False` accepts its own file."""
    out = letter.parent / "letter.pdf"
    make_hook().convert(letter, "pdf", out, overwrite=False)

    make_hook(2).convert(letter, "pdf", out, overwrite=False)

    assert 1 == sandbox.billed
