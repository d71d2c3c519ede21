"""Turn real documents into real PDFs in a real Airflow, without an account.

Starts a sandbox of ConvertAPI and an S3 server on loopback, makes a fresh Airflow home, runs the
nightly example on three nights and every other example once, shows what came out, and checks that
it is what the README promises.
With ``--ui`` it also starts Airflow's web server, and keeps everything running to click through.
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
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from airflow.sdk import DAG

    from dev.examples import Batch, Run
    from dev.stage import Stage

BUILD = ROOT / "build"
SENTENCES = {
    "report": "1,284 vessels called at the harbour",
    "minutes": "The ferry runs every twenty minutes from April",
    "notes": "Salt has reached the wiring of the fog horn",
}
"""Text that the PDF of each document must contain."""

WHOLES = {
    "merged": tuple(SENTENCES.values()),
    "harbour": tuple(SENTENCES.values()),
    "chained": tuple(SENTENCES.values()),
    "ferry-company": ("Berth at the north pier", "a new rope ladder"),
    "sailing-club": ("Winter storage of two dinghies",),
    "case-17": ("find our offer attached", "delivered and wired, for 4,150", "We take it"),
    "case-18": ("The ring is loose", "A ring of steel"),
}
"""The same for each PDF that is made of several documents."""

LOCKED = {"harbour.pdf", "chained.pdf"}


@dataclass(slots=True)
class Report:
    """The output of the demo, and its checks."""

    stage: Stage
    screen: TextIO
    broken: int = field(default=0)

    def say(self, line: str = "") -> None:
        """Print a line for the user."""
        print(line, file=self.screen, flush=True)

    def check(self, promise: str, *, kept: bool) -> None:
        """Print a promise, and whether it was kept."""
        self.broken += not kept
        self.say(f"  {'ok    ' if kept else 'BROKEN'}  {promise}")

    def content(self, uri: str) -> bytes:
        """Return the bytes of an output."""
        if uri.startswith("s3://"):
            bucket, _, key = uri.rpartition("@")[2].partition("/")
            content: bytes = self.stage.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            return content
        return (ROOT / uri.removeprefix("file://")).read_bytes()

    def nights(self, nights: list[Run]) -> None:
        """Print what each night of the nightly example did."""
        titles = "everything is new", "nothing has changed", "one file has changed"
        row = "{:<31} {:>9}  {:>17}  {:>7}"
        self.say(row.format("nightly_folder", "converted", "reused, no charge", "charged"))
        for number, (title, night) in enumerate(zip(titles, nights, strict=True), start=1):
            counts = night.batches[0].counts if night.batches else ("", "", "")
            self.say(row.format(f"  night {number}: {title}", *counts))
        where = {batch.destination for night in nights for batch in night.batches}
        self.say(f"  PDFs and manifest: {', '.join(map(_shown, where))}")

    def table(self, runs: list[Run]) -> None:
        """Print each output: its DAG, size, pages, cost and path."""
        row = "{:<21} {:<18} {:>8}  {:<14} {:>4}  {}"
        self.say(row.format("DAG", "file", "size", "holds", "cost", "path"))
        for run in runs:
            for batch in run.batches:
                self.say(row.format(*self._batch_row(run.dag_id, batch)))
            for conversion in run.conversions:
                for index, uri in enumerate(conversion.outputs):
                    self.say(row.format(*self._row(run, uri, "" if index else conversion.charged)))

    def _batch_row(self, dag_id: str, batch: Batch) -> tuple[object, ...]:
        files = {uri: self.content(uri) for uri in batch.outputs()}
        where, size = _shown(batch.destination), _size(*files.values())
        return dag_id, f"{len(files)} files", size, measure(files), batch.charged, where

    def _row(self, run: Run, uri: str, cost: int | str) -> tuple[object, ...]:
        name = uri.rpartition("/")[2]
        content = self.content(uri)
        holds = measure({name: content}, PASSWORD if is_locked(content) else None)
        return run.dag_id, name, _size(content), holds, cost, _shown(uri).removesuffix(name)

    def quota(self, run: Run) -> None:
        """Show the error of an exhausted quota."""
        self.say("quota_exhausted failed, as it should; its log says:")
        for line in (run.error or "").splitlines():
            self.say(f"  {line}")

    def promises(self, nights: list[Run], others: dict[str, Run]) -> None:
        """Check what the README promises."""
        quota = others.pop("quota_exhausted")
        runs = [*nights, *others.values()]
        self._check_nights(nights)
        self.check("every other example succeeded", kept={run.state for run in runs} == {"success"})
        paid = len(self.stage.exhausted.requests.filter(path="/async/convert/*"))
        self.check(
            f"an exhausted quota ends a task on try {quota.tries[0]} of {quota.tries[1]}, "
            f"after {paid} request that could have cost something",
            kept=(quota.state, quota.tries, paid) == ("failed", (1, 4), 1) and bool(quota.error),
        )
        self._check_books(sum(run.charged for run in runs))
        outputs = dict.fromkeys(uri for run in runs for uri in run.outputs())
        self.check("the PDFs hold their documents' text", kept=self._texts_are_there(outputs))
        locked = {uri.rpartition("/")[2] for uri in outputs if is_locked(self.content(uri))}
        self.check(
            f"{' and '.join(sorted(LOCKED))}, and nothing else, need their password ({PASSWORD})",
            kept=locked == LOCKED,
        )

    def _check_nights(self, nights: list[Run]) -> None:
        counts = [batch.counts for night in nights for batch in night.batches]
        files = len(nights[0].outputs())
        self.check(
            f"the second night reused {counts[1][1]} of {files} files and paid nothing; the third "
            f"paid for {counts[2][2]}",
            kept=counts == [(files, 0, files), (0, files, 0), (1, files - 1, 1)] and files > 0,
        )

    def _check_books(self, charged: int) -> None:
        billed, left = self.stage.sandbox.billed, len(self.stage.sandbox.files)
        self.check(
            f"all of it cost {charged} conversions by the tasks' own account and {billed} by the "
            "sandbox's",
            kept=charged == billed > 0,
        )
        self.check(f"{left} documents are left at the service", kept=left == 0)

    def _texts_are_there(self, outputs: Iterable[str]) -> bool:
        found = []
        for uri in outputs:
            expected = _expected(uri.rpartition("/")[2])
            if expected:
                text = text_of(self.content(uri), PASSWORD)
                found.append(all(sentence in text for sentence in expected))
        return len(found) > 1 and all(found)


def _expected(name: str) -> tuple[str, ...]:
    stem, _, extension = name.rpartition(".")
    if extension != "pdf":
        return ()
    return WHOLES.get(stem) or ((SENTENCES[stem],) if stem in SENTENCES else ())


def _size(*contents: bytes) -> str:
    return f"{sum(map(len, contents)) / 1024:.1f} kB"


def _shown(uri: str) -> str:
    return uri.removeprefix("file://").replace(f"{ROOT}/", "")


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
    report.say("  nightly_folder, three times ...")
    nights = _run_nights(dags.pop("nightly_folder"), stage)
    runs = {}
    for dag_id, dag in dags.items():
        report.say(f"  {dag_id} ...")
        runs[dag_id] = examples.run(dag, stage.log)
    report.say()
    report.nights(nights)
    report.say()
    report.table([run for run in runs.values() if run.batches or run.conversions])
    report.say()
    report.quota(runs["quota_exhausted"])
    report.say()
    report.promises(nights, runs)
    return report.broken


def _run_nights(dag: DAG, stage: Stage) -> list[Run]:
    nights = [examples.run(dag, stage.log) for _ in range(2)]
    with (stage.documents / "notes.txt").open("a", encoding="utf-8") as notes:
        notes.write("\nThe steps were repaired on 3 December.\n")
    return [*nights, examples.run(dag, stage.log)]


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
