"""Links between the pages lead somewhere, and the README leads to every page."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [*sorted(ROOT.glob("*.md")), ROOT / "sandbox" / "README.md", *DOCS]

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PUBLISHED = [ROOT / "README.md", ROOT / "sandbox" / "README.md"]
"""Pages that package indexes show, where a relative link leads nowhere."""

CODE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
REPOSITORY = re.compile(rf"{re.escape(PROJECT['urls']['Source'])}/(blob|tree)/main/")
RAW = f"{PROJECT['urls']['Source']}/".replace("github.com", "raw.githubusercontent.com") + "main/"
"""Where the README's pictures are: a page of the repository is not an image."""

HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def links(page: Path) -> list[str]:
    """Return the targets of a page's links."""
    return LINK.findall(CODE.sub("", page.read_text(encoding="utf-8")))


def target_of(page: Path, link: str) -> Path | None:
    """Return the file of this repository that a link leads to; None for another site."""
    name = link.partition("#")[0]
    if own := REPOSITORY.match(link):
        return ROOT / name[own.end() :]
    if name.startswith(RAW):
        return ROOT / name.removeprefix(RAW)
    if "://" in name:
        return None
    return (page.parent / name).resolve() if name else page


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = HEADING.findall(CODE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """Each link's file exists, and has the heading that it names."""
    broken = []
    for link in links(page):
        target, anchor = target_of(page, link), link.partition("#")[2]
        if target is None:
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert [] == broken


@pytest.mark.parametrize("page", PUBLISHED, ids=["provider", "sandbox"])
def test_links_of_a_published_page_are_absolute(page: Path) -> None:
    """On a package index's page, too, each link leads somewhere: to a file or a folder."""
    home = PROJECT["urls"]["Source"]

    assert [] == [link for link in links(page) if "://" not in link and not link.startswith("#")]
    for link in links(page):
        if link.startswith(f"{home}/"):
            own = REPOSITORY.match(link)
            assert own, link
            target = target_of(page, link)
            assert target
            assert ("tree" if target.is_dir() else "blob") == own[1], link


def test_every_picture_is_shown() -> None:
    """Each picture is on a page, and small enough for it."""
    pictures = sorted((ROOT / "docs" / "images").iterdir())
    shown = {target_of(page, link) for page in PAGES for link in links(page)}

    assert pictures
    assert [] == [picture.name for picture in pictures if picture not in shown]
    assert [] == [picture.name for picture in pictures if picture.stat().st_size > 150_000]


def test_readme_leads_to_every_page() -> None:
    """The README links to every page; to those in a folder of use cases, their index does."""
    linked = {
        target_of(page, link)
        for page in (ROOT / "README.md", ROOT / "docs" / "use-cases.md")
        for link in links(page)
    }

    assert [] == [page.name for page in DOCS if page not in linked]
