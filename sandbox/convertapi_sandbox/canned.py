"""Canned answers: results that a test defines for the conversions that it names.

They make every pair of the catalogue convertible, also those for which there is no engine. What is
asked is checked, billed and journaled as for any other conversion.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convertapi_sandbox import catalogue, names
from convertapi_sandbox.bounds import check_number
from convertapi_sandbox.jobs import EngineOutput
from convertapi_sandbox.parameters import typed_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from convertapi_sandbox.catalogue import Converter
    from convertapi_sandbox.parameters import Typed

# A path, or a name with the bytes or the text.
File = str | Path | tuple[str, bytes | str]
ANY = "*"


@dataclass(slots=True, kw_only=True)
class CannedAnswer:
    """The results of the conversions that match; of several answers that match, the newest acts.

    Attributes:
        source, target: A pair of the catalogue, by any of its names; "*" for any format.
        files: The results, as names and bytes. A name that begins with "*" continues the base name
            of the first document: "*.json" for "a.pdf" is "a.json".
        cost: Conversions that it costs; None for the setting `conversion_cost`.
        name: Pattern for the name of the first document, or for the last part of its URL.
        parameters: Values that the request must have; a parameter that it leaves out has its
            default.
        times: Number of conversions that it acts on; None for all.
        hits: Conversions that it has acted on so far.
    """

    source: str = ANY
    target: str = ANY
    files: Sequence[tuple[str, bytes]]
    cost: int | None = None
    name: str = ANY
    parameters: Mapping[str, Any] = field(default_factory=dict)
    times: int | None = None
    hits: int = 0

    def __post_init__(self) -> None:
        """Refuse an answer that could never be given."""
        if not self.files:
            raise ValueError(f"a canned answer for {self.pair} needs a file")
        check_number("cost", self.cost, whole=True, optional=True)
        check_number("times", self.times, 1, whole=True, optional=True)
        if ANY not in (self.source, self.target):
            converter = catalogue.resolve(self.source, self.target)
            if converter is None:
                raise ValueError(f"there is no converter for {self.pair}")
            self.source, self.target = converter.source, converter.target
            for name, value in self.parameters.items():
                _wanted(converter, name, value)

    @property
    def pair(self) -> str:
        """Return the pair as text."""
        return f"{self.source} to {self.target}"

    def matches(self, converter: Converter, name: str, values: Mapping[str, Typed]) -> bool:
        """Tell whether it is the answer to a conversion."""
        return (
            self.times != self.hits
            and self.source in (ANY, converter.source)
            and self.target in (ANY, converter.target)
            and fnmatchcase(name.lower(), self.name.lower())
            and all(_has(converter, values, item) for item in self.parameters.items())
        )

    def write(self, folder: Path, document: str) -> list[EngineOutput]:
        """Write the results into a folder, named for a conversion of a document."""
        folder.mkdir(exist_ok=True)
        stem = names.split(document)[0] or "file"
        outputs = []
        for number, (name, content) in enumerate(self.files):
            path = folder / str(number)
            path.write_bytes(content)
            named = stem + name[1:] if name.startswith("*") else name
            outputs.append(EngineOutput(path, named))
        return outputs

    def as_dict(self) -> dict[str, Any]:
        """Return the answer as JSON values."""
        encoded = [
            {"name": name, "base64": base64.b64encode(content).decode()}
            for name, content in self.files
        ]
        return {**asdict(self), "files": encoded, "parameters": dict(self.parameters)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], folder: Path | None = None) -> CannedAnswer:
        """Return the answer that JSON describes.

        Args:
            values: Attributes by name. A file is {"name", "text" | "base64" | "json"} or, if there
                is a folder, a path.
            folder: Where paths begin; None refuses paths.

        Raises:
            ValueError: An attribute is unknown, or a file is not described as above.
            OSError: A file cannot be read.
        """
        unknown = set(values) - {item.name for item in fields(cls)}
        if unknown:
            raise ValueError(f"a canned answer has no {', '.join(sorted(unknown))}")
        described = values.get("files", [])
        if isinstance(described, str) or not isinstance(described, Sequence):
            raise ValueError(f"files must be a list, not {described!r}")  # noqa: TRY004 - one class
        files = [_file(item, folder) for item in described]
        return cls(**{**values, "files": files})


class CannedAnswers(list[CannedAnswer]):
    """The answers in force, oldest first."""

    def take(
        self, converter: Converter, name: str, values: Mapping[str, Typed]
    ) -> CannedAnswer | None:
        """Return the answer to a conversion, and count it; None if no answer matches."""
        for answer in reversed(self):
            if answer.matches(converter, name, values):
                answer.hits += 1
                return answer
        return None


def read_all(listed: Iterable[File]) -> list[tuple[str, bytes]]:
    """Return the names and the bytes of files; `read` says what it raises."""
    if isinstance(listed, str | bytes | Path):
        raise ValueError(f"files must be a list, not {listed!r:.80}")  # noqa: TRY004 - one class
    return [read(file) for file in listed]


def read(file: File) -> tuple[str, bytes]:
    """Return the name and the bytes of a file.

    Raises:
        ValueError: It is neither a path nor a pair of name and content.
        OSError: It cannot be read.
    """
    if isinstance(file, str | Path):
        return Path(file).name, Path(file).read_bytes()
    match file:
        case (str(name), bytes(content)):
            return name, content
        case (str(name), str(content)):
            return name, content.encode()
    raise ValueError(f"a file is a path, or a pair of its name and its bytes, not {file!r:.80}")


def load(path: str | Path) -> list[CannedAnswer]:
    """Return the answers in a JSON file: a list of objects; paths in it begin at its folder.

    Raises:
        ValueError: It is not such a list.
        OSError: It, or a file that it names, cannot be read.
    """
    items = read_list(path, "canned answers")
    return [CannedAnswer.from_dict(item, Path(path).parent) for item in items]


def read_list(path: str | Path, what: str) -> list[dict[str, Any]]:
    """Return the objects in a JSON file; the errors are those of `load`, and name the file."""
    try:
        items = json.loads(Path(path).read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError(f"{path}: expected a list of {what}")
    return items


def _file(value: Any, folder: Path | None) -> tuple[str, bytes]:
    match value:
        case str() if folder is not None:
            return read(folder / value)
        case {"name": str(name), "text": str(text)}:
            return name, text.encode()
        case {"name": str(name), "base64": str(text)}:
            return name, base64.b64decode(text, validate=True)
        case {"name": str(name), "json": content}:
            return name, json.dumps(content).encode()
        case [str(name), str(text)]:
            return name, text.encode()
    allowed = 'a path, ["name", "text"] or ' if folder is not None else '["name", "text"] or '
    raise ValueError(
        f'a file is {allowed}{{"name", "text" | "base64" | "json"}}, not {json.dumps(value)[:80]}'
    )


def _has(converter: Converter, values: Mapping[str, Typed], wanted: tuple[str, Any]) -> bool:
    try:
        name, value = _wanted(converter, *wanted)
    except ValueError:  # the answer is for any format, and this converter has no such value
        return False
    return bool(values.get(name, converter.parameters[name].default) == value)


def _wanted(converter: Converter, name: str, value: Any) -> tuple[str, Typed]:
    """Return a parameter's canonical name and typed value; ValueError if it cannot be sent."""
    parameter = converter.parameter(name)
    if parameter is None or parameter.is_file:
        raise ValueError(f"{converter.source} to {converter.target} has no parameter {name}")
    return parameter.name, typed_value(parameter, value)
