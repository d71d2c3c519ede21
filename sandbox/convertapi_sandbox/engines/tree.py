"""A document's syntax tree made safe: without anything that refers to the outside.

It removes raw blocks, attributes that writers turn into code (`typst:...`), pictures that are not
part of the document, broken links, and the metadata that templates would run.
https://hackage.haskell.org/package/pandoc-types describes the tree.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convertapi_sandbox.engines.pandoc import Tree

# Returns a picture's new source and attributes, or None if it must be removed.
Picture = Callable[[str, dict[str, str]], tuple[str, dict[str, str]] | None]

_SAFE_ID = re.compile(r"[^A-Za-z0-9_.-]")
_SAFE_CLASS = re.compile(r"[A-Za-z0-9+#_-]{1,40}")
_OPEN = re.compile(r"(?i)(https?|mailto|tel|ftp):")
_META = ("title", "subtitle", "author", "date", "abstract")
_BREAK = re.compile(r"(?i)<br\s*/?>")
_ATTR_LENGTH = 3  # identifier, classes, key-value pairs
_EMPTY_ATTR: list[Any] = ["", [], []]


def clean(tree: Tree, picture: Picture, *, math: bool = True) -> Tree:
    """Return the tree without anything that refers to the outside of the document.

    Args:
        tree: What pandoc read.
        picture: Decides on each picture.
        math: Keep formulas; otherwise show their source as text.
    """
    walk = _Cleaner(picture, _goals(tree["blocks"]), math=math)
    meta = {key: walk.value(tree["meta"][key]) for key in _META if key in tree["meta"]}
    return {**tree, "meta": meta, "blocks": walk.value(tree["blocks"])}


def has_raw_html(tree: Tree) -> bool:
    """Tell whether it contains HTML that only an HTML reader understands."""

    def search(node: Any) -> bool:
        if isinstance(node, list):
            return any(map(search, node))
        if not isinstance(node, dict):
            return False
        raw = node.get("t") in ("RawBlock", "RawInline")
        if raw and node["c"][0] == "html" and not _BREAK.fullmatch(node["c"][1].strip()):
            return True
        return any(map(search, node.values()))

    return search(tree["blocks"])


def heading(tree: Tree) -> list[Any]:
    """Return title, subtitle, authors and date of the metadata as blocks."""
    blocks = []
    for key in ("title", "subtitle", "author", "date"):
        for inlines in _inlines(tree["meta"].get(key)):
            kind = (
                {"t": "Strong", "c": inlines}
                if key == "title"
                else {"t": "Span", "c": [_EMPTY_ATTR, inlines]}
            )
            blocks.append({"t": "Para", "c": [kind]})
    return blocks


def text(node: Any) -> str:
    """Return the plain text of any part of a tree."""
    if isinstance(node, list):
        return "".join(map(text, node))
    if not isinstance(node, dict):
        return ""
    kind, content = node.get("t"), node.get("c", [])
    if kind in ("Space", "SoftBreak", "LineBreak"):
        return " "
    if kind in ("Code", "Math"):
        return str(content[1])
    return content if isinstance(content, str) else text(content)


def _inlines(meta: Any) -> list[list[Any]]:
    if not isinstance(meta, dict):
        return []
    kind, content = meta.get("t"), meta.get("c", [])
    if kind == "MetaList":
        return [inlines for item in content for inlines in _inlines(item)]
    if kind == "MetaString":
        return [[{"t": "Str", "c": content}]]
    if kind == "MetaBlocks":
        return [block["c"] for block in content if block.get("t") in ("Para", "Plain")]
    return [content] if kind == "MetaInlines" and content else []


def _goals(blocks: Any) -> frozenset[str]:
    """Return the identifiers that exist and to which links lead."""
    wanted: set[str] = set()
    there: set[str] = set()

    def search(node: Any) -> None:
        if isinstance(node, list):
            if _is_attr(node) and node[0]:
                there.add(_identifier(node[0]))
            for item in node:
                search(item)
        elif isinstance(node, dict):
            if node.get("t") == "Link" and node["c"][2][0].startswith("#"):
                wanted.add(_identifier(node["c"][2][0][1:]))
            search(node.get("c"))

    search(blocks)
    return frozenset(wanted & there)


def _identifier(name: str) -> str:
    return _SAFE_ID.sub("-", name)


def _is_attr(node: list[Any]) -> bool:
    return (
        len(node) == _ATTR_LENGTH
        and isinstance(node[0], str)
        and isinstance(node[1], list)
        and isinstance(node[2], list)
    )


class _Cleaner:
    """One walk over a tree; it remembers which identifiers it has kept."""

    def __init__(self, picture: Picture, goals: frozenset[str], *, math: bool) -> None:
        self._picture = picture
        self._goals = goals
        self._given: set[str] = set()
        self._math = math

    def value(self, node: Any) -> Any:
        """Return any part of the tree, cleaned."""
        if isinstance(node, list):
            if _is_attr(node):
                return self._attr(node)
            cleaned = []
            for item in node:
                if isinstance(item, dict) and "t" in item:
                    cleaned.extend(self._element(item))
                else:
                    cleaned.append(self.value(item))
            return cleaned
        if isinstance(node, dict):
            return {key: value if key == "t" else self.value(value) for key, value in node.items()}
        return node

    def _element(self, node: dict[str, Any]) -> list[Any]:
        """Return the replacement of an element, which may be nothing."""
        match node["t"]:
            case "RawBlock":
                kept: list[Any] = []
            case "RawInline":
                is_break = node["c"][0] == "html" and _BREAK.fullmatch(node["c"][1].strip())
                kept = [{"t": "LineBreak"}] if is_break else []
            case "Cite":
                kept = self.value(node["c"][1])
            case "Math" if not self._math:
                kept = [{"t": "Code", "c": [_EMPTY_ATTR, node["c"][1]]}]
            case "Image":
                kept = self._image(*node["c"])
            case "Link":
                kept = self._link(*node["c"])
            case _:
                kept = [self.value(node)]
        return kept

    def _image(self, attr: list[Any], alternative: list[Any], target: list[str]) -> list[Any]:
        sizes = {key: value for key, value in attr[2] if key in ("width", "height")}
        kept = self._picture(target[0], sizes)
        inlines = self.value(alternative)
        if kept is None:
            return list(inlines)
        source, sizes = kept
        pairs = [[key, value] for key, value in sizes.items()]
        return [{"t": "Image", "c": [["", [], pairs], inlines, [source, ""]]}]

    def _link(self, attr: list[Any], inlines: list[Any], target: list[str]) -> list[Any]:
        goal, inlines = target[0], self.value(inlines)
        if goal.startswith("#"):
            goal = _identifier(goal[1:])
            kept = f"#{goal}" if goal in self._goals else ""
        else:
            kept = goal if _OPEN.match(goal) else ""
        # The identifier is kept, because the target of a link may be a link.
        attr = self._attr(attr)
        wrapped: dict[str, Any] = (
            {"t": "Link", "c": [attr, inlines, [kept, ""]]}
            if kept
            else {"t": "Span", "c": [attr, inlines]}
        )
        return [wrapped]

    def _attr(self, attr: list[Any]) -> list[Any]:
        identifier = _identifier(attr[0])
        if identifier not in self._goals or identifier in self._given:
            identifier = ""
        self._given.add(identifier)
        return [identifier, [name for name in attr[1] if _SAFE_CLASS.fullmatch(name)], []]
