"""What must be true after each step."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from tests.simulation.ledger import require
from tests.simulation.tasks import OVERLAY, batch_output, levels
from tests.simulation.world import PASSWORD, TOKENS

if TYPE_CHECKING:
    from tests.simulation.ledger import Ledger
    from tests.simulation.running import Outcome
    from tests.simulation.world import World

_ID = re.compile(r"(?<![a-z0-9])[a-z0-9]{32}(?![a-z0-9])")


def check_any(world: World, outcome: Outcome) -> None:
    """Check what holds however a try of one instance ended."""
    _check_secrets(world, outcome)
    _check_inputs(world)
    _check_places(world, outcome)
    if outcome.error is not None and not outcome.was_killed:
        _check_error(outcome)


def check(world: World, ledger: Ledger, outcome: Outcome) -> None:
    """Check what holds after a try of the whole task."""
    check_any(world, outcome)
    if outcome.was_killed or outcome.error is not None:
        return
    require(
        outcome.asked == outcome.asked_last, "a task that resumed with other arguments ended well"
    )
    if outcome.asked.is_batch:
        _check_batch(world, ledger, outcome)
    else:
        check_single(world, outcome)
    _check_leftovers(world, outcome)


def _check_error(outcome: Outcome) -> None:
    from airflow_provider_convertapi.errors import ConvertApiError
    from tests.airflow_api import AirflowException

    faults = {*outcome.trouble.at_write.values(), *outcome.trouble.at_read.values()}
    known = isinstance(outcome.error, ConvertApiError | AirflowException)
    broken = isinstance(outcome.error, OSError) and faults
    require(known or bool(broken), f"the task ended with a plain {outcome.error!r}")


def _present(world: World, name: str, outcome: Outcome) -> list[bytes]:
    """Return the versions that a file had while the try ran.

    Of what the service fetches itself, only the URL is known, so that any version may be there.
    """
    versions = world.contents.get(name, [])
    first = 0 if outcome.asked.by_url else max(outcome.inputs.get(name, 1) - 1, 0)
    return [content for content in versions[first:] if content]


def check_single(world: World, outcome: Outcome, *, was_alone: bool = True) -> None:
    """Check what a single conversion returned and told.

    :param was_alone: whether all that was billed while it ran was billed to it.
    """
    asked = outcome.asked
    versions = [_present(world, name, outcome) for name in asked.sources]
    candidates: list[list[bytes]] = [[]]
    for one in versions:
        candidates = [[*start, content] for start in candidates for content in one]
    wanted = [levels(asked, contents)[-1].made for contents in candidates]
    got = [world.read(uri) for uri in outcome.value]
    contents = [[data for _, data in made] for made in wanted]
    if outcome.who not in world.overlapping:
        require(got in contents, "an output is missing, torn, or not made from its own input")
    prefix = world.uri("out") + asked.destination
    require(all(uri.startswith(prefix) for uri in outcome.value), "an output has a name of another")
    if was_alone and not world.ambiguous:
        billed = sum(
            bill.cost for bill in world.service.bills[outcome.first_bill : outcome.last_bill]
        )
        line = next(text for text in reversed(outcome.told) if "charged now:" in text)
        said = int(line.rpartition("charged now: ")[2].rstrip("."))
        if outcome.who not in world.overlapping:
            require(
                said == billed, f"the task said that it was charged {said}, but {billed} was billed"
            )


def _check_batch(world: World, ledger: Ledger, outcome: Outcome) -> None:
    asked, summary = outcome.asked, outcome.value
    counted = sum(summary[name] for name in ("converted", "reused", "failed", "not_attempted"))
    listed = {name for name, versions in world.contents.items() if versions[-1]}
    steady = all(outcome.inputs.get(name) == len(all_) for name, all_ in world.contents.items())
    if steady:
        require(counted == len(listed), f"the summary counts {counted} of {len(listed)} files")
    out = world.uri("out") + asked.destination
    for name in sorted(listed if steady and outcome.who not in world.overlapping else ()):
        [content] = _present(world, name, outcome)[-1:]
        last = levels(asked, [content])[-1]
        first = batch_output(name, asked)
        stem, _, kind = first.rpartition(".")
        paths = [first] + [f"{stem}-{n}.{kind}" for n in range(2, len(last.made) + 1)]
        found = [world.read(out + path) for path in paths]
        if summary["failed"] == summary["not_attempted"] == 0:
            require(
                found == [data for _, data in last.made],
                f"{name} counts as converted, but its output is missing, torn or another's",
            )
        if found == [data for _, data in last.made]:
            told = dict(zip(paths, (data for _, data in last.made), strict=True))
            ledger.told[ledger.scope(asked, last.asked[0], name)] = told
    if not world.ambiguous and outcome.who not in world.overlapping:
        billed = sum(
            bill.cost for bill in world.service.bills[outcome.first_bill : outcome.last_bill]
        )
        # A submit that joins a job which is not visible yet is answered as any other.
        most = billed + world.service.joined
        require(
            billed <= summary["cost"] <= most,
            f"the summary says {summary['cost']}, billed was {billed}",
        )


def _check_leftovers(world: World, outcome: Outcome) -> None:
    """Check that what ended well has left nothing, unless a request to delete it met a fault."""
    parts = [path for path in world.files("out") if path.endswith(".part")]
    if not world.was_killed_elsewhere:
        require(not parts, f"hidden files are left: {parts}")
    require(not _spools(world), "a spool is left")
    if outcome.trouble.met or outcome.who in world.overlapping or world.abandoned:
        return
    left = [
        stored.name for stored in world.service.files.values() if stored.until > world.moment.now
    ]
    require(not left, f"documents are left at the service: {left}")


def _spools(world: World) -> list[str]:
    return [] if world.spool_may_be_left else os.listdir(f"{world.root}/tmp")  # noqa: PTH208 - names are enough


def _check_inputs(world: World) -> None:
    present = {name: versions[-1] for name, versions in world.contents.items() if versions[-1]}
    require(world.files("in") == present, "an input was changed, or something lies among them")
    aside = {OVERLAY: world.asked.overlay} if world.asked.overlay else {}
    require(world.files("aside") == aside, "a file of a parameter was changed, or lies not alone")


def _check_places(world: World, outcome: Outcome) -> None:
    allowed = (f"{world.root}/out/", f"{world.root}/tmp")
    strange = [
        path
        for path in world.disk.written
        if not path.startswith(allowed) and path != f"{world.root}/out"
    ]
    require(not strange, f"something was written outside the destination: {strange}")
    elsewhere = [
        path
        for path in world.store.objects
        if not path.startswith(("box/in/", "box/out/", "box/aside/"))
    ]
    require(not elsewhere, f"something was stored outside the destination: {elsewhere}")
    del outcome


def _check_secrets(world: World, outcome: Outcome) -> None:
    told = list(outcome.told)
    told += [
        data.decode("utf-8", "replace")
        for path, data in world.files("out").items()
        if "_convertapi" in path
    ]
    text = "\n".join(told)
    for secret in (*TOKENS, PASSWORD):
        require(secret not in text, "a token or a password was shown")
    shown = set(_ID.findall(text)) & world.service.ids
    where = [line for line in told if any(one in line for one in shown)][:1]
    require(not shown, f"an id that opens a document was shown: {where}")
