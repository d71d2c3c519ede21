"""Settings of the sandbox, two by two: stories in which every pair of them is set in some story.

A setting is what one question is about, away from its default.  Two that a conversion shows are
set together in a story of their own; what shows for nothing, or not at all, is set beside them,
a few at a time.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from convertapi_sandbox.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

Setting = tuple[tuple[str, Any], ...]
"""Switches that belong together, with their values."""
Story = frozenset[Setting]


def _each(*switches: tuple[str, Any]) -> list[Setting]:
    return [(switch,) for switch in switches]


PAID = [
    *_each(
        ("known_job_id", "refuse"),
        ("known_job_id", "bill"),
        ("caller_job_ids", False),
        ("job_visible_after", 0.3),
        ("job_consumed_by_read", True),
        ("job_dies_with_documents", True),
        ("job_delete_takes_documents", True),
        ("bill_failed", False),
        ("job_keeps_verdict", False),
        ("bill_refused", True),
        ("job_refusals_at", "job"),
        ("unknown_pair_status", 404),
        ("unknown_pair_status", 415),
        ("unsupported_code", 4150),
        ("conversion_cost", 2),
        ("cost_per", "result"),
        ("cost_per", "input"),
        ("part_cost", "share"),
        ("bill_deleted", False),
        ("name_index", "underscore"),
        ("conversion_time", True),
    ),
    (("throttle_above", 1),),
    (("throttle_above", 1), ("throttle_status", 429), ("retry_after", 1)),
]
"""What conversions show."""

FREE = _each(
    ("invalid_token_code", 4011),
    ("invalid_token_code", 4010),
    ("legacy_user_fields", True),
    ("clock_offset", 90.0),
    ("clock_offset", -90.0),
    ("not_found_body", "empty"),
    ("known_file_id", "refuse"),
    ("byte_ranges", True),
    ("jwt_key", "base64"),
    ("jwt_key", "unknown"),
    ("jwt_leeway", 30.0),
    ("jwt_max_lifetime", 600.0),
    ("jwt_max_lifetime", 10.0),
    ("client_ip_networks", True),
    *(
        ("token_answer", shape)
        for shape in get_args(get_type_hints(Settings)["token_answer"])
        if shape != Settings().token_answer
    ),
    ("wrong_kid_status", 400),
)
"""What shows for nothing."""

UNASKED = _each(
    ("legacy_credentials", False),
    ("master_token_may_convert", False),
    ("admin_refusal_code", 4011),
    ("overage", True),  # shows where nothing is left, as do the next two
    ("quota_status", 401),
    ("quota_code", 4014),
    ("job_polls", 2),
    ("job_lifetime", 60.0),
    ("job_format_from", "poll"),
    ("concurrent_polls", "refused"),
    ("poll_hold", 0.01),
    ("webhook_on_failure", True),
    ("no_accept", "raw"),
    ("no_accept", "json"),
    ("stored_answer", "json"),
    ("url_brackets", "quoted"),
    ("disposition", "quoted"),
    ("unknown_parameters", "refused"),
    ("lone_file", "accepted"),
    ("file_lifetime", 60.0),
    ("max_file_size", 1_000_000),
    ("too_large_status", 400),
    ("too_large_status", 415),
    ("throttle_status", 429),
    ("retry_after", 1),
    ("allow_hosts", "example.com"),
    ("public_url", "http://elsewhere.example"),
)
"""What no question of a check of one account is about, and what must not mislead it either."""

ENDING = _each(("account_active", False), ("balance", 0), ("throttle_above", 0))
"""With these nothing is converted, so that whatever else is set is hidden."""

_BESIDE, _TOGETHER = 4, 12


def _go_together(one: Iterable[Setting], other: Setting) -> bool:
    names = {name for setting in one for name, _ in setting}
    return names.isdisjoint(name for name, _ in other)


def _pairs(story: Iterable[Setting]) -> set[frozenset[Setting]]:
    return {frozenset(pair) for pair in combinations(story, 2)}


def all_pairs() -> set[frozenset[Setting]]:
    """Return every pair of settings that can be set together."""
    settings = [*PAID, *FREE, *UNASKED, *ENDING]
    return {frozenset((a, b)) for a, b in combinations(settings, 2) if _go_together((a,), b)}


def _fill(begun: list[Setting], more: list[Setting], size: int, left: set[Any]) -> Story:
    """Add the settings that bring most of the pairs that are left."""
    while len(begun) < size:
        gains = {
            setting: sum(frozenset((setting, one)) in left for one in begun)
            for setting in more
            if _go_together(begun, setting)
        }
        best = max(gains, key=lambda setting: gains[setting], default=None)
        if best is None or not gains[best]:
            break
        begun.append(best)
    left -= _pairs(begun)
    return frozenset(begun)


def stories() -> list[Story]:
    """Return stories in which each pair of settings is set at least once."""
    left, beside = all_pairs(), [*FREE, *UNASKED]
    told = [
        _fill([a, b], beside, 2 + _BESIDE, left)
        for a, b in combinations(PAID, 2)
        if _go_together((a,), b)
    ]
    for ending in ENDING:
        while any(ending in pair for pair in left):
            told.append(_fill([ending], [*PAID, *beside, *ENDING], 1 + _TOGETHER, left))
    while left:
        told.append(_fill(list(min(left, key=repr)), beside, _TOGETHER, left))
    return told
