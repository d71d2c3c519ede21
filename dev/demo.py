"""Turn real documents into real PDFs in a real Airflow, without an account.

Starts a sandbox of ConvertAPI and an S3 server on loopback, makes a fresh Airflow home, runs every
example DAG, shows what came out, and checks that it is what the README promises.
With ``--ui`` it starts Airflow's web server, too, and keeps all of it running to click through.
"""

from __future__ import annotations

import os
import sys
import time
from argparse import ArgumentParser
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from dev import examples
from dev.documents import is_locked, measure, text_of
from dev.stage import PASSWORD, ROOT, clear, set_stage
from dev.ui import serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dev.examples import Run
    from dev.stage import Stage

BUILD = ROOT / "build"
SENTENCES = {
    "report": "1,284 vessels called at the harbour",
    "minutes": "The ferry runs every twenty minutes from April",
    "notes": "Salt has reached the wiring of the fog horn",
}
"""What a reader must find in the PDF of each document."""


@dataclass(slots=True)
class Report:
    """What the demo shows, and whether it is as promised."""

    stage: Stage
    screen: TextIO
    broken: int = field(default=0)

    def say(self, line: str = "") -> None:
        """Print a line to the person who watches."""
        print(line, file=self.screen, flush=True)

    def check(self, promise: str, *, kept: bool) -> None:
        """Print a promise and whether it was kept."""
        self.broken += not kept
        self.say(f"  {'ok    ' if kept else 'BROKEN'}  {promise}")

    def content(self, uri: str) -> bytes:
        """Return the bytes of an output."""
        if uri.startswith("s3://"):
            bucket, _, key = uri.rpartition("@")[2].partition("/")
            content: bytes = self.stage.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            return content
        return (ROOT / uri.removeprefix("file://")).read_bytes()

    def table(self, runs: list[Run]) -> None:
        """Print each output: its DAG, size, pages, what it cost and where it lies."""
        row = "{:<18} {:<15} {:>8}  {:<14} {:>4}  {}"
        self.say(row.format("DAG", "file", "size", "holds", "cost", "where it lies"))
        for run in runs:
            for conversion in run.conversions:
                for index, uri in enumerate(conversion.outputs):
                    self.say(row.format(*self._row(run, uri, "" if index else conversion.charged)))

    def _row(self, run: Run, uri: str, cost: int | str) -> tuple[object, ...]:
        name = uri.rpartition("/")[2]
        content = self.content(uri)
        password = PASSWORD if is_locked(content) else None
        holds = measure(name, content, password)
        where = uri.replace(f"{ROOT}/", "").removesuffix(name)
        return run.dag_id, name, f"{len(content) / 1024:.1f} kB", holds, cost, where

    def quota(self, run: Run) -> None:
        """Show how an exhausted quota reads."""
        self.say("quota_exhausted failed, as it should; its last log line:")
        self.say(f"  {run.error}")

    def promises(self, runs: dict[str, Run]) -> None:
        """Check what the README promises."""
        stage = self.stage
        quota = runs.pop("quota_exhausted")
        outputs = [uri for run in runs.values() for c in run.conversions for uri in c.outputs]
        charges = [c.charged for run in runs.values() for c in run.conversions]
        paid = len(stage.exhausted.requests.filter(path="/async/convert/*"))
        locked = [uri for uri in outputs if is_locked(self.content(uri))]
        self.check("every other example succeeded", kept=_states(runs) == {"success"})
        self.check(
            f"an exhausted quota ends a task on try {quota.tries[0]} of {quota.tries[1]}, "
            f"after {paid} request that could have cost something",
            kept=(quota.state, quota.tries, paid) == ("failed", (1, 4), 1) and bool(quota.error),
        )
        self.check(
            f"{len(charges)} conversions cost {sum(charges)} by the tasks' own account "
            f"and {stage.sandbox.billed} by the sandbox's",
            kept=len(charges) == sum(charges) == stage.sandbox.billed > 0,
        )
        self.check("the PDFs hold their documents' text", kept=self._texts_are_there(outputs))
        self.check(
            f"harbour.pdf, and nothing else, needs its password ({PASSWORD})",
            kept=[uri.rpartition("/")[2] for uri in locked] == ["harbour.pdf"],
        )
        left = len(stage.sandbox.files)
        self.check(f"{left} documents are left at the service", kept=left == 0)

    def _texts_are_there(self, outputs: list[str]) -> bool:
        found = []
        for uri in outputs:
            expected = _expected(uri.rpartition("/")[2])
            if expected:
                text = text_of(self.content(uri), PASSWORD)
                found.append(all(sentence in text for sentence in expected))
        return len(found) > 1 and all(found)


def _states(runs: dict[str, Run]) -> set[str]:
    return {run.state for run in runs.values()}


def _expected(name: str) -> list[str]:
    if name in {"merged.pdf", "harbour.pdf"}:
        return list(SENTENCES.values())
    return [SENTENCES[name[:-4]]] if name.endswith(".pdf") and name[:-4] in SENTENCES else []


@contextmanager
def _quiet(log: Path) -> Iterator[TextIO]:
    """Send all output of this process and its children to `log`; yield the screen."""
    sys.stdout.flush()
    saved = os.dup(1), os.dup(2)
    with log.open("a") as file, os.fdopen(os.dup(1), "w") as screen:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield screen
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for target, source in enumerate(saved, start=1):
                os.dup2(source, target)
                os.close(source)


def demonstrate(stage: Stage, screen: TextIO) -> int:
    """Run every example, show the results, and return how many promises were broken."""
    report = Report(stage, screen)
    report.say(f"Airflow runs the examples; its log is {stage.log.relative_to(ROOT)}")
    dags = examples.prepare()
    runs = {}
    for dag_id, dag in dags.items():
        report.say(f"  {dag_id} ...")
        runs[dag_id] = examples.run(dag, stage.log)
    report.say()
    report.table([run for run in runs.values() if run.conversions])
    report.say()
    report.quota(runs["quota_exhausted"])
    report.say()
    report.promises(runs)
    return report.broken


def main() -> int:
    """Run the demo; return 0 when everything was as promised."""
    parser = ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ui", action="store_true", help="keep Airflow's web server running")
    keep = parser.parse_args().ui
    home = BUILD / ("ui" if keep else "demo")
    clear(home)
    started = time.monotonic()
    print("Starting a sandbox of ConvertAPI, an S3 server and a fresh Airflow ...", flush=True)
    with _quiet(home / "airflow.log") as screen, set_stage(home) as stage:
        if keep:
            return serve(stage, screen)
        broken = demonstrate(stage, screen)
    verdict = f"{broken} promise(s) broken" if broken else "All as promised"
    print(f"\n{verdict}, in {time.monotonic() - started:.0f} s.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
