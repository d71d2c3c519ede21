"""LibreOffice, if it is installed: formats that it converts better, or that only it converts.

The command line is used, with one profile per worker, because a profile shared by two processes
loses documents. The exit status is not reliable, so what counts is whether the file exists.
"""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

from convertapi_sandbox import isolation
from convertapi_sandbox.engines import limits, verdicts

# Office formats that our own engines can read too.
ALSO = frozenset({"docx", "dotx", "odt", "rtf", "pptx", "ppsx", "potx", "xlsx", "xltx"})
# Formats that only LibreOffice can read.
ONLY = frozenset({"doc", "dot", "xls", "xlt", "ppt", "pps", "pot", "ods", "odp", "odg"})

_SECONDS = 40  # starting it takes two
_PACKAGES = frozenset(
    {"docx", "dotx", "odt", "pptx", "ppsx", "potx", "xlsx", "xltx", "ods", "odp", "odg"}
)
# No macros, and no links or pictures from outside the document.
_SETTINGS = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry"
  xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<item oor:path="/org.openoffice.Office.Common/Security/Scripting">
<prop oor:name="MacroSecurityLevel" oor:op="fuse"><value>3</value></prop></item>
<item oor:path="/org.openoffice.Office.Common/Security/Scripting">
<prop oor:name="DisableMacrosExecution" oor:op="fuse"><value>true</value></prop></item>
<item oor:path="/org.openoffice.Office.Common/Security/Scripting">
<prop oor:name="BlockUntrustedRefererLinks" oor:op="fuse"><value>true</value></prop></item>
</oor:items>
"""


@cache
def program() -> str | None:
    """Return the path of `soffice`, None if LibreOffice is not installed."""
    return shutil.which("soffice")


def convert(document: Path, form: str, target: str, folder: Path) -> bytes:
    """Return a document as LibreOffice converts it.

    Args:
        document: The file.
        form: Its format, one of ALSO or ONLY.
        target: The extension of the wanted format.
        folder: Where to work.

    Raises:
        EngineError: 5003 for an encrypted document, 5002 if LibreOffice cannot read it.
    """
    if form in _PACKAGES:
        limits.check_package(document)
    if form == "rtf":
        limits.check_rtf(document)
    source = folder / f"document.{form}"
    source.unlink(missing_ok=True)
    source.symlink_to(document.resolve())
    made = folder / "converted"
    isolation.step(_SECONDS)
    subprocess.run(  # noqa: S603 - no shell; the arguments are ours
        [
            str(program()),
            f"-env:UserInstallation={_profile().as_uri()}",
            "--headless",
            "--norestore",
            "--nolockcheck",
            "--convert-to",
            target,
            "--outdir",
            str(made),
            str(source),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=folder,
        check=False,
        preexec_fn=isolation.die_with_parent,  # a worker has one thread
    )
    isolation.step()
    result = made / f"document.{target}"
    if not result.is_file():
        raise verdicts.damaged("LibreOffice cannot read it.")
    return result.read_bytes()


def _profile() -> Path:
    """Return this worker's profile, in its own scratch folder, with our settings in it."""
    profile = Path.cwd() / "libreoffice"
    settings = profile / "user" / "registrymodifications.xcu"
    if not settings.exists():
        settings.parent.mkdir(parents=True)
        settings.write_text(_SETTINGS, "utf-8")
    return profile
