"""Packages that a sandbox needs before it starts: without an engine it would bill failures."""

from __future__ import annotations

import re
import shlex
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

# Each module that is imported, and its requirement in pyproject.toml.
REQUIREMENTS = {
    "starlette": "starlette>=0.46",
    "uvicorn": "uvicorn>=0.34",
    "python_multipart": "python-multipart>=0.0.18",
    "jwt": "PyJWT>=2.10.1",
    "pypandoc": "pypandoc_binary>=1.17",
    "typst": "typst>=0.15.2",
    "pypdfium2": "pypdfium2>=5.10.1",
    "pikepdf": "pikepdf>=10.18",
    "PIL": "Pillow>=12.0",
    "openpyxl": "openpyxl>=3.1",
    "lxml": "lxml>=4.9.1",
}


def check() -> None:
    """Check the version of every package, without importing them, which would take a second.

    Raises:
        ImportError: Some are missing or too old. The message names all of them and the command
            that installs them.
    """
    faults = {needed: _fault(module, needed) for module, needed in REQUIREMENTS.items()}
    wanting = {needed: fault for needed, fault in faults.items() if fault}
    if wanting:
        msg = (
            f"The sandbox cannot start: {', '.join(wanting.values())}. "
            f"Run: python -m pip install {shlex.join(wanting)}"
        )
        raise ImportError(msg)


def _fault(module: str, needed: str) -> str:
    """Say what is wrong with a package; "" if nothing is."""
    name, _, floor = needed.partition(">=")
    try:
        found = version(name)
    except PackageNotFoundError:
        return f"{name} is not installed"
    if _release(found) < _release(floor):
        return f"{name} {found} is older than {floor}"
    return "" if importable(module) else f"{name} cannot be imported"


def importable(module: str) -> bool:
    """Tell whether a module can be imported, without importing it."""
    try:
        return find_spec(module) is not None
    except ImportError:
        return False


def _release(text: str) -> list[int]:
    """Return the numbers of a version, without the zeros at its end."""
    numbers = re.match(r"\d+(\.\d+)*", text)
    parts = [int(part) for part in numbers[0].split(".")] if numbers else []
    while parts and parts[-1] == 0:
        parts.pop()
    return parts
