"""The report of the check, for people to read and to attach to an issue.

This module may change from release to release.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.live.facts import KNOWN, QUESTIONS, set_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_convertapi.live.check import Check
    from airflow_provider_convertapi.live.facts import Fact
    from airflow_provider_convertapi.live.later import Left

HIDDEN = "<hidden>"
TITLE = "# ConvertAPI: the live check"


def render(
    check: Check, left: Left | None, remains: Iterable[str], limited: Check | None = None
) -> str:
    """Return the whole report.

    :param remains: descriptions of things that could not be deleted.
    :param limited: the check of a second connection, whose secrets are hidden as well.
    """
    from airflow_provider_convertapi import __version__  # noqa: PLC0415 - as a fact of now

    lines = [
        TITLE,
        "",
        f"- host: {check.settings.base_url}",
        f"- provider: airflow-provider-convertapi {__version__}",
        f"- conversions: {check.money.spent} taken, {check.allowed} allowed"
        + _excess(check)
        + ("" if check.money.is_metered else " (as the answers tell; nothing was measured)"),
    ]
    lines += [f"- could not be deleted, and ends within three hours: {name}" for name in remains]
    for number, title in QUESTIONS.items():
        lines += ["", *_section(number, title, check.facts)]
    lines += ["", "## The sandbox that does the same", "", f"    {whole_line(check.facts)}", ""]
    if left is not None:
        lines += [left.comment(), ""]
    hidden = secrets_of(check) | (secrets_of(limited) if limited else set())
    return hide("\n".join(lines), hidden)


def _excess(check: Check) -> str:
    if check.money.spent <= check.allowed:
        return ""
    return f"; one cost {check.money.unit}, which only its result told"


def _section(number: int, title: str, facts: Iterable[Fact]) -> list[str]:
    lines = [f"## {number}. {title}" if number else f"## {title}", ""]
    for fact in (fact for fact in facts if fact.question == number):
        lines += describe(fact)
    return lines


def describe(fact: Fact) -> list[str]:
    """Return a fact, line by line."""
    state = "" if fact.state == KNOWN else f"{fact.state}: "
    lines = [f"- **{fact.name}**: {state}{fact.reading}"]
    if fact.evidence:
        lines.append(f"  - evidence: {fact.evidence}")
    if fact.meaning:
        lines.append(f"  - it means: {fact.meaning}")
    if fact.switches:
        lines.append(f"  - the same: `{set_line(fact.switches)}`")
    return lines


def whole_line(facts: Iterable[Fact]) -> str:
    """Return the command that starts a sandbox with all known facts."""
    switches: dict[str, Any] = {}
    for fact in facts:
        switches |= fact.switches  # only known facts have any
    return set_line(switches)


def replace(report: str, fact: Fact, left: Left | None) -> str:
    """Return an earlier report with a fact replaced by a later one."""
    section = "\n".join(_section(fact.question, QUESTIONS[fact.question], [fact]))
    title = re.escape(section.partition("\n")[0])
    whole = re.compile(rf"^{title}$.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    report = whole.sub(lambda _: f"{section}\n\n", report)
    comment = "" if left is None else left.comment()
    return re.sub(r"^<!-- live check: .*-->$", lambda _: comment, report, flags=re.MULTILINE)


def secrets_of(check: Check) -> set[str]:
    """Return the credentials and ids that no report may show."""
    return {secret for secret in check.keys.sent | check.jobs.ids if secret}


def hide(text: str, secrets: Iterable[str]) -> str:
    """Return a text without secrets."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text
