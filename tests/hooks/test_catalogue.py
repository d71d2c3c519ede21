"""What is known to be wrong is found before anything is sent, in whatever way it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import (
    BatchFailedError,
    ParameterError,
    UnsupportedFormatError,
)
from airflow_provider_convertapi.manifest import read_manifest
from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
from airflow_provider_convertapi.operators.convert import ConvertApiOperator
from tests.tries import TaskInstance, checked_conversion, execute

if TYPE_CHECKING:
    from convertapi_sandbox import Sandbox
    from tests.hooks.conftest import MakeHook

RENDERED = [
    pytest.param("parameters", {"FontSiez": 9}, "did you mean `FontSize`", id="name"),
    pytest.param("parameters", {"FontSize": "900"}, "'FontSize'.* is '900'", id="range"),
    pytest.param("parameters", {"FontSize": "None"}, "'FontSize'.* is 'None'", id="None"),
    pytest.param("to_format", "mp4", "to_format is .mp4", id="pair"),
    pytest.param("steps", [{"to_format": "mp4"}], r"steps\[0\] does not follow", id="step"),
]


@pytest.mark.parametrize(("field", "value", "text"), RENDERED)
@pytest.mark.parametrize("kind", [ConvertApiOperator, ConvertApiBatchOperator])
def test_rendered_value(
    sandbox: Sandbox, letter: Path, kind: Any, field: str, value: Any, text: str
) -> None:
    """What a template rendered to is checked when the task runs."""
    given = {"source": str(letter), "to_format": "pdf", "destination": f"{letter.parent}/out/"}
    operator = kind(task_id="convert", **(given | {field: "{{ later }}"}))
    setattr(operator, field, value)

    with pytest.raises((ParameterError, UnsupportedFormatError, BatchFailedError), match=text):
        execute(operator, TaskInstance())

    assert [] == list(sandbox.requests)


def test_mapped_value(sandbox: Sandbox) -> None:
    """A mapped task is made when it runs; what is wrong is told by `execute`, without a retry."""
    from airflow_provider_convertapi.airflow_names import AirflowFailException

    mapped = ConvertApiOperator.partial(
        task_id="convert", source="a.docx", destination="out/", timeout="10m"
    ).expand(to_format=["pdf", "mp4"])

    task = mapped.unmap({"to_format": "pdf"})
    with pytest.raises(AirflowFailException, match="timeout is '10m'"):
        execute(task, TaskInstance())

    assert [] == list(sandbox.requests)


@pytest.mark.parametrize("durable", [True, False])
def test_hook(sandbox: Sandbox, make_hook: MakeHook, letter: Path, *, durable: bool) -> None:
    """The hook checks the same."""
    with pytest.raises(ParameterError, match="did you mean `FontSize`"):
        make_hook().convert(
            letter, "pdf", f"{letter}.pdf", parameters={"FontSiez": 9}, durable=durable
        )
    with pytest.raises(UnsupportedFormatError, match="does not convert txt to mp4"):
        make_hook().convert(letter, "mp4", f"{letter}.mp4", durable=durable)

    assert [] == list(sandbox.requests)


@pytest.mark.filterwarnings("ignore:.*ConvertAPI ignores it")  # the sandbox notes it, too
def test_service_that_is_ahead(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `unknown_parameters = warn` it is sent, as the user wrote it."""
    monkeypatch.setenv("AIRFLOW__CONVERTAPI__UNKNOWN_PARAMETERS", "warn")

    with pytest.warns(UserWarning, match="txt to pdf has no such parameter"):
        make_hook().convert(letter, "pdf", f"{letter}.pdf", parameters={"Hologram": "x"})

    assert 1 == sandbox.billed


@pytest.mark.parametrize("durable", [True, False])
def test_extension_leads_to_its_converter(
    sandbox: Sandbox, make_hook: MakeHook, tmp_path: Path, *, durable: bool
) -> None:
    """The request names the converter as the service does, whatever the file is called."""
    scan = tmp_path / "a.pdf"
    scan.write_bytes(b"%PDF-1.7 of no matter")
    sandbox.answer("pdfa", "validate", files=[("*.json", b"{}")])

    outputs = make_hook().convert(scan, "validate", f"{tmp_path}/out/", durable=durable)

    assert [f"{tmp_path}/out/a.json"] == outputs
    prefix = "/async/convert" if durable else "/convert"
    assert sandbox.requests.filter(path=f"{prefix}/pdfa/to/validate")


@pytest.mark.parametrize("durable", [True, False])
def test_converter_without_a_document(
    sandbox: Sandbox, make_hook: MakeHook, tmp_path: Path, *, durable: bool
) -> None:
    """A QR code is made of a text; nothing is uploaded."""
    sandbox.answer("data", "qrcode", files=[("code.svg", b"<svg/>")])

    outputs = make_hook().convert(
        None, "qrcode", f"{tmp_path}/out/", parameters={"Data": "x"}, durable=durable
    )

    assert b"<svg/>" == Path(outputs[0]).read_bytes()
    assert 1 == sandbox.billed


def test_deferred_task_is_not_checked_again(letter: Path) -> None:
    """What is paid is collected, although the catalogue may have become smaller meanwhile."""
    given: dict[str, Any] = {
        "source": str(letter),
        "to_format": "mp4",
        "destination": f"{letter}.mp4",
    }

    assert checked_conversion(**given, find_inputs=False)
    with pytest.raises(UnsupportedFormatError):
        checked_conversion(**given)


def test_each_file_of_a_batch_is_checked(sandbox: Sandbox, letter: Path) -> None:
    """One that cannot be converted costs nothing, fails by itself, and is tried again later."""
    (letter.parent / "film.mp4").write_bytes(b"film")
    batch = ConvertApiBatchOperator(
        task_id="convert",
        source=str(letter.parent),
        to_format="pdf",
        destination=f"{letter.parent}-out/",
        failure_policy="never",
    )

    summary = execute(batch, TaskInstance())

    assert (1, 1) == (summary["converted"], summary["failed"])
    assert 1 == sandbox.billed
    failed = [record for record in read_manifest(f"{letter.parent}-out/") if record.error]
    assert ["UnsupportedFormatError"] == [record.error for record in failed]
    assert "takes no such files" in str(failed[0].message)
