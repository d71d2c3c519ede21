"""The values on the page about secrets backends arrive in every field, as Airflow reads them."""

from __future__ import annotations

import json
import re
from configparser import ConfigParser
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.airflow_names import BaseHook
from airflow_provider_convertapi.connection import ConnectionSettings
from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook
from airflow_provider_convertapi.provider_info import get_provider_info
from tests.docs.blocks import blocks

if TYPE_CHECKING:
    from convertapi_sandbox import Sandbox

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "secrets-backends.md"
CONN_ID = "from_the_page"
VARIABLE = f"AIRFLOW_CONN_{CONN_ID.upper()}"
WRITTEN = re.compile(r"cat > connection\.(\w+) <<'END'\n(.*?)\nEND\n", re.DOTALL)

EXPECTED = ConnectionSettings(
    conn_id=CONN_ID,
    base_url="https://eu-v2.convertapi.com",
    kid="11111111-2222-4333-8444-555555555555",
    auth="jwt",
    jwt_lifetime=900,
    client_ip="192.0.2.1,192.0.2.2",
    http_timeout=90.0,
    namespace="production",
    api_token="YOUR-API-TOKEN",
    master_token="YOUR-MASTER-TOKEN",
    job_secret="A-SECRET-OF-YOUR-OWN",
)


def value(form: str) -> str:
    """Return the connection that the page writes as `json` or `uri`."""
    written: dict[str, str] = dict(
        found for block in blocks(PAGE) for found in WRITTEN.findall(block.code)
    )
    return written[form]


def backends() -> dict[str, dict[str, Any]]:
    """Return the backends that the page configures, each with its arguments."""
    found = {}
    for block in blocks(PAGE):
        if block.language == "ini":
            config = ConfigParser()
            config.read_string(block.code)
            section = config["secrets"]
            found[section["backend"]] = json.loads(section["backend_kwargs"])
    return found


def read() -> ConnectionSettings:
    """Return what the provider reads of the connection that Airflow finds."""
    return ConnectionSettings.from_connection(BaseHook.get_connection(CONN_ID))


@pytest.mark.parametrize("form", ["json", "uri"])
def test_environment(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The JSON and the URI are the same account, field by field."""
    monkeypatch.setenv(VARIABLE, value(form))

    found = read()

    assert EXPECTED == found
    # `repr` hides secrets, and so would a failing comparison.
    assert {f.name: getattr(EXPECTED, f.name) for f in fields(EXPECTED)} == {
        f.name: getattr(found, f.name) for f in fields(found)
    }


def test_page_has_every_field() -> None:
    """No extra of the connection is missing in the JSON."""
    [kind] = get_provider_info()["connection-types"]

    assert set(kind["conn-fields"]) == set(json.loads(value("json"))["extra"])


@pytest.mark.parametrize("form", ["json", "uri"])
def test_file(form: str, tmp_path: Path) -> None:
    """The local filesystem backend reads both."""
    from airflow.secrets.local_filesystem import LocalFilesystemBackend

    file = tmp_path / "connections.json"
    written = value(form)
    file.write_text(json.dumps({CONN_ID: json.loads(written) if form == "json" else written}))

    connection: Any = LocalFilesystemBackend(connections_file_path=str(file)).get_connection(
        CONN_ID
    )

    assert EXPECTED == ConnectionSettings.from_connection(connection)


@pytest.mark.long  # it starts an emulator of AWS
@pytest.mark.parametrize("form", ["json", "uri"])
def test_aws_secrets_manager(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The AWS backend, which takes JSON apart and puts it together again, reads both."""
    import boto3
    from airflow.providers.amazon.aws.secrets.secrets_manager import SecretsManagerBackend
    from moto import mock_aws

    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    backend = f"{SecretsManagerBackend.__module__}.{SecretsManagerBackend.__name__}"
    [name] = re.findall(r"create-secret --name (\S+)", PAGE.read_text("utf-8"))
    with mock_aws():
        boto3.client("secretsmanager").create_secret(Name=name, SecretString=value(form))
        serialized = SecretsManagerBackend(**backends()[backend]).get_conn_value(
            ConvertApiHook.default_conn_name
        )
    assert serialized is not None
    monkeypatch.setenv(VARIABLE, serialized)

    assert EXPECTED == read()


@pytest.mark.parametrize("form", ["json", "uri"])
def test_hook_accepts_it(
    form: str, convertapi_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a token that exists, and the sandbox for ConvertAPI, the Test button says yes."""
    address = convertapi_sandbox.url.partition("://")[2]
    port = {"json": f"http://{address}", "uri": f"{address}/http"}[form]
    host = {"json": "https://eu-v2.convertapi.com", "uri": "eu-v2.convertapi.com/"}[form]
    written = (
        value(form)
        .replace(host, port)
        .replace("YOUR-API-TOKEN", convertapi_sandbox.token)
        .replace("YOUR-MASTER-TOKEN", convertapi_sandbox.master_token)
        .replace("192.0.2.1", "127.0.0.1")  # it tests what is bound to these addresses, too
    )
    monkeypatch.setenv(VARIABLE, written)

    accepted, message = ConvertApiHook(CONN_ID).test_connection()

    assert accepted, message
    assert "accepts the API token and the Kid. The master token is accepted" in message


def test_other_backends_are_configured_with_json() -> None:
    """What the page puts into Airflow's configuration can be read, also for backends not run."""
    assert ["secret_manager", "secrets_manager", "vault"] == sorted(
        backend.split(".")[-2] for backend in backends()
    )
