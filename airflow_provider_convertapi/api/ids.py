"""Job ids and file ids that we choose before a request: equal in every try, unknown to others.

An id opens a document at ConvertAPI without credentials.  Therefore it is a keyed hash
(HMAC-SHA256) that cannot be computed without the key: the API token, or the connection's
`job_secret`.

This module may change from release to release.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.wire import ID_LENGTH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.fernet import Fernet

# Part of every seed.  Another number changes all ids, and conversions in flight are paid again.
SEED_VERSION = 1
MAX_ATTEMPTS = 4
"""Attempts 0 to 3 of one conversion have ids; a fifth needs another `conversion_key`."""

_KEY_CHECK_LENGTH = 8


def seed_text(parts: Mapping[str, Any]) -> str:
    """Return the canonical JSON of the parts that identify a conversion."""
    # Every option below is part of all ids, as SEED_VERSION is.  ASCII, because the names of files
    # may hold bytes that are not text, which UTF-8 cannot encode.
    return json.dumps(
        {"v": SEED_VERSION, **parts},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=True,
        allow_nan=False,
    )


def key_check(key: str) -> str:
    """Return 8 characters that only show whether two processes have the same key."""
    return _digest(key, "check")[:_KEY_CHECK_LENGTH]


def request_digest(key: str, parts: Mapping[str, Any]) -> str:
    """Return 32 characters that show whether two processes have the same request."""
    return _digest(key, "asked", seed_text(parts))[:ID_LENGTH]


def seal(key: str, job_id: str) -> str:
    """Encrypt a job id so that it may be stored: only `key` decrypts it.

    Used for a job that something else started, whose id cannot be derived.
    """
    return _fernet(key).encrypt(job_id.encode()).decode()


def unseal(key: str, sealed: str) -> str:
    """Return the job id that was sealed; `ValueError` if it was sealed with another key."""
    from cryptography.fernet import InvalidToken  # noqa: PLC0415 - as in `_fernet`

    try:
        return _fernet(key).decrypt(sealed).decode()
    except InvalidToken:
        raise ValueError("the id was sealed with another key") from None


def _fernet(key: str) -> Fernet:
    from cryptography.fernet import Fernet  # noqa: PLC0415 - for the job sensor only

    return Fernet(base64.urlsafe_b64encode(bytes.fromhex(_digest(key, "seal"))))


def _digest(key: str, *words: str) -> str:
    # Each word is preceded by its length: ("ab", "c") and ("a", "bc") must differ.
    # The path of an output may have bytes that are not text.
    texts = [word.encode(errors="surrogatepass") for word in words]
    message = b"".join(len(text).to_bytes(4, "big") + text for text in texts)
    return hmac.new(key.encode(), message, hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class JobIds:
    """The ids of one conversion.

    :param key: what keys the hashes; never shown.
    :param derivation: the keyed digest of the seed, named D in the documentation.  It may be
        stored: without the key it opens nothing.
    """

    key: str = field(repr=False)
    derivation: str

    @classmethod
    def from_seed(cls, key: str, seed: str) -> JobIds:
        """Return the ids of the conversion that the seed describes."""
        return cls(key, _digest(key, "seed", seed))

    def job_id(self, attempt: int) -> str:
        """Return the job id of an attempt, counted from 0."""
        # Hexadecimal digits are among the lower-case letters and digits that the service accepts:
        # https://docs.convertapi.com/docs/async-conversions
        return _digest(self.key, "job", self.derivation, str(attempt))[:ID_LENGTH]

    def stamp(self, uri: str) -> str:
        """Return the stamp of an output of this conversion; it opens nothing."""
        return _digest(self.key, "wrote", self.derivation, uri)[:ID_LENGTH]

    def file_id(self, attempt: int, part: str) -> str:
        """Return the id under which an input of an attempt is uploaded.

        :param part: the input's key: ``0``, ``1``, … or the name of a file parameter.
        """
        return _digest(self.key, "file", self.derivation, str(attempt), part)[:ID_LENGTH]
