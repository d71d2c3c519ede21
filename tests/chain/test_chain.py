"""Chains: steps at the service, paid once each, found again by the next try."""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING, Any

import pypdfium2
import pytest

from airflow_provider_convertapi.errors import (
    ConversionError,
    OutputExistsError,
    ParameterError,
    QuotaExhaustedError,
    ResultExpiredError,
    TransientConversionError,
)
from tests.tries import TaskInstance, execute, fire, reborn, resume, run_try

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from convertapi_sandbox import Sandbox

MERGE: list[dict[str, Any]] = [{"to_format": "merge"}]
PROTECT: list[dict[str, Any]] = [
    {"to_format": "protect", "parameters": {"UserPassword": "open sesame"}}
]


@pytest.fixture
def sandbox(convertapi_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Provide a fresh sandbox and a short settle time."""
    monkeypatch.setenv("AIRFLOW__CONVERTAPI__SETTLE", "0.2")
    return convertapi_sandbox


@pytest.fixture
def texts(tmp_path: Path) -> list[str]:
    """Provide three documents of two kinds."""
    paths = [tmp_path / name for name in ("a.txt", "b.md", "c.txt")]
    for path in paths:
        path.write_text(f"This is {path.name}.\n")
    return [str(path) for path in paths]


@pytest.fixture
def make(sandbox: Sandbox, texts: list[str], tmp_path: Path) -> Any:
    """Provide a function that makes an operator; its arguments override those of a merge."""

    def operator(**arguments: Any) -> Any:
        from airflow_provider_convertapi.operators.convert import ConvertApiOperator

        given = {
            "source": texts,
            "to_format": "pdf",
            "destination": str(tmp_path / "all.pdf"),
            "steps": MERGE,
            "poll_interval": 0.3,
        }
        return ConvertApiOperator(task_id="convert", **{**given, **arguments})

    return operator


def said(path: Path, password: str | None = None) -> list[str]:
    """Return the text of each page of a PDF."""
    return [
        page.get_textpage().get_text_bounded() for page in pypdfium2.PdfDocument(path, password)
    ]


def run_deferred(make: Callable[[], Any], ti: TaskInstance) -> Any:
    """Run a task to its end, through as many deferrals as it takes."""
    from tests.airflow_api import TaskDeferred

    event = None
    while True:
        try:
            return (
                execute(make(), ti)
                if event is None
                else resume(make(), "execute_complete", event, ti)
            )
        except TaskDeferred as deferral:
            event = fire(reborn(deferral.trigger))


@pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferrable"])
def test_each_source_then_all_of_them(
    make: Any, sandbox: Sandbox, tmp_path: Path, deferrable: bool
) -> None:
    """Three documents become PDFs, then one, in order; nothing is downloaded in between."""
    ti = TaskInstance()
    steps = MERGE + PROTECT

    outputs = run_deferred(partial(make, steps=steps, deferrable=deferrable), ti)

    pages = said(tmp_path / "all.pdf", "open sesame")
    assert [str(tmp_path / "all.pdf")] == outputs
    assert ["a.txt", "b.md", "c.txt"] == [
        name for page in pages for name in ("a.txt", "b.md", "c.txt") if name in page
    ]
    with pytest.raises(pypdfium2.PdfiumError):
        pypdfium2.PdfDocument(tmp_path / "all.pdf")
    assert 5 == sandbox.billed == ti.xcom["conversion_cost"]
    assert 1 == len(sandbox.requests.filter(method="GET", path="/d/*"))
    assert {} == sandbox.files


def test_clear_of_a_finished_chain_costs_nothing(make: Any, sandbox: Sandbox) -> None:
    """The last step is checked first: its output exists, so nothing is converted again."""
    execute(make(), TaskInstance())
    ti = TaskInstance(2)

    outputs = execute(make(), ti)

    assert 1 == len(outputs)
    assert 4 == sandbox.billed
    assert 4 == ti.xcom["conversion_cost"]


def test_retry_pays_for_what_is_left(make: Any, sandbox: Sandbox) -> None:
    """A task that died between two steps finds the first ones done."""
    sandbox.fail("POST /async/convert/pdf/to/merge", drop="before", times=None)
    with pytest.raises(Exception, match="Step 2 of 2"):
        execute(make(), TaskInstance(1, 1))
    assert 3 == sandbox.billed
    sandbox.clear_faults()

    execute(make(), TaskInstance(2, 1))

    assert 4 == sandbox.billed
    assert {} == sandbox.files


def test_failure_names_the_step_and_what_was_paid(make: Any, sandbox: Sandbox) -> None:
    """A verdict on a later step names it and the cost of the steps before; nothing is left."""
    sandbox.fail("POST /async/convert/pdf/to/merge", verdict=5001)

    with pytest.raises(ConversionError, match=r"Step 2 of 2 failed: .*took 3 conversion") as failed:
        execute(make(), TaskInstance())
    with pytest.raises(ConversionError, match="Step 2 of 2"):
        execute(make(), TaskInstance(2))

    assert "AirflowFailException" in {cls.__name__ for cls in type(failed.value).__mro__}
    assert 5001 == failed.value.code
    assert {} == sandbox.files


@pytest.mark.parametrize("number", [1, 2], ids=["run made anew", "cleared"])
def test_verdict_of_a_later_step_is_raised_before_anything_is_paid(
    make: Any, sandbox: Sandbox, number: int
) -> None:
    """A chain that failed for good costs nothing more, however often it is run again."""
    sandbox.fail("POST /async/convert/pdf/to/merge", verdict=5001)
    with pytest.raises(ConversionError, match="Step 2 of 2"):
        execute(make(), TaskInstance())
    assert 4 == sandbox.billed

    for _ in range(3):
        with pytest.raises(ConversionError, match=r"Step 2 of 2.*took 3 conversion"):
            execute(make(), TaskInstance(number))

    assert 4 == sandbox.billed


def test_verdict_on_one_source_is_raised_before_the_others_are_paid(
    make: Any, sandbox: Sandbox
) -> None:
    """Siblings are looked at as well as later steps."""
    sandbox.fail("POST /async/convert/md/to/pdf", verdict=5001)
    with pytest.raises(ConversionError):
        execute(make(), TaskInstance())
    billed = sandbox.billed

    for number in (2, 3):
        with pytest.raises(ConversionError):
            execute(make(), TaskInstance(number))

    assert billed == sandbox.billed


def test_run_made_anew_finds_the_finished_chain(make: Any, sandbox: Sandbox) -> None:
    """A first try looks at the last step, which is free."""
    execute(make(), TaskInstance())

    execute(make(), TaskInstance())

    assert 4 == sandbox.billed


def test_run_made_anew_uses_the_steps_that_are_done(make: Any, sandbox: Sandbox) -> None:
    """A run that died between two steps is made anew: the first step is not paid again."""
    sandbox.fail("POST /async/convert/pdf/to/merge", drop="before", times=None)
    with pytest.raises(Exception, match="Step 2 of 2"):
        execute(make(), TaskInstance())
    sandbox.clear_faults()

    execute(make(), TaskInstance())

    assert 4 == sandbox.billed


def test_refused_parameter_leaves_what_the_fixed_one_needs(make: Any, sandbox: Sandbox) -> None:
    """After a 400 for a later step the results of the earlier ones stay."""
    sandbox.fail("POST /async/convert/pdf/to/merge", status=400, code=4000, times=1)
    with pytest.raises(ParameterError, match="Step 2 of 2"):
        execute(make(), TaskInstance())
    assert 3 == sandbox.billed

    execute(make(steps=[{"to_format": "merge", "parameters": {"PageSize": "a4"}}]), TaskInstance(2))

    assert 4 == sandbox.billed
    assert {} == sandbox.files


def test_intermediates_stay_for_another_try(make: Any, sandbox: Sandbox) -> None:
    """A verdict that one more attempt may change leaves what that needs."""
    sandbox.fail("POST /async/convert/pdf/to/merge", verdict=50050)

    with pytest.raises(TransientConversionError, match="Step 2 of 2"):
        execute(make(), TaskInstance(1, 1))
    assert 3 == len(sandbox.files)
    execute(make(), TaskInstance(2, 1))

    assert 5 == sandbox.billed
    assert {} == sandbox.files


def test_intermediate_that_is_gone_is_said(make: Any, sandbox: Sandbox) -> None:
    """Documents that the service has deleted are not a reason to pay again without being asked."""
    sandbox.fail("POST /async/convert/pdf/to/merge", drop="before", times=None)
    with pytest.raises(Exception, match="Step 2"):
        execute(make(), TaskInstance(1, 1))
    sandbox.clear_faults()
    sandbox.fail("POST /async/convert/pdf/to/merge", verdict=5009)
    sandbox.fail("HEAD /d/*", skip=3, status=404, times=3)

    with pytest.raises(ResultExpiredError, match=r"3 conversion\(s\) were paid"):
        execute(make(), TaskInstance(2, 1))


def test_quota_ends_between_steps(make: Any, sandbox: Sandbox) -> None:
    """The error names the step; the cleared task pays only for the rest."""
    sandbox.balance = 3

    with pytest.raises(QuotaExhaustedError, match="Step 2 of 2"):
        execute(make(), TaskInstance())
    sandbox.balance = 10
    execute(make(), TaskInstance(2))

    assert 4 == sandbox.billed


def test_step_makes_several_results(make: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    """Each result of a step is converted by the next; an archive takes them all."""
    (tmp_path / "long.txt").write_text("line\n" * 100)
    steps = [{"to_format": "split"}, {"to_format": "jpg"}, {"to_format": "zip"}]

    execute(
        make(source=str(tmp_path / "long.txt"), steps=steps, destination=f"{tmp_path}/pages.zip"),
        TaskInstance(),
    )

    import zipfile

    with zipfile.ZipFile(io.BytesIO((tmp_path / "pages.zip").read_bytes())) as archive:
        assert 2 == len(archive.namelist())
    assert 1 + 1 + 2 + 1 == sandbox.billed
    assert {} == sandbox.files


def test_equal_results_get_names_of_their_own(make: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    """Without a merge each source has its own output."""
    outputs = execute(make(steps=PROTECT, destination=f"{tmp_path}/out/"), TaskInstance())

    assert 3 == len(set(outputs))
    assert 6 == sandbox.billed


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        pytest.param({"steps": "merge"}, "steps is a str", id="text"),
        pytest.param({"steps": [{"format": "pdf"}]}, r"steps\[0\]", id="unknown-key"),
        pytest.param(
            {"steps": [{"to_format": "p d f"}]}, r"steps\[0\]\['to_format'\]", id="format"
        ),
        pytest.param(
            {"steps": [{"to_format": "merge", "parameters": {"StoreFile": True}}]},
            "StoreFile",
            id="ours",
        ),
        pytest.param({"durable": False}, "durable=True", id="direct"),
    ],
)
def test_wrong_steps_are_refused(
    make: Any, sandbox: Sandbox, arguments: dict[str, Any], named: str
) -> None:
    """Before anything is sent, and naming what is wrong."""
    with pytest.raises(ParameterError, match=named):
        execute(make(**arguments), TaskInstance())

    assert [] == list(sandbox.requests)


def test_existing_output_is_found_before_the_first_step(
    make: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    """`overwrite=False` is checked before anything is paid, not when the last step is there."""
    (tmp_path / "all.pdf").write_text("mine")

    with pytest.raises(OutputExistsError):
        execute(make(overwrite=False), TaskInstance())

    assert 0 == sandbox.billed
    assert "mine" == (tmp_path / "all.pdf").read_text()


def test_no_id_is_said(make: Any, sandbox: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    """Logs and errors name files and steps, never what opens a document."""
    sandbox.fail("POST /async/convert/pdf/to/protect", verdict=5001)
    with pytest.raises(ConversionError) as failed:
        execute(make(steps=MERGE + PROTECT), TaskInstance())

    output = "".join(capfd.readouterr()) + str(failed.value)
    assert 5 == len(sandbox.jobs)
    assert [] == [job for job in sandbox.jobs if job in output]
    assert "step 3 of 3 (pdf to protect)" in output


@pytest.mark.parametrize(
    "into",
    [
        pytest.param("logo.pdf", id="named"),
        pytest.param("", id="directory", marks=pytest.mark.long),
    ],
)
@pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferrable"])
def test_file_of_a_step_is_not_overwritten(
    make: Any, sandbox: Sandbox, tmp_path: Path, into: str, deferrable: bool
) -> None:
    """A file among a step's parameters is an input like any other, whatever `overwrite` says."""
    logo = tmp_path / "logo.pdf"
    document = pypdfium2.PdfDocument.new()
    document.new_page(200, 100)
    document.save(logo)
    before = logo.read_bytes()
    parameters = {"OverlayFile": str(logo), "FileName": "logo"}
    steps = [*MERGE, {"to_format": "pdf-watermark", "parameters": parameters}]
    given = {"destination": f"{tmp_path}/{into}", "steps": steps, "overwrite": True}

    with pytest.raises(ParameterError, match=r"destination .*over the input .*logo\.pdf"):
        run_try(partial(make, **given, deferrable=deferrable))

    assert before == logo.read_bytes()
    assert (0 if into else 5) == sandbox.billed
