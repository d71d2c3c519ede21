"""Write docs/reference.md: every argument, from the docstrings and from provider info.

``python dev/reference.py`` writes the page; with ``--check`` it only tells whether the page is
up to date.  It reads the source and imports nothing of Airflow.
"""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from functools import cache
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "airflow_provider_convertapi"
PAGE = ROOT / "docs" / "reference.md"

INTRODUCTION = """\
# Reference: all arguments

Generated from the docstrings by `dev/reference.py`; `make reference` writes it anew.

Operators and sensors also take the arguments of Airflow's own `BaseOperator`, such as `retries`, \
`pool` and `execution_timeout`.
*Templated* arguments are rendered by Jinja before the task runs.
Errors have [a table of their own](retries-and-money.md#what-airflow-retries).
"""

SECTIONS = {
    "Operators": "operators",
    "Decorator": "decorators",
    "Sensors": "sensors",
    "Hook": "hooks",
    "Triggers": "triggers",
    "Retry policy": "policies",
    "Shards": "shards",
}
"""The headings, and the module or folder whose `__all__` says what stands below each."""

_ALIASES = ("conversions/arguments.py", "batch/arguments.py")
"""Where the names of types that signatures use are defined."""

_AIRFLOWS = ("get_connection_form_widgets", "get_ui_field_behaviour", "open_session", "get_conn")
"""Public methods of the hook that Airflow or this provider calls, or that take no argument."""

_NAMED_DEFAULTS = {
    "DEFAULT_SIZE": ("shards", ""),
    "default_conn_name": ("hooks.convertapi", "ConvertApiHook"),
}
"""Defaults that are names: the module, and the class if there is one, that says their values."""

_PARAM = re.compile(r"^:param (\w+): ?(.*)$")
_SAME_AS = re.compile(r"arguments are those of `(\w+)`")
_TEMPLATED = " (templated)"


class UndocumentedError(Exception):
    """A docstring leaves out an argument, or describes one that does not exist."""


@dataclass(frozen=True)
class Argument:
    """One argument of a signature.

    :param default: as the code has it; None where a value is required.
    """

    name: str
    kind: str
    default: str | None
    text: str

    def lines(self) -> Iterator[str]:
        """Yield its line of the page."""
        text = self.text.replace(_TEMPLATED, "")
        marks = [f"`{self.kind}`", f"default `{self.default}`" if self.default else "required"]
        if text != self.text:
            marks.append("templated")
        yield f"- **`{self.name}`** ({', '.join(marks)}): {text}"


# --- what the source says ------------------------------------------------------------------------


@cache
def module(name: str) -> ast.Module:
    """Return the parsed module of that name below the package."""
    file = ROOT / PACKAGE / f"{name.replace('.', '/')}.py"
    return ast.parse(file.read_text("utf-8"))


def find(name: str, path: str) -> ast.ClassDef | ast.FunctionDef:
    """Return what a module defines under a dotted path, such as `ConvertApiHook.convert`."""
    holder: Any = module(name)
    for part in path.split("."):
        [holder] = [node for node in holder.body if getattr(node, "name", None) == part]
    found: ast.ClassDef | ast.FunctionDef = holder
    return found


@cache
def aliases() -> dict[str, str]:
    """Return the types that signatures call by a name of ours."""
    found = {}
    for file in _ALIASES:
        for node in ast.parse((ROOT / PACKAGE / file).read_text("utf-8")).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found[node.targets[0].id] = ast.unparse(node.value)
    return found


def readable(annotation: str) -> str:
    """Return a type as users write its values: choices are listed, paths are called paths."""
    known = aliases()
    kind = re.sub(
        r"\b(\w+)\b",
        lambda word: known[word[0]] if "Literal" in known.get(word[0], "") else word[0],
        annotation,
    )
    kind = re.sub(r"Literal\[([^\]]*)\]", lambda words: words[1].replace(", ", " | "), kind)
    for name, words in (
        (" | XComArg", ""),
        ("BatchSource", "path, URI, list or shard"),
        ("SourceArgument", "path, URI or list"),
        ("PathArgument", "path or URI"),
        ("Seconds", "seconds | timedelta"),
        ("ResultCheck", "callable"),
        ("StepArguments", "mapping"),
    ):
        kind = kind.replace(name, words)
    return kind.replace("'", '"')


def default_of(node: ast.expr | None) -> str | None:
    """Return a default as code; what Airflow's configuration decides is called by its option."""
    if node is None:
        return None
    text = ast.unparse(node)
    option = re.match(r"conf\.get\w*\('(\w+)', '(\w+)'", text)
    if option:
        return f"[{option[1]}] {option[2]}"
    if text.startswith("field(default_factory="):
        return "[]"
    if text in _NAMED_DEFAULTS:
        name, cls = _NAMED_DEFAULTS[text]
        holder = find(name, cls) if cls else module(name)
        text = value_of(holder, text)
    return text.replace("'", '"')


def value_of(holder: ast.ClassDef | ast.FunctionDef | ast.Module, name: str) -> str:
    """Return what a module or class assigns to a name, as code."""
    [value] = [
        ast.unparse(item.value)
        for item in holder.body
        if isinstance(item, ast.Assign) and ast.unparse(item.targets[0]) == name
    ]
    return value


def signature(node: ast.ClassDef | ast.FunctionDef) -> dict[str, tuple[str, str | None]]:
    """Return the type and default of each argument, in order; of a class, those of its init."""
    if isinstance(node, ast.ClassDef):
        inits = [m for m in node.body if isinstance(m, ast.FunctionDef) and m.name == "__init__"]
        if not inits:  # a dataclass
            return {
                ast.unparse(item.target): (ast.unparse(item.annotation), default_of(item.value))
                for item in node.body
                if isinstance(item, ast.AnnAssign)
            }
        node = inits[0]
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    missing: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    pairs = [
        *zip(positional, [*missing, *arguments.defaults], strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    return {
        argument.arg: (ast.unparse(argument.annotation), default_of(default))
        for argument, default in pairs
        if argument.annotation is not None
    }


def described(docstring: str) -> tuple[str, dict[str, str]]:
    """Split a docstring into what it says, and what it says of each argument."""
    words: list[str] = []
    texts: dict[str, str] = {}
    current: str | None = None
    for line in docstring.splitlines():
        if begin := _PARAM.match(line):
            current = begin[1]
            texts[current] = begin[2]
        elif current is not None and line.startswith("    "):
            texts[current] += f" {line.strip()}"
        else:
            current = None
            words.append(line)
    return "\n".join(words).strip(), texts


def arguments_of(name: str, path: str) -> tuple[str, list[Argument]]:
    """Return a docstring's words, and the arguments with what it says of each.

    `UndocumentedError` where the two do not match.
    """
    node = find(name, path)
    words, texts = described(ast.get_docstring(node) or "")
    expected = signature(node)
    if same := _SAME_AS.search(words):
        [origin] = [home for home, found in public(SECTIONS.values()) if found == same[1]]
        _, inherited = described(ast.get_docstring(find(origin, same[1])) or "")
        # Only Airflow renders templates, in the arguments of operators.
        kept = {key: text.replace(_TEMPLATED, "") for key, text in inherited.items()}
        texts = {key: text for key, text in kept.items() if key in expected} | texts
    if expected.keys() != texts.keys():
        complaint = sorted(expected.keys() ^ texts.keys())
        raise UndocumentedError(f"{name}, {path}: missing or unknown :param {complaint}")
    return words, [
        Argument(key, readable(kind), default, markdown(texts[key]))
        for key, (kind, default) in expected.items()
    ]


# --- the page ------------------------------------------------------------------------------------


def markdown(text: str) -> str:
    """Return a docstring's text as Markdown; its roles, double quotes and tables are replaced."""
    text = re.sub(r":\w+:`([^`]+)`", r"`\1`", text)
    text = re.sub(r"``([^`]+)``", r"`\1`", text)
    text = re.sub(r"(?<=[.;:])  +", " ", text)
    return re.sub(r"(?m)^=+  =+\n((?:.*\n)*?)=+  =+$", _table, text)


def _table(found: re.Match[str]) -> str:
    rows = [re.split(r"  +", line) for line in found[1].splitlines()]
    head = ["| what | what follows |", "|---|---|"]
    return "\n".join([*head, *(f"| {left} | {right} |" for left, right in rows)])


def part(title: str, name: str, path: str, *, code: str) -> Iterator[str]:
    """Yield the lines of one class, function or method."""
    words, arguments = arguments_of(name, path)
    yield from ("", title, "", f"`{code}`", "", markdown(words), "")
    for argument in arguments:
        yield from argument.lines()


def hook_methods() -> list[str]:
    """Return the hook's methods that users call, in the order of the source."""
    node = find("hooks.convertapi", "ConvertApiHook")
    return [
        method.name
        for method in node.body
        if isinstance(method, ast.FunctionDef)
        and not method.name.startswith("_")
        and method.name not in _AIRFLOWS
    ]


def provider_info() -> dict[str, Any]:
    """Return what Airflow reads of the provider; that module imports nothing."""
    file = ROOT / PACKAGE / "provider_info.py"
    spec = util.spec_from_file_location("provider_info", file)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(file)
    loaded = util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    info: dict[str, Any] = loaded.get_provider_info()
    return info


def connection() -> Iterator[str]:
    """Yield the fields of the connection and the options of the configuration."""
    info = provider_info()
    [kind] = info["connection-types"]
    behaviour = kind["ui-field-behaviour"]
    yield from ("", "## Connection", "")
    yield f"Type `{kind['connection-type']}`; [the page about it](connection.md) says more."
    yield ""
    for name, label in behaviour["relabeling"].items():
        yield f"- **`{name}`** ({label}): {behaviour['placeholders'][name]}"
    for name, field in kind["conn-fields"].items():
        kinds = [word for word in field["schema"]["type"] if word != "null"]
        yield f"- **extra `{name}`** ({field['label']}, {kinds[0]}): {field['description']}"
    yield from ("", "## Configuration", "")
    for section, content in info["config"].items():
        for name, option in content["options"].items():
            yield (
                f"- **`[{section}] {name}`** ({option['type']}, default `{option['default']}`, in "
                f"the environment `AIRFLOW__{section.upper()}__{name.upper()}`): "
                f"{option['description']}"
            )


def public(places: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the module and the name of everything that users import from these places."""
    for place in places:
        for file in sorted((ROOT / PACKAGE).glob(f"{place}.py")) or sorted(
            (ROOT / PACKAGE / place).glob("*.py")
        ):
            name = ".".join(file.relative_to(ROOT / PACKAGE).with_suffix("").parts)
            listed = [
                ast.literal_eval(item.value)
                for item in module(name).body
                if isinstance(item, ast.Assign) and ast.unparse(item.targets[0]) == "__all__"
            ]
            yield from ((name, entry) for entries in listed for entry in entries)


def page() -> str:
    """Return the whole page."""
    lines = [INTRODUCTION.rstrip("\n")]
    for heading, place in SECTIONS.items():
        lines += ["", f"## {heading}"]
        for name, path in public([place]):
            code = f"from {PACKAGE}.{name} import {path}"
            lines += part(f"### {path}", name, path, code=code)
            for method in hook_methods() if path == "ConvertApiHook" else ():
                dotted = f"{path}.{method}"
                dots = "…" if signature(find(name, dotted)) else ""
                lines += part(f"### {dotted}", name, dotted, code=f"{path}().{method}({dots})")
    lines += connection()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip("\n") + "\n"


def main() -> int:
    """Write the page, or check it; return the exit status."""
    text = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text, "utf-8")
    elif text != PAGE.read_text("utf-8"):
        print(f"{PAGE.relative_to(ROOT)} is out of date: run `make reference`")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
