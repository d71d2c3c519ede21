"""What a person reads in the log of a task that failed, and of one that did not."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import ConvertApiError
from airflow_provider_convertapi.wording import WIDTH

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook
    from convertapi_sandbox import Sandbox
    from tests.hooks.conftest import MakeHook

LABELS = ["What happened", "File", "Cost", "What to do"]
LOG = logging.getLogger("task")


@pytest.fixture
def hook(make_hook: MakeHook, caplog: pytest.LogCaptureFixture) -> ConvertApiHook:
    """Provide the hook of a task whose log the test reads."""
    caplog.set_level(logging.INFO, "task")
    made = make_hook()
    made.open_session().log = LOG
    return made


def told(caplog: pytest.LogCaptureFixture) -> dict[str, str]:
    """Return what the errors of the log say, by their labels; each line is short, or one word."""
    found: dict[str, str] = {}
    for line in [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]:
        label, colon, text = line.partition(":")
        is_first = bool(colon) and label in LABELS
        assert len(line) <= WIDTH or " " not in (text if is_first else line).strip()
        if is_first:
            found[label] = text
        else:
            found[[*found][-1]] += f" {line.strip()}"
    return {label: text.strip() for label, text in found.items()}


def fail(hook: ConvertApiHook, *args: Any, **how: Any) -> ConvertApiError:
    """Convert, and return the error, whose first line is short."""
    with pytest.raises(ConvertApiError) as caught:
        hook.convert(*args, **how)
    first, _, rest = str(caught.value).partition("\n")
    assert len(first) <= WIDTH
    assert (rest or first) == caught.value.message
    return caught.value


@pytest.mark.parametrize("durable", [True, False])
def test_verdict(
    sandbox: Sandbox,
    hook: ConvertApiHook,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    durable: bool,
) -> None:
    """A document that cannot be converted: its name, its price, and what to do."""
    broken = tmp_path / "broken.docx"
    broken.write_bytes(b"no document at all")

    fail(hook, broken, "pdf", tmp_path / "o.pdf", durable=durable)

    said = told(caplog)
    assert LABELS == [*said]
    assert "5002" in said["What happened"]
    assert str(broken) == said["File"]
    assert said["Cost"].startswith("This was billed (1 conversion).")
    assert "Cost" not in said["What happened"]
    assert "Another try would pay again" in said["What to do"]
    assert 1 == sandbox.billed


def test_quota(
    sandbox: Sandbox, hook: ConvertApiHook, letter: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An exhausted quota costs nothing, and a person must buy."""
    sandbox.balance = 0

    fail(hook, letter, "pdf", letter.with_suffix(".pdf"))

    said = told(caplog)
    assert "no conversions left" in said["What happened"]
    assert "nothing was paid" in said["Cost"]
    assert said["What to do"].startswith("Buy conversions")


def test_before_anything_is_sent(hook: ConvertApiHook, caplog: pytest.LogCaptureFixture) -> None:
    """A source that is not there: the text names no cost, so that the log adds it."""
    source = "/nowhere/" + "deep/" * 30 + "a.docx"

    fail(hook, [source, "/nowhere/b.docx"], "merge", "/tmp/out.pdf")

    said = told(caplog)
    assert f"{source}, /nowhere/b.docx" == said["File"]
    assert said["Cost"] == "nothing was paid."


def test_bill_of_the_conversion_before_is_not_told(
    hook: ConvertApiHook, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Two conversions of one hook: the second failed before anything was paid for it."""
    broken = tmp_path / "broken.docx"
    broken.write_bytes(b"no document at all")
    fail(hook, broken, "pdf", tmp_path / "o.pdf", durable=False)
    caplog.clear()

    fail(hook, "/nowhere/b.docx", "pdf", tmp_path / "o.pdf")

    assert told(caplog)["Cost"] == "nothing was paid."


def test_signed_url_is_not_told(hook: ConvertApiHook, caplog: pytest.LogCaptureFixture) -> None:
    """What opens a document is in no line."""
    url = "https://user:password@h/a.docx?sig=s3cr3t"

    fail(hook, [url], "pdf", "/tmp/out.pdf", from_format="a?")

    assert told(caplog)["File"].endswith("@h/a.docx")
    assert "s3cr3t" not in caplog.text
    assert "password" not in caplog.text


@pytest.mark.long
def test_batch(hook: ConvertApiHook, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What a batch that failed has paid, and groups that a person opens."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "broken.docx").write_bytes(b"no document at all")
    (tmp_path / "in" / "letter.txt").write_text("Dear reader.\n")

    with pytest.raises(ConvertApiError):
        hook.convert_batch(tmp_path / "in", "pdf", tmp_path / "out")

    said = told(caplog)
    happened = said["What happened"]
    assert happened.startswith("1 of 2 files failed; 1 were converted and 0 reused. /")
    assert "/in/broken.docx: ConversionError: broken.docx (docx to pdf): ConvertAPI" in happened
    assert happened.endswith(f"Details: {tmp_path}/out/_convertapi/manifest/")
    assert "2 conversions were paid now" in said["Cost"]
    assert "Another try would change nothing" in said["What to do"]
    titles = [m for m in caplog.messages if m.startswith("::group::")]
    assert ["2 files: 2 to convert", "Convert 2 files", "1 converted", "1 failed"] == [
        title.removeprefix("::group::").partition(",")[0] for title in titles
    ]
    assert len(titles) == caplog.messages.count("::endgroup::")


@pytest.mark.long
def test_success_names_what_was_made(
    hook: ConvertApiHook, letter: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The output's name, the cost, and that nothing is left at the service."""
    out = letter.with_suffix(".pdf")

    hook.convert(letter, "pdf", out)

    assert ["Converted: letter.txt (txt to pdf)", f"Into: {out}"] == caplog.messages[-3:-1]
    assert "Cost: 1 conversion(s); charged now: 1." == caplog.messages[-1]
    assert "temporary copies at ConvertAPI are deleted" in caplog.text
    assert not told(caplog)


def test_many_outputs_are_named_in_lines_of_their_own(
    sandbox: Sandbox, hook: ConvertApiHook, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The first of them; no line is wider than the page, save for a word that is."""
    (tmp_path / "many.pdf").write_bytes(b"%PDF-1.7")
    names = [f"page-{number}.jpg" for number in range(12)]
    sandbox.answer("pdf", "jpg", files=[(name, b"\xff\xd8\xff") for name in names])

    outputs = hook.convert(tmp_path / "many.pdf", "jpg", f"{tmp_path}/out/")

    lines = [one.getMessage() for one in caplog.records if one.name == "task"]
    lines = lines[lines.index("Into: 12 files") :]
    assert [f"    {uri}" for uri in outputs[:10]] == lines[1:11]
    assert ["    ... and 2 more", "Cost: 1 conversion(s); charged now: 1."] == lines[11:]


@pytest.mark.parametrize("batch", [False, True], ids=["single", "batch"])
def test_name_of_a_file_forges_no_line(
    hook: ConvertApiHook, tmp_path: Path, caplog: pytest.LogCaptureFixture, batch: bool
) -> None:
    """Neither in the log nor in the error: whoever drops a file chooses its name."""
    source = tmp_path / "in"
    source.mkdir()
    evil = source / "evil\x1b[2K\n::endgroup::\nERROR - all was paid.docx"
    evil.write_bytes(b"no document at all")
    out = tmp_path / "out"

    if batch:
        error = fail_batch(hook, source, out)
    else:
        error = fail(hook, evil, "pdf", f"{out}/", durable=False)

    for text in (*caplog.messages, *str(error).split("\n")):
        assert text.isprintable()
        assert not text.lstrip().startswith("ERROR - all was paid")
    assert "evil\\x1b[2K\\n::endgroup::" in str(error)


def fail_batch(hook: ConvertApiHook, *args: Any) -> ConvertApiError:
    """Convert a folder, and return the error."""
    with pytest.raises(ConvertApiError) as caught:
        hook.convert_batch(args[0], "pdf", args[1])
    return caught.value
