"""API tokens of the account: each may have a limit of conversions, and an end."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from convertapi_sandbox.bounds import check_number


@dataclass(slots=True)
class ApiToken:
    """One API token; JWTs that it signs, or that are issued for it, count as itself.

    Attributes:
        token: Its text, also the key of its JWTs.
        kid: The GUID that its JWTs name.
        limit: Conversions that it may take from the account; None for all.
        ends: Unix time from which it is refused; None for never.
        used: Conversions that it has taken.
        reserved: Its conversions that are open now.
    """

    token: str
    kid: str
    limit: int | None = None
    ends: float | None = None
    used: int = 0
    reserved: int = 0

    @classmethod
    def new(cls, limit: int | None = None, lifetime: float | None = None) -> ApiToken:
        """Return a random one; ValueError for a limit or a lifetime (seconds) that is not one."""
        check_number("the limit of a token", limit, whole=True, optional=True)
        check_number("the lifetime of a token", lifetime, None, optional=True)
        ends = None if lifetime is None else time.time() + lifetime
        return cls(f"sandbox-token-{secrets.token_hex(20)}", str(uuid4()), limit, ends)

    @property
    def is_exhausted(self) -> bool:
        """Tell whether it may take no further conversion."""
        return self.limit is not None and self.used + self.reserved >= self.limit

    def is_valid(self, now: float) -> bool:
        """Tell whether it has not ended."""
        return self.ends is None or now < self.ends

    def as_dict(self) -> dict[str, Any]:
        """Return what a user may know of it."""
        return {name: getattr(self, name) for name in ("token", "kid", "limit", "ends", "used")}
