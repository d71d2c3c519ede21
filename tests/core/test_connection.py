"""The connection: what each field may hold, and what is said of one that does not."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_convertapi.connection import ConnectionSettings
from airflow_provider_convertapi.errors import ConnectionConfigError

KID = "11111111-2222-4333-8444-555555555555"
TOKEN = "api-token-0123456789"


def connection(extra: str | None, **fields: Any) -> Any:
    """Return what is read of Airflow's connection: all that there is of it here."""
    defaults = {"host": None, "port": None, "schema": None, "login": KID, "password": TOKEN}
    return SimpleNamespace(conn_id="converter", extra=extra, **defaults | fields)


def settings(extra: Any = None, **fields: Any) -> ConnectionSettings:
    """Read a connection that is right but for what is given."""
    return ConnectionSettings.from_connection(
        connection(None if extra is None else json.dumps(extra), **fields)
    )


def test_as_little_as_there_can_be() -> None:
    """Token and Kid are enough: everything else has a default."""
    assert (
        ConnectionSettings(
            conn_id="converter",
            base_url="https://v2.convertapi.com",
            kid=KID,
            auth="jwt",
            jwt_lifetime=3600,
            client_ip=None,
            http_timeout=60.0,
            namespace="",
            api_token=TOKEN,
            master_token=None,
            job_secret=None,
        )
        == settings()
    )


def test_every_field() -> None:
    """Each field has its say."""
    extra = {
        "auth": "jwt_remote",
        "jwt_lifetime": 120,
        "client_ip": "10.0.0.1, 10.0.0.2",
        "master_token": "master",
        "http_timeout": 5.5,
        "job_secret": "key",
        "allow_http": True,
        "namespace": "blue",
    }

    assert ConnectionSettings(
        conn_id="converter",
        base_url="http://proxy.internal:8080",
        kid=KID,
        auth="jwt_remote",
        jwt_lifetime=120,
        client_ip="10.0.0.1,10.0.0.2",
        http_timeout=5.5,
        namespace="blue",
        api_token=TOKEN,
        master_token="master",
        job_secret="key",
    ) == settings(extra, host="http://proxy.internal", port=8080)


def test_form_that_was_saved_empty() -> None:
    """Airflow's form saves what was left empty as nothing or as an empty text."""
    names = ("auth", "jwt_lifetime", "client_ip", "master_token", "http_timeout", "job_secret")
    for empty in (None, "", "  "):
        extra = dict.fromkeys([*names, "allow_http", "namespace"], empty)
        assert settings() == settings(extra, host="", schema="")


# --------------------------------------------------------------------------------------
# Good values
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({"host": None}, "https://v2.convertapi.com"),
        ({"host": ""}, "https://v2.convertapi.com"),
        ({"host": "  "}, "https://v2.convertapi.com"),
        ({"host": "eu-v2.convertapi.com"}, "https://eu-v2.convertapi.com"),
        ({"host": " https://eu-v2.convertapi.com/ "}, "https://eu-v2.convertapi.com"),
        ({"host": "HTTPS://EU-v2.ConvertAPI.com"}, "https://eu-v2.convertapi.com"),
        ({"host": "host.example", "port": 8443}, "https://host.example:8443"),
        ({"host": "https://host.example:444", "port": 8443}, "https://host.example:444"),
        ({"host": "host.example:444"}, "https://host.example:444"),
        ({"host": "127.0.0.1:80", "schema": "http"}, "http://127.0.0.1:80"),
        ({"host": "https://host.example", "schema": "http"}, "https://host.example"),
        ({"host": "http://127.0.0.1:8080"}, "http://127.0.0.1:8080"),
        ({"host": "http://127.1.2.3"}, "http://127.1.2.3"),
        ({"host": "http://localhost"}, "http://localhost"),
        ({"host": "http://LOCALHOST:1"}, "http://localhost:1"),
        ({"host": "http://[::1]:8080"}, "http://[::1]:8080"),
        ({"host": "::1", "schema": "http", "port": 8080}, "http://[::1]:8080"),
        ({"host": "2001:DB8::1"}, "https://[2001:db8::1]"),
        ({"host": "b\u00fccher.example"}, "https://b\u00fccher.example"),
        ({"host": "my_service"}, "https://my_service"),
        ({"host": "eu-v2.convertapi.com."}, "https://eu-v2.convertapi.com."),
    ],
)
def test_base_url(fields: dict[str, Any], base_url: str) -> None:
    """A base URL or a bare host, with the port in either place."""
    assert base_url == settings(**fields).base_url


@pytest.mark.parametrize("word", [True, "true", 1, "on", " YES "])
def test_plain_http_where_it_is_allowed(word: object) -> None:
    """Plain http to another machine needs a word."""
    read = settings({"allow_http": word}, host="http://proxy.internal")

    assert "http://proxy.internal" == read.base_url


@pytest.mark.parametrize(
    ("extra", "login", "auth"),
    [
        ({}, KID, "jwt"),
        ({}, f" {KID.upper()} ", "jwt"),
        ({}, None, "api_token"),
        ({}, "", "api_token"),
        ({"auth": "api_token"}, KID, "api_token"),
        ({"auth": "api_token"}, None, "api_token"),
        ({"auth": "jwt_remote"}, KID, "jwt_remote"),
        ({"auth": " JWT "}, KID, "jwt"),
    ],
)
def test_auth(extra: dict[str, str], login: str | None, auth: str) -> None:
    """With a Kid a JWT is signed, without one the token is sent, unless the user says otherwise."""
    assert auth == settings(extra, login=login).auth


@pytest.mark.parametrize(
    ("client_ip", "read"),
    [
        ("10.0.0.1", "10.0.0.1"),
        (" localhost , 10.0.0.1 ,", "localhost,10.0.0.1"),
        (["10.0.0.1", " 10.0.0.2"], "10.0.0.1,10.0.0.2"),
        ([], None),
        (" , ", None),
    ],
)
def test_client_ip(client_ip: object, read: str | None) -> None:
    """The claim is a list with commas and nothing else."""
    assert read == settings({"client_ip": client_ip}).client_ip


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("jwt_lifetime", "90", 90),
        ("jwt_lifetime", 90.9, 90),
        ("jwt_lifetime", 1, 1),
        ("http_timeout", "0.1", 0.1),
        ("http_timeout", 86400, 86400.0),
        ("namespace", 7, "7"),
        ("namespace", " blue ", "blue"),
    ],
)
def test_plain_values(name: str, value: object, read: object) -> None:
    """Numbers may come as text, text as a number."""
    assert read == getattr(settings({name: value}), name)


def test_token_with_a_line_break_at_its_end() -> None:
    """A token that was read from a file is the token without the file's last line break."""
    assert TOKEN == settings(password=f"{TOKEN}\n").api_token


def test_key_of_ids() -> None:
    """The job secret outlives a token; without one the token keys the ids."""
    assert TOKEN == settings().id_key
    assert "key" == settings({"job_secret": "key"}).id_key


def test_worldwide_host_is_known() -> None:
    """The GeoDNS host may answer from another region next time; a regional one does not."""
    assert settings().is_geo_routed
    assert settings(host="https://V2.convertapi.com:443").is_geo_routed
    assert not settings(host="eu-v2.convertapi.com").is_geo_routed


def test_secrets() -> None:
    """What must never be shown is listed, and in no representation."""
    secrets = {"master_token": "master-secret", "job_secret": "key-secret"}
    read = settings(secrets)

    assert [TOKEN, "master-secret", "key-secret"] == read.secrets
    assert [TOKEN] == settings().secrets
    for secret in read.secrets:
        assert secret not in repr(read)
        assert secret not in str(read)


def test_settings_are_a_value() -> None:
    """They can be compared, hashed, and not be changed."""
    read = settings()

    assert 1 == len({read, settings()})
    with pytest.raises(dataclasses.FrozenInstanceError):
        read.api_token = "other"  # type: ignore[misc]  # that is the point


# --------------------------------------------------------------------------------------
# Bad values: (fields, extra, what the message names, its remedy)
# --------------------------------------------------------------------------------------

SECRET = "pasted-into-the-wrong-field"

BAD: list[tuple[dict[str, Any], Any, str, str]] = [
    ({"password": None}, None, "password", "put the API token there"),
    ({"password": ""}, None, "password", "put the API token there"),
    ({"password": "  \n"}, None, "password", "put the API token there"),
    ({"password": "***"}, None, "password", "enter the secret again"),
    ({"password": "********"}, None, "password", "enter the secret again"),
    ({"password": f"Bearer {SECRET}"}, None, "password", "paste it again"),
    ({"password": f'"{SECRET}"'}, None, "password", "a quotation mark"),
    ({}, {"master_token": f"'{SECRET}'"}, "extra master_token", "a quotation mark"),
    ({"password": f"{SECRET}\r\nX-Injected:1"}, None, "password", "paste it again"),
    ({"password": f"\u201c{SECRET}\u201d"}, None, "password", "paste it again"),
    ({"password": f"{SECRET}\x00"}, None, "password", "paste it again"),
    ({}, {"master_token": "***"}, "extra master_token", "enter the secret again"),
    ({}, {"master_token": f"{SECRET} x"}, "extra master_token", "paste it again"),
    ({}, {"job_secret": "***"}, "extra job_secret", "enter the secret again"),
    ({}, {"job_key": SECRET}, "extra job_key", "call it job_secret"),
    ({}, {"job_secret": {"a": SECRET}}, "extra job_secret", "write it as text"),
    ({"login": SECRET}, None, "login (the Kid)", "copy the Kid"),
    ({"login": KID + "0"}, None, "login (the Kid)", "copy the Kid"),
    ({"login": KID[:-1]}, None, "login (the Kid)", "copy the Kid"),
    ({"login": f"{{{KID}}}"}, None, "login (the Kid)", "copy the Kid"),
    ({"login": KID.replace("1", "g")}, None, "login (the Kid)", "copy the Kid"),
    ({"login": "***"}, None, "login (the Kid)", "copy the Kid"),
    ({}, {"auth": SECRET}, "extra auth", "one of jwt, jwt_remote, api_token"),
    ({}, {"auth": True}, "extra auth", "write it as text"),
    ({}, {"auth": ["jwt"]}, "extra auth", "write it as text"),
    ({"login": None}, {"auth": "jwt"}, "login (the Kid)", "set auth to 'api_token'"),
    ({"login": " "}, {"auth": "jwt_remote"}, "login (the Kid)", "set auth to 'api_token'"),
    ({}, {"jwt_lifetime": 0}, "extra jwt_lifetime", "seconds, 1 to 31,622,400"),
    ({}, {"jwt_lifetime": -5}, "extra jwt_lifetime", "a number of seconds"),
    ({}, {"jwt_lifetime": "1h"}, "extra jwt_lifetime", "a number of seconds"),
    ({}, {"jwt_lifetime": 1e12}, "extra jwt_lifetime", "a number of seconds"),
    ({}, {"jwt_lifetime": True}, "extra jwt_lifetime", "write it as text"),
    ({}, {"jwt_lifetime": [60]}, "extra jwt_lifetime", "write it as text"),
    ({}, {"http_timeout": 0}, "extra http_timeout", "seconds, 0.1 to 86,400"),
    ({}, {"http_timeout": "inf"}, "extra http_timeout", "a number of seconds"),
    ({}, {"http_timeout": "nan"}, "extra http_timeout", "a number of seconds"),
    ({}, {"http_timeout": 1e9}, "extra http_timeout", "a number of seconds"),
    ({}, {"http_timeout": "sixty"}, "extra http_timeout", "a number of seconds"),
    ({}, {"allow_http": "perhaps"}, "extra allow_http", "true or false"),
    ({}, {"allow_http": 2}, "extra allow_http", "true or false"),
    ({}, {"namespace": {"a": 1}}, "extra namespace", "write it as text"),
    ({}, {"namespace": False}, "extra namespace", "write it as text"),
    ({}, {"client_ip": {"a": 1}}, "extra client_ip", "write it as text"),
    ({}, {"client_ip": True}, "extra client_ip", "write it as text"),
    ({}, {"client_ip": ["10.0.0.1", None]}, "extra client_ip", "write it as text"),
    ({}, {"client_ip": ["10.0.0.1", 10.2]}, "extra client_ip", "write it as text"),
    ({}, {"client_ip": [["10.0.0.1"]]}, "extra client_ip", "write it as text"),
    ({}, {"master_token": True}, "extra master_token", "write it as text"),
    ({}, {"master_token": []}, "extra master_token", "write it as text"),
    ({}, {"job_secret": False}, "extra job_secret", "write it as text"),
    ({"host": "http://v2.convertapi.com"}, None, "host", "use https"),
    ({"schema": "http"}, None, "host", "use https"),
    ({"host": "http://10.0.0.1"}, {"allow_http": False}, "host", "set extra allow_http"),
    ({"host": "http://0.0.0.0"}, None, "host", "use https"),
    ({"host": "http://[2001:db8::1]"}, None, "host", "use https"),
    ({"host": "http://localhost.example"}, None, "host", "use https"),
    ({"host": "http://127.0.0.1.example"}, None, "host", "use https"),
    ({"host": f"https://{KID}:{SECRET}@host.example"}, None, "host", "no path"),
    ({"host": f"https://@host.example/{SECRET}"}, None, "host", "no path"),
    ({"host": f"https://host.example?Secret={SECRET}"}, None, "host", "no path"),
    ({"host": "https://host.example#x"}, None, "host", "no path"),
    ({"host": "https://v2.convertapi.com/convert"}, None, "host", "no path"),
    ({"host": "v2.convertapi.com/convert/docx/to/pdf"}, None, "host", "no path"),
    ({"host": "https://v2.convertapi.com\\@evil.example"}, None, "host", "no path"),
    ({"host": "ftp://host.example"}, None, "host", "neither a host nor https://host"),
    ({"host": "https://"}, None, "host", "neither a host nor https://host"),
    ({"host": "two words"}, None, "host", "neither a host nor https://host"),
    ({"host": "***"}, None, "host", "neither a host nor https://host"),
    ({"host": "https://["}, None, "host", "neither a host nor https://host"),
    ({"host": "https://[zz]"}, None, "host", "neither a host nor https://host"),
    ({"host": "a..b"}, None, "host", "neither a host nor https://host"),
    ({"host": "a" * 64 + ".example"}, None, "host", "neither a host nor https://host"),
    ({"host": "\u00fc" * 60 + ".example"}, None, "host", "neither a host nor https://host"),
    ({"host": "v2.convert\napi.com"}, None, "host", "neither a host nor https://host"),
    ({"host": "https://v2.convertapi.com\r\nevil.example"}, None, "host", "neither a host"),
    ({"host": "v2.\tconvertapi.com"}, None, "host", "neither a host nor https://host"),
    ({"host": "a." * 127}, None, "host", "neither a host nor https://host"),
    ({"host": "https:"}, None, "host", "neither a host nor https://host"),
    ({"host": "https://:443"}, None, "host", "neither a host nor https://host"),
    ({"host": "host.example", "schema": "convert/x"}, None, "schema", "leave it empty"),
    ({"host": "https://host.example:port"}, None, "port", "1 to 65535"),
    ({"host": "https://host.example:99999"}, None, "port", "1 to 65535"),
    ({"host": "https://host.example:0"}, None, "port", "1 to 65535"),
    ({"port": 70000}, None, "port", "1 to 65535"),
    ({"port": -1}, None, "port", "1 to 65535"),
]


@pytest.mark.parametrize(("fields", "extra", "name", "remedy"), BAD)
def test_bad_field(fields: dict[str, Any], extra: Any, name: str, remedy: str) -> None:
    """A field that is wrong is named with its connection and the remedy; no secret is repeated."""
    with pytest.raises(ConnectionConfigError) as caught:
        settings(extra, **fields)

    message = str(caught.value)
    assert message.startswith(f"Connection 'converter': {name}")
    assert remedy in message
    assert message.endswith(".")
    assert SECRET not in message
    assert None is caught.value.__cause__
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    "extra", ["nonsense", f'{{"auth": "{SECRET}"', "[1]", '"jwt"', "null", "5", "[" * 100_000]
)
def test_bad_extra(extra: str) -> None:
    """An extra that is no JSON object is not taken for an empty one, as Airflow does."""
    with pytest.raises(ConnectionConfigError) as caught:
        ConnectionSettings.from_connection(connection(extra))

    wanted = (
        "Connection 'converter': extra is not a JSON object; write it like "
        """{"auth": "jwt"}."""
    )
    assert wanted == str(caught.value)


@pytest.mark.parametrize(
    ("extra", "fields", "said"),
    [
        ({"jwt_lifetme": 60}, {}, r"extra jwt_lifetme is unknown.*did you mean jwt_lifetime\?"),
        ({"colour": "red"}, {}, r"extra colour is unknown.*it may be auth, jwt_lifetime, "),
        (None, {"conn_type": "aws", "login": "AKIA"}, r"type is 'aws' and not 'convertapi'"),
        ({"region_name": "eu"}, {"conn_type": "aws"}, r"type is 'aws' and not 'convertapi'"),
    ],
)
def test_connection_to_something_else(extra: Any, fields: dict[str, Any], said: str) -> None:
    """What would be ignored is named, and a connection of another type is called that."""
    with pytest.raises(ConnectionConfigError, match=f"'converter': {said}"):
        settings(extra, **fields)


@pytest.mark.parametrize("conn_type", ["convertapi", "", None])
def test_type_may_be_left_out(conn_type: str | None) -> None:
    """JSON in an environment variable need not name it."""
    assert settings(conn_type=conn_type) == settings()
