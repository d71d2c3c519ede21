"""Question 8: which JWTs the service accepts, and what POST /token/jwt answers.  All of it is free.

A JWT is tested at POST /token/jwt, which is not a conversion.  The service refuses every JWT there,
but it gives another reason for a JWT that it cannot verify than for one that it can.

This module may change from release to release.
"""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.auth import find_jwt
from airflow_provider_convertapi.live.facts import roundest
from airflow_provider_convertapi.live.keys import WAYS
from airflow_provider_convertapi.live.wire import is_ok, is_throttled, status_of, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_convertapi.api.wire import Response
    from airflow_provider_convertapi.live.check import Check

_Q = 8
_LIFETIMES = (30, 8)
"""Seconds; short, so that a limit of the service is not mistaken for a wrong key."""
_YEAR, _MOST_TRIES = 366 * 86400, 30
_AGES = (3, 10, 70, 700, 7300)
"""Seconds since a JWT expired."""
_SHAPES = frozenset({"token", "Token", "jwt", "Jwt", "JwtToken", "AccessToken", "access_token"})
_LEEWAY, _LIFE = "leeway of an expired JWT", "longest life of a JWT"
_NETWORKS = "networks in clientIp"
_FOREIGN = "192.0.2.1"  # reserved for documentation, so that no machine has it


@dataclass(slots=True)
class Judge:
    """Tells whether a JWT is accepted, from its refusal; None if that does not show it."""

    check: Check
    lifetime: int = _LIFETIMES[0]
    way: str = ""
    """How an accepted JWT is made; empty if none is known."""
    _good: str = ""
    _bad: str = ""

    def calibrate(self) -> dict[str, str]:
        """Compare JWTs of each kind with one of a wrong key; return the answer to each."""
        keys = self.check.keys
        for self.lifetime in _LIFETIMES:
            self._bad = self._answer(keys.sign(self.lifetime, "wrong"))
            seen = {"wrong": self._bad}
            for way in WAYS:
                token = keys.make(self.lifetime, way)
                if token is None:
                    continue
                seen[way] = self._answer(token)
                if seen[way] != self._bad and "no answer" not in {seen[way], self._bad}:
                    self.way, self._good = self.way or way, self._good or seen[way]
            if self.way:
                break
        return seen

    def _answer(self, token: str) -> str:
        answer = self.check.keys.ask_for_one(8, secret=token)
        return "no answer" if is_throttled(answer) else told(answer)

    def accepts(self, token: str) -> bool | None:
        """Tell whether the service accepts a JWT."""
        seen = self._answer(token)
        return True if seen == self._good else False if seen == self._bad else None

    def measured(self, lifetime: float) -> tuple[float, float, bool | None]:
        """Try a JWT that is valid for about the given seconds.

        :returns: the most and the least that it had when it was judged, and the verdict.
        """
        keys = self.check.keys
        exp, began = round(keys.now() + lifetime), keys.now()
        verdict = self.accepts(keys.sign(0, self.way, exp=exp))
        return exp - began, exp - keys.now(), verdict


def ask(check: Check) -> None:
    """Ask all questions about JWTs."""
    if not check.settings.kid:
        check.skip(_Q, "JWTs", "the connection has no Kid (login), and a JWT names one")
        return
    check.say("Asking about JWTs (free) …")
    _ask_for_shape(check)
    _ask_for_another_kid(check)
    judge = Judge(check)
    seen = judge.calibrate()
    evidence = "POST /token/jwt with a JWT: " + "; ".join(
        f"{_NAMES[way]}: {answer}" for way, answer in seen.items()
    )
    if not judge.way:
        why = "a JWT of any key is refused in the same way as one of a wrong key"
        check.unclear(_Q, "key of JWTs", why, evidence)
        return
    _say_key(check, judge, seen, evidence)
    for name, question in (
        (_LEEWAY, _ask_for_leeway),
        (_LIFE, _ask_for_lifetime),
        (_NETWORKS, _ask_for_addresses),
    ):
        if judge.way == "issued":
            check.unclear(_Q, name, "no JWT that is made here is accepted, and so none can try it")
        else:
            question(check, judge)


_NAMES = {
    "wrong": "signed with a wrong key",
    "text": "signed with the token's text",
    "base64": "signed with the token decoded as base64",
    "issued": "issued by the service",
}


def _say_key(check: Check, judge: Judge, seen: dict[str, str], evidence: str) -> None:
    signed = [way for way in ("text", "base64") if seen.get(way, seen["wrong"]) != seen["wrong"]]
    check.keys.lifetime = judge.lifetime
    if not signed:
        if check.keys.way != "api_token":
            check.keys.way = "issued"
        reading = "none that is signed here is accepted, and those that the service issues are"
        meaning = "Tasks find that out once each: set the connection's auth to 'jwt_remote'."
        check.know(_Q, "key of JWTs", reading, evidence, meaning, jwt_key="unknown")
        return
    way = signed[0]
    if check.keys.way == "text":
        check.keys.way = way
    says = {
        "text": "Tasks sign their own JWTs, as by default: auth 'jwt'.",
        "base64": "Tasks cannot sign this way: set the connection's auth to 'jwt_remote'.",
    }
    reading = f"a JWT {_NAMES[way]} is accepted"
    check.know(_Q, "key of JWTs", reading, evidence, says[way], jwt_key=way)
    judge.way = way


# --- POST /token/jwt ------------------------------------------------------------------------------


def _ask_for_shape(check: Check) -> None:
    answer = check.keys.ask_for_one(60)
    name, evidence = "answer of POST /token/jwt", f"POST /token/jwt: {told(answer)}"
    if not is_ok(answer) or find_jwt(answer) is None:
        check.unclear(_Q, name, "it holds no JWT that can be recognised", evidence)
        return
    shape = _shape(answer)
    meaning = "auth 'jwt_remote' finds the token in it."
    if shape is None:
        check.unclear(_Q, name, "a JWT is in it, in a shape that no switch has", evidence)
        return
    how = {"text": "bare text", "json_string": "a JSON string"}.get(shape, f"{{{shape!r}: …}}")
    check.know(_Q, name, f"the JWT comes as {how}", evidence, meaning, token_answer=shape)


def _shape(answer: Response) -> str | None:
    value, token = answer.json(), find_jwt(answer)
    if value is None:
        return "text"
    if isinstance(value, str):
        return "json_string"
    if not isinstance(value, dict):
        return None
    held = [name for name, inner in value.items() if inner == token]
    return held[0] if held and held[0] in _SHAPES else None


def _ask_for_another_kid(check: Check) -> None:
    answer = check.keys.ask_for_one(60, kid=str(uuid.uuid4()))
    name = "a Kid of another token"
    evidence = f"POST /token/jwt with a random Kid: {told(answer)}"
    status = status_of(answer)
    if status not in {200, 400, 401}:
        check.unclear(_Q, name, "the answer is none that was expected", evidence)
    elif is_ok(answer):
        check.unclear(_Q, name, "it is accepted; no switch of the sandbox does that", evidence)
    else:
        meaning = "A wrong login of the connection shows when the first task asks for a JWT."
        reading = f"it is refused with {status}"
        check.know(_Q, name, reading, evidence, meaning, wrong_kid_status=status)


# --- claims -------------------------------------------------------------------------------------


def _bounds(
    accepted: float,
    steps: tuple[float, ...],
    attempt: Callable[[float], tuple[float, bool | None]],
) -> tuple[float, float] | None:
    """Return the largest accepted value, and the smallest refused one, infinite if there is none.

    :param attempt: tries about a value; returns the exact value, and whether it was accepted.
    :returns: None if an answer shows neither.
    """
    refused, left = math.inf, [step for step in steps if step > accepted]
    for _ in range(_MOST_TRIES):
        if refused == math.inf and not left:
            break
        if refused - accepted <= max(1.1, accepted / 400):
            break
        value = left.pop(0) if refused == math.inf else (accepted + refused) / 2
        exact, verdict = attempt(value)
        if verdict is None:
            return None
        if verdict:
            accepted = max(accepted, exact)
        else:
            refused = min(refused, exact)
    return accepted, refused


def _ask_for_leeway(check: Check, judge: Judge) -> None:
    name = _LEEWAY

    def attempt(age: float) -> tuple[float, bool | None]:
        most, least, verdict = judge.measured(-age)
        return (-most if verdict else -least), verdict

    found = _bounds(-judge.lifetime, _AGES, attempt)
    if found is None:
        check.unclear(_Q, name, "some answers show neither that a JWT is accepted nor refused")
        return
    least, most = found
    if most == math.inf:
        why = f"a JWT that expired {least:.0f} s ago is still accepted"
        check.unclear(_Q, name, why)
        return
    doubt = check.wire.doubt
    leeway = max(roundest(least - doubt - 0.1, most + doubt), 0)
    evidence = f"accepted {least:+.1f} s after its end, refused {most:+.1f} s (±{doubt:.1f} s)"
    reading = f"about {leeway:g} s" if leeway else "none"
    meaning = "The provider widens a JWT by 60 s on both sides, so clocks may differ by a minute."
    check.know(_Q, name, reading, evidence, meaning, jwt_leeway=leeway)


def _ask_for_lifetime(check: Check, judge: Judge) -> None:
    name, wanted = _LIFE, check.settings.jwt_lifetime + 120
    steps = tuple(sorted({60, 600, wanted, 86_520, 31 * 86_400, _YEAR}))

    def attempt(life: float) -> tuple[float, bool | None]:
        most, least, verdict = judge.measured(life)
        return (least if verdict else most), verdict

    found = _bounds(judge.lifetime - 1, steps, attempt)
    if found is None:
        check.unclear(_Q, name, "some answers show neither that a JWT is accepted nor refused")
        return
    least, most = found
    check.keys.lifetime = int(min(least, 300))
    if most == math.inf:
        evidence = "one of 366 days is accepted"
        check.know(_Q, name, "no limit was found", evidence, jwt_max_lifetime=None)
        return
    longest = roundest(least - check.wire.doubt - 0.1, most + check.wire.doubt)
    meaning = "Long enough for the connection's jwt_lifetime."
    if least < wanted:
        meaning = (
            f"Tasks ask for {wanted} s (jwt_lifetime, and a minute on both sides), which is "
            f"refused: set the connection's jwt_lifetime to {max(longest - 120, 1):g} or less."
        )
    evidence = f"accepted with {least:.0f} s to live, refused with {most:.0f} s"
    reading = f"about {longest:g} s"
    check.know(_Q, name, reading, evidence, meaning, jwt_max_lifetime=longest)


def _ask_for_addresses(check: Check, judge: Judge) -> None:
    name = _NETWORKS
    foreign, everywhere = (
        judge.accepts(check.keys.sign(judge.lifetime, judge.way, clientIp=listed))
        for listed in (_FOREIGN, "0.0.0.0/0,::/0")
    )
    evidence = f"clientIp {_FOREIGN}: {_VERDICTS[foreign]}; 0.0.0.0/0,::/0: {_VERDICTS[everywhere]}"
    if foreign is True:
        check.unclear(_Q, name, "clientIp is not enforced, whoever it names", evidence)
    elif foreign is None or everywhere is None:
        check.unclear(_Q, name, "the answers show neither", evidence)
    else:
        reading = "they are understood" if everywhere else "they are not understood"
        meaning = "The connection's client_ip may hold " + (
            "networks, such as 10.0.0.0/8." if everywhere else "addresses only, one by one."
        )
        check.know(_Q, name, reading, evidence, meaning, client_ip_networks=everywhere)


_VERDICTS = {True: "accepted", False: "refused", None: "neither"}
