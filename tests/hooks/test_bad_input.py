"""Bad input ends in a clear error that names the argument, before anything is paid for."""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import (
    InputNotFoundError,
    ParameterError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_convertapi.errors import (
        ConvertApiError,
    )
    from convertapi_sandbox import Sandbox
    from tests.hooks.conftest import MakeHook


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
