"""The parameters of a request, in any of the five forms that ConvertAPI accepts.

Forms: https://docs.convertapi.com (request content types): multipart/form-data, JSON `Parameters`,
urlencoded, octet-stream with Content-Disposition, and the query alone. Names are case-insensitive;
arrays have an index; query and body combine.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from convertapi_sandbox import multipart, names
from convertapi_sandbox.errors import (
    BAD_JSON,
    NO_DISPOSITION,
    NO_FILE_DATA,
    PARAMETER,
    UNSUPPORTED,
    ServiceError,
    bad_request,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from starlette.requests import Request

    from convertapi_sandbox.spool import Spool

MAX_JSON = 512 << 20
MAX_FORM = 32 << 20
MAX_FIELDS = 5000
_INDEXED = re.compile(r"(.+?)\[(\d*)\]")


@dataclass(frozen=True, slots=True)
class Upload:
    """A document that was sent in the request; `name` is the caller's."""

    path: Path
    name: str

    @property
    def size(self) -> int:
        """Return its size in bytes."""
        return self.path.stat().st_size


Value = str | bool | int | float | Upload


@dataclass(slots=True)
class Form:
    """The parameters of one request; the case of a name does not matter."""

    _values: dict[str, list[tuple[int, Value]]] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, value: Value) -> None:
        """Add a value; `Name[i]` is the i-th of an array, and a repeated name adds the next one."""
        indexed = _INDEXED.fullmatch(name)
        base, index = (indexed[1], indexed[2]) if indexed else (name, None)
        values = self._values.setdefault(_key(base, array=indexed is not None), [])
        position = int(index[:9]) if index else len(values)
        values.append((position, value))
        self._names.setdefault(_key(base, array=indexed is not None), name)

    def last(self, name: str) -> Value | None:
        """Return the value of a single parameter; if it was sent twice, the last one."""
        values = self._values.get(_key(name))
        return values[-1][1] if values else None

    def array(self, name: str) -> list[Value]:
        """Return the values of an array, ordered by index."""
        found = self._values.get(_key(name, array=True), []) + self._values.get(_key(name), [])
        return [value for _, value in sorted(found, key=lambda item: item[0])]

    def items(self) -> Iterator[tuple[str, Value]]:
        """Return each single parameter under the name that was sent."""
        for key, values in self._values.items():
            if not key.endswith("[]"):
                yield self._names[key], values[-1][1]


def _key(name: str, *, array: bool = False) -> str:
    return name.lower() + ("[]" if array else "")


def lower_query(request: Request) -> dict[str, str]:
    """Return the query parameters of a request, with lower-case names."""
    return {name.lower(): value for name, value in request.query_params.items()}


async def read_form(request: Request, spool: Spool) -> Form:
    """Read the parameters of a request from its query and its body.

    Raises:
        ServiceError: 400 with Code 4000, 4001, 4002 or 4005 for what cannot be read, 415 for a
            body of another content type.
    """
    form = Form()
    _add_pairs(form, request.url.query)
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    stream = request.stream()
    if kind == "multipart/form-data":
        for part in await multipart.read(stream, content_type, spool):
            upload = part.path and Upload(part.path, part.filename or "")
            form.add(part.name, upload or part.text)
    elif kind == "application/json":
        _add_json(form, await _whole(stream, MAX_JSON), spool)
    elif kind == "application/x-www-form-urlencoded":
        body = await _whole(stream, MAX_FORM)
        _add_pairs(form, body.decode("utf-8", "replace"))
    else:
        await _add_raw(form, request, stream, spool, kind)
    return form


def _add_pairs(form: Form, text: str) -> None:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise bad_request(PARAMETER, "There are too many parameters.") from error
    for name, value in pairs:
        form.add(name, value)


async def _whole(stream: AsyncIterator[bytes], limit: int) -> bytes:
    body = bytearray()
    async for chunk in stream:
        body += chunk
        if len(body) > limit:
            raise bad_request(PARAMETER, f"This form of request holds at most {limit >> 20} MiB.")
    return bytes(body)


async def _add_raw(
    form: Form, request: Request, stream: AsyncIterator[bytes], spool: Spool, kind: str
) -> None:
    """Take the body as the only `File`, or as nothing if it is empty."""
    header = request.headers.get("content-disposition")
    name = names.disposition_names(header).get("filename") if header else None
    path, sink = spool.open(name or "")
    with sink:
        async for chunk in stream:
            sink.write(chunk)
    if not path.stat().st_size and header is None:
        path.unlink()  # the query holds the whole request
        return
    if kind not in ("application/octet-stream", "") and header is None:
        raise ServiceError(UNSUPPORTED, UNSUPPORTED, f"The content type {kind!r} is not supported.")
    if header is None:
        raise bad_request(NO_DISPOSITION, "No content disposition provided.")
    form.add("File", Upload(path, name or ""))


def _add_json(form: Form, body: bytes, spool: Spool) -> None:
    """Read `{"Parameters": [{"Name", "Value" | "FileValue" | "FileValues"}]}`."""
    try:
        # RecursionError: a body of nothing but brackets
        parameters = json.loads(body or b"{}")
        items = _lower(parameters).get("parameters") or []
        for item in [_lower(entry) for entry in items]:
            _add_json_item(form, item, spool)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise bad_request(BAD_JSON, "The JSON body cannot be read as Parameters.") from error


def _add_json_item(form: Form, item: dict[str, Any], spool: Spool) -> None:
    name = item["name"]
    if "filevalues" in item:
        for index, value in enumerate(item["filevalues"]):
            form.add(f"{name}[{index}]", _file_value(_lower(value), spool))
    elif "filevalue" in item:
        form.add(name, _file_value(_lower(item["filevalue"]), spool))
    else:
        value = item["value"]
        if isinstance(value, (list, dict)):
            value = json.dumps(value)
        form.add(name, "" if value is None else value)


def _file_value(value: dict[str, Any], spool: Spool) -> Value:
    """Return the document in a JSON file value, or the text of its Url or Id."""
    for reference in ("url", "id"):
        if value.get(reference):
            return str(value[reference])
    if not isinstance(value.get("data"), str):
        raise bad_request(NO_FILE_DATA, "Base64 file data is missing.")
    try:
        data = base64.b64decode(value["data"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise bad_request(NO_FILE_DATA, "The file data is not base64.") from error
    name = str(value.get("name") or "")
    path, sink = spool.open(name)
    with sink:
        sink.write(data)
    return Upload(path, name)


def _lower(value: dict[str, Any]) -> dict[str, Any]:
    return {key.lower(): item for key, item in value.items()}
