"""Airflow's pages, as tests look at them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from playwright.sync_api import Error

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Request, ViewportSize

    from tests.airflow_parts import Run

LIMIT = 120_000
"""Milliseconds to wait for a page of a busy machine."""

SIZE: ViewportSize = {"width": 1280, "height": 900}
"""A small laptop's window."""

TALL: ViewportSize = {"width": 1280, "height": 1600}
"""A window in which the form with all of its fields needs no scrolling."""

_HIDDEN = """
(line) => {
  let right = document.documentElement.clientWidth;
  for (let box = line; box; box = box.parentElement) {
    if (getComputedStyle(box).overflowX !== 'visible') {
      const edge = box.getBoundingClientRect();
      right = Math.min(right, edge.left + box.clientLeft + box.clientWidth);
    }
  }
  const range = document.createRange();
  range.selectNodeContents(line);
  return Math.max(0, ...[...range.getClientRects()].map((r) => Math.floor(r.right - right)));
}
"""
"""How many whole pixels of an element's text lie beyond the right edge of what cuts it off."""


class Watch:
    """What a page has received and shown.

    :param page: a page that has opened nothing yet.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._texts: dict[str, str] = {}
        page.on("requestfinished", self._keep)

    def _keep(self, request: Request) -> None:
        if request.resource_type not in {"document", "fetch", "xhr"}:
            return
        try:
            answer = request.response()
            text = answer.text() if answer else ""
        except Error:  # the page was left before its answer was read
            return
        name = f"{request.method} {request.url.partition('?')[0]}"
        self._texts[name] = self._texts.get(name, "") + text

    def end(self) -> dict[str, str]:
        """Return the texts by where they were."""
        return self._texts | {"the last page": self._page.locator("body").inner_text()}


def open_task(page: Page, run: Run, task_id: str, tab: str = "") -> None:
    """Open a tab of a task's page."""
    page.goto(f"/dags/{run.dag_id}/runs/{run.run_id}/tasks/{task_id}/{tab}")
    page.get_by_role("heading", name=task_id, exact=True).wait_for()


def open_connections(page: Page) -> None:
    """Open the list of connections."""
    page.goto("/connections")
    page.get_by_role("button", name="Add Connection").wait_for()


def log_of(page: Page) -> Locator:
    """Return the panel that holds a task's log."""
    return page.get_by_test_id("virtualized-list")


def lines_above(page: Page, line: Locator) -> list[Locator]:
    """Return the log's lines above one of them, without those of its closed groups."""
    lines = log_of(page).get_by_test_id(re.compile("^virtualized-item-")).all()
    return [one for one in lines if top_and_end(one)[1] <= top_and_end(line)[0] + 1]


def top_and_end(element: Locator) -> tuple[float, float]:
    """Return how many pixels from the window's top an element begins and ends."""
    box = element.bounding_box()
    assert box, "it is not on the page"
    return box["y"], box["y"] + box["height"]


def cut_off(text: Locator) -> int:
    """Return how many pixels of a text a person must scroll sideways to see; 0 for none."""
    text.scroll_into_view_if_needed()
    hidden: int = text.evaluate(_HIDDEN)
    return hidden


class ConnectionForm:
    """The form of a connection of our type.

    :param page: the list of connections.
    """

    def __init__(self, page: Page) -> None:
        self.dialog = page.get_by_role("dialog")
        self._page = page

    def add(self, conn_id: str) -> None:
        """Open the form for a new connection."""
        self._page.get_by_role("button", name="Add Connection").click()
        self.dialog.get_by_label("Connection ID").fill(conn_id)
        self.dialog.get_by_role("combobox", name="Connection Type").fill("ConvertAPI")
        self._page.get_by_role("option", name="ConvertAPI", exact=True).click()
        self.field("host").wait_for()

    def edit(self, conn_id: str) -> None:
        """Open the form for a connection that exists."""
        row = self._page.get_by_role("row").filter(has_text=conn_id)
        row.get_by_role("button", name="Edit Connection").click()
        self.field("host").wait_for()

    def open_extra(self) -> None:
        """Open the part that holds the extra fields."""
        self.dialog.get_by_role("button", name="Extra Fields", exact=True).click()

    def field(self, name: str) -> Locator:
        """Return the input of a field that every connection has."""
        return self.dialog.locator(f"[name={name}]")

    def extra(self, name: str) -> Locator:
        """Return the input of an extra field; of a list, the hidden one that holds its value."""
        return self.dialog.locator(f"[name=element_{name}]")

    def fill_extra(self, name: str, label: str, value: Any) -> None:
        """Give an extra field a value, as a person does."""
        if isinstance(value, bool):
            if self.extra(name).is_checked() != value:
                self.extra(name).press("Space")  # the switch that a person clicks has no name
        elif self.extra(name).get_attribute("type") == "hidden":
            self.dialog.get_by_role("combobox", name=label).click()
            self._page.get_by_role("option", name=value, exact=True).click()
        else:
            self.extra(name).fill(str(value))

    def save(self) -> None:
        """Save, and wait until the form is gone."""
        self.dialog.get_by_role("button", name="Save").click()
        self.dialog.wait_for(state="hidden")
