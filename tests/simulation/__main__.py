"""Tell many stories, or one: `--seeds 1000 --offset 0`, or `--seed 123`."""

# ruff: noqa: T201 - a command prints

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter


def main() -> None:
    """Run stories; print those that break a promise, and end with 1 if there were any."""
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many stories")
    parser.add_argument("--offset", type=int, default=0, help="the first seed")
    parser.add_argument("--and", type=int, nargs="*", default=[], dest="more", help="further seeds")
    parser.add_argument("--twice", type=int, default=0, help="how many to tell again and compare")
    parser.add_argument("--seed", type=int, help="tell this one, whatever happens in it")
    parser.add_argument("--most", type=int, default=10, help="broken stories to print")
    given = parser.parse_args()
    if "PYTHONHASHSEED" not in os.environ:  # the order of a set of texts must not differ
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])
    import tests.conftest  # noqa: F401 - a scratch Airflow
    from tests.simulation.making import make
    from tests.simulation.stories import shortened, tell

    if given.seed is not None:
        told = tell(make(given.seed))
        print(
            f"Seed {given.seed}", *told.sentences, told.broken or "No promise was broken.", sep="\n"
        )
        sys.exit(bool(told.broken))
    began, broken = time.perf_counter(), Counter[str]()
    seeds = [*range(given.offset, given.offset + given.seeds), *given.more]
    for number, seed in enumerate(seeds):
        told = tell(make(seed))
        if number < given.twice and len(told.sentences) != len(tell(make(seed)).sentences):
            broken[f"seed {seed} is told in another way the second time"] += 1
        if told.broken:
            broken[told.broken] += 1
            if sum(broken.values()) <= given.most:
                short = shortened(told.story)
                print(f"Seed {seed}", *short.sentences, f"BROKEN: {short.broken}", "", sep="\n")
    took = time.perf_counter() - began
    pace, count = len(seeds) / took, sum(broken.values())
    print(f"{len(seeds)} stories in {took:.1f} s ({pace:.0f} a second), {count} broken.")
    for what, times in broken.most_common():
        print(f"{times:5} {what}")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
