"""The README's comparison: each cell of its table is measured, and must say what was measured.

The other ways are written as their users write them: `HttpOperator` with a JSON body, and the
official SDK (`convertapi`) in a `@task`.
"""

from __future__ import annotations

import base64
import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dev.stage import DOCUMENTS, ROOT
from tests.e2e.dags import new_dag, operator_dag

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import DAG

    from convertapi_sandbox import Sandbox
    from tests.conftest import RunDag

    MakeDag = Callable[..., DAG]


def http_dag(dag_id: str, source: str, destination: str) -> DAG:
    """Convert with `HttpOperator`; the document comes back inside the answer."""
    from airflow.providers.http.operators.http import HttpOperator

    data = base64.b64encode(Path(source).read_bytes()).decode()
    file = {"Name": "File", "FileValue": {"Name": Path(source).name, "Data": data}}
    with new_dag(dag_id) as dag:
        HttpOperator(
            task_id="convert",
            http_conn_id="convertapi_http",
            endpoint="convert/docx/to/pdf",
            headers={"Content-Type": "application/json"},
            data=json.dumps({"Parameters": [file]}),
        )
    return dag


def sdk_dag(dag_id: str, source: str, destination: str) -> DAG:
    """Convert with the official SDK, which `credentials` has configured."""
    from tests.airflow_api import task

    with new_dag(dag_id) as dag:

        @task
        def convert() -> None:
            import convertapi

            convertapi.convert("pdf", {"File": source}).save_files(destination)

        convert()
    return dag


def our_dag(dag_id: str, source: str, destination: str) -> DAG:
    """Convert with this provider."""
    return operator_dag(dag_id, source=source, destination=destination, to_format="pdf")


pytestmark = [
    pytest.mark.long,
    pytest.mark.once,
    pytest.mark.timeout(180),  # the first run in a process loads Airflow's execution API
    # The SDK leaves the files open that it uploads.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.skipif(
        version("apache-airflow").startswith("2."),
        reason="the table speaks of Airflow 3; on 2 the SDK's BaseException ends `dag.test()`",
    ),
]

HTTP, SDK, OURS = "`HttpOperator`", "SDK in a `@task`", "this provider"
MAKERS: dict[str, MakeDag] = {HTTP: http_dag, SDK: sdk_dag, OURS: our_dag}

every_way = pytest.mark.parametrize("way", MAKERS)


@pytest.fixture
def credentials(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Provide the sandbox, known to all three ways."""
    import convertapi

    connection = {
        "conn_type": "http",
        "host": sandbox.url,
        "extra": {"Authorization": f"Bearer {sandbox.token}"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_CONVERTAPI_HTTP", json.dumps(connection))
    monkeypatch.setattr(convertapi, "api_credentials", sandbox.token)
    monkeypatch.setattr(convertapi, "base_uri", f"{sandbox.url}/")
    return sandbox


@pytest.fixture
def make_dag(request: pytest.FixtureRequest, way: str, tmp_path: Path) -> MakeDag:
    """Make the way's DAG, by default for a sound document."""

    def make(source: Path = DOCUMENTS / "report.docx") -> DAG:
        dag_id = f"compared_{request.node.originalname}_{MAKERS[way].__name__}"
        return MAKERS[way](dag_id, str(source), str(tmp_path / "out.pdf"))

    return make


def claim(row: str, way: str) -> str:
    """Return what the README's table says in a row of it."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    [header] = [line for line in cells if line[-3:] == list(MAKERS)]
    [found] = [line for line in cells if line[0] == row]
    return found[header.index(way)]


def task_of(run: Any) -> Any:
    """Return the run's only task."""
    [task] = run.get_task_instances()
    return task


@every_way
def test_exhausted_quota(
    run_dag: RunDag, credentials: Sandbox, way: str, make_dag: MakeDag
) -> None:
    """How often an account with nothing left is asked to convert."""
    credentials.balance = 0

    task = task_of(run_dag(make_dag()))

    refused = len(credentials.requests.filter(status=403))
    assert claim("Quota exhausted: refused conversions", way) == str(refused)
    assert ("failed", refused) == (task.state, task.try_number)


@pytest.mark.parametrize("way", [HTTP, OURS])
def test_reading_of_an_exhausted_quota(
    run_dag: RunDag,
    credentials: Sandbox,
    said: Callable[[], str],
    way: str,
    make_dag: MakeDag,
) -> None:
    """What the log says of it: the way's own words, quoted."""
    credentials.balance = 0

    run_dag(make_dag())

    words = claim("Quota exhausted: the log says", way).split("`")[1]
    assert words in said()


@every_way
def test_damaged_document(
    run_dag: RunDag, credentials: Sandbox, tmp_path: Path, way: str, make_dag: MakeDag
) -> None:
    """What one document costs that cannot be converted."""
    source = tmp_path / "damaged.docx"
    source.write_bytes((DOCUMENTS / "report.docx").read_bytes()[:5000])

    task = task_of(run_dag(make_dag(source)))

    assert "failed" == task.state
    assert claim("Damaged document: billed", way) == str(credentials.billed)


@every_way
def test_lost_answer(run_dag: RunDag, credentials: Sandbox, way: str, make_dag: MakeDag) -> None:
    """What a conversion costs whose answer is lost once, when the work is done."""
    for path in ("/convert", "/async/convert"):
        credentials.fail(f"POST {path}", drop="after_work", times=1)

    task = task_of(run_dag(make_dag()))

    assert "success" == task.state
    assert claim("Response lost after the conversion: billed", way) == str(credentials.billed)


@every_way
def test_cleared_task(
    run_dag: RunDag,
    credentials: Sandbox,
    clear_and_run: Callable[[Any, Any], Any],
    way: str,
    make_dag: MakeDag,
) -> None:
    """What a conversion costs in all when its finished task is cleared."""
    dag = make_dag()
    run = run_dag(dag)

    task = clear_and_run(dag, run)

    assert "success" == task.state
    assert claim("Finished task cleared: billed in total", way) == str(credentials.billed)


@pytest.mark.parametrize("way", [SDK, OURS])
def test_result_that_is_gone(
    run_dag: RunDag, credentials: Sandbox, tmp_path: Path, way: str, make_dag: MakeDag
) -> None:
    """The content of the destination when the service answers 404 to the download."""
    credentials.fail("GET /d", status=404, times=None)
    credentials.fail("HEAD /d", status=404, times=None)

    task = task_of(run_dag(make_dag()))

    out = tmp_path / "out.pdf"
    text = out.read_text() if out.exists() else "no file"
    stands = "the text of the error" if "Injected" in text else text
    row = "Result is gone (404): state of the task, content of `out.pdf`"
    assert claim(row, way) == f"{task.state}, {stands}"


@pytest.mark.parametrize("way", [SDK, OURS])
def test_download_that_breaks_off(
    run_dag: RunDag, credentials: Sandbox, tmp_path: Path, way: str, make_dag: MakeDag
) -> None:
    """The content of the destination after one try whose download was interrupted once."""
    credentials.fail("GET /d", truncate=5000, times=1)
    dag = make_dag()
    for task in dag.tasks:
        task.retries = 0

    run_dag(dag)

    out = (tmp_path / "out.pdf").read_bytes()
    stands = "complete" if b"%%EOF" in out[-10:] else "truncated"
    assert claim("Download is interrupted once, `retries=0`: `out.pdf`", way) == stands


@every_way
def test_what_is_left_behind(
    run_dag: RunDag, credentials: Sandbox, way: str, make_dag: MakeDag
) -> None:
    """How many documents stay at the service, and what Airflow's database holds."""
    task = task_of(run_dag(make_dag()))

    pushed = str(task.xcom_pull(task_ids="convert"))
    held = "the PDF, in base64" if base64.b64encode(b"%PDF-").decode()[:6] in pushed else "URIs"
    assert claim("Documents left at ConvertAPI", way) == str(len(credentials.files))
    assert claim("XCom holds", way) == ("nothing" if pushed == "None" else held)


@every_way
def test_credential(run_dag: RunDag, credentials: Sandbox, way: str, make_dag: MakeDag) -> None:
    """What travels as the credential of a conversion."""
    run_dag(make_dag())

    [asked] = credentials.requests.filter(paid=True)
    kinds = {"api_token": "the API token", "jwt": "a JWT that expires"}
    assert claim("Credential sent", way) == kinds[str(asked.authorization_kind)]


@pytest.mark.parametrize("way", [SDK, OURS])
def test_error_in_ones_own_task(
    run_dag: RunDag, credentials: Sandbox, tmp_path: Path, way: str
) -> None:
    """Whether a task's own `except Exception` catches the error of an exhausted quota."""
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook
    from tests.airflow_api import task

    credentials.balance = 0
    source = str(DOCUMENTS / "report.docx")
    with new_dag(f"caught_{MAKERS[way].__name__}") as dag:

        @task
        def convert() -> str:
            import convertapi

            try:
                if way == SDK:
                    convertapi.convert("pdf", {"File": source})
                else:
                    ConvertApiHook().convert(source, "pdf", str(tmp_path / "out.pdf"))
            except Exception as error:  # noqa: BLE001 - what users write
                return f"caught {type(error).__name__}"
            return "converted"

        convert()

    finished = task_of(run_dag(dag))

    caught = "yes" if finished.state == "success" else "no"
    assert claim("`except Exception` catches its errors", way) == caught
