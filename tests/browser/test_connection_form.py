"""The connection, from the empty form to the Test button."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet
from playwright.sync_api import expect

from airflow_provider_convertapi.provider_info import get_provider_info
from tests.browser.pages import LIMIT, TALL, ConnectionForm, open_connections

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator, Page

    from convertapi_sandbox import Sandbox
    from tests.airflow_parts import Airflow

[TYPE] = get_provider_info()["connection-types"]
EXTRA: dict[str, dict[str, Any]] = TYPE["conn-fields"]
LABELS: dict[str, str] = TYPE["ui-field-behaviour"]["relabeling"]
PLACEHOLDERS: dict[str, str] = TYPE["ui-field-behaviour"]["placeholders"]

KID = "11111111-2222-4333-8444-555555555555"
JOB_SECRET = "canary-of-the-job-secret"
VALUES: dict[str, Any] = {
    "auth": "jwt",
    "client_ip": "127.0.0.1",
    "jwt_lifetime": 900,
    "http_timeout": 30,
    "allow_http": True,
    "namespace": "harbour",
    "job_secret": JOB_SECRET,
}

_WIDER = """
(input) => {
  const style = getComputedStyle(input);
  const context = document.createElement('canvas').getContext('2d');
  context.font = style.font;
  const room = input.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  return Math.max(0, context.measureText(input.placeholder).width - room);
}
"""
"""How many pixels of an input's placeholder do not fit."""


@pytest.fixture
def form(page: Page) -> ConnectionForm:
    """Provide the list of connections, and the form that opens on it."""
    open_connections(page)
    return ConnectionForm(page)


def stored(airflow: Airflow, conn_id: str) -> dict[str, Any]:
    """Return a connection as it is in Airflow's database."""
    query = "select description, host, login, password, extra from connection where conn_id = ?"
    database = sqlite3.connect(f"file:{airflow.home}/airflow.db?mode=ro", uri=True)
    try:
        [row] = database.execute(query, [conn_id]).fetchall()
    finally:
        database.close()
    key = Fernet(airflow.environment["AIRFLOW__CORE__FERNET_KEY"])
    description, host, login, password, extra = row
    return {
        "description": description,
        "host": host,
        "login": login,
        "password": key.decrypt(password.encode()).decode(),
        "extra": json.loads(key.decrypt(extra.encode())),
    }


def test_empty_form_explains_itself(
    page: Page, form: ConnectionForm, screenshot: Callable[[str, Locator | float], None]
) -> None:
    """Each field has its label, and its placeholder or help text, none of which is cut off."""
    form.add("convertapi_default")

    for name, label in LABELS.items():
        expect(form.dialog.get_by_label(label, exact=True)).to_have_attribute("name", name)
    for name, placeholder in PLACEHOLDERS.items():
        expect(form.field(name)).to_have_attribute("placeholder", placeholder)
        assert 0 == form.field(name).evaluate(_WIDER), name
    for name in TYPE["ui-field-behaviour"]["hidden-fields"]:
        expect(form.field(name)).to_have_count(0)
    screenshot("connection-form", form.dialog)

    page.set_viewport_size(TALL)
    form.open_extra()
    for field in EXTRA.values():
        expect(form.dialog.get_by_text(field["label"], exact=True)).to_be_visible()
        expect(form.dialog.get_by_text(field["description"], exact=True)).to_be_visible()
    screenshot("connection-extra-fields", form.dialog)


def test_form_saves_every_field_and_an_edit_keeps_the_secrets(
    form: ConnectionForm, airflow: Airflow, service: Sandbox, secrets: set[str]
) -> None:
    """What a person fills in is stored with its type; an edit of one field changes that alone."""
    values = VALUES | {"master_token": service.master_token}
    assert set(EXTRA) == set(values)
    secrets.add(JOB_SECRET)
    form.add("from_form")
    form.field("host").fill(service.url)
    form.field("login").fill(KID)
    form.field("password").fill(service.token)
    form.open_extra()
    for name, value in values.items():
        form.fill_extra(name, EXTRA[name]["label"], value)
    form.save()

    kept = {
        "description": None,
        "host": service.url,
        "login": KID,
        "password": service.token,
        "extra": values,
    }
    assert kept == stored(airflow, "from_form")

    form.edit("from_form")
    form.field("description").fill("The harbour's account")
    form.open_extra()
    assert str(values["namespace"]) == form.extra("namespace").input_value()
    assert {"***"} == {form.extra(name).input_value() for name in ("master_token", "job_secret")}
    form.fill_extra("http_timeout", EXTRA["http_timeout"]["label"], 45)
    form.save()

    kept |= {"description": "The harbour's account", "extra": values | {"http_timeout": 45}}
    assert kept == stored(airflow, "from_form")


def test_form_saves_nothing_that_was_not_filled_in(
    form: ConnectionForm, airflow: Airflow, service: Sandbox
) -> None:
    """A field that a person left alone has no value that a later release could not change."""
    form.add("only_token")
    form.field("password").fill(service.token)
    form.open_extra()
    form.save()

    extra = stored(airflow, "only_token")["extra"]
    assert {} == {name: value for name, value in extra.items() if value not in (None, "")}


def press_test(page: Page, conn_id: str) -> dict[str, Any]:
    """Press a connection's Test button, and return the server's answer."""
    open_connections(page)
    row = page.get_by_role("row").filter(has_text=conn_id)
    with page.expect_response("**/connections/test") as answer:
        row.get_by_role("button", name="Test Connection").click()
    body: dict[str, Any] = answer.value.json()
    return body


@pytest.mark.parametrize("conn_id", ["good_token", "wrong_token"])
def test_button_says_what_is_wrong(
    conn_id: str, page: Page, airflow: Airflow, service: Sandbox
) -> None:
    """The page shows why ConvertAPI refuses a connection; it stays quiet about a good one."""
    is_good = conn_id == "good_token"
    connection = {
        "connection_id": conn_id,
        "conn_type": "convertapi",
        "host": service.url,
        "login": KID,
        "password": service.token if is_good else "wrong-token-0123456789",
        "port": 0,  # what the page sends where the form hides the port
    }
    airflow.call("POST", "connections", json=connection)

    answer = press_test(page, conn_id)

    assert is_good == answer["status"]
    notice = page.get_by_text("Test Connection Failed")
    if is_good:
        assert f"{service.url} accepts the API token" in answer["message"]
        expect(notice).to_have_count(0)
    else:
        expect(notice).to_be_visible()
        expect(page.get_by_text("HTTP 401").first).to_be_visible()


def test_button_needs_a_port_on_airflow_3_3(page: Page, airflow: Airflow, service: Sandbox) -> None:
    """Airflow 3.3 refuses to test what its own form has saved, as docs/connection.md says.

    The page sends port 0 and the server compares it with none.  `airflow connections test` works.
    """
    open_connections(page)
    form = ConnectionForm(page)
    form.add("to_be_tested")
    form.field("host").fill(service.url)
    form.field("login").fill(KID)
    form.field("password").fill(service.token)
    form.save()

    answer = press_test(page, "to_be_tested")

    if version("apache-airflow").startswith("3.3."):
        expect(page.get_by_text("Bad Request")).to_be_visible()
    else:
        assert answer["status"], answer
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "airflow", "connections", "test", "to_be_tested"],
        env=os.environ | airflow.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT / 1000,
    )
    assert "Connection success!" in done.stdout, done.stdout + done.stderr
