"""Run the vendor's Node.js client against a sandbox: python sandbox/tests/node/run.py.

Needs node and npm; the client is installed into build/node the first time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from convertapi_sandbox import Sandbox

HERE = Path(__file__).parent
BUILD = HERE.parents[2] / "build" / "node"


def main() -> int:
    """Install the client where it is not yet, and run its tests; return their exit status."""
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
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
