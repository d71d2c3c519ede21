"""The connection in each form in which Airflow writes and keeps one."""

from __future__ import annotations

import json

import pytest
from airflow.models.connection import Connection as StoredConnection

from airflow_provider_convertapi.airflow_names import BaseHook, Connection
from airflow_provider_convertapi.connection import ConnectionSettings
from tests.core.test_connection import KID, TOKEN, settings

URI_EXTRAS = (
    "auth=jwt_remote&jwt_lifetime=120&client_ip=10.0.0.1%2C10.0.0.2&master_token=m%2Fm"
    "&http_timeout=5.5&job_secret=k%3Dk&allow_http=true&namespace=blue"
)


def from_uri(uri: str) -> list[ConnectionSettings]:
    """Read a URI as workers do, and as the web server does."""
    stored = StoredConnection(conn_id="converter", uri=uri)
    # Airflow 2.11 has one class for both, which reads a URI where it is made.
    from_text = getattr(Connection, "from_uri", lambda text, conn_id: stored)
    worker = from_text(uri, conn_id="converter")
    return [ConnectionSettings.from_connection(read) for read in (worker, stored)]


def test_uri_whose_extras_are_text() -> None:
    """In a URI every extra is text, and everything is percent-encoded."""
    wanted = settings(
        {
            "auth": "jwt_remote",
            "jwt_lifetime": 120,
            "client_ip": "10.0.0.1,10.0.0.2",
            "master_token": "m/m",
            "http_timeout": 5.5,
            "job_secret": "k=k",
            "allow_http": True,
            "namespace": "blue",
        },
        host="eu-v2.convertapi.com",
        password="to/k@en+=",
    )
    uri = f"convertapi://{KID}:to%2Fk%40en%2B%3D@eu-v2.convertapi.com/?{URI_EXTRAS}"

    assert [wanted, wanted] == from_uri(uri)


@pytest.mark.parametrize(
    ("uri", "base_url"),
    [
        (f"convertapi://{KID}:tok@/", "https://v2.convertapi.com"),
        (f"convertapi://{KID}:tok@", "https://v2.convertapi.com"),
        (f"convertapi://{KID}:tok@host.example/", "https://host.example"),
        (f"convertapi://{KID}:tok@host.example:8443/https", "https://host.example:8443"),
        (f"convertapi://https://{KID}:tok@host.example/", "https://host.example"),
        (f"convertapi://http://{KID}:tok@localhost:8080/", "http://localhost:8080"),
        (f"convertapi://{KID}:tok@https%3A%2F%2Fhost.example/", "https://host.example"),
        (f"convertapi://{KID}:tok@http%3A%2F%2F127.0.0.1%3A8080/", "http://127.0.0.1:8080"),
        (f"convertapi://{KID}:tok@[::1]:8080/http", "http://[::1]:8080"),
    ],
)
def test_host_of_a_uri(uri: str, base_url: str) -> None:
    """A URI names the host in each way that Airflow knows."""
    assert [base_url, base_url] == [read.base_url for read in from_uri(uri)]


def test_uri_without_a_kid() -> None:
    """Without a Kid the token itself is sent."""
    for read in from_uri("convertapi://:tok@/"):
        assert (None, "api_token", "tok") == (read.kid, read.auth, read.api_token)


def test_round_trip_through_airflows_uri() -> None:
    """What Airflow writes as URI reads the same."""
    extra = json.dumps({"allow_http": True, "jwt_lifetime": 120, "namespace": "\u00fc &="})
    connection = StoredConnection(
        conn_id="converter",
        conn_type="convertapi",
        host="http://proxy.internal",
        port=8080,
        login=KID,
        password="to/k@en",
        extra=extra,
    )
    read = ConnectionSettings.from_connection(connection)

    assert [read, read] == from_uri(connection.get_uri())


def test_json_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON in an environment variable, extra as object or as text."""
    extra = {"jwt_lifetime": 120, "allow_http": "yes"}
    for written in (extra, json.dumps(extra)):
        fields = {"conn_type": "convertapi", "login": KID, "password": TOKEN, "extra": written}
        monkeypatch.setenv(
            "AIRFLOW_CONN_CONVERTER", json.dumps(fields | {"host": "http://h", "port": "81"})
        )
        read = ConnectionSettings.from_connection(BaseHook.get_connection("converter"))
        assert ("http://h:81", 120, TOKEN) == (read.base_url, read.jwt_lifetime, read.api_token)
