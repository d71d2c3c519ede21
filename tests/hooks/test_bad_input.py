"""Bad input ends in a clear error that names the argument, before anything is paid for."""

from __future__ import annotations

import math
from collections import UserString
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import (
    InputNotFoundError,
    ParameterError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_convertapi.errors import (
        ConvertApiError,
    )
    from convertapi_sandbox import Sandbox
    from tests.hooks.conftest import MakeHook


ITSELF: list[Any] = []
ITSELF.append(ITSELF)
HOLDS_ITSELF: dict[str, Any] = {}
HOLDS_ITSELF["a"] = HOLDS_ITSELF
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]
HUGE = 10**5000


class Column:
    """Like a column of pandas, it compares each element."""

    def __eq__(self, other: object) -> Any:
        """Return what has no truth value."""
        return self

    def __bool__(self) -> bool:
        """Raise as pandas does."""
        raise ValueError("the truth value is ambiguous")

    __hash__ = None  # type: ignore[assignment]


class Paper(Enum):
    """Sizes, of which the service does not know this one."""

    NONE = "a9"


BAD = [
    pytest.param({"source": "{dir}/none.txt"}, InputNotFoundError, r"none\.txt", id="no such file"),
    pytest.param({"source": ""}, ParameterError, "source is empty.*rendered", id="renders empty"),
    pytest.param({"source": "   "}, ParameterError, "source is empty", id="renders blank"),
    pytest.param({"source": "None"}, ParameterError, "source is empty", id="renders None"),
    pytest.param({"source": None}, ParameterError, "source", id="None"),
    pytest.param({"source": []}, ParameterError, "source is an empty list", id="empty list"),
    pytest.param({"source": [""]}, ParameterError, r"source\[0\] is empty", id="empty item"),
    pytest.param({"source": {"a": 1}}, ParameterError, "source is a dict", id="mapping"),
    pytest.param({"source": "{dir}"}, ParameterError, "directory", id="directory for a file"),
    pytest.param({"source": "nfs9://x/a.txt"}, ParameterError, "nfs9", id="unknown scheme"),
    pytest.param(
        {"source": ["{file}", "{file}"]}, ParameterError, "one at a time", id="list for one"
    ),
    pytest.param({"to_format": ""}, ParameterError, "to_format is empty", id="no target"),
    pytest.param({"to_format": "../x"}, ParameterError, "to_format", id="path as target"),
    pytest.param({"from_format": "a/b"}, ParameterError, "from_format", id="path as source format"),
    pytest.param({"from_format": "web"}, ParameterError, "takes a URL", id="web for a file"),
    pytest.param({"destination": ""}, ParameterError, "destination", id="no destination"),
    pytest.param({"destination": "{file}"}, ParameterError, "letter.txt", id="output over input"),
    pytest.param({"destination": "https://x/a.pdf"}, ParameterError, "destination", id="URL out"),
    pytest.param({"parameters": {"Timeout": 9}}, ParameterError, "10 to 1200", id="Timeout low"),
    pytest.param({"parameters": {"timeout": "1201"}}, ParameterError, "1200", id="Timeout high"),
    pytest.param({"parameters": {"StoreFile": True}}, ParameterError, "StoreFile", id="StoreFile"),
    pytest.param({"parameters": {"jobid": "x"}}, ParameterError, "jobid", id="JobId"),
    pytest.param({"parameters": {"WebHook": "x"}}, ParameterError, "WebHook", id="WebHook"),
    pytest.param({"parameters": {"Async": "x"}}, ParameterError, "Async", id="Async"),
    pytest.param({"parameters": {"File": "x"}}, ParameterError, "source", id="File"),
    pytest.param({"parameters": {"Files[0]": "x"}}, ParameterError, "source", id="Files"),
    pytest.param({"parameters": {"Token": "x"}}, ParameterError, "connection", id="Token"),
    pytest.param({"parameters": ["x"]}, ParameterError, "parameters is a list", id="no mapping"),
    pytest.param({"parameters": {"A": object()}}, ParameterError, "A", id="value of no kind"),
    pytest.param({"parameters": {"A": {"b": {1}}}}, ParameterError, "'A'.* JSON", id="set within"),
    pytest.param({"parameters": {"A": [b""]}}, ParameterError, "'A'.* JSON", id="bytes within"),
    pytest.param({"parameters": {"A": [math.nan]}}, ParameterError, "'A'.* JSON", id="NaN within"),
    pytest.param({"parameters": {"PageSize": Paper.NONE}}, ParameterError, "'a9'", id="enum"),
    pytest.param({"source": "{empty}"}, ParameterError, "source .* is empty", id="no bytes"),
    pytest.param(
        {"source": "/proc/cpuinfo", "from_format": "txt"}, ParameterError, "is empty", id="no file"
    ),
    pytest.param({"source": "\ud800.txt"}, ParameterError, "half a character", id="no name"),
    *(
        pytest.param({"source": f"{url}"}, ParameterError, "source is a URL", id=f"URL {number}")
        for number, url in enumerate(
            (
                "http://?q=x",
                "https:///a.txt",
                "http://h:99999/a.txt",
                "http://h:x/a.txt",
                "http://h:/a.txt",
                "http://u:p/w@h/a.txt",
                "http://u:p w@h/a.txt",
                "http://@/a.txt",
                "http://h h/a.txt",
                "https:/h/a.txt?sig=x",
                "https:h/a.txt?sig=x",
                "http://h/a.txt\r\nX: y",
                "http://h/\x00a.txt",
                "http://h/a.txt?\ud800",
            )
        )
    ),
    pytest.param({"timeout": 10**400}, ParameterError, "timeout", id="number beyond all"),
    pytest.param(
        {"from_format": "pdf", "to_format": "jpg", "parameters": {"ImageResolution": 10**400}},
        ParameterError,
        "ImageResolution.* whole number",
        id="number beyond the bounds",
    ),
    pytest.param({"parameters": {"FileName": ""}}, ParameterError, "FileName", id="no FileName"),
    pytest.param({"parameters": {"FileName": "x" * 201}}, ParameterError, "200", id="FileName"),
    pytest.param(
        {
            "from_format": "pdf",
            "to_format": "pdf-watermark",
            "parameters": {"OverlayFile": "{dir}/no.pdf"},
        },
        InputNotFoundError,
        "OverlayFile.*no.pdf|no.pdf.*OverlayFile",
        id="file parameter",
    ),
    pytest.param({"timeout": 0}, ParameterError, "timeout", id="timeout"),
    pytest.param({"poll_interval": -1}, ParameterError, "poll_interval", id="poll_interval"),
    pytest.param({"on_quota_exhausted": "x"}, ParameterError, "'fail' or 'raise'", id="quota"),
]


@pytest.mark.parametrize(("change", "error", "text"), BAD)
@pytest.mark.parametrize("durable", [True, False])
def test_bad_argument(
    sandbox: Sandbox,
    make_hook: MakeHook,
    letter: Path,
    tmp_path_factory: pytest.TempPathFactory,
    change: dict[str, Any],
    error: type[ConvertApiError],
    text: str,
    durable: bool,
) -> None:
    """Each wrong argument is named with its remedy; no request is sent, no file is written."""
    empty = tmp_path_factory.mktemp("empty") / "empty.txt"
    empty.touch()

    def fill(value: Any) -> Any:
        if isinstance(value, str):
            return value.format(dir=letter.parent, file=letter, empty=empty)
        if isinstance(value, list):
            return [fill(item) for item in value]
        if isinstance(value, dict):
            return {name: fill(item) for name, item in value.items()}
        return value

    arguments = {"source": letter, "to_format": "pdf", "destination": letter.parent / "o.pdf"}

    with pytest.raises(error, match=rf"(?s){text}"):
        make_hook().convert(**(arguments | fill(change)), durable=durable)

    assert [] == list(sandbox.requests)
    assert ["letter.txt"] == [path.name for path in letter.parent.iterdir()]


ODD = [
    pytest.param({"source": ITSELF}, "source.* itself", id="list of itself"),
    pytest.param({"source": DEEP}, "source.* 50 levels", id="deep list"),
    pytest.param({"source": UserString("a.txt")}, "source is a UserString", id="UserString"),
    pytest.param({"source": [Column()]}, r"source(\[0\])? is a Column", id="column"),
    pytest.param({"source": HUGE}, "source is .*digits", id="huge source"),
    pytest.param({"source": "x" * 99_999}, "99,999 .*content", id="content"),
    pytest.param({"destination": ITSELF}, "destination", id="destination"),
    *(
        pytest.param({"parameters": {"FileName": value}}, rf"\['FileName'\].*{text}", id=text)
        for value, text in (
            (HOLDS_ITSELF, "contains itself"),
            (DEEP, "50 levels"),
            (HUGE, "digits"),
            ([{"b": HUGE}], "very many"),
            ({HUGE: 1}, "has the key"),
            (math.nan, "nan, not a number"),
            (-math.inf, "-inf"),
            ("\ud800", "half a character"),
        )
    ),
    pytest.param({"parameters": HOLDS_ITSELF}, "parameters.* itself", id="own parameters"),
    pytest.param({"parameters": {HUGE: 1}}, "parameters has the key", id="key"),
    pytest.param({"steps": ITSELF}, "steps.* itself", id="steps of itself"),
    pytest.param(
        {"steps": [{"to_format": "compress", "parameters": {"FileName": "\ud800"}}]},
        r"steps\[0\]\['parameters'\]\['FileName'\] holds half",
        id="half a character in a step",
    ),
    pytest.param({"steps": [{"to_format": "pdf", HUGE: 1}]}, r"steps\[0\] has", id="key of a step"),
    pytest.param(
        {"from_format": "template", "parameters": {"JsonPayload": "[" * 99_999}},
        "JsonPayload.* not JSON",
        id="deep JSON",
    ),
]


@pytest.mark.parametrize(("change", "text"), ODD)
@pytest.mark.parametrize("call", ["convert", "convert_batch", "ConvertApi", "ConvertApiBatch"])
def test_argument_on_which_python_fails(
    sandbox: Sandbox,
    make_hook: MakeHook,
    letter: Path,
    tmp_path: Path,
    call: str,
    change: dict[str, Any],
    text: str,
) -> None:
    """Values that Python cannot walk through, write or compare are named like other mistakes."""
    from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
    from airflow_provider_convertapi.operators.convert import ConvertApiOperator

    hook = make_hook()
    calls: dict[str, Callable[..., object]] = {
        "convert": hook.convert,
        "convert_batch": hook.convert_batch,
        "ConvertApi": partial(ConvertApiOperator, task_id="t"),
        "ConvertApiBatch": partial(ConvertApiBatchOperator, task_id="t"),
    }
    arguments: dict[str, Any] = {
        "source": str(letter),
        "to_format": "pdf",
        "destination": f"{tmp_path}/out/",
    }
    for source in (letter, letter.parent):  # what was found right is not checked once more
        ConvertApiBatchOperator(task_id="right", **(arguments | {"source": str(source)}))

    with pytest.raises(ParameterError, match=rf"(?s){text}") as caught:
        calls[call](**(arguments | change))

    assert len(str(caught.value)) < 1000
    assert [] == list(sandbox.requests)


def test_formats_are_inferred() -> None:
    """The extension tells the source format; several images, any list to zip, a page of the web."""
    from airflow_provider_convertapi.conversions.origins import format_of, source_format

    table = {
        ("a.docx",): ("pdf", "docx"),
        ("dir.d/A.DOCX",): ("pdf", "docx"),
        ("s3://c@b/k/a.pdf", "b.pdf"): ("merge", "pdf"),
        ("a.docx", "b.pdf"): ("zip", "any"),
        ("a.jpg", "b.png"): ("pdf", "images"),
        ("a.jpg",): ("pdf", "jpg"),
        ("https://example.com/",): ("pdf", "web"),
        ("https://example.com",): ("pdf", "web"),
        ("https://example.com/report",): ("pdf", "web"),
        ("https://example.com/a.docx?sig=b.c",): ("pdf", "docx"),
    }

    for uris, (target, origin) in table.items():
        assert origin == source_format(None, [format_of(uri) for uri in uris], target)
