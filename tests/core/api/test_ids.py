"""Job ids and file ids: the same for ever, and nobody's guess."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Any

import pytest

from airflow_provider_convertapi.api.ids import (
    MAX_ATTEMPTS,
    JobIds,
    key_check,
    seal,
    seed_text,
    unseal,
)

KEY = "secret-token"
PARTS: dict[str, Any] = {
    "namespace": "",
    "key": None,
    "inputs": [["File", "s3://b/\u00e4.docx", "12-etag"]],
    "from": "docx",
    "to": "pdf",
    "parameters": {"PageRange": "1-2"},
    "scope": {"dag": "d", "run": "r", "task": "t", "map": -1, "call": 0},
}

# Frozen: a running conversion of an older version must be found by a newer one.  These never move.
SEED = (
    '{"from":"docx","inputs":[["File","s3://b/\\u00e4.docx","12-etag"]],"key":null,"namespace":"",'
    '"parameters":{"PageRange":"1-2"},"scope":{"call":0,"dag":"d","map":-1,"run":"r","task":"t"},'
    '"to":"pdf","v":1}'
)
DERIVATION = "27283ba074e2dd9ae4d4a03adcb775e66a7498b6fb4f7d3447fcb644465d113e"
JOB_IDS = [
    "f201644223c83e9e31c466a4c962bc0c",
    "df75d9fc4fc39140020920e94782591c",
    "1ef75ce4f3a66d598e3569c4bbca2188",
    "a0b246d4dd39db92a3ba62a66ae9c38c",
]
FILE_IDS = {
    (0, "0"): "25d823fe2905dce17cdd4aad1a0df7f0",
    (1, "OverlayFile"): "8ccfef1f2eb7e189d648192fba45cfaa",
}
KEY_CHECK = "88dc2a81"


def test_frozen_seed_and_ids() -> None:
    """An upgrade moves neither seeds nor ids: else it would pay for what is running."""
    ids = JobIds.from_seed(KEY, seed_text(PARTS))

    assert SEED == seed_text(PARTS)
    assert DERIVATION == ids.derivation
    assert JOB_IDS == [ids.job_id(attempt) for attempt in range(MAX_ATTEMPTS)]
    assert FILE_IDS == {place: ids.file_id(*place) for place in FILE_IDS}
    assert KEY_CHECK == key_check(KEY)


def test_ids_are_keyed_hashes() -> None:
    """An id is an HMAC-SHA256 over words with their lengths: what the documentation says."""

    def digest(*words: str) -> str:
        message = b"".join(len(w).to_bytes(4, "big") + w.encode() for w in words)
        return hmac.new(KEY.encode(), message, hashlib.sha256).hexdigest()

    derivation = digest("seed", SEED)
    assert DERIVATION == derivation
    assert JOB_IDS[2] == digest("job", derivation, "2")[:32]
    assert FILE_IDS[1, "OverlayFile"] == digest("file", derivation, "1", "OverlayFile")[:32]


def test_seed_is_canonical() -> None:
    """The order in which things are said, and the type of a sequence, change nothing."""
    other = dict(reversed(PARTS.items())) | {"inputs": tuple(PARTS["inputs"])}

    assert SEED == seed_text(other)
    assert SEED.isascii()


@pytest.mark.parametrize(
    "change",
    [
        {"namespace": "b"},
        {"key": ""},
        {"key": "again"},
        {"inputs": [["File", "s3://b/\u00e4.docx", "12-other"]]},
        {"inputs": [["File", "s3://b/a\u0308.docx", "12-etag"]]},
        {"from": "doc"},
        {"to": "png"},
        {"parameters": {"PageRange": "1-3"}},
        {"parameters": {}},
        {"scope": PARTS["scope"] | {"call": 1}},
        {"scope": PARTS["scope"] | {"map": 0}},
        {"more": 1},
    ],
)
def test_another_conversion_has_other_ids(change: dict[str, Any]) -> None:
    """Whatever is asked for differently is another job with other files."""
    mine = JobIds.from_seed(KEY, seed_text(PARTS))
    other = JobIds.from_seed(KEY, seed_text(PARTS | change))

    assert mine.derivation != other.derivation
    assert mine.job_id(0) != other.job_id(0)
    assert mine.file_id(0, "0") != other.file_id(0, "0")


def test_no_two_ids_are_equal() -> None:
    """Key, seed, attempt, part and kind each make another id; each is 32 of [a-z0-9]."""
    found = []
    for key in (KEY, "other-token"):
        for seed in (SEED, SEED + " "):
            ids = JobIds.from_seed(key, seed)
            found += [ids.derivation, key_check(key)]
            for attempt in range(12):
                found += [ids.job_id(attempt), ids.file_id(attempt, "0"), ids.file_id(attempt, "1")]
                found.append(ids.file_id(attempt, "OverlayFile"))
    ids_alone = [text for text in found if len(text) == 32]

    assert 2 * 2 * 12 * 4 == len(ids_alone) == len(set(ids_alone))
    assert all(re.fullmatch(r"[a-z0-9]{32}", text) for text in ids_alone)
    assert 4 == len({text for text in found if len(text) == 64})
    assert 2 == len({text for text in found if len(text) == 8})


def test_words_do_not_flow_into_each_other() -> None:
    """Attempt 1 of part "1" is not attempt 11 of part ""."""
    ids = JobIds.from_seed(KEY, SEED)

    assert ids.file_id(1, "1") != ids.file_id(11, "")
    assert ids.file_id(1, "0") != ids.file_id(10, "")


def test_derivation_gives_the_same_ids() -> None:
    """What a trigger gets makes the ids anew, with the key alone."""
    assert JOB_IDS[1] == JobIds(KEY, DERIVATION).job_id(1)


def test_key_is_in_no_representation() -> None:
    """Who prints the ids of a conversion sees neither key nor id."""
    text = repr(JobIds.from_seed(KEY, SEED))

    assert KEY not in text
    assert not any(job_id in text for job_id in JOB_IDS)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"bytes"])
def test_what_has_no_canonical_text(value: object) -> None:
    """What cannot be written the same way every time makes no seed."""
    with pytest.raises((TypeError, ValueError)):
        seed_text({"parameters": value})


def test_sealed_id() -> None:
    """A job id from elsewhere may be stored sealed; another key does not open it."""
    sealed = seal(KEY, JOB_IDS[0])

    assert JOB_IDS[0] not in sealed
    assert JOB_IDS[0] == unseal(KEY, sealed)
    for key, text in (("other", sealed), (KEY, sealed[:-5]), (KEY, "nonsense")):
        with pytest.raises(ValueError, match="another key"):
            unseal(key, text)
