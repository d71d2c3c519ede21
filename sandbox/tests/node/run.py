"""Run the vendor's Node.js client, and the README's lines for it, against a sandbox.

    python sandbox/tests/node/run.py

Needs node and npm; the client is installed into build/node the first time.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from convertapi_sandbox import Sandbox

HERE = Path(__file__).parent
BUILD = HERE.parents[2] / "build" / "node"
README = HERE.parents[1] / "README.md"


def main() -> int:
    """Install the client if necessary, and run its tests; return their exit status."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        sys.exit("node and npm are needed (Node.js 20 or newer)")
    BUILD.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "client.test.mjs"):
        shutil.copyfile(HERE / name, BUILD / name)
    if not (BUILD / "node_modules" / "convertapi").exists():
        subprocess.run([npm, "install", "--no-audit", "--no-fund"], cwd=BUILD, check=True)
    with Sandbox() as sandbox:
        environment = os.environ | {
            "SANDBOX_URL": sandbox.url,
            "SANDBOX_TOKEN": sandbox.token,
            "SANDBOX_MASTER_TOKEN": sandbox.master_token,
        }
        done = subprocess.run(
            [node, "--test", "client.test.mjs"], cwd=BUILD, env=environment, check=False
        )
        _run_readme(node, sandbox)
    return done.returncode


def _run_readme(node: str, sandbox: Sandbox) -> None:
    """Run the README's lines for users of the client; they save a PDF."""
    [code] = re.findall(r"^```js\n(.*?)^```$", README.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    script, result = BUILD / "readme.mjs", BUILD / "note.pdf"
    script.write_text(code.replace("http://127.0.0.1:8765", sandbox.url), "utf-8")
    (BUILD / "note.md").write_text("# A note\n", "utf-8")
    result.unlink(missing_ok=True)
    subprocess.run([node, script], cwd=BUILD, check=True)
    if not result.read_bytes().startswith(b"%PDF"):
        sys.exit("the README's lines for Node.js saved no PDF")


if __name__ == "__main__":
    sys.exit(main())
