"""One function finds what is secret in a conversion's arguments, however it is written."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.conversions.secrets import (
    concealed_parameters,
    concealed_steps,
    concealed_uris,
    revealed,
    secrets_in,
    without_secrets,
)
from airflow_provider_convertapi.storage import shown

if TYPE_CHECKING:
    from collections.abc import Callable

URLS = [
    pytest.param("https://h.org/a.pdf?sig=s3cr3t", "https://h.org/a.pdf", id="query"),
    pytest.param("HTTPS://h.org/a.pdf?sig=s3cr3t", "HTTPS://h.org/a.pdf", id="upper-case"),
    pytest.param("  https://h.org/a.pdf?sig=s3cr3t ", "https://h.org/a.pdf", id="spaces"),
    pytest.param("https://h.org/a.pdf#s3cr3t", "https://h.org/a.pdf", id="fragment"),
    pytest.param("https://h.org/a.pdf?a=1#s3cr3t?", "https://h.org/a.pdf", id="both"),
    pytest.param("https://me:s3cr3t@h.org:8443/a", "https://***@h.org:8443/a", id="password"),
    pytest.param("https://s3cr3t@h.org/a", "https://***@h.org/a", id="token-as-user"),
    pytest.param("https://me:s3cr3t@x@[::1]:8443/a@b", "https://***@[::1]:8443/a@b", id="at"),
    pytest.param("https://me:/s3cr3t@h.org/a", "https://***", id="slash"),
    pytest.param("https://me:pa?s3cr3t@h.org/a", "https://***", id="question-mark"),
    pytest.param("https://me:p#s3cr3t@h.org/a", "https://***", id="hash"),
    pytest.param("sftp://conn:s3cr3t@h/a?b#c", "sftp://conn:***@h/a?b#c", id="store"),
    pytest.param("s3://conn:s3#cr3t@b/a?b", "s3://conn:***@b/a?b", id="store-with-hash"),
]


@pytest.mark.parametrize(("uri", "safe"), URLS)
def test_what_is_shown_of_a_uri_and_what_is_masked(uri: str, safe: str) -> None:
    """What is not shown is masked, and nothing that is masked is shown."""
    found = secrets_in([uri], None, None, None)

    assert safe == shown(uri)
    assert "s3" not in without_secrets(uri, found).removeprefix("s3://")
    assert "s3cr3t" not in shown(uri)
    assert found == secrets_in(None, None, None, uri)
    assert found == secrets_in({"source": uri, "shard": [0, 2]}, None, None, None)


@pytest.mark.parametrize("uri", ["s3://conn@b/a?b=c#d", "/a/b?c#d", "a b.pdf", "https://h.org/a@b"])
def test_plain_uri_is_shown_whole(uri: str) -> None:
    """Of a store `?` and `#` are letters of the key, and what stands before the @ a connection."""
    assert uri == shown(uri)
    assert [] == secrets_in(uri, {"Text": uri}, None, uri)


def test_percent_encoding_is_undone_too() -> None:
    """A password is masked as it is written, and as the server reads it."""
    found = secrets_in("https://me:pa%40ss%2Fword@h.org/a?sig=a%2Bb%3D", None, None, None)

    assert {"pa%40ss%2Fword", "pa@ss/word", "sig=a%2Bb%3D", "sig=a+b="} <= set(found)


def test_secret_too_short_for_the_masker_hides_its_uri() -> None:
    """Airflow masks nothing below five characters."""
    assert "https://a:b@h.org/c" in secrets_in("https://a:b@h.org/c", None, None, None)


LEAF = 's3cr3t-"é'

NESTED = [
    pytest.param(LEAF, id="text"),
    pytest.param([LEAF], id="list"),
    pytest.param({"sid": LEAF}, id="mapping"),
    pytest.param([{"name": "sid", "value": {"deep": [[{"deeper": LEAF}]]}}], id="deep"),
    pytest.param(json.dumps([{"name": "sid", "value": LEAF}]), id="json"),
]


@pytest.mark.parametrize("value", NESTED)
@pytest.mark.parametrize("name", ["Cookies", "HEADERS", "userPassword", "AuthPassword"])
@pytest.mark.parametrize("where", ["parameters", "steps", "payload"])
def test_every_leaf_is_found(name: str, value: Any, where: str) -> None:
    """Also in steps, within other parameters, and in the text of JSON."""
    given = {name: value}
    found = {
        "parameters": secrets_in(None, given, None, None),
        "steps": secrets_in(None, None, [{"to_format": "pdf", "parameters": given}], None),
        "payload": secrets_in(None, {"JsonPayload": json.dumps({"a": [given]})}, None, None),
    }[where]

    assert LEAF in found


@pytest.mark.parametrize("value", NESTED)
def test_value_is_masked_as_it_is_sent(value: Any) -> None:
    """The masker leaves numbers alone, and what is nested deeply: what is stored is text."""
    given = revealed(concealed_parameters({"Cookies": value, "Password": 123456, "PageRange": 3}))

    assert given["Cookies"] in secrets_in(None, {"Cookies": value}, None, None)
    assert ["123456", 3] == [given["Password"], given["PageRange"]]


@pytest.mark.parametrize("name", ["CompareHeaders", "RespectOwnerPassword", "RemoveHeadersFooters"])
@pytest.mark.parametrize("value", [True, False, "false", None])
def test_switch_is_not_a_secret(name: str, value: Any) -> None:
    """Its value is a word that a log is full of."""
    assert [] == secrets_in(None, {name: value}, None, None)
    assert {name: value} == concealed_parameters({name: value})


@pytest.mark.parametrize(
    "text", ["{}", 'a <a href="{}">b</a>', '{{"url": "{}"}}', "see '{}', please"]
)
def test_url_in_any_parameter(text: str) -> None:
    """A parameter may be a URL, or hold one."""
    url = "HTTPS://me:s3cr3t@h.org/a?sig=s1gnature#fr4gment"

    found = secrets_in(None, {"CustomText": [text.format(url)]}, None, None)

    assert {"me:s3cr3t", "s3cr3t", "sig=s1gnature", "fr4gment"} == set(found)


def test_text_that_a_template_made_of_a_mapping() -> None:
    """It is refused when the task runs; until then it is hidden as a whole."""
    text = "{'Password': 's3cr3t'}"

    assert [text] == secrets_in(None, text, None, None)
    assert [text] == secrets_in(None, None, text, None)
    assert [text] == secrets_in(None, None, [{"to_format": "pdf", "parameters": text}], None)


def test_secrets_of_parameters_come_before_those_of_many_urls() -> None:
    """Airflow's masker gets slower with each; a password is never the one that is left out."""
    urls = [f"https://h.org/a?sig={number:032}" for number in range(10_000)]

    found = secrets_in(urls, {"Password": "s3cr3t"}, None, None)

    assert "s3cr3t" == found[0]
    assert len(found) <= 101


_URL = "https://bob:s3cr3t@h.org/a.pdf?sig=s3cr3t"

HOLDING = [
    pytest.param(concealed_uris, _URL, "https://***@h.org/a.pdf", id="source"),
    pytest.param(concealed_uris, {"source": [_URL], "shard": [0, 2]}, None, id="shard"),
    pytest.param(concealed_uris, ["a.pdf", (_URL, "b.pdf")], None, id="sources"),
    pytest.param(concealed_parameters, {"Password": "s3cr3t"}, {"Password": "***"}, id="name"),
    pytest.param(concealed_parameters, {"X": [{"deep": {"token": ["s3cr3t"]}}]}, None, id="deep"),
    pytest.param(concealed_parameters, {"X": '{"token": "s3cr3t"}'}, None, id="json"),
    pytest.param(concealed_parameters, {"X": f"see {_URL}"}, None, id="url-in-text"),
    pytest.param(concealed_parameters, "{'Password': 's3cr3t'}", "***", id="rendered-as-text"),
    pytest.param(
        concealed_steps, [{"to_format": "a", "parameters": {"Token": "s3cr3t"}}], None, id="step"
    ),
    pytest.param(concealed_steps, {"parameters": {"Token": "s3cr3t"}}, None, id="step-alone"),
    pytest.param(concealed_steps, "[{'Token': 's3cr3t'}]", "***", id="steps-as-text"),
]


@pytest.mark.parametrize(("conceal", "value", "shown_as"), HOLDING)
def test_what_is_concealed_shows_in_no_copy(
    conceal: Callable[[Any], Any], value: Any, shown_as: Any
) -> None:
    """Neither text nor JSON of it holds the secret; revealed, it is what was given."""
    safe = conceal(value)

    for text in (str(safe), json.dumps(safe), str(copy.deepcopy(safe))):
        assert "s3cr3t" not in text
    assert shown_as in (None, safe)
    assert json.dumps(value) == json.dumps(revealed(copy.deepcopy(safe)))


def test_secret_that_is_short_or_no_text_is_concealed() -> None:
    """Airflow's masker leaves them alone; revealed, they are the text that is sent."""
    safe = concealed_parameters({"Password": "ab", "Token": 12, "Cookies": {"a": 1}, "X": "//a"})

    assert {"Password": "***", "Token": "***", "Cookies": "***", "X": "//a"} == safe
    assert {"Password": "ab", "Token": "12", "Cookies": '{"a": 1}', "X": "//a"} == revealed(safe)


def test_nothing_secret_stays_the_very_same() -> None:
    """A batch may have a list of a hundred thousand files."""
    files = [f"{number}.pdf" for number in range(3)]

    assert files is concealed_uris(files)
    assert files is revealed(files)


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_bytes_are_masked_and_hidden_as_the_text_that_they_hold(kind: Any) -> None:
    """They are refused when the task runs, and Airflow stores and shows them before."""
    secret, url = kind(b"s3cr3t"), kind(b"https://me:s3cr3t@h.org/a")

    assert "s3cr3t" in secrets_in(None, {"UserPassword": [secret]}, None, None)
    assert "s3cr3t" in secrets_in([url], None, None, None)
    assert "s3cr3t" not in str(concealed_parameters({"UserPassword": secret, "OverlayFile": url}))
    assert "s3cr3t" not in str(concealed_uris([url]))
    assert [url] == revealed(concealed_uris([url]))


@pytest.mark.parametrize("name", ["Authorization", "proxy-authorization", "BearerValue"])
def test_header_given_as_a_parameter_is_secret(name: str) -> None:
    """Its name is that of a header which holds a credential."""
    given = {"Options": [{name: "Bearer s3cr3t"}], name: "Bearer s3cr3t"}

    assert "Bearer s3cr3t" in secrets_in(None, given, None, None)
    assert "s3cr3t" not in str(concealed_parameters(given))
