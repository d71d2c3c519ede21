"""Paper: sizes by name, margins, and the page described by parameters; lengths in points."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convertapi_sandbox.jobs import Parameters

POINTS_PER = {"pt": 1.0, "in": 72.0, "mm": 72 / 25.4, "cm": 72 / 2.54, "px": 0.75, "pc": 12.0}
MM = POINTS_PER["mm"]

# Millimetres, portrait (ISO 216; ANSI for the others).
_SIZES = {
    **{f"a{n}": size for n, size in enumerate(
        [(841, 1189), (594, 841), (420, 594), (297, 420), (210, 297), (148, 210), (105, 148),
         (74, 105), (52, 74), (37, 52), (26, 37)])},
    **{f"b{n}": size for n, size in enumerate(
        [(1000, 1414), (707, 1000), (500, 707), (353, 500), (250, 353), (176, 250)])},
    "letter": (215.9, 279.4),
    "lettersmall": (215.9, 279.4),
    "a4small": (210, 297),
    "legal": (215.9, 355.6),
    "tabloid": (279.4, 431.8),
    "ledger": (279.4, 431.8),
    "statement": (139.7, 215.9),
    "executive": (184.15, 266.7),
}  # fmt: skip
_LARGEST = 14400.0  # points; the limit for a PDF page


@dataclass(frozen=True, slots=True)
class Page:
    """A page and its margins, in points."""

    width: float = 210 * MM
    height: float = 297 * MM
    top: float = 56.7
    right: float = 56.7
    bottom: float = 56.7
    left: float = 56.7

    @property
    def box(self) -> tuple[float, float]:
        """Return width and height within the margins, but at least a few points."""
        return (
            max(self.width - self.left - self.right, 36.0),
            max(self.height - self.top - self.bottom, 36.0),
        )

    def typst(self) -> str:
        """Return the arguments of typst's `page`."""
        box = self.box
        # Margins that leave no room are shrunk: otherwise the text would never end.
        across = min(1.0, (self.width - box[0]) / max(self.left + self.right, 0.01))
        along = min(1.0, (self.height - box[1]) / max(self.top + self.bottom, 0.01))
        return (
            f"width: {self.width:.2f}pt, height: {self.height:.2f}pt, margin: ("
            f"top: {self.top * along:.2f}pt, bottom: {self.bottom * along:.2f}pt, "
            f"left: {self.left * across:.2f}pt, right: {self.right * across:.2f}pt)"
        )


def size(name: str) -> tuple[float, float]:
    """Return width and height of a named size, portrait."""
    width, height = _SIZES[name.lower()]
    return width * MM, height * MM


def oriented(width: float, height: float, orientation: object) -> tuple[float, float]:
    """Turn a size to "portrait" or "landscape"; any other value leaves it unchanged."""
    if (orientation == "portrait" and width > height) or (
        orientation == "landscape" and height > width
    ):
        return height, width
    return width, height


def asked_for(page: Page, parameters: Parameters, unit: float = MM) -> Page:
    """Return the page with the changes that the parameters ask for.

    Args:
        page: The page of the document, or the converter's default.
        parameters: PageSize, PageWidth and PageHeight (mm), PageOrientation, the four margins,
            MarginHorizontal and MarginVertical.
        unit: Points in one unit of a margin.
    """
    width, height = page.width, page.height
    name = str(parameters.get("PageSize", "default")).lower()
    if name in _SIZES:
        width, height = size(name)
    width = float(parameters["PageWidth"]) * MM if "PageWidth" in parameters else width
    height = float(parameters["PageHeight"]) * MM if "PageHeight" in parameters else height
    width, height = oriented(width, height, parameters.get("PageOrientation"))
    margins = {
        side.lower(): float(parameters[key]) * unit
        for side, general in _SIDES.items()
        for key in (general, f"Margin{side}")
        if key in parameters
    }
    return replace(page, width=min(width, _LARGEST), height=min(height, _LARGEST), **margins)


_SIDES = {
    "Top": "MarginVertical",
    "Bottom": "MarginVertical",
    "Left": "MarginHorizontal",
    "Right": "MarginHorizontal",
}
