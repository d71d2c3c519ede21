"""A wrong DAG has an import error that says which argument, what is wrong, and what to do."""

from __future__ import annotations

import re
import socket
import warnings
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.api.converters import catalogue
from airflow_provider_convertapi.errors import ParameterError, UnsupportedFormatError
from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
from airflow_provider_convertapi.operators.convert import ConvertApiOperator

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_convertapi.conversions.arguments import StepArguments

SINGLE: dict[str, Any] = {"source": "/in/a.docx", "to_format": "pdf", "destination": "/out/"}
BATCH: dict[str, Any] = {"source": "/in/", "to_format": "pdf", "destination": "/out/"}
PDF: dict[str, Any] = {"source": "/in/a.pdf"}
MERGE: StepArguments = {"to_format": "merge"}

WRONG: list[tuple[dict[str, Any], str]] = [
    # Pairs
    ({"to_format": "mp4"}, "to_format is 'mp4'.*docx to mp4.*docx can become .*html"),
    ({"to_format": "pfd"}, "docx to pfd; did you mean `pdf`?"),
    ({"source": "/in/a.dcox"}, "source is 'dcox'.*did you mean `docx`?"),
    ({"source": "/in/{{ ds }}/a.docx", "to_format": "mp4"}, "does not convert docx to mp4"),
    ({"source": "{{ ds }}", "to_format": "mp4"}, "to_format is 'mp4'.*no such format or tool"),
    ({"from_format": "xlsx", "to_format": "docx"}, "does not convert xlsx to docx"),
    ({"source": "/in/report"}, "from_format is not given and /in/report has no extension"),
    ({"source": "https://x.org/a.php"}, "source is 'php'.*from_format='web'"),
    ({"to_format": "p d f"}, "to_format is 'p d f'; it must be a format"),
    ({"from_format": "a/b"}, "from_format is 'a/b'"),
    # Parameters
    (
        {"parameters": {"PageRagne": "1-2"}},
        "'PageRagne'.*docx to pdf has no such parameter; did you mean `PageRange`?.*bill.*= warn",
    ),
    ({"parameters": {"{{ name }}": 1}}, "is not a parameter.s name"),
    ({"parameters": {"PageRange": "1-9999"}}, "'PageRange'.*numbers must be from 1 to 6000"),
    ({"parameters": {"PageRange": "all"}}, "'PageRange'.* is 'all'; it must be a range"),
    ({"parameters": {"PageRange": ["1"]}}, "'PageRange'.* is a list; it must be text"),
    ({**PDF, "to_format": "jpg", "parameters": {"ImageResolution": 9000}}, "is 9000;.*10 to 800"),
    ({**PDF, "to_format": "jpg", "parameters": {"imageresolution": "1e3"}}, "a whole number"),
    (
        {**PDF, "to_format": "jpg", "parameters": {"ImageResolution": True}},
        "is True;.*whole number",
    ),
    ({**PDF, "to_format": "jpg", "parameters": {"ImageQuality": 75.5}}, "is 75.5;.*whole number"),
    ({**PDF, "to_format": "jpg", "parameters": {"ColorSpace": "rbg"}}, "did you mean `rgb`?"),
    ({**PDF, "to_format": "jpg", "parameters": {"ScaleImage": True}}, "no such parameter"),
    (
        {"source": "/in/a.ai", "to_format": "jpg", "parameters": {"ScaleImage": "yes"}},
        "is 'yes'; it must be True or False",
    ),
    ({"to_format": "protect"}, "parameters lacks 'EncryptPassword', which docx to protect"),
    ({**PDF, "to_format": "text-watermark"}, "parameters lacks 'Text'"),
    ({**PDF, "to_format": "pdf-watermark"}, "parameters lacks 'OverlayFile'"),
    (
        {**PDF, "to_format": "pdf-watermark", "parameters": {"OverlayFile": "/in/logo.png"}},
        "'OverlayFile'.* is a .png file; it must be one of .pdf",
    ),
    (
        {"from_format": "template", "parameters": {"JsonPayload": "{"}},
        "'JsonPayload'.* is not JSON",
    ),
    ({"parameters": {"Timeout": 5}}, "'Timeout'.* is 5; it must be 10 to 1200"),
    ({"parameters": {"StoreFile": True}}, "'StoreFile'.* is set by this provider"),
    ({"parameters": ["PageRange"]}, "parameters is a list; it must be a mapping"),
    ({"parameters": {"PageRange": "1", "pagerange": "2"}}, "is given twice"),
    # Sources
    ({"source": ["/in/a.docx", "/in/b.docx"]}, "lists 2 files, but docx to pdf converts one"),
    ({"source": ["/in/{{ a }}.docx", "/in/b.docx"]}, "lists 2 files"),
    ({"source": ["/in/a.docx", "/in/b.pdf"]}, "source mixes docx, pdf"),
    ({"source": []}, "source is an empty list"),
    ({"source": None}, "source is None"),
    ({"source": 5}, "source is an int; it must be text"),
    ({"destination": None}, "destination is None; it must be text"),
    ({"source": None, "to_format": "qrcode"}, "parameters lacks 'Data'"),
    ({"from_format": "data", "to_format": "qrcode"}, "source must be None"),
    ({"source": ["/in/a.bmp", "/in/b.bmp"]}, "bmp to pdf converts one at a time"),
    # Steps
    ({"steps": [{"to_format": "mp4"}]}, r"steps\[0\] does not follow.*pdf to mp4"),
    ({"steps": [{"to_fromat": "pdf"}]}, r"steps\[0\] must be.*'to_fromat'; did you mean `to_f"),
    ({"steps": {"to_format": "zip"}}, "steps is a dict; it must be a list"),
    (
        {"steps": [{"to_format": "pdf", "from_format": "xlsx"}]},
        r"steps\[0\]\['from_format'\] is 'xlsx', which does not follow: .* makes pdf",
    ),
    (
        {"steps": [MERGE, {"to_format": "protect", "parameters": {"UserPasword": "x"}}]},
        r"steps\[1\]\['parameters'\]\['UserPasword'\].*did you mean `UserPassword`?",
    ),
    ({"steps": [{"to_format": "zip"}, {"to_format": "pdf"}]}, r"steps\[1\].*zip to pdf"),
    (
        {"source": "/in/a.zip", "to_format": "extract", "steps": [{"to_format": "pdf"}]},
        r"steps\[0\] needs from_format",
    ),
    ({"steps": [MERGE], "durable": False}, "steps needs durable=True"),
    # The other arguments
    ({"timeout": "10m"}, "timeout is '10m'; it must be a number of seconds above 0"),
    ({"timeout": float("nan")}, "timeout is nan"),
    ({"timeout": timedelta(0)}, "timeout is .*above 0"),
    ({"poll_interval": -1}, "poll_interval is -1"),
    ({"durable": "False"}, "durable is 'False'; it must be True or False"),
    ({"deferrable": "yes"}, "deferrable is 'yes'"),
    ({"overwrite": "no"}, "overwrite is 'no'; it must be None, True or False"),
    ({"cancel_on_kill": 1}, "cancel_on_kill is 1"),
    ({"plan_only": "x"}, "plan_only is 'x'"),
    ({"multiple_outputs": True}, "multiple_outputs is True, but the task returns a list"),
    ({"on_quota_exhausted": "partial"}, "on_quota_exhausted is 'partial'.*'fail' or 'raise'"),
    ({"conversion_key": ["x"]}, "conversion_key is a list"),
    ({"convertapi_conn_id": ""}, "convertapi_conn_id is empty"),
    ({"destination": ""}, "destination is empty"),
    ({"destination": "https://x.org/a.pdf"}, "destination is a URL"),
]

WRONG_BATCHES: list[tuple[dict[str, Any], str]] = [
    ({"source": "/in/*.docx", "to_format": "mp4"}, "does not convert docx to mp4"),
    ({"to_format": "mp4"}, "no such format or tool"),
    ({"parameters": {"PageRagne": "1"}}, "no converter to pdf has such a parameter; did you mean"),
    ({"from_format": "docx", "parameters": {"ImageQuality": 5}}, "docx to pdf has no such"),
    ({"source": None}, "source is None"),
    ({"source": {"source": "/in/", "shard": [3, 3]}}, r"shard'\]\[0\] is 3.* from 0 to 2"),
    ({"source": {"source": "/in/", "shard": 3}}, r"shard'\] is 3; it must be \[i, n\]"),
    ({"source": {"source": "{{ ds }}", "shard": [3, 3]}}, r"shard'\]\[0\] is 3.* from 0 to 2"),
    ({"source": {"path": "/in/"}}, "source is a mapping of path"),
    ({"source": {"source": "/in/", "shrad": ["{{ i }}", 3]}}, "source is a mapping of source, shr"),
    ({"failure_policy": "most"}, "failure_policy is 'most'; it must be 'any'.*'never'.*share"),
    ({"failure_policy": 5}, "failure_policy is 5"),
    ({"on_collision": "suffixes"}, "on_collision is 'suffixes'; it must be 'fail' or 'suffix'"),
    ({"on_empty": "error"}, "on_empty is 'error'"),
    ({"on_insufficient": "x"}, "on_insufficient is 'x'; it must be 'fail', 'skip', 'partial' or"),
    ({"on_missing_output": "x"}, "on_missing_output is 'x'"),
    ({"on_quota_exhausted": "x"}, "'fail', 'raise' or 'partial'"),
    ({"max_in_flight": 0}, "max_in_flight is 0; it must be a whole number from 1 to 256"),
    ({"max_conversions": float("inf")}, "max_conversions is inf"),
    ({"defer_batch": 1.5}, "defer_batch is 1.5"),
    ({"defer_batch": 10**30}, "defer_batch is 10*; it must be a whole number from 1 to 1000000"),
    ({"min_age": -1}, "min_age is -1; it must be a number of seconds of at least 0"),
    ({"content_hash": "x"}, "content_hash is 'x'"),
    ({"retry_failed": "x"}, "retry_failed is 'x'"),
    ({"steps": [{"to_format": "mp4"}]}, r"steps\[0\] does not follow"),
]

RIGHT: list[dict[str, Any]] = [
    {"parameters": {"pagerange": "1-3", "Timeout": 60, "FileName": "x"}},
    {"source": "/in/a.doc"},
    {"source": "https://x.org/"},
    {**PDF, "to_format": "validate"},
    {**PDF, "to_format": "encrypt", "parameters": {"UserPassword": "{{ var.value.x }}"}},
    {"source": None, "to_format": "qrcode", "parameters": {"Data": "x"}},
    {"source": ["/in/a", "/in/b.xyz"], "to_format": "zip"},
    {"source": ["/in/a.png", "/in/b.jpg"]},
    {"source": ["/in/a.docx", "/in/b.docx"], "steps": [MERGE]},
    {"source": "{{ a }}", "to_format": "{{ b }}", "parameters": "{{ c }}", "steps": "{{ d }}"},
    {"source": "/in/a.csv", "to_format": "xlsx"},  # its Delimiter is required, and has a default
    {"source": "/in/a.jpg", "parameters": {"ColorProfile": "isocoatedv2"}},
    {"parameters": {"PageRange": "{{ pages }}"}, "steps": [{"to_format": "{{ tool }}"}]},
    {
        "source": "/in/a.zip",
        "to_format": "extract",
        "steps": [{"from_format": "docx", "to_format": "pdf"}],
    },
    {"timeout": "600", "poll_interval": timedelta(seconds=5), "conversion_key": 7},
]

RIGHT_BATCHES: list[dict[str, Any]] = [
    {"source": "/in/2026.11"},
    {"source": ["/in/", "/in/*.docx", "/in/{{ ds }}/*"]},
    {"source": {"source": "/in/", "shard": [0, 3], "max_conversions": 5}, "failure_policy": 0.05},
    {"source": {"source": "/in/", "shard": ["{{ i }}", "{{ n }}"], "max_conversions": "{{ m }}"}},
    {"source": {"source": "{{ where }}", "shard": "{{ shard }}"}},
    {"source": [], "on_empty": "skip"},
    {"source": "/in/*.docx", "steps": [{"to_format": "protect", "parameters": {}}]},
]


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test touch the network."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize(
    ("operator", "given", "change", "text"),
    [(ConvertApiOperator, SINGLE, *case) for case in WRONG]
    + [(ConvertApiBatchOperator, BATCH, *case) for case in WRONG_BATCHES],
    ids=lambda value: str(value)[:60] if isinstance(value, dict | str) else "",
)
def test_wrong_dag(operator: Any, given: dict[str, Any], change: dict[str, Any], text: str) -> None:
    """The message names the argument and its value, and says what to do."""
    with pytest.raises((ParameterError, UnsupportedFormatError)) as caught:
        operator(task_id="convert", **(given | change))

    assert re.search(text.replace("?", r"\?"), str(caught.value))


@pytest.mark.parametrize("change", RIGHT, ids=str)
@pytest.mark.filterwarnings("error")
def test_right_dag(change: dict[str, Any]) -> None:
    """What is right, or may be, gives neither an error nor a warning."""
    ConvertApiOperator(task_id="convert", **(SINGLE | change))


@pytest.mark.parametrize("change", RIGHT_BATCHES, ids=str)
@pytest.mark.filterwarnings("error")
def test_right_batch(change: dict[str, Any]) -> None:
    """Directories may have any name, and lists may be mixed."""
    ConvertApiBatchOperator(task_id="convert", **(BATCH | change))


@pytest.mark.parametrize("kind", [ConvertApiOperator, ConvertApiBatchOperator])
def test_output_of_another_task(kind: Any) -> None:
    """What another task returns is known only when the task runs: all of an argument, or a part."""
    from airflow.providers.common.compat.sdk import DAG

    with DAG("handed_on", schedule=None):
        made = ConvertApiBatchOperator(task_id="first", **BATCH).output

        kind(task_id="whole", **(SINGLE | {"source": made, "parameters": made}))
        kind(task_id="part", **(SINGLE | {"source": [made, "/in/b.docx"], "steps": [MERGE]}))
        kind(task_id="steps", **(SINGLE | {"steps": made, "conversion_key": made}))


def test_same_declaration_is_checked_once_and_another_again() -> None:
    """That one declaration was right says nothing about one that only looks like it."""
    ConvertApiOperator(task_id="right", **SINGLE, durable=True)

    for wrong in ({"durable": 1}, {"source": "/in/.docx"}, {"source": "/in/a.docx/"}):
        with pytest.raises(ParameterError):
            ConvertApiOperator(task_id="wrong", **(SINGLE | {"durable": True} | wrong))


@pytest.mark.parametrize(
    "change", [{"parameters": {"PageRagne": "1"}}, {"to_format": "mp4"}], ids=["name", "pair"]
)
def test_service_may_be_ahead(monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]) -> None:
    """With `unknown_parameters = warn` what the catalogue does not have is a warning."""
    monkeypatch.setenv("AIRFLOW__CONVERTAPI__UNKNOWN_PARAMETERS", "warn")

    for _ in range(2):
        with pytest.warns(UserWarning, match="PageRagne|mp4"):
            ConvertApiOperator(task_id="convert", **(SINGLE | change))
    with pytest.raises(ParameterError, match=r"PageRange.*6000"):
        ConvertApiOperator(task_id="convert", **SINGLE, parameters={"PageRange": "1-9999"})


def test_unknown_mode_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelled option is not taken for one of the two."""
    monkeypatch.setenv("AIRFLOW__CONVERTAPI__UNKNOWN_PARAMETERS", "ignore")

    with pytest.raises(ParameterError, match=r"unknown_parameters is 'ignore'.*'error' or 'warn'"):
        ConvertApiOperator(task_id="convert", **SINGLE, parameters={"X": "1"})


def test_what_ages_fast_is_a_warning() -> None:
    """A browser's version that the catalogue does not know may be there tomorrow."""
    with pytest.warns(UserWarning, match="'Version'.*'999'"):
        ConvertApiOperator(
            task_id="convert",
            **(SINGLE | {"source": "https://x.org/"}),
            parameters={"Version": "999"},
        )


def test_secrets_are_not_shown() -> None:
    """The message names parameters, never the values of those that may be secret."""
    steps: list[StepArguments] = [
        {"to_format": "protect", "parameters": {"UserPasword": "s3cret", "Cookies": True}}
    ]
    with pytest.raises(ParameterError) as caught:
        ConvertApiOperator(
            task_id="convert", **SINGLE, parameters={"Passwordd": "s3cret"}, steps=steps
        )

    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(caught.value.invalid)


@pytest.mark.long
def test_import_error_is_the_message(tmp_path: Path) -> None:
    """Airflow shows the message as the DAG file's import error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Airflow 3.2 moved it; 2.11 has only the old location
        from airflow.models.dagbag import DagBag

    file = tmp_path / "wrong.py"
    file.write_text(
        "from airflow.providers.common.compat.sdk import DAG\n"
        "from airflow_provider_convertapi.operators.convert import ConvertApiOperator\n"
        "with DAG('wrong', schedule=None):\n"
        "    ConvertApiOperator(task_id='convert', source='a.docx', to_format='pdf', "
        "destination='out/', parameters={'PageRagne': 1})\n"
    )

    [error] = DagBag(file).import_errors.values()

    assert "did you mean `PageRange`?" in error


def test_every_pair_can_be_declared() -> None:
    """With what it requires, each of the 314 converters is right."""
    for source, target in catalogue().pairs():
        converter = catalogue().converter(source, target)
        required = {
            parameter.name: parameter.choices[0] if parameter.choices else "[1]"
            for parameter in converter.parameters.values()
            if parameter.required and not parameter.is_input and parameter.default is None
        }

        ConvertApiOperator(
            task_id="convert",
            source=None if converter.takes_nothing else "https://x.org/",
            from_format=source,
            to_format=target,
            destination="/out/",
            parameters=required,
        )
