"""Install the wheel beside every supported Airflow, and run the provider's contract there.

``python dev/matrix.py NAME ...`` runs only those named: the stem of a file in constraints/official
without ``airflow-``, as in ``2.11.0-py3.11``, or ``newest-py3.11`` for the newest Airflow and
``next-py3.11`` for the newest prerelease, which may fail.  The source tree is out of reach: each
environment holds the built wheel and pytest, and the tests are a copy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from convertapi_sandbox import Sandbox

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "matrix"
OFFICIAL = ROOT / "constraints" / "official"
PIP = "pip==26.3"
NEWEST = ("3.11", "3.12", "3.13", "3.14")
"""The Pythons that the newest Airflow supports."""
NOT_RUN = "not run:"


@dataclass(frozen=True)
class Case:
    """One Airflow on one Python.

    :param requirement: what pip is asked for.
    :param constraints: the file under which it installs everything; None for the newest versions.
    :param may_fail: a prerelease, whose faults are not ours to fix.
    """

    name: str
    requirement: str
    constraints: Path | None = None
    may_fail: bool = False

    @property
    def python(self) -> str:
        """Return its Python's version, such as ``3.11``."""
        return self.name.rpartition("-py")[2]


def cases() -> list[Case]:
    """Return every case, oldest first."""
    found = []
    for file in OFFICIAL.glob("airflow-*.txt"):
        name = file.stem.removeprefix("airflow-")
        found.append(Case(name, f"apache-airflow=={name.partition('-')[0]}", file))
    newest = [Case(f"newest-py{python}", "apache-airflow") for python in NEWEST]
    upcoming = Case("next-py3.11", "apache-airflow>=3.4.0b1", may_fail=True)
    return [*sorted(found, key=lambda case: case.name), *newest, upcoming]


def find_python(version: str) -> str | None:
    """Return a Python of that version, None where this machine has none."""
    candidates = [sys.executable, f"python{version}"]
    installed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates += [str(path / "bin" / "python") for path in installed.glob(f"{version}.*")]
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    for candidate in filter(shutil.which, candidates):
        done = subprocess.run([candidate, "-c", code], capture_output=True, text=True, check=False)
        if done.stdout.strip() == version:
            return candidate
    return None


def build_wheel() -> Path:
    """Build the provider's wheel once, for all."""
    folder = BUILD / "wheel"
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT], check=True
    )
    [wheel] = folder.glob("*.whl")
    return wheel


def copy_tests() -> Path:
    """Copy the contract to where nothing of the source tree is imported by accident."""
    folder = BUILD / "contract"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "tests" / "contract", folder / "tests" / "contract")
    shutil.copy(ROOT / "tests" / "tries.py", folder / "tests")
    (folder / "pytest.ini").write_text(
        "[pytest]\naddopts = --import-mode=importlib -p no:cacheprovider\npythonpath = .\n"
        "timeout = 120\nmarkers = long\n"
    )
    return folder


def install(case: Case, python: str, wheel: Path) -> Path:
    """Create the environment, and return its Python; CalledProcessError where pip refuses."""
    folder = BUILD / case.name
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([python, "-m", "venv", folder], check=True)
    own = folder / "bin" / "python"
    pip = [str(own), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, PIP], check=True)
    under = ["-c", str(case.constraints)] if case.constraints else []
    wanted = [case.requirement, str(wheel), "pytest", "pytest-timeout"]
    subprocess.run([*pip, "--no-compile", *under, *wanted], check=True)
    return own


def run_contract(case: Case, own: Path, tests: Path) -> tuple[bool, str]:
    """Run the contract, and return whether it passed and the last line that pytest printed."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "PYTHON", "CONVERTAPI"))
        and not name.lower().endswith("_proxy")
    }
    log = BUILD / f"{case.name}.log"
    with Sandbox() as sandbox, log.open("w", encoding="utf-8") as out:
        done = subprocess.run(
            [own, "-m", "pytest", "-q", "-ra", "--show-capture=no", "tests"],
            cwd=tests,
            env=environment | {"CONTRACT_CONNECTION": sandbox.airflow_connection_json},
            stdout=out,
            stderr=subprocess.STDOUT,
            check=False,
        )
    lines = log.read_text("utf-8").splitlines()
    if done.returncode:
        print(*lines, sep="\n")
    return done.returncode == 0, next((line for line in reversed(lines) if line), "")


def run(case: Case, wheel: Path, tests: Path) -> tuple[bool, str]:
    """Run one case from its environment to its end, and remove the environment."""
    python = find_python(case.python)
    if python is None:
        return True, f"{NOT_RUN} this machine has no Python {case.python}"
    try:
        own = install(case, python, wheel)
        return run_contract(case, own, tests)
    except subprocess.CalledProcessError:
        return False, "could not be installed"
    finally:
        shutil.rmtree(BUILD / case.name, ignore_errors=True)


def main() -> int:
    """Run the cases, print a table, and return the exit status."""
    known = {case.name: case for case in cases()}
    names = sys.argv[1:] or list(known)
    if unknown := set(names) - set(known):
        print(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
        return 2
    wheel, tests = build_wheel(), copy_tests()
    rows, failed, left_out = [], [], 0
    for name in names:
        begin = time.monotonic()
        passed, words = run(known[name], wheel, tests)
        left_out += words.startswith(NOT_RUN)
        airflow, _, python = name.partition("-py")
        rows.append(f"| {airflow} | {python} | {words} | {time.monotonic() - begin:.0f} s |")
        print(rows[-1], flush=True)
        if not passed and not known[name].may_fail:
            failed.append(name)
    print("\n| Airflow | Python | result | time |", "|---|---|---|---|", *rows, sep="\n")
    # The line that .ci/run shows for every suite of tests.
    passed_count = len(rows) - len(failed) - left_out
    print(f"= {passed_count} passed, {len(failed)} failed, {left_out} not run {'='}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
