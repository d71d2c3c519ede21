"""A result is published only if it is what its name claims, and its check accepts it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import (
    ConvertApiError,
    ParameterError,
    ResultCheckError,
    ResultLostError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.core.conversions.worker import Worker

MERGE: list[dict[str, Any]] = [{"to_format": "merge"}]


@pytest.fixture(
    params=["durable", "direct", pytest.param("deferred", marks=pytest.mark.long)],
)
def mode(request: pytest.FixtureRequest) -> str:
    """Give each mode in turn."""
    return str(request.param)


def refuse(paths: list[Path]) -> bool:
    """Refuse anything."""
    assert paths
    return False


def refuse_with_reason(paths: list[Path]) -> None:
    """Refuse anything, and say why."""
    raise ResultCheckError(f"{paths[0].name} is too short")


@pytest.mark.parametrize(
    ("check", "reason"),
    [(refuse, "result_check returned False"), (refuse_with_reason, r"letter\.pdf is too short")],
)
def test_refused(
    sandbox: Sandbox,
    worker: Worker,
    letter: Path,
    mode: str,
    check: Callable[[list[Path]], bool | None],
    reason: str,
) -> None:
    """Nothing is published; the result is kept, paid, and not paid for by the next try."""
    out, kept = letter.parent / "letter.pdf", letter.parent / "_convertapi/refused/letter.pdf"

    with pytest.raises(ResultCheckError, match=rf"{reason}\. It was paid \(1 conv") as caught:
        worker.convert(mode, source=letter, destination=out, result_check=check)
    with pytest.raises(ResultCheckError):
        worker.convert(mode, number=2, source=letter, destination=out, result_check=check)

    assert (False, True, (str(kept),)) == (
        caught.value.transient,
        caught.value.paid,
        caught.value.kept,
    )
    assert b"%PDF" == kept.read_bytes()[:4]
    assert not out.exists()
    assert [] == list(letter.parent.glob(".*"))
    assert 1 == sandbox.billed


def test_key_pays_again(sandbox: Sandbox, worker: Worker, letter: Path, mode: str) -> None:
    """Another `conversion_key` is another conversion."""
    given: dict[str, Any] = {"source": letter, "destination": letter.parent / "letter.pdf"}
    with pytest.raises(ResultCheckError):
        worker.convert(mode, result_check=refuse, **given)

    result = worker.convert(mode, number=2, conversion_key="new", **given)

    assert (1, 2) == (result.charged, sandbox.billed)


@pytest.mark.parametrize("fixed", [None, len], ids=["no check", "another check"])
@pytest.mark.parametrize("first", ["durable", pytest.param("deferred", marks=pytest.mark.long)])
def test_fixed_check_collects(
    sandbox: Sandbox, worker: Worker, letter: Path, first: str, fixed: Any
) -> None:
    """A check that was too strict is fixed, and what was paid is collected for free."""
    out = letter.parent / "letter.pdf"
    with pytest.raises(ResultCheckError):
        worker.convert(first, source=letter, destination=out, result_check=refuse)

    result = worker.convert(first, number=2, source=letter, destination=out, result_check=fixed)

    assert (1, 0, 1, {}) == (result.cost, result.charged, sandbox.billed, sandbox.files)
    assert out.exists()


def test_check_gets_what_will_be_published(
    sandbox: Sandbox, worker: Worker, letter: Path, mode: str
) -> None:
    """Its paths have the names of the outputs, hold the results, and know their sources."""
    seen: list[Any] = []

    def check(paths: Any) -> None:
        seen.append((type(paths[0].name), [path.name for path in paths], paths.sources))
        seen.append([path.read_bytes() for path in paths])

    result = worker.convert(
        mode, source=letter, destination=f"{letter.parent}/out/", result_check=check
    )

    out = letter.parent / "out/letter.pdf"
    assert [(str, ["letter.pdf"], [str(letter)]), [out.read_bytes()]] == seen
    assert ([str(out)], 1, {}) == (result.outputs, sandbox.billed, sandbox.files)


def test_broken_check(sandbox: Sandbox, worker: Worker, letter: Path, mode: str) -> None:
    """A check that fails itself says nothing about the result, which is not lost."""
    out = letter.parent / "letter.pdf"
    kind = ResultLostError if mode == "direct" else ParameterError

    def check(paths: list[Path]) -> None:
        raise KeyError(paths[0].name)

    with pytest.raises(kind, match=r"paid \(1 .*result_check raised KeyError: 'letter") as caught:
        worker.convert(mode, source=letter, destination=out, result_check=check)

    assert (False, False) == (out.exists(), caught.value.bars_file)
    if mode == "direct":
        assert (letter.parent / "_convertapi/refused/letter.pdf").exists()
        return
    result = worker.convert(mode, number=2, source=letter, destination=out)
    assert (0, 1, {}) == (result.charged, sandbox.billed, sandbox.files)


def append(path: Path) -> None:
    """Write to the result, as a check does that adds a mark."""
    with path.open("ab") as file:
        file.write(b"% seen")


def rewrite(path: Path) -> None:
    """Write other bytes of the same size."""
    path.write_bytes(path.read_bytes()[::-1])


def remove(path: Path) -> None:
    """Remove the result itself, not the link to it."""
    path.resolve().unlink()


@pytest.mark.parametrize("change", [append, rewrite, remove])
def test_check_that_changes_results(
    sandbox: Sandbox, worker: Worker, letter: Path, mode: str, change: Callable[[Path], None]
) -> None:
    """What is published is what the service sent, and is never paid for again."""
    given: dict[str, Any] = {"source": letter, "destination": letter.parent / "letter.pdf"}
    kind = ResultLostError if mode == "direct" else ParameterError

    with pytest.raises(kind, match=r"paid \(1 .*result_check changed a result"):
        worker.convert(mode, result_check=lambda paths: change(paths[0]), **given)

    assert not given["destination"].exists()
    if mode != "direct":
        assert 0 == worker.convert(mode, number=2, **given).charged
        assert b"%PDF" == given["destination"].read_bytes()[:4]
    assert 1 == sandbox.billed


@pytest.mark.parametrize("verdict", ["yes", [], object()])
def test_check_that_answers_something_else(worker: Worker, letter: Path, verdict: object) -> None:
    """Only True, False and None are answers; no other value publishes anything."""
    out = letter.parent / "letter.pdf"
    check: Any = lambda _: verdict  # noqa: E731 - one line is enough

    with pytest.raises(ParameterError, match="not True, False or None"):
        worker.convert("durable", source=letter, destination=out, result_check=check)

    assert not out.exists()


def test_wrong_first_bytes(sandbox: Sandbox, worker: Worker, letter: Path, mode: str) -> None:
    """A PDF that is called a workbook is never published, with or without a check."""
    sandbox.fail("POST *convert/*", names=["letter.xlsx"])

    with pytest.raises(ResultCheckError, match=r"letter\.xlsx is not in XLSX format: it is a PDF"):
        worker.convert(mode, source=letter, destination=f"{letter.parent}/out/")

    assert ["letter.xlsx"] == [
        path.name for path in (letter.parent / "out").rglob("*") if path.is_file()
    ]
    assert (letter.parent / "out/_convertapi/refused/letter.xlsx").exists()
    assert 1 == sandbox.billed


@pytest.mark.long
@pytest.mark.parametrize("first", ["durable", "deferred"])
def test_chain(sandbox: Sandbox, worker: Worker, texts: list[Path], first: str) -> None:
    """The last results are checked, and no step is paid twice."""
    out = texts[0].parent / "all.pdf"
    given: dict[str, Any] = {"source": texts, "destination": out, "steps": MERGE}
    for number in (1, 2):
        with pytest.raises(ResultCheckError, match=r"paid \(4 conversion"):
            worker.convert(first, number=number, result_check=refuse, **given)

    result = worker.convert(first, number=3, **given)

    assert (4, 0, 4, {}) == (result.cost, result.charged, sandbox.billed, sandbox.files)


def test_refused_result_that_cannot_be_kept(
    sandbox: Sandbox, worker: Worker, letter: Path, mode: str
) -> None:
    """The refusal is what matters, and says so."""
    (letter.parent / "_convertapi").write_text("in the way")

    with pytest.raises(ResultCheckError, match="could not be kept") as caught:
        worker.convert(
            mode, source=letter, destination=letter.parent / "o.pdf", result_check=refuse
        )

    assert ((), 1) == (caught.value.kept, sandbox.billed)


def test_check_must_be_callable(sandbox: Sandbox, worker: Worker, letter: Path) -> None:
    """Anything else is refused before anything is paid."""
    with pytest.raises(ConvertApiError, match="result_check is a str; it must be a callable"):
        worker.convert(
            "durable", source=letter, destination=letter.parent / "o.pdf", result_check="not_empty"
        )

    assert [] == list(sandbox.requests)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"<!DOCTYPE html><html>502 Bad Gateway</html>", "an HTML page"),
        (b'{"Code": 5000}', "JSON"),
        (b"<?xml version='1.0'?><Error/>", "XML"),
        (b"PK\x03\x04", "a ZIP file"),
        (b"Bad Gateway", "text"),
    ],
)
def test_error_page_is_never_published(
    sandbox: Sandbox, worker: Worker, letter: Path, mode: str, content: bytes, kind: str
) -> None:
    """Whatever the service sends as a PDF must begin as one."""
    sandbox.answer("txt", "pdf", files=[("letter.pdf", content)])
    out = letter.parent / "letter.pdf"

    with pytest.raises(ResultCheckError, match=rf"letter\.pdf is not in PDF format: it is {kind}"):
        worker.convert(mode, source=letter, destination=out)

    assert (False, 1) == (out.exists(), sandbox.billed)
    assert content == (letter.parent / "_convertapi/refused/letter.pdf").read_bytes()
