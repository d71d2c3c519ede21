"""Hide secrets in texts and logs: anyone with an id can open a document at ConvertAPI.

This module may change from release to release.
"""

from __future__ import annotations

import logging
import re
import string

_LOOKED_AT, _LONGEST_TEXT = 4000, 500

# Ids are 32 of [a-z0-9] today; longer and mixed ones are hidden too, in case that changes.
_ID = re.compile(r"[A-Za-z0-9]{32,}")
_ID_IN_QUERY = re.compile(r"((?:JobId|fileId)=)[^\s&\"']+", re.IGNORECASE)
_JWT = re.compile(r"(?<![A-Za-z0-9])eyJ[\w-]{4,}[\w.-]*")
_URL_USER = re.compile(r"(\w://)[^\s/?#\"']+@")
_URL_QUERY = re.compile(r"(\w://[^\s?\"']*)\?[^\s\"']+")
_SPACED_QUERY = re.compile(r"(\w://[^\n\"'?]*\s[^\n\"'?]*)\?[\w.~%\[\]-]+=[^\s\"']+")
"""The query of a URL that contains white space."""
_URL_FRAGMENT = re.compile(r"(\bhttps?://[^\s#\"']+)#[^\s\"']+", re.IGNORECASE)
_OF_WORDS = string.ascii_letters + string.digits + "_-.%"


def redact(text: str) -> str:
    """Return the text without anything that grants access.

    It hides job ids and file ids, JWTs, and users, passwords, queries and fragments in URLs.
    """
    # JWTs before ids: what hiding ids leaves of a JWT would not be recognised as one.
    text = _ID_IN_QUERY.sub(r"\1<id>", _JWT.sub("<token>", text))
    text = _URL_QUERY.sub(r"\1?<hidden>", _URL_USER.sub(r"\1<hidden>@", text))
    text = _SPACED_QUERY.sub(r"\1?<hidden>", text)
    text = _URL_FRAGMENT.sub(r"\1#<hidden>", text)
    return _ID.sub("<id>", text)


def shown(text: str) -> str:
    """Return a text from outside on one line: redacted, printable, 500 characters at most."""
    if len(text) > _LOOKED_AT:
        # Half an id at the cut would not be recognised as an id.
        text = text[:_LOOKED_AT].rstrip(_OF_WORDS)
    printable = "".join(c if c.isprintable() else " " for c in redact(text))
    return " ".join(printable.split())[:_LONGEST_TEXT]


def hide_ids(*loggers: str) -> None:
    """Hide ids in the lines of the named loggers, which are an HTTP library's."""
    # `logging` does not apply a logger's filters to the records of its children, so each is named.
    for name in loggers:
        logging.getLogger(name).addFilter(_redact_line)


def _redact_line(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    safe = redact(text)
    if safe != text:
        record.msg, record.args = safe, ()
    return True
